"""Read params.yaml (YAML 1.2, as DVC reads it) and tell all its faults at once."""

import difflib
import importlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reprise.errors import PipelineError
from reprise.params.base import Section

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
    data = read_yaml(path)
    faults = _faults(path, data)
    if faults:
        raise PipelineError(*faults)
    return section.model_validate(data[section_name(section)])


def section_name(section: type[Section]) -> str:
    return section.__module__.rpartition(".")[2]


def section_schema(name: str) -> type[Section]:
    """The schema of a section by its name: class `TrainParams` of `reprise.params.train`."""
    module = importlib.import_module(f"reprise.params.{name}")
    schema: type[Section] = getattr(module, f"{name.capitalize()}Params")
    return schema


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PipelineError(
            f"{path}: no such file; run from the project's folder or give --params"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read: {error}") from None
    try:
        data = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except YAMLError as error:
        where = " ".join(str(error).split())
        raise PipelineError(f"{path}: not YAML: {where}") from None
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected sections ({', '.join(SECTIONS)}), found none")
    return data


def _faults(path: Path, data: Mapping[str, Any]) -> list[str]:
    faults = [
        f"{path}: {name}: no such section; allowed: {', '.join(SECTIONS)}{_nearest(name, SECTIONS)}"
        for name in data
        if name not in SECTIONS
    ]
    for name in SECTIONS:
        if name not in data:
            faults.append(f"{path}: {name}: this section is missing; copy it from a recipe")
            continue
        schema = section_schema(name)
        try:
            schema.model_validate(data[name])
        except ValidationError as error:
            lines = [_fault_line(path, name, schema, fault) for fault in error.errors()]
            faults += dict.fromkeys(lines)  # each choice of an `auto or ...` has its own fault
    return faults


def _fault_line(path: Path, section: str, schema: type[BaseModel], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    dotted = ".".join([section, *location])
    kind, message = fault["type"], fault["msg"]
    names = list(schema.model_fields)
    if kind == "extra_forbidden":
        return (
            f"{path}: {dotted}: no such setting; allowed: {', '.join(names)}"
            f"{_nearest(location[-1], names)}"
        )
    if kind == "missing":
        return f"{path}: {dotted}: missing; {_expected(schema, location)}"
    if kind == "value_error":  # a rule between settings, written by us
        return f"{path}: {dotted}: {message.removeprefix('Value error, ')}"
    found = fault["input"]
    field = schema.model_fields.get(location[0])
    if len(location) > 1 and field is not None and field.description:
        return f"{path}: {section}.{location[0]}: found {found!r}; allowed: {field.description}"
    line = f"{path}: {dotted}: found {found!r}; {message[0].lower()}{message[1:]}"
    choices = _choices(schema, location)
    return line + (_nearest(str(found), choices) if choices else "")


def _expected(schema: type[BaseModel], location: list[str]) -> str:
    field = schema.model_fields.get(location[0]) if location else None
    if field is None:
        return "expected a value"
    return "expected " + (field.description or KINDS.get(str(field.annotation), "a value"))


def _choices(schema: type[BaseModel], location: list[str]) -> list[str]:
    field = schema.model_fields.get(location[0]) if location else None
    if field is not None and get_origin(field.annotation) is Literal:
        return [str(choice) for choice in get_args(field.annotation)]
    return []


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
