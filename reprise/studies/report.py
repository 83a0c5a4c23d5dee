"""The report of a study: the same bytes for the same figures, but for what it cost.

report.md   the question, the answer, the points, the fit, what failed, what it cost
points.csv  settings and figures of each point that is done, for other programs
*.svg       the figure against the study's axis, and against data, parameters and operations
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from reprise.errors import PipelineError
from reprise.files import write_text
from reprise.markdown import code, plain, table
from reprise.studies.figures import Choice, Figures, choices, figures_of, series
from reprise.studies.plots import Series, axis_name, draw_study, figure_name
from reprise.studies.power_law import POINTS_FOR_LAW, PowerLaw, fit_power_law
from reprise.studies.running import PointState
from reprise.studies.study import Study, get_value, short_name, word

DRAWN = ("train_tokens", "parameters", "training_flops")  # where the points differ in them
LEAST_DIFFERENCE = 1.05  # as a factor


def write_report(study: Study, states: Sequence[PointState], project: Path, folder: Path) -> Path:
    figures = [
        figures_of(state, study.file.figure, project) for state in states if state.experiment
    ]
    if not figures:
        raise PipelineError(
            f"study {study.name}: no point is done with the settings and the code as they are; "
            f"`reprise study run {study.name}` runs them"
        )
    return write_files(study, figures, states, folder)


def write_files(
    study: Study, figures: Sequence[Figures], states: Sequence[PointState], folder: Path
) -> Path:
    pictures = _draw(study, figures, folder)
    write_text(folder / "points.csv", _csv(study, figures))
    text = "\n\n".join(_parts(study, states, figures, pictures))
    write_text(folder / "report.md", f"{text}\n")
    return folder / "report.md"


def _draw(study: Study, figures: Sequence[Figures], folder: Path) -> list[str]:
    """The names of the pictures: the study's own axis first."""
    names = []
    for axis in dict.fromkeys([study.file.axis, *DRAWN]):
        if axis == study.file.axis or _differ([each.value(axis) for each in figures]):
            names.append(f"by_{axis.replace('.', '_')}.svg")
            fitted = axis == study.file.axis
            draw_study(_series(study, figures, fitted), axis, study.file.figure, folder / names[-1])
    return names


def _differ(values: Sequence[float]) -> bool:
    return max(values) > LEAST_DIFFERENCE * min(values)


def _series(study: Study, figures: Sequence[Figures], fitted: bool = True) -> Series:
    wanted = fitted and study.file.fit == "power_law"
    return [
        (name, group, _law(study, group) if wanted else None)
        for name, group in series(study, figures)
    ]


def _law(study: Study, figures: Sequence[Figures]) -> PowerLaw | None:
    xs = np.array([each.value(study.file.axis) for each in figures], dtype=float)
    return fit_power_law(xs, np.array([each.test for each in figures]))


def _csv(study: Study, figures: Sequence[Figures]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = ["parameters", "train_tokens", "train_bytes", "tokens_read", "training_flops"]
    figure = study.file.figure
    splits = [f"test_{figure}", f"valid_{figure}", f"test_kneser_ney_{figure}"]
    writer.writerow([*study.shown, *measured, *splits])
    for each in figures:
        settings = [word(get_value(each.point.params, name)) for name in study.shown]
        counts = [getattr(each, name) for name in measured]
        writer.writerow([*settings, *counts, each.test, each.valid, each.baseline])
    return text.getvalue()


def _parts(
    study: Study, states: Sequence[PointState], figures: Sequence[Figures], pictures: Sequence[str]
) -> Iterator[str]:
    unit = figure_name(study.file.figure)
    yield f"# {plain(study.file.title)}"
    yield plain(study.file.question)
    yield (
        f"Made by `reprise study run {study.name}` from `studies/{study.name}.yaml`. All figures "
        f"are in {unit}; lower is better. What is best is chosen on valid and told on test."
    )
    yield "## The answer"
    yield "\n".join(f"- {line}" for line in _answer(study, figures, unit))
    yield f"![{unit} by {axis_name(study.file.axis)}]({pictures[0]})"
    yield "## The points"
    yield _table(study, figures)
    yield from (f"![{name.removesuffix('.svg')}]({name})" for name in pictures[1:])
    lacking = [state for state in states if not state.experiment]
    if lacking:
        yield "## What is missing"
        yield "\n".join(
            f"- {code(state.point.label)}: "
            + (f"failed: {plain(state.error)}" if state.error else "not run yet")
            for state in lacking
        )
    yield "## What it cost"
    yield _cost(figures)


def _answer(study: Study, figures: Sequence[Figures], unit: str) -> Iterator[str]:
    if len({each.test_bytes for each in figures}) > 1:
        yield "The points were tested on different texts: their figures cannot be compared."
    ranked = choices(figures)
    if len(ranked) > 1:
        yield _best(ranked, unit)
    behind = sum(each.test > each.baseline for each in figures)
    if behind:
        yield (
            f"In {behind} of {len(figures)} points the network loses to Kneser-Ney n-grams of the "
            "same tokens."
        )
    if study.file.fit == "none":
        return
    for name, group, law in _series(study, figures):
        yield (f"{plain(name)}: " if name else "") + _law_line(study, group, law, unit)


def _best(ranked: Sequence[Choice], unit: str) -> str:
    best, second = ranked[:2]
    seeds = len(best.figures)
    mean = f" as the mean of {seeds} seeds" if seeds > 1 else ""
    line = (
        f"Best is {code(best.label)}: {best.test:.4f} {unit} on test{mean}. The next is "
        f"{code(second.label)} with {second.test:.4f}"
    )
    if seeds == 1 or len(second.figures) == 1:
        return f"{line}; with one seed each it is not known how much of that is chance."
    spread = max(best.spread, second.spread)
    more = "more" if abs(best.test - second.test) > spread else "no more"
    return f"{line}: a difference of {more} than the {spread:.4f} between seeds of one choice."


def _law_line(study: Study, figures: Sequence[Figures], law: PowerLaw | None, unit: str) -> str:
    xs = [each.value(study.file.axis) for each in figures]
    name = axis_name(study.file.axis)
    if law is None:
        if len(set(xs)) < POINTS_FOR_LAW:
            return f"No power law is fitted: {len(set(xs))} different values of {name} are too few."
        return f"No power law is fitted: {unit} do not fall with {name}."
    floor = f"{law.floor:.3g} + " if law.has_floor else ""
    line = (
        f"{unit} = {floor}{law.scale:.4g} · x^-{law.exponent:.3g}, where x is {name}; "
        f"95% of the exponent: {law.low:.3g} to {law.high:.3g}"
    )
    if not law.has_floor:
        line += ", with the floor held at 0 for want of points"
    if not law.is_told:
        return (
            f"{line}. The points do not tell the exponent: more of them, further apart, are needed."
        )
    most = max(xs)
    half, now, double = law.at(np.array([most / 2, most, 2 * most]))
    return (
        f"{line}. By this law half as much costs {half - now:.3f} {unit}, and twice as much would "
        f"gain {now - double:.3f}, from {now:.3f} at {most:,}."
    )


def _table(study: Study, figures: Sequence[Figures]) -> str:
    thousands = 10 ** (3 * int(math.log10(max(each.training_flops for each in figures)) // 3))
    names = [
        *(plain(short_name(name)) for name in study.shown),
        "parameters",
        "train tokens",
        "tokens read",
        f"FLOPs / {thousands:.0e}".replace("e+", "e"),
        "test",
        "valid",
        "n-grams on test",
    ]
    rows = [
        [
            *(plain(word(get_value(each.point.params, name))) for name in study.shown),
            f"{each.parameters:,}",
            f"{each.train_tokens:,}",
            f"{each.tokens_read:,}",
            f"{each.training_flops / thousands:,.2f}",
            f"{each.test:.4f}",
            f"{each.valid:.4f}",
            f"{each.baseline:.4f}",
        ]
        for each in figures
    ]
    return table(names, rows)


def _cost(figures: Sequence[Figures]) -> str:
    known = [each.seconds for each in figures if each.seconds is not None]
    flops = sum(each.training_flops for each in figures)
    line = f"{len(figures)} runs, {flops:.3g} FLOPs of training"
    if known:
        line += f", {sum(known):,.0f} s, of which the longest run took {max(known):,.0f} s"
    if len(known) < len(figures):
        line += f" (the time of {len(figures) - len(known)} is not known)"
    return f"{line}. Stages that DVC had in its cache are not in the time."
