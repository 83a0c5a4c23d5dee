"""Records of text (jsonl, json, csv) to documents.

A record gives the text in its `text_field`, under its field `name` if it has one. In JSON the
field may be a path (`data.paragraphs.context`): each list on the way gives a document for each of
its items, and a list of texts at the end is one document, a line each.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from reprise.errors import PipelineError
from reprise.raw.decoding import unified_line_ends
from reprise.raw.sources import Source
from reprise.raw.tables import NAME, no_field, own_name

_MOST_BYTES_OF_A_FIELD = 2**31 - 1  # a shard is smaller


def documents_of_lines(source: Source, first_line: int, text: str) -> Iterator[tuple[str, str]]:
    """jsonl: a record a line."""
    for number, line in enumerate(text.split("\n"), first_line):
        if not line or line.isspace():
            continue
        where = f"{source.path}, line {number}"
        try:
            record = _parsed(line)
        except (ValueError, RecursionError) as error:
            raise PipelineError(
                f"{where}: not JSON: {error}; mend the line and run `dvc repro -f download`"
            ) from None
        yield from _documents_of_record(source, record, number, where)


def documents_of_json(source: Source, text: str) -> Iterator[tuple[str, str]]:
    """json: an array of records, or one record."""
    if not text.strip():
        return
    try:
        content = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise PipelineError(
            f"{source.path}: not JSON: {error}; mend the file and run `dvc repro -f download`"
        ) from None
    for number, record in enumerate(content if isinstance(content, list) else [content], 1):
        where = f"{source.path}, record {number}"
        yield from _documents_of_record(source, record, number, where)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # the standard library takes more (NaN, half a character)
        return json.loads(text)


def _documents_of_record(
    source: Source, record: Any, number: int, where: str
) -> Iterator[tuple[str, str]]:
    if isinstance(record, dict) and isinstance(text := record.get(source.text_field), str):
        texts = [text]
    else:
        texts = list(_texts(record, source.text_field.split("."), source.text_field, where))
    name = own_name(record.get("name")) if isinstance(record, dict) else None
    name = name or f"{source.name}:{number}"
    if len(texts) == 1:
        yield name, texts[0]
    else:
        for part, text in enumerate(texts, 1):
            yield f"{name}/{part}", text


def _texts(value: Any, path: Sequence[str], field: str, where: str) -> Iterator[str]:
    if not path:
        yield _text(value, field, where)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path, field, where)
    elif isinstance(value, dict) and path[0] in value:
        yield from _texts(value[path[0]], path[1:], field, where)
    else:
        names = ", ".join(value) if isinstance(value, dict) else ""
        raise no_field(where, field, f"fields {names}" if names else "no fields")


def _text(value: Any, field: str, where: str) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if value is not None and not isinstance(value, str):
        raise PipelineError(
            f"{where}: {field!r} is {type(value).__name__}, not text; "
            "name another field in download.text_field"
        )
    return value or ""


def header(source: Source, content: bytes, complete: bool) -> tuple[str, ...]:
    """The columns named by the first record of `content`; none if that is blank."""
    text, _ = unified_line_ends(content.decode("utf-8-sig", "replace"))
    _, columns = next(_rows(source, 1, text), (1, []))
    if columns and not complete:
        raise PipelineError(
            f"{source.path}: the first record, which names the columns, is too long; "
            "put a line with the names of the columns first"
        )
    if columns and source.text_field not in columns:
        found = f"columns {', '.join(columns)}"
        raise no_field(f"{source.path}, line 1", source.text_field, found)
    return tuple(columns)


def documents_of_csv(
    source: Source, columns: Sequence[str], first_line: int, text: str, has_header: bool
) -> Iterator[tuple[str, str]]:
    rows = _rows(source, first_line, text)
    if has_header:
        next(rows, None)
    if not columns:
        return
    text_at = columns.index(source.text_field)
    name_at = columns.index(NAME) if NAME in columns else None
    for line, row in rows:
        if len(row) != len(columns):
            raise PipelineError(
                f"{source.path}, line {line}: {len(row)} fields, expected {len(columns)} as in "
                "the file's first line; mend the line and run `dvc repro -f download`"
            )
        name = row[name_at] if name_at is not None else ""
        yield name or f"{source.name}:{line}", row[text_at]


def _rows(source: Source, first_line: int, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each record that is no blank line."""
    csv.field_size_limit(_MOST_BYTES_OF_A_FIELD)
    reader = csv.reader(io.StringIO(text), delimiter=source.delimiter)
    line = first_line
    for row in reader:
        if row:
            yield line, row
        line = first_line + reader.line_num
