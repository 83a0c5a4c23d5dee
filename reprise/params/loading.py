"""Read params.yaml and tell all its faults at once."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError

from reprise.errors import PipelineError
from reprise.params.base import Section
from reprise.yaml_files import read_yaml

SECTIONS = ("download", "clean", "tokenize", "encode", "model", "train", "evaluate", "run")

KINDS = {
    str(int): "a whole number",
    str(float): "a number",
    str(bool): "true or false",
    str(str): "a text",
    str(tuple[str, ...]): "a list of texts",
}

S = TypeVar("S", bound=Section)


def load_section(path: Path, section: type[S]) -> S:
    """The stage's own section, after the whole file was found sound.

    Every stage checks every section, so that a mistake in `train` is told before `download` starts.
    The other sections' schemas are looked up by name and decide nothing else: a stage's result
    depends on its own section alone.
    """
    check_params(path)
    return section.model_validate(read_params(path)[section_name(section)])


def section_name(section: type[Section]) -> str:
    return section.__module__.rpartition(".")[2]


def section_schema(name: str) -> type[Section]:
    """The schema of a section by its name: class `TrainParams` of `reprise.params.train`."""
    module = importlib.import_module(f"reprise.params.{name}")
    schema: type[Section] = getattr(module, f"{name.capitalize()}Params")
    return schema


def read_params(path: Path) -> dict[Any, Any]:
    """The whole file as it stands, unchecked."""
    return read_yaml(path, "run from the project's folder or give --params")


def check_params(path: Path) -> None:
    """PipelineError with a line for each fault in the file."""
    faults = params_faults(str(path), read_params(path))
    if faults:
        raise PipelineError(*faults)


def params_faults(place: str, data: Mapping[str, Any], *, rules: bool = True) -> list[str]:
    """A line for each fault in the settings of all sections, which begins with `place`; without
    `rules` for each one of a single setting, and none for settings at odds with each other."""
    faults = [
        f"{place}: {name}: no such section; allowed: {', '.join(SECTIONS)}"
        f"{did_you_mean(str(name), SECTIONS)}"
        for name in data
        if name not in SECTIONS
    ]
    for name in SECTIONS:
        if name not in data:
            faults.append(f"{place}: {name}: this section is missing; copy it from a recipe")
        else:
            faults += section_faults(
                f"{place}: {name}", section_schema(name), data[name], rules=rules
            )
    return faults


def section_faults(
    place: str, schema: type[Section], data: object, *, rules: bool = True
) -> list[str]:
    """A line for each fault of the data of one section, as in `params_faults`."""
    try:
        schema.model_validate(data)
    except ValidationError as error:
        lines = [
            line
            for fault in error.errors()
            if rules or fault["type"] != "value_error"
            for line in _fault_lines(place, schema, fault)
        ]
        return list(dict.fromkeys(lines))  # each choice of an `auto or ...` has its own fault
    return []


def _fault_lines(section: str, schema: type[Section], fault: Any) -> list[str]:
    location = list(fault["loc"])
    kind, message, found = fault["type"], fault["msg"], fault["input"]
    while location and (inner := _inner_section(schema, location[0])):
        if kind == "missing" and len(location) == 1:
            break
        section, schema = f"{section}.{location.pop(0)}", inner
    names = list(schema.model_fields)
    if kind == "value_error":  # rules between settings, written by us
        rules = message.removeprefix("Value error, ").splitlines()
        return [f"{section}: {rule}" for rule in rules]
    if not location:
        found = "nothing" if found is None else repr(found)
        return [f"{section}: found {found}; expected the settings {', '.join(names)}"]
    setting, *place = location
    dotted = f"{section}.{setting}"
    if kind == "extra_forbidden" or str(setting) not in names:
        allowed = f"allowed: {', '.join(names)}{did_you_mean(str(setting), names)}"
        return [f"{dotted}: no such setting; {allowed}"]
    field = schema.model_fields[str(setting)]
    if kind == "missing":
        return [f"{dotted}: missing; expected {field.description or _kind(field.annotation)}"]
    choices = _choices(field.annotation) if kind == "literal_error" else []
    nearest = did_you_mean(str(found), choices)
    if place and field.description:
        return [f"{dotted}: found {found!r}; allowed: {field.description}{nearest}"]
    message = message.replace("valid tuple", "list")
    return [f"{dotted}: found {found!r}; {message[0].lower()}{message[1:]}{nearest}"]


def _inner_section(schema: type[Section], setting: Any) -> type[Section] | None:
    """The schema of a setting that is a section itself."""
    field = schema.model_fields.get(str(setting))
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _kind(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return f"the settings {', '.join(annotation.model_fields)}"
    return KINDS.get(str(annotation), "a list" if get_origin(annotation) is tuple else "a value")


def _choices(annotation: Any) -> list[str]:
    """The words that a setting, or an item of its list, may be."""
    if get_origin(annotation) is Literal:
        return list(map(str, get_args(annotation)))
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to a line about an unknown word."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
