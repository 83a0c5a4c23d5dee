"""studies/<name>.yaml: a question, and the points that answer it.

A point is a whole set of settings: those of `base`, overridden by `settings`, by its place in a
grid or in the list of points, and by what is solved for a target. What the file has:

title, question  for the report
base             the settings to start from: params.yaml, or a recipe
settings         dotted name -> value, for all points
grid             dotted name -> list of values, all combinations; or a list of such grids
points           more points, each dotted name -> value
solve            sizes to be solved, one after the other: reprise.studies.solving
axis             what the answer is drawn over: one of AXES, or the dotted name of a setting
by               a dotted name: points that differ in it are drawn and fitted apart
fit              power_law, or none
figure           of metrics/evaluate.json, on test and on valid
"""

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from reprise.errors import PipelineError
from reprise.files import canonical_json
from reprise.params.base import Section
from reprise.params.loading import did_you_mean, params_faults, section_faults
from reprise.studies.solving import Solve, solved
from reprise.yaml_files import read_yaml

AXES = ("train_tokens", "train_bytes", "tokens_read", "parameters", "training_flops")
BETWEEN_VOCABULARIES = ("bits_per_byte", "perplexity_per_word")  # what can be compared

Overrides = dict[str, Any]  # dotted name -> value
Values = Annotated[
    tuple[Any, ...], Field(strict=False, min_length=1, description="a list of values")
]
Grid = dict[str, Values]
Grids = Annotated[
    tuple[Grid, ...],
    Field(strict=False),
    BeforeValidator(lambda found: [found] if isinstance(found, dict) else found),
]


class StudyFile(Section):
    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    base: str = Field("params.yaml", min_length=1)
    settings: Overrides = Field({}, description="a mapping of dotted names to values")
    grid: Grids = Field(
        (), description="a mapping of dotted names to lists of values, or a list of such mappings"
    )
    points: tuple[Overrides, ...] = Field(
        (), strict=False, description="a list of mappings of dotted names to values"
    )
    solve: tuple[Overrides, ...] = Field(
        (), strict=False, description=f"a list of mappings with {', '.join(Solve.model_fields)}"
    )
    axis: str
    by: str | None = None
    fit: Literal["power_law", "none"] = "none"
    figure: Literal[
        "bits_per_byte", "nats_per_token", "perplexity_per_token", "perplexity_per_word"
    ] = "bits_per_byte"

    def overrides(self) -> Iterator[Overrides]:
        """Of each point, without `settings`."""
        for grid in self.grid:
            for values in itertools.product(*grid.values()):
                yield dict(zip(grid, values, strict=True))
        yield from self.points

    def varied(self) -> list[str]:
        """The dotted names in which points differ, in the order of the file."""
        return list(dict.fromkeys(name for point in self.overrides() for name in point))

    def broken_rules(self) -> Iterator[str]:
        if not any(point for point in self.overrides()):
            yield "grid and points are empty; a study needs one of them"
        other_text = [
            name for name in self.varied() if name.startswith(("download.", "clean.", "tokenize."))
        ]
        if other_text and self.figure not in BETWEEN_VOCABULARIES:
            yield (
                f"figure {self.figure} cannot be compared between vocabularies, and "
                f"{other_text[0]} varies; take {' or '.join(BETWEEN_VOCABULARIES)}"
            )


@dataclass(frozen=True)
class Point:
    overrides: Overrides  # its own, by dotted name
    solved: Mapping[str, int]
    params: Mapping[str, Any]  # all settings

    @property
    def label(self) -> str:
        """For people: `fraction=0.25 seed=1`."""
        return " ".join(f"{short_name(name)}={word(v)}" for name, v in self.overrides.items())

    @property
    def slug(self) -> str:
        """The label in letters that git and every file system take as they are."""
        return re.sub(r"[^A-Za-z0-9]*\.(?!\d)|[^A-Za-z0-9.]+", "-", self.label)[:60].strip("-.")


@dataclass(frozen=True)
class Study:
    name: str
    file: StudyFile
    points: tuple[Point, ...]

    @property
    def shown(self) -> list[str]:
        """The dotted names of what a reader wants to see of each point."""
        names = dict.fromkeys([*self.file.varied(), *self._axis_setting])
        return list(names | dict.fromkeys(name for point in self.points for name in point.solved))

    @property
    def _axis_setting(self) -> list[str]:
        return [] if self.file.axis in AXES else [self.file.axis]


def short_name(name: str) -> str:
    return name.rpartition(".")[2]


def word(value: object) -> str:
    """A setting's value as in YAML."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    try:
        return canonical_json(value)
    except (TypeError, ValueError):  # a date, or what is no number: no setting takes it
        return str(value)


def names_of_studies(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_study(folder: Path, name: str) -> Study:
    """The study, with all points' settings complete; PipelineError with a line for each fault."""
    names = names_of_studies(folder)
    if name not in names:
        raise PipelineError(
            f"{folder}: no study {name!r}; there are: {', '.join(names) or 'none'}"
            f"{did_you_mean(name, names)}"
        )
    if not re.fullmatch(r"\w[\w-]*(\.[\w-]+)*", name):
        raise PipelineError(
            f"{folder}: study {name!r} cannot be a part of a name in git, as its experiments have "
            "it; give the file one of letters, digits, _ and -, with single dots within"
        )
    path = folder / f"{name}.yaml"
    data = read_yaml(path, "write the study first")
    _told(section_faults(f"{path}: study", StudyFile, data))
    file = StudyFile.model_validate(data)
    places = [(f"{path}: study.solve.{i}", item) for i, item in enumerate(file.solve)]
    _told([fault for place, item in places for fault in section_faults(place, Solve, item)])
    solves = [Solve.model_validate(item) for item in file.solve]
    base = read_yaml(Path(file.base), f"study.base in {path} names it")
    _told([*params_faults(file.base, base), *_unknown_names(path, file, solves, base)])
    return Study(name, file, _points(path, file, solves, base))


def _points(
    path: Path, file: StudyFile, solves: list[Solve], base: Mapping[str, Any]
) -> tuple[Point, ...]:
    points: list[Point] = []
    faults: list[str] = []
    for overrides in file.overrides():
        own = copy.deepcopy(dict(base))
        for name, value in {**file.settings, **overrides}.items():
            set_value(own, name, value)
        found = params_faults("", own, rules=not solves)
        sizes: dict[str, int] = {}
        for solve in solves if not found else ():
            try:
                values = solved(own, solve)
            except PipelineError as error:
                found += [f": {line}" for line in error.lines]
                continue
            for name, value in values.items():
                set_value(own, name, value)
            sizes |= values
        point = Point(overrides, sizes, own)
        faults += _of_point(path, point, found or params_faults("", own), faults)
        points += [point]
    _told(faults)
    known = [canonical_json(point.params) for point in points]
    faults = [
        f"{path}: study: the point {point.label} stands there twice"
        for number, point in enumerate(points)
        if known[number] in known[:number]
    ]
    _told(faults)
    return tuple(points)


def _of_point(path: Path, point: Point, found: list[str], told: list[str]) -> list[str]:
    """The faults with the point's name; what an earlier point has to the letter is told once."""
    return [
        f"{path}: point {point.label}{fault}"
        for fault in found
        if not any(earlier.endswith(fault) for earlier in told)
    ]


def _unknown_names(
    path: Path, file: StudyFile, solves: list[Solve], base: Mapping[str, Any]
) -> Iterator[str]:
    """A line for each dotted name that is no setting, and each place that wants another one."""
    known = list(_dotted_names(base))
    places: list[tuple[str, str]] = [("settings", name) for name in file.settings]
    places += [("grid", name) for grid in file.grid for name in grid]
    places += [("points", name) for point in file.points for name in point]
    places += [("solve", name) for solve in solves for name in solve.values(1)]
    places += [("by", file.by)] if file.by is not None else []
    for place, name in dict.fromkeys(places):
        if name not in known:
            yield f"{path}: study.{place}: {name}: no such setting{did_you_mean(name, known)}"
    if file.axis not in (*AXES, *known):
        yield (
            f"{path}: study.axis: found {file.axis!r}; allowed: {', '.join(AXES)}, or the name of "
            f"a setting{did_you_mean(file.axis, [*AXES, *known])}"
        )
    if file.by in known and file.by not in file.varied():
        yield f"{path}: study.by: {file.by} is the same in all points; name one that varies"


def _dotted_names(params: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _dotted_names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def set_value(params: Any, name: str, value: object) -> None:
    """Set a setting by its dotted name."""
    *sections, setting = name.split(".")
    for section in sections:
        params = params[section]
    params[setting] = value


def get_value(params: Any, name: str) -> Any:
    for part in name.split("."):
        params = params[part]
    return params


def _told(faults: list[str]) -> None:
    if faults:
        raise PipelineError(*faults)
