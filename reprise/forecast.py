"""What a stage will take of this machine, as far as it is known beforehand; and how it is told."""

from dataclasses import dataclass

from reprise.memory_fit import in_bytes

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Forecast:
    """None: not known before an earlier stage has run, which `note` says."""

    stage: str
    memory: int | None  # bytes, all its processes together; of a GPU's memory where it trains there
    disk: int | None  # bytes of what it leaves behind
    seconds: float | None
    parameters: int | None = None
    note: str = ""


def table(forecasts: list[Forecast]) -> str:
    """Aligned columns, a line a stage."""
    rows = [("stage", "parameters", "memory", "disk", "time", "")]
    rows += [
        (
            forecast.stage,
            "-" if forecast.parameters is None else f"{forecast.parameters:,}",
            UNKNOWN if forecast.memory is None else in_bytes(forecast.memory),
            UNKNOWN if forecast.disk is None else in_bytes(forecast.disk),
            UNKNOWN if forecast.seconds is None else in_time(forecast.seconds),
            forecast.note,
        )
        for forecast in forecasts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for stage, *figures, note in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(figures, widths[1:-1], strict=True)]
        lines.append("  ".join([f"{stage:{widths[0]}}", *cells, note]).rstrip())
    return "\n".join(lines)


def in_time(seconds: float) -> str:
    """The two largest units: 100000 -> 1 d 3 h"""
    whole = max(1, round(seconds))
    sizes = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(place for place, (_, size) in enumerate(sizes) if whole >= size)
    parts = []
    for unit, size in sizes[first : first + 2]:
        amount, whole = divmod(whole, size)
        parts.append(f"{amount} {unit}")
    return " ".join(part for part in parts if not part.startswith("0 "))
