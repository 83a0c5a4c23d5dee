"""The pictures of the data card: SVG, the same bytes for the same numbers."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reprise.files import replacing

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = {"train": "#0072b2", "valid": "#e69f00", "test": "#009e73"}
DROPPED, KEPT, GREY = "#d55e00", "#0072b2", "#666666"
BINS = 40
LENGTHS_SHOWN = 2000  # points of the frequency curve

matplotlib.use("svg")
matplotlib.rcParams |= {
    "svg.hashsalt": "reprise",  # else names inside the file are drawn at random
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def _figure(height: float = 3.6) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as scratch:
        figure.savefig(scratch, format="svg", metadata={"Date": None, "Creator": None})


def draw_lengths(lengths: dict[str, npt.NDArray[np.int64]], path: Path) -> None:
    """The share of each split's documents by their tokens, on a logarithmic axis."""
    figure, axes = _figure()
    longest = max((int(values.max()) for values in lengths.values() if len(values)), default=1)
    bins = np.geomspace(1, longest + 1, BINS)
    for split, values in lengths.items():
        counts, _ = np.histogram(values, bins)
        axes.stairs(
            100 * counts / max(len(values), 1),
            bins,
            label=f"{split} ({len(values):,})",
            color=COLOURS[split],
            linewidth=1.6,
        )
    axes.set(xscale="log", xlabel="tokens in a document", ylabel="% of the split's documents")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    _save(figure, path)


def draw_waterfall(clean: dict[str, Any], path: Path) -> None:
    """From the documents that came in to those that are kept, reason by reason."""
    reasons = {reason: count for reason, count in clean["dropped"].items() if count}
    names = ["in", *(reason.replace("_", " ") for reason in reasons), "kept"]
    read = clean["documents"]["in"]
    left = [0, *(read - np.cumsum(list(reasons.values()))).tolist(), 0]
    widths = [read, *reasons.values(), clean["documents"]["kept"]]
    figure, axes = _figure(1.1 + 0.36 * len(names))
    colours = [GREY, *([DROPPED] * len(reasons)), KEPT]
    axes.barh(names, widths, left=left, color=colours, height=0.65)
    for place, (start, width) in enumerate(zip(left, widths, strict=True)):
        axes.text(start + width + read / 120, place, f"{width:,}", va="center", fontsize=9)
    axes.set(xlabel="documents", xlim=(0, read * 1.14))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    _save(figure, path)


def zipf_exponent(uses: npt.NDArray[np.int64]) -> float:
    """The slope of a straight line through log frequency by log rank, from rank 10 on, with every
    rank weighted by 1 / rank, so that all parts of the logarithmic axis count alike."""
    counts = np.sort(uses[uses > 0])[::-1]
    first = 9 if len(counts) > 100 else 0
    if len(counts) - first < 2:
        return 0.0
    ranks = np.arange(1, len(counts) + 1)[first:]
    slope = np.polyfit(np.log(ranks), np.log(counts[first:]), 1, w=ranks**-0.5)[0]
    return -float(slope)


def draw_frequencies(uses: npt.NDArray[np.int64], path: Path) -> None:
    """Uses of the pieces in train by their rank, beside the line of Zipf's law."""
    counts = np.sort(uses[uses > 0])[::-1]
    figure, axes = _figure()
    if len(counts):
        last = len(counts)
        shown = np.unique(np.geomspace(1, last, min(last, LENGTHS_SHOWN)).astype(int))
        axes.plot(shown, counts[shown - 1], color=KEPT, linewidth=1.8, label="pieces in train")
        exponent = zipf_exponent(uses)
        middle = min(max(int(last**0.5), 1), last)
        line = counts[middle - 1] * (shown / middle) ** -exponent
        label = f"Zipf's law, exponent {exponent:.2f}"
        axes.plot(shown, line, color=DROPPED, linestyle="--", linewidth=1.2, label=label)
        axes.legend(frameon=False)
    axes.set(xscale="log", yscale="log", xlabel="rank of the piece", ylabel="uses in train")
    axes.grid(alpha=0.25)
    _save(figure, path)
