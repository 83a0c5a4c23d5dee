"""Pictures, the same bytes for the same numbers.

Letters are drawn as shapes, so that the pictures look alike where other fonts are installed, and
nothing is taken from a person's own settings of matplotlib.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from reprise.files import replacing

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "reprise",  # else names inside the file are drawn at random
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


@contextmanager
def picture(path: Path, height: float = 3.6) -> Iterator[Axes]:
    """Axes to draw on; SVG or PNG, as the suffix says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams |= SETTINGS
        figure = Figure(figsize=(7.2, height), layout="constrained")
        yield figure.subplots()
        with replacing(path) as scratch:
            kept_out = ("Date", "Creator") if path.suffix == ".svg" else ("Software",)
            nothing = dict.fromkeys(kept_out)
            figure.savefig(scratch, format=path.suffix[1:], dpi=150, metadata=nothing)


def plain_numbers(axis: Axis, base: int) -> None:
    """Ticks of a logarithmic axis as 1,000 instead of a power of ten."""
    axis.set_major_locator(LogLocator(base=base, numticks=9))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())
    if base == 2:
        axis.set_minor_locator(NullLocator())
