"""The losses of several trainings in one picture."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprise.data_plots import DROPPED, GREY, KEPT
from reprise.pictures import picture

LINES = ((GREY, "--"), (KEPT, "-"), (DROPPED, ":"))


@dataclass(frozen=True)
class Losses:
    """(step, nats a token) where there is one."""

    train: list[tuple[int, float]]
    valid: list[tuple[int, float]]


def losses_in(content: bytes) -> Losses:
    """From the content of metrics/train.csv."""
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"))))
    train, valid = (
        [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        for column in ("train_nats_per_token", "valid_nats_per_token")
    )
    return Losses(train, valid)


def draw_losses(curves: Mapping[str, Losses], path: Path) -> None:
    """Thin: train. With a mark at each validation: valid."""
    with picture(path) as axes:
        for (name, curve), (colour, style) in zip(curves.items(), LINES, strict=False):
            for points, marker, width in ((curve.train, "", 0.8), (curve.valid, "o", 1.8)):
                axes.plot(
                    [step for step, _ in points],
                    [nats for _, nats in points],
                    label=f"{name}: {'valid' if marker else 'train'}",
                    color=colour,
                    ls=style,
                    lw=width,
                    marker=marker,
                    ms=3.5,
                )
        axes.set(xlabel="step", ylabel="nats a token")
        axes.grid()
        axes.legend()
