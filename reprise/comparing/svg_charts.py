"""Charts for a page: SVG that stands alone, with the points for the page's script beside it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 1040, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 52
UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    label: str
    colour: str
    points: Sequence[Point]  # in order of x
    faint: bool = False  # thin, without marks


@dataclass(frozen=True)
class Bar:
    """A difference with its interval, and the wider margin that decides."""

    label: str
    value: float
    low: float
    high: float
    margin: float
    colour: str


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float  # in the picture
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


def line_chart(lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Lines over x from 0 on. The height is that of the lines which are not faint, and faint ones
    are cut off there: a loss falls most in the first steps, where nobody looks for a difference."""
    strong = [line for line in lines if not line.faint] or list(lines)
    heights = [y for line in strong for _, y in line.points]
    margin = 0.08 * ((max(heights) - min(heights)) or 1.0)
    bottom, top = min(heights) - margin, max(heights) + margin
    x = _Scale(0, max(px for line in lines for px, _ in line.points), LEFT, WIDTH - RIGHT)
    y = _Scale(bottom, top, HEIGHT - BOTTOM, TOP)
    parts = [*_x_axis(x, x_label, HEIGHT), *_y_axis(y, y_label), _INSIDE]
    for line in sorted(lines, key=lambda line: not line.faint):
        path = " ".join(
            f"{x(px)},{max(-HEIGHT, y(py))}"
            for px, py in line.points  # far above: cut off
        )
        kind = "faint" if line.faint else "strong"
        parts.append(f'<polyline class="{kind}" stroke="{line.colour}" points="{path}"/>')
        if not line.faint:
            parts += [
                f'<circle cx="{x(px)}" cy="{y(py)}" r="3.5" fill="{line.colour}"/>'
                for px, py in line.points
            ]
    data = {
        "x": [x.low, x.high, x.start, x.stop],
        "xLabel": x_label,
        "lines": [
            {"label": line.label, "colour": line.colour, "points": [list(p) for p in line.points]}
            for line in lines
        ],
    }
    script = json.dumps(data).replace("<", "\\u003c")
    return (
        f'<div class="chart">{_svg(HEIGHT, [*parts, _CROSSHAIR], y_label)}'
        f'<script type="application/json">{script}</script></div>'
    )


_INSIDE = (
    f'<clipPath id="inside"><rect x="{LEFT - 4}" y="{TOP}" width="{WIDTH - LEFT - RIGHT + 8}" '
    f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath>'
)
_CROSSHAIR = f'<line class="crosshair" y1="{TOP}" y2="{HEIGHT - BOTTOM}" hidden=""/>'


def bar_chart(bars: Sequence[Bar], x_label: str) -> str:
    """Differences from 0, each with its interval (thick) and its margin around 0 (shaded)."""
    height = TOP + 44 * len(bars) + BOTTOM
    reach = 1.15 * max(max(abs(bar.low), abs(bar.high), abs(bar.value), bar.margin) for bar in bars)
    x = _Scale(-(reach or 1.0), reach or 1.0, LEFT + 120, WIDTH - RIGHT)
    parts = _x_axis(x, x_label, height)
    for place, bar in enumerate(bars):
        middle = TOP + 44 * place + 22
        tip = (
            f"{bar.label}: {bar.value:+.4f}, by documents {bar.low:+.4f} to {bar.high:+.4f}, "
            f"margin ±{bar.margin:.4f}"
        )
        left, right = x(-bar.margin), x(bar.margin)
        parts += [
            f"<g><title>{escape(tip)}</title>",
            f'<rect class="noise" x="{left}" y="{middle - 16}" width="{right - left:.1f}" '
            'height="32"/>',
            f'<line class="interval" stroke="{bar.colour}" x1="{x(bar.low)}" x2="{x(bar.high)}" '
            f'y1="{middle}" y2="{middle}"/>',
            f'<circle cx="{x(bar.value)}" cy="{middle}" r="6" fill="{bar.colour}"/>',
            f'<text class="name" x="{LEFT + 104}" y="{middle + 5}">{escape(bar.label)}</text></g>',
        ]
    zero = f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="{TOP}" y2="{height - BOTTOM}"/>'
    return f'<div class="bars">{_svg(height, [*parts, zero], x_label)}</div>'


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def short_number(value: float) -> str:
    """2500000 -> 2.5M"""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _svg(height: int, parts: Sequence[str], label: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return head + "".join(parts) + "</svg>"


def _x_axis(x: _Scale, label: str, height: int) -> list[str]:
    bottom = height - BOTTOM
    parts = []
    for tick in ticks(x.low, x.high):
        parts += [
            f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP}" y2="{bottom}"/>',
            f'<text class="tick" text-anchor="middle" x="{x(tick)}" y="{bottom + 18}">'
            f"{short_number(tick)}</text>",
        ]
    middle = (x.start + x.stop) / 2
    text = f'<text class="axis" text-anchor="middle" x="{middle}" y="{height - 8}">'
    return [*parts, f"{text}{escape(label)}</text>"]


def _y_axis(y: _Scale, label: str) -> list[str]:
    parts = []
    for tick in ticks(y.low, y.high):
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>',
            f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{y(tick) + 4}">'
            f"{short_number(tick)}</text>",
        ]
    middle = (y.start + y.stop) / 2
    turn = f'transform="rotate(-90 14 {middle})"'
    text = f'<text class="axis" text-anchor="middle" x="14" y="{middle}" {turn}>'
    return [*parts, f"{text}{escape(label)}</text>"]
