"""A comparison in words and tables: what differs, figures side by side, a verdict a pair."""

import statistics

from reprise.comparing.blocks import Block, Heading, Paragraph, Table
from reprise.comparing.bootstrap import Interval
from reprise.comparing.comparison import (
    NOTHING,
    Compared,
    Comparison,
    Figure,
    Group,
    Pair,
    Refused,
    Verdict,
)

HASH_DIGITS = 8
LARGE = 1000  # from here on no decimals


def report(comparison: Comparison) -> list[Block]:
    return [
        Heading("Verdict"),
        *(Paragraph(verdict_line(pair)) for pair in comparison.pairs),
        Heading("Runs"),
        runs_table(comparison),
        Heading("Settings that differ"),
        *_settings(comparison),
        Heading("Data and code"),
        *_data(comparison),
        *(block for pair in comparison.pairs for block in _figures(pair)),
    ]


def verdict_line(pair: Pair) -> str:
    verdict, bits = pair.verdict, pair.verdict.bits
    relative = bits.difference / statistics.fmean(bits.ours)
    line = (
        f"{pair.other.letter} against {pair.baseline.letter}: {verdict.word}: "
        f"{_signed(bits.difference, 4)} bits a byte ({_signed(100 * relative, 2)}%), "
        f"noise {_margin(verdict.margin)}, most of it from {verdict.larger_noise}: "
        f"{_of_text(verdict)}, seeds {_margin(verdict.seeds.margin)} ({verdict.seeds.origin})"
    )
    if not verdict.repeat:
        return line
    what = "only the seed differs"
    if {run.seed for run in pair.baseline.runs} == {run.seed for run in pair.other.runs}:
        what = "nothing differs"
    line += f"; {what}: a repeat, whose difference is noise by definition"
    if abs(bits.difference) > verdict.margin:
        line += ", and more than was reckoned with: measure it with groups of seeds"
    return line


def _of_text(verdict: Verdict) -> str:
    if verdict.bits.of_text is None:
        return "choice of text unknown (too few documents: true of this text alone)"
    return f"choice of text {_margin(verdict.text_margin)}"


def runs_table(comparison: Comparison) -> Table:
    rows = [
        [
            group.letter,
            run.name,
            str(run.model["name"]),
            str(run.seed),
            f"{run.model['parameters']:,}",
            f"{run.model['tokens']:,}",
            str(run.model["run_key"]),
        ]
        for group in comparison.groups
        for run in group.runs
    ]
    return Table(["", "run", "model", "seed", "parameters", "tokens trained on", "run key"], rows)


def _settings(comparison: Comparison) -> list[Block]:
    if not comparison.settings:
        return [Paragraph("none")]
    rows = [[name, *values] for name, values in comparison.settings.items()]
    return [Table(["setting", *_letters(comparison)], rows)]


def _data(comparison: Comparison) -> list[Block]:
    rows = [
        [name, *(value[:HASH_DIGITS] for value in values), _sameness(values)]
        for name, values in comparison.data.items()
    ]
    blocks: list[Block] = [Table(["MD5", *_letters(comparison), ""], rows)]
    if comparison.other_modules:
        blocks.append(Paragraph(f"modules that differ: {', '.join(comparison.other_modules)}"))
    return blocks


def _sameness(values: list[str]) -> str:
    if NOTHING in values:
        return "not recorded"
    return "same" if len(set(values)) == 1 else "differs"


def _letters(comparison: Comparison) -> list[str]:
    return [group.letter for group in comparison.groups]


def _figures(pair: Pair) -> list[Block]:
    documents = pair.baseline.first.documents["bytes"]
    heading = (
        f"{pair.other.letter} against {pair.baseline.letter} on test "
        f"({len(documents):,} documents, {documents.sum():,} bytes)"
    )
    compared = [found for found in pair.figures if isinstance(found, Compared)]
    by_seeds = any(found.of_seeds for found in compared)
    names = ["figure", pair.baseline.letter, pair.other.letter, "difference"]
    names += ["95% by documents", *(["95% by seeds", "p"] if by_seeds else []), ""]
    rows = [
        _row(found, by_seeds)
        if isinstance(found, Compared)
        else [*_refused_row(found, pair), *([""] * (3 if by_seeds else 1)), found.reason]
        for found in pair.figures
    ]
    return [
        Heading(heading),
        Table(names, rows),
        *(Paragraph(note) for note in pair.notes),
    ]


def _row(found: Compared, by_seeds: bool) -> list[str]:
    figure = found.figure
    row = [figure.name, _value(found.ours, figure), _value(found.theirs, figure)]
    row += [_signed(found.difference, figure.decimals), _interval(found.of_text, figure)]
    if by_seeds:
        noise = found.of_seeds
        row.append(_interval(noise.interval(found.difference), figure) if noise else "")
        row.append(f"{noise.p_value(found.difference):.2g}" if noise else "")
    return [*row, found.remark]


def _refused_row(found: Refused, pair: Pair) -> list[str]:
    groups: tuple[Group, Group] = (pair.baseline, pair.other)
    values = [_value(group.values(found.figure), found.figure) for group in groups]
    return [found.figure.name, *values, "not compared"]


def _value(values: list[float], figure: Figure) -> str:
    """A figure, or the mean of several with their standard deviation."""
    if not values:
        return NOTHING
    mean = statistics.fmean(values)
    decimals = _decimals(mean, figure.decimals)
    text = f"{mean:,.{decimals}f}"
    if len(values) == 1:
        return text
    return f"{text} ± {statistics.stdev(values):,.{decimals}f} (n={len(values)})"


def _interval(interval: Interval | None, figure: Figure) -> str:
    if interval is None:
        return ""
    ends = [_signed(end, figure.decimals) for end in (interval.low, interval.high)]
    return f"{ends[0]} to {ends[1]}"


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+,.{_decimals(value, decimals)}f}"
    return text.replace("-", "+") if float(text.replace(",", "")) == 0 else text


def _decimals(value: float, decimals: int) -> int:
    return 0 if abs(value) >= LARGE else decimals


def _margin(value: float) -> str:
    return f"±{value:.4f}"
