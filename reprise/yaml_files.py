"""YAML 1.2, as DVC reads it: `1e-3` is a number, `on` is a word."""

import io
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reprise.errors import PipelineError


def read_yaml(path: Path, remedy: str) -> dict[Any, Any]:
    """The file's mapping; PipelineError where there is none, with `remedy` where it is missing."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file; {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read: {error}") from None
    try:
        data = deepcopy(_parsed(text))
    except YAMLError as error:
        raise PipelineError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise PipelineError(f"{path}: expected a mapping of names, found {found}; {remedy}")
    return data


@lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    """Kept, since a stage reads params.yaml for one section after another, 0.1 s each time."""
    return YAML(typ="safe", pure=True).load(io.StringIO(text))  # which faults call a file
