"""What a shard holds: documents and their names."""

import re
from collections.abc import Iterator

from reprise.raw.cuts import HEADING
from reprise.raw.decoding import Reading, decoded, unified_line_ends
from reprise.raw.pages import text_of_page
from reprise.raw.records import documents_of_csv, documents_of_json, documents_of_lines
from reprise.raw.shards import Shard
from reprise.raw.sources import Source
from reprise.raw.tables import documents_of_rows

_BETWEEN_PARAGRAPHS = re.compile(r"\n(?:[ \t]*\n)+")
_HEADING = re.compile(
    rf"(?:\A|^[ \t]*\n)(?P<heading>{HEADING})(?=\n[ \t]*(?:\n|\Z)|\Z)", re.MULTILINE
)


def documents_of(shard: Shard, reading: Reading) -> Iterator[tuple[str, str]]:
    """(name, text) of each document of the shard; what was found on the way goes to `reading`."""
    source = shard.source
    reading.skipped_bytes += shard.skipped
    reading.invalid_bytes += shard.invalid_bytes
    reading.first_invalid = shard.first_invalid
    if shard.rows is not None:
        yield from documents_of_rows(source, shard.line, shard.rows, reading)
        return
    if source.format == "html" and not shard.too_long:
        if shard.content.strip():
            yield source.name, text_of_page(shard.content, shard.offset, reading)
        return
    text = _text_of(shard, reading)
    if shard.too_long:
        whole = source.format == "html" or (source.format, source.document) == ("text", "file")
        yield source.name if whole else f"{source.name}:{shard.line}", text
    elif source.format == "jsonl":
        yield from documents_of_lines(source, shard.line, text)
    elif source.format == "json":
        yield from documents_of_json(source, text)
    elif source.format == "csv":
        yield from documents_of_csv(source, shard.columns, shard.line, text, shard.has_header)
    elif source.document == "file":
        if text and not text.isspace():
            yield source.name, text
    else:
        yield from _documents_of_text(source, shard.line, text)


def _text_of(shard: Shard, reading: Reading) -> str:
    text = decoded(shard.content, shard.offset, reading)
    if shard.offset == 0 and text.startswith("\ufeff"):
        text = text[1:]
        reading.byte_order_marks += 1
    text, found = unified_line_ends(text)
    reading.line_ends += found
    return text


def _documents_of_text(source: Source, first_line: int, text: str) -> Iterator[tuple[str, str]]:
    if source.document == "line":
        documents: Iterator[tuple[int, str]] = enumerate(text.split("\n"), first_line)
    elif source.document == "paragraph":
        documents = _paragraphs(text, first_line)
    else:
        documents = _articles(text, first_line)
    for line, document in documents:
        if document and not document.isspace():
            yield f"{source.name}:{line}", document


def _paragraphs(text: str, line: int) -> Iterator[tuple[int, str]]:
    start = 0
    for match in _BETWEEN_PARAGRAPHS.finditer(text):
        yield line, text[start : match.start()]
        line += text.count("\n", start, match.end())
        start = match.end()
    yield line, text[start:]


def _articles(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Exactly the lines from a heading to the next, blank ones too, without the last line end."""
    starts = [match.start("heading") for match in _HEADING.finditer(text)]
    for start, end in zip([0, *starts[1:]], [*starts[1:], len(text)], strict=True):
        yield line, text[start:end].removesuffix("\n")
        line += text.count("\n", start, end)
