"""The pictures of a study: its figure against what the points differ in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    EngFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from reprise.pictures import picture
from reprise.studies.figures import Figures
from reprise.studies.power_law import PowerLaw
from reprise.studies.study import AXES

# Okabe and Ito's colours, which colour-blind people can tell apart; markers differ in print too.
LOOKS = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#56b4e9", "P"),
)
GREY = "#666666"
NAMES = {
    "train_tokens": "tokens of training text",
    "train_bytes": "bytes of training text",
    "tokens_read": "tokens read in training",
    "parameters": "parameters",
    "training_flops": "floating-point operations of training",
}
OF_THE_TEXT = ("train_tokens", "train_bytes")  # what a baseline, too, gets better by
MARGIN = 1.15  # around the points, as a factor
LINE_POINTS = 60

Series = Sequence[tuple[str, Sequence[Figures], PowerLaw | None]]  # name, points, fit


def axis_name(axis: str) -> str:
    return NAMES.get(axis, axis)


def figure_name(figure: str) -> str:
    """bits_per_byte -> bits a byte"""
    return figure.replace("_per_", " a ").replace("_", " ")


def draw_study(series: Series, axis: str, figure: str, path: Path) -> None:
    values = [each.value(axis) for _, figures, _ in series for each in figures]
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    logarithmic = numbers and min(values) > 0
    with picture(path, height=4.2) as axes:
        places = None if numbers else {str(v): i for i, v in enumerate(dict.fromkeys(values))}
        for number, (name, figures, law) in enumerate(series):
            colour, marker = LOOKS[number % len(LOOKS)]
            xs = [_place(each.value(axis), places) for each in figures]
            label = name or "the network"
            axes.plot(xs, [each.test for each in figures], marker, color=colour, label=label)
            if law and logarithmic:
                _draw_law(axes, law, xs, colour)
        if axis in OF_THE_TEXT:
            _draw_baseline(axes, series, axis)
        axes.set(xlabel=axis_name(axis), ylabel=f"{figure_name(figure)} on test")
        if logarithmic:
            _logarithmic(axes, axis)
        if places:
            axes.set_xticks(list(places.values()), list(places))
            axes.set_xlim(-0.5, len(places) - 0.5)
        axes.grid()
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend()


def _place(value: Any, places: Mapping[str, int] | None) -> float:
    return float(value) if places is None else float(places[str(value)])


def _draw_law(axes: Axes, law: PowerLaw, xs: Sequence[float], colour: str) -> None:
    line = np.geomspace(min(xs) / MARGIN, max(xs) * MARGIN, LINE_POINTS)
    low, high = (np.round(edge, 4) for edge in law.band(line))  # the same bytes everywhere
    axes.fill_between(line, low, high, color=colour, alpha=0.15, lw=0, label="95% of refits")
    axes.plot(line, np.round(law.at(line), 4), color=colour, lw=1.4, label=formula(law))


def formula(law: PowerLaw) -> str:
    """For a legend, in matplotlib's notation of TeX."""
    floor = f"{law.floor:.3g} + " if law.has_floor else ""
    return f"{floor}{law.scale:.3g} $x^{{-{law.exponent:.3g}}}$"


def _draw_baseline(axes: Axes, series: Series, axis: str) -> None:
    points = sorted({(each.value(axis), each.baseline) for _, group, _ in series for each in group})
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, "x--", color=GREY, lw=0.8, ms=5, label="Kneser-Ney n-grams, the same text")


def _logarithmic(axes: Axes, axis: str) -> None:
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(
        EngFormatter(sep=" ") if axis in AXES else StrMethodFormatter("{x:g}")
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.4g}"))
    axes.yaxis.set_minor_locator(NullLocator())
