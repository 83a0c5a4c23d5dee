"""The pictures of the data card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import StrMethodFormatter

from reprise.pictures import picture, plain_numbers

# Okabe and Ito's colours, which colour-blind people can tell apart; the lines differ in print too.
COLOURS = {"train": "#0072b2", "valid": "#d55e00", "test": "#009e73"}
STYLES = {"train": "-", "valid": "--", "test": ":"}
DROPPED, KEPT, GREY = "#d55e00", "#0072b2", "#666666"
BARS = 7  # of reasons to drop
POINTS = 200  # of the curve of frequencies
ZIPF_FROM = 10  # the rank: the first few pieces are spaces and commas in every corpus


def draw_lengths(lengths: dict[str, npt.NDArray[np.int64]], path: Path) -> None:
    """The share of each split's documents in each doubling of length: 1, 2 to 3, 4 to 7 tokens."""
    longest = max((int(values.max()) for values in lengths.values() if len(values)), default=1)
    shortest = min((int(values.min()) for values in lengths.values() if len(values)), default=1)
    edges = 2 ** np.arange(max(shortest, 1).bit_length() - 1, max(longest, 1).bit_length() + 1)
    with picture(path) as axes:
        axes.set_xscale("log", base=2)
        for split, values in lengths.items():
            shares = 100 * np.histogram(values, edges)[0] / max(len(values), 1)
            label, colour = f"{split} ({len(values):,} documents)", COLOURS[split]
            axes.stairs(shares, edges, label=label, color=colour, ls=STYLES[split], lw=1.7)
            if split == "train":
                axes.stairs(shares, edges, fill=True, color=colour, alpha=0.15)
        axes.set(
            xlabel="tokens in a document (each bar spans a doubling)",
            ylabel="% of the split's documents",
            xlim=(edges[0] / 1.2, edges[-1] * 1.2),
            ylim=(0, None),
        )
        plain_numbers(axes.xaxis, base=2)
        axes.grid()
        axes.legend()


def draw_waterfall(clean: dict[str, Any], path: Path) -> None:
    """From the documents that came in to those that are kept, reason by reason."""
    reasons = _shown({reason: count for reason, count in clean["dropped"].items() if count})
    read, kept = clean["documents"]["in"], clean["documents"]["kept"]
    names = ["read", *(reason.replace("_", " ") for reason in reasons), "kept"]
    widths = [read, *reasons.values(), kept]
    left = [0, *(read - np.cumsum(list(reasons.values()))).tolist(), 0]
    colours = [GREY, *([DROPPED] * len(reasons)), KEPT]
    with picture(path, 1.1 + 0.34 * len(names)) as axes:
        axes.barh(range(len(names)), widths, left=left, color=colours, height=0.65)
        for place, (start, width) in enumerate(zip(left, widths, strict=True)):
            sign = "\N{MINUS SIGN}" if 0 < place < len(names) - 1 else ""
            share = f" ({percent(width, read)})" if place else ""
            label, end = f"{sign}{width:,}{share}", (start + width, place)
            axes.annotate(label, end, (5, 0), textcoords="offset points", va="center", fontsize=9)
        for place in range(len(names) - 1):
            level = left[place] if place else read
            axes.plot([level] * 2, [place, place + 1], color=GREY, lw=0.8, zorder=0.5)
        axes.set(xlabel="documents", xlim=(0, 1.28 * max(read, 1)))
        axes.set_yticks(range(len(names)), names)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.invert_yaxis()
        axes.grid(axis="x")


def _shown(reasons: dict[str, int]) -> dict[str, int]:
    """The reasons with a bar of their own; the rarest of too many share one."""
    if len(reasons) <= BARS:
        return reasons
    common = sorted(reasons, key=lambda reason: -reasons[reason])[: BARS - 1]
    rest = {reason: count for reason, count in reasons.items() if reason not in common}
    own = {reason: count for reason, count in reasons.items() if reason in common}
    return own | {f"{len(rest)} rarer reasons": sum(rest.values())}


def percent(part: int, whole: int) -> str:
    """A share for reading: what is there is never shown as 0%."""
    share = part / max(whole, 1)
    return "< 0.01%" if 0 < share < 0.00005 else f"{share:.2%}"


@dataclass(frozen=True)
class Zipf:
    """uses = scale * rank ** -exponent"""

    exponent: float
    scale: float


def zipf_fit(uses: npt.NDArray[np.int64]) -> Zipf | None:
    """The straight line through log uses by log rank; None where too few pieces are used.

    From rank 10 to half the pieces that are used: beyond, the vocabulary ends, not the language.
    Every rank weighs 1 / rank, so that all parts of the logarithmic axis count alike.
    """
    counts = np.sort(uses[uses > 0])[::-1]
    first, last = ZIPF_FROM - 1, len(counts) // 2
    if last - first < ZIPF_FROM:
        return None
    ranks = np.arange(1, len(counts) + 1)[first:last]
    slope, height = np.polyfit(np.log(ranks), np.log(counts[first:last]), 1, w=ranks**-0.5)
    # Rounded: the last digits differ between processors, the bytes of a picture should not.
    return Zipf(round(-float(slope), 4), float(f"{np.exp(height):.6g}"))


def draw_frequencies(uses: npt.NDArray[np.int64], path: Path) -> None:
    """Uses of the pieces in train by their rank, beside the line of Zipf's law."""
    counts = np.sort(uses[uses > 0])[::-1]
    last = max(len(counts), 1)
    with picture(path) as axes:
        axes.set(xscale="log", yscale="log", xlim=(0.9, 1.5 * last))
        if len(counts):
            marker = "o" if last < 20 else ""
            ranks = np.unique(np.geomspace(1, last, POINTS).round().astype(int))
            axes.plot(
                ranks, counts[ranks - 1], color=KEPT, lw=1.8, marker=marker, label="pieces in train"
            )
            axes.set_ylim(0.7, 2 * counts[0])
        if fit := zipf_fit(uses):
            ends = np.array([1, last])
            label = f"Zipf's law: uses ~ 1 / rank$^{{{fit.exponent:.2f}}}$"
            line = fit.scale * ends**-fit.exponent
            axes.plot(ends, line, color=DROPPED, ls="--", lw=1.3, label=label)
        axes.set(xlabel="rank of the piece, 1 for the most used", ylabel="uses in train")
        plain_numbers(axes.xaxis, base=10)
        plain_numbers(axes.yaxis, base=10)
        axes.grid()
        if len(counts):
            axes.legend(loc="lower left")
