"""What the points of a study came to, read from their experiments' small files in git."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.models.size import training_flops_per_token
from reprise.params.model import ModelParams
from reprise.runs.experiments import Experiment, trailer
from reprise.runs.files import FIGURES, Revision, read_json_of
from reprise.studies.running import SECONDS_TRAILER, PointState
from reprise.studies.study import AXES, Point, Study, get_value


@dataclass(frozen=True)
class Figures:
    """Of one point that is done."""

    point: Point
    test: float  # the study's figure
    valid: float
    baseline: float  # of Kneser-Ney, on test
    test_bytes: int
    train_tokens: int  # in the training text
    train_bytes: int
    tokens_read: int  # in all epochs
    parameters: int
    training_flops: int
    seconds: float | None  # of all stages that were not in DVC's cache; None where it is not known

    def value(self, axis: str) -> Any:
        """Where the point is on an axis: one of AXES or a setting."""
        if axis in AXES:
            return getattr(self, axis)
        return get_value(self.point.params, axis)


def figures_of(state: PointState, figure: str, project: Path) -> Figures:
    assert state.experiment
    run = Revision(state.experiment.commit, project)
    evaluated = read_json_of(run, FIGURES)
    encoded, trained = (read_json_of(run, f"metrics/{name}.json") for name in ("encode", "train"))
    pieces = read_json_of(run, "metrics/tokenize.json")["pieces"]
    params = state.point.params
    network, length = (
        ModelParams.model_validate(params["model"]),
        params["train"]["sequence_length"],
    )
    return Figures(
        state.point,
        test=evaluated["test"][figure],
        valid=evaluated["valid"][figure],
        baseline=evaluated["test"]["kneser_ney"][figure],
        test_bytes=evaluated["test"]["bytes"],
        train_tokens=encoded["train"]["tokens"],
        train_bytes=encoded["train"]["bytes"],
        tokens_read=trained["tokens"],
        parameters=trained["parameters"],
        training_flops=trained["tokens"] * training_flops_per_token(network, pieces, length),
        seconds=_seconds(state.experiment, project),
    )


def _seconds(experiment: Experiment, project: Path) -> float | None:
    text = trailer(project, experiment.commit, SECONDS_TRAILER)
    return float(text) if text else None


@dataclass(frozen=True)
class Choice:
    """Points that differ in seeds alone: one choice of what the study is about."""

    label: str
    figures: tuple[Figures, ...]

    @property
    def valid(self) -> float:
        return sum(each.valid for each in self.figures) / len(self.figures)

    @property
    def test(self) -> float:
        return sum(each.test for each in self.figures) / len(self.figures)

    @property
    def spread(self) -> float:
        """On test, between the best seed and the worst."""
        tested = [each.test for each in self.figures]
        return max(tested) - min(tested)


def choices(figures: Sequence[Figures]) -> list[Choice]:
    """The best on valid first: what is chosen must not be chosen on test."""
    groups: dict[str, list[Figures]] = {}
    for each in figures:
        own = {name: v for name, v in each.point.overrides.items() if not name.endswith("seed")}
        label = Point(own, {}, {}).label or "all points"
        groups.setdefault(label, []).append(each)
    found = [Choice(label, tuple(members)) for label, members in groups.items()]
    return sorted(found, key=lambda choice: choice.valid)


def series(study: Study, figures: Sequence[Figures]) -> Iterator[tuple[str, list[Figures]]]:
    """The points that are drawn and fitted together, by the value of `by`."""
    if study.file.by is None:
        yield "", list(figures)
        return
    for value in dict.fromkeys(each.value(study.file.by) for each in figures):
        yield str(value), [each for each in figures if each.value(study.file.by) == value]
