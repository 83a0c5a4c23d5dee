"""The files that download left, as its manifest describes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.formats import FORMATS, without_packing

DOCUMENTS = ("file", "paragraph", "line", "article")


@dataclass(frozen=True)
class Source:
    """One file of the manifest."""

    name: str
    path: Path
    format: str  # text, jsonl, json, csv, parquet, html
    document: str  # text: one of DOCUMENTS
    text_field: str  # jsonl, json, csv, parquet
    split: str | None
    encoding: str = "utf-8"  # all but parquet

    @property
    def delimiter(self) -> str:
        """Between the fields of csv."""
        return "\t" if without_packing(self.name).lower().endswith(".tsv") else ","


def read_manifest(path: Path) -> list[Source]:
    """The files that a manifest names; PipelineError where it is not what download writes."""
    manifest = read_json(path)
    try:
        return [_source(path.parent, file) for file in manifest["files"]]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise PipelineError(
            f"{path}: not a manifest of raw files; run `dvc repro -f download` to make it anew"
        ) from None


def _source(folder: Path, file: Mapping[str, Any]) -> Source:
    source = Source(
        name=file["path"],
        path=folder / file["path"],
        format=file["format"],
        document=file.get("document") or "line",
        text_field=file.get("text_field") or "text",
        split=file["split"],
        encoding=file.get("encoding") or "utf-8",
    )
    if source.format not in FORMATS.values() or source.document not in DOCUMENTS:
        raise ValueError
    return source
