"""data/catalog.yaml: the corpora that can be named, and what is known of each."""

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reprise.errors import PipelineError
from reprise.yaml_files import read_yaml


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["docstrings"]
    title: str = Field(min_length=1)
    language: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    homepage: str = Field(min_length=1)
    packages: tuple[str, ...] = Field(min_length=1)


def is_named(path: Path, corpus: str) -> bool:
    """The catalogue has an entry of that name. It wins over a folder; "./name" is the folder."""
    return corpus in _entries(path)


def find_entry(path: Path, corpus: str) -> Entry:
    """The catalogue's entry of that name; PipelineError where there is none or it is not sound."""
    entries = _entries(path)
    if corpus not in entries:
        close = difflib.get_close_matches(corpus, entries, n=1)
        raise PipelineError(
            f"download.corpus: {corpus!r} is neither a file or folder nor a name in {path}; "
            f"names there: {', '.join(entries)}" + (f"; did you mean {close[0]}?" if close else "")
        )
    try:
        return Entry.model_validate(entries[corpus])
    except ValidationError as error:
        raise PipelineError(
            *(
                f"{path}: {'.'.join(map(str, (corpus, *fault['loc'])))}: "
                f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
                for fault in error.errors()
            )
        ) from None


def _entries(path: Path) -> dict[str, Any]:
    """By name; YAML reads some words as other things than text (2024, true)."""
    entries = read_yaml(path, "give the catalogue of corpora with --catalog")
    return {str(name): entry for name, entry in entries.items()}
