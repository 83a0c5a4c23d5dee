"""Raw files cut into shards of whole documents, and shards cut into documents.

A shard is some MB of a file's bytes (text, jsonl) or some rows of its table (parquet). Cutting
shards is cheap and done in one process; what a shard holds is found out by whoever works on it.
Documents are named by where they are: "novels/emma.txt:120" begins on line 120.
"""

import codecs
import gzip
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from reprise.errors import PipelineError
from reprise.files import read_json

SHARD_BYTES = 4 << 20
# The most bytes that one character of a document can take in the file: UTF-8, or JSON's escape
# of a character beyond U+FFFF (two times \uXXXX).
BYTES_A_CHARACTER = {"text": 4, "jsonl": 12}
SAMPLE_BYTES = 1 << 16  # kept of a document that is too long
OVERLAP_BYTES = 256  # searched again with the next bytes, for a cut may lie across

# Where a shard may end. A \r that comes last may be half of \r\n.
_LINE_END = rb"(?:\r\n|\n|\r(?!\n|\Z))"
_CUTS = {
    "file": None,
    "line": re.compile(_LINE_END),
    "paragraph": re.compile(_LINE_END + rb"(?:[ \t]*" + _LINE_END + rb")+"),
}


@dataclass(frozen=True)
class Source:
    """One file of the manifest."""

    name: str
    path: Path
    format: str  # text, jsonl, parquet
    document: str  # file, paragraph, line
    text_field: str
    split: str | None


@dataclass(frozen=True)
class Shard:
    """Whole documents of one file, or the beginning of one that is longer than is allowed."""

    source: Source
    offset: int = 0  # bytes of the file before this shard
    line: int = 1  # the line (parquet: the row) on which this shard begins
    content: bytes = b""
    rows: pa.RecordBatch | None = None  # parquet: text and, where there is one, name
    too_long: bool = False
    skipped: int = 0  # bytes between the shard before and this one: the rest of what was too long
    last: bool = False  # of its file


def read_manifest(path: Path) -> list[Source]:
    """The files that a manifest names; PipelineError where it is not what download writes."""
    manifest = read_json(path)
    try:
        return [_source(path.parent, file) for file in manifest["files"]]
    except (KeyError, TypeError, AttributeError):
        raise PipelineError(
            f"{path}: not a manifest of raw files; run `dvc repro -f download` to make it anew"
        ) from None


def _source(folder: Path, file: Mapping[str, Any]) -> Source:
    return Source(
        name=file["path"],
        path=folder / file["path"],
        format=file["format"],
        document=file.get("document", "line"),
        text_field=file.get("text_field", "text"),
        split=file["split"],
    )


def shards_of(source: Source, max_characters: int) -> Iterator[Shard]:
    """The file in shards, the last one marked; PipelineError where it cannot be read."""
    try:
        with _opened(source.path) as file:
            if source.format == "parquet":
                yield from _table_shards(source, file)
            else:
                yield from _byte_shards(source, file, max_characters)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PipelineError(
            f"{source.path}: cannot be read: {' '.join(reason.split())}; "
            "mend or remove the file and run `dvc repro -f download`"
        ) from None


def _opened(path: Path) -> IO[bytes]:
    if not path.name.lower().endswith(".gz"):
        return path.open("rb")
    if not path.name.lower().endswith(".parquet.gz"):
        return cast(IO[bytes], gzip.open(path))
    plain = tempfile.TemporaryFile()  # noqa: SIM115
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, plain)
    return plain


def _table_shards(source: Source, file: IO[bytes]) -> Iterator[Shard]:
    table = pq.ParquetFile(file, pre_buffer=False)
    names = table.schema_arrow.names
    if source.text_field not in names:
        raise _no_field(str(source.path), source.text_field, f"columns {', '.join(names)}")
    columns = [source.text_field] + (["name"] if "name" in names else [])
    row = 1
    for batch in table.iter_batches(batch_size=1024, columns=columns, use_threads=False):
        yield Shard(source, line=row, rows=batch)
        row += batch.num_rows
    yield Shard(source, line=row, last=True)


def _byte_shards(source: Source, file: IO[bytes], max_characters: int) -> Iterator[Shard]:
    cut = _CUTS[source.document]
    limit = BYTES_A_CHARACTER[source.format] * max_characters
    offset, line = 0, 1
    held = b""
    searched = 0  # bytes of `held` that hold no cut
    skipping = False  # the rest of a document that is too long
    given = 0  # the end of what shards hold so far
    while piece := file.read(max(SHARD_BYTES, len(held))):  # ever more: linear time in all
        held += piece
        ends = [match.end() for match in cut.finditer(held, searched)] if cut else []
        if skipping:
            end = ends[0] if ends else max(0, len(held) - OVERLAP_BYTES)
            skipping = not ends
        elif ends:
            end = ends[-1]
            yield Shard(source, offset, line, held[:end], skipped=offset - given)
            given = offset + end
        elif len(held) > limit:
            sample = _whole_characters(held[:SAMPLE_BYTES])
            yield Shard(source, offset, line, sample, too_long=True, skipped=offset - given)
            given = offset + len(sample)
            end = max(0, len(held) - OVERLAP_BYTES)
            skipping = True
        else:
            end = 0
        offset += end
        line += _line_ends(held[:end])
        held = held[end:]
        searched = max(0, len(held) - OVERLAP_BYTES) if not ends else 0
    if skipping:
        offset, held = offset + len(held), b""
    yield Shard(source, offset, line, held, skipped=offset - given, last=True)


def _whole_characters(content: bytes) -> bytes:
    """The content without the beginning of a character that ends it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(content)
    unfinished, _ = decoder.getstate()
    return content[: len(content) - len(unfinished)]


def _line_ends(content: bytes) -> int:
    return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")


@dataclass
class Reading:
    """What was found in a shard beside its documents; `first_invalid` is a byte or a row."""

    bytes: int = 0
    skipped_bytes: int = 0  # of documents that are too long: not looked at
    invalid_bytes: int = 0
    first_invalid: int | None = None
    byte_order_marks: int = 0
    line_ends: int = 0


def documents_of(shard: Shard, reading: Reading) -> Iterator[tuple[str, str]]:
    """(name, text) of each document of the shard; what was found on the way goes to `reading`."""
    if shard.rows is not None:
        yield from _documents_of_rows(shard, shard.rows, reading)
        return
    reading.skipped_bytes += shard.skipped
    text = decoded(shard.content, shard.offset, reading)
    if shard.offset == 0 and text.startswith("\ufeff"):
        text = text[1:]
        reading.byte_order_marks += 1
    text, found = unified_line_ends(text)
    reading.line_ends += found
    if shard.too_long:
        whole = shard.source.document == "file"
        yield shard.source.name if whole else f"{shard.source.name}:{shard.line}", text
    elif shard.source.format == "jsonl":
        yield from _documents_of_json(shard, text)
    elif shard.source.document == "file":
        if text.strip():
            yield shard.source.name, text
    else:
        between = r"\n" if shard.source.document == "line" else r"\n(?:[ \t]*\n)+"
        line, start = shard.line, 0
        for match in re.finditer(f"{between}|\\Z", text):
            document = text[start : match.start()]
            if document.strip():
                yield f"{shard.source.name}:{line}", document
            line += text.count("\n", start, match.end())
            start = match.end()


def _documents_of_rows(
    shard: Shard, rows: pa.RecordBatch, reading: Reading
) -> Iterator[tuple[str, str]]:
    field = shard.source.text_field
    column = rows.column(field)
    try:
        contents = column.cast(pa.large_binary()).to_pylist()
    except pa.ArrowException:
        raise PipelineError(
            f"{shard.source.path}: column {field!r} holds {column.type}, not text; "
            "name another column in download.text_field"
        ) from None
    names = rows.column("name").to_pylist() if "name" in rows.schema.names else [None] * len(rows)
    for row, (name, content) in enumerate(zip(names, contents, strict=True), shard.line):
        text = decoded(content or b"", row, reading, in_table=True)
        yield _name(name, shard, row), text


def _documents_of_json(shard: Shard, text: str) -> Iterator[tuple[str, str]]:
    source = shard.source
    for line, content in enumerate(text.split("\n"), shard.line):
        if not content.strip():
            continue
        where = f"{source.path}, line {line}"
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise PipelineError(
                f"{where}: not JSON: {error}; mend the line and run `dvc repro -f download`"
            ) from None
        if not isinstance(record, dict) or source.text_field not in record:
            names = ", ".join(record) if isinstance(record, dict) else ""
            found = f"fields {names}" if names else "no fields"
            raise _no_field(where, source.text_field, found)
        document = record[source.text_field]
        if document is not None and not isinstance(document, str):
            raise PipelineError(
                f"{where}: {source.text_field!r} is {type(document).__name__}, not text; "
                "name another field in download.text_field"
            )
        yield _name(record.get("name"), shard, line), document or ""


def _name(name: Any, shard: Shard, line: int) -> str:
    return name if isinstance(name, str) and name else f"{shard.source.name}:{line}"


def _no_field(where: str, field: str, found: str) -> PipelineError:
    return PipelineError(
        f"{where}: no {field!r}, found {found}; name the one with the text in download.text_field"
    )


def decoded(content: bytes, offset: int, reading: Reading, in_table: bool = False) -> str:
    """UTF-8 to text; each run of bytes that is none becomes U+FFFD and is counted.

    `offset` is the place of the content in its file: bytes before it, or in a table its row.
    """
    reading.bytes += len(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if reading.first_invalid is None:
            reading.first_invalid = offset if in_table else offset + error.start

    def replace_and_count(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        reading.invalid_bytes += error.end - error.start
        return "\ufffd", error.end

    codecs.register_error("reprise.replace_and_count", replace_and_count)
    return content.decode("utf-8", "reprise.replace_and_count")


def unified_line_ends(text: str) -> tuple[str, int]:
    """CRLF and CR become LF; how many did."""
    found = text.count("\r")
    return (text.replace("\r\n", "\n").replace("\r", "\n"), found) if found else (text, 0)
