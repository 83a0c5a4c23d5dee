"""Raw files cut into shards, in one pass and in bounded memory."""

import codecs
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from reprise.errors import PipelineError
from reprise.raw.cuts import OVERLAP_BYTES, cuts_in
from reprise.raw.opening import Utf8Stream, opened_table, opened_text
from reprise.raw.records import header
from reprise.raw.sources import Source
from reprise.raw.tables import TEXT, batches_of

SHARD_BYTES = 4 << 20
MAX_JSON_BYTES = 64 << 20  # such a file is parsed as a whole
SAMPLE_BYTES = 1 << 16  # kept of a document that is too long
# The most bytes that one character of a document can take in the file: UTF-8; JSON's escape of a
# character beyond U+FFFF (two times \uXXXX); csv has other columns, html its markup.
BYTES_A_CHARACTER = {"text": 4, "parquet": 4, "csv": 12, "jsonl": 12, "html": 64}


@dataclass(frozen=True)
class Shard:
    """Whole documents of one file, or the beginning of one that is longer than is allowed."""

    source: Source
    offset: int = 0  # bytes of the file, unpacked and in UTF-8, before this shard
    line: int = 1  # the line (parquet: the row) on which this shard begins
    content: bytes = b""
    columns: tuple[str, ...] = ()  # csv
    has_header: bool = False  # csv: the first record names the columns
    rows: pa.RecordBatch | None = None  # parquet: text and, where there is one, name
    too_long: bool = False
    skipped: int = 0  # bytes between the shard before and this one: the rest of what was too long
    invalid_bytes: int = 0  # found while the file was put into UTF-8
    first_invalid: int | None = None
    last: bool = False  # of its file


def shards_of(source: Source, max_characters: int) -> Iterator[Shard]:
    """The file in shards, the last one marked; PipelineError where it cannot be read."""
    try:
        if source.format == "parquet":
            yield from _table_shards(source, max_characters)
        elif source.format == "csv":
            yield from _with_columns(_byte_shards(source, max_characters))
        else:
            yield from _byte_shards(source, max_characters)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PipelineError(
            f"{source.path}: cannot be read: {' '.join(reason.split())}; "
            "mend or remove the file and run `dvc repro -f download`"
        ) from None


def _longest(source: Source, max_characters: int) -> int:
    """Bytes; what is shorter is read as a whole, and found to be too long by its characters."""
    return max(SHARD_BYTES, BYTES_A_CHARACTER[source.format] * max_characters)


def _table_shards(source: Source, max_characters: int) -> Iterator[Shard]:
    longest = _longest(source, max_characters)
    row, skipped = 1, 0
    with opened_table(source.path) as file:
        for batch in batches_of(source, file, SHARD_BYTES):
            if batch.num_rows == 1 and batch.nbytes > longest:
                content = batch.column(TEXT)[0].as_buffer()
                sample = _whole_characters(content[:SAMPLE_BYTES].to_pybytes())
                batch = batch.set_column(0, TEXT, pa.array([sample], pa.large_binary()))
                yield Shard(source, line=row, rows=batch, too_long=True, skipped=skipped)
                skipped = content.size - len(sample)
            else:
                yield Shard(source, line=row, rows=batch, skipped=skipped)
                skipped = 0
            row += batch.num_rows
    yield Shard(source, line=row, skipped=skipped, last=True)


def _with_columns(shards: Iterator[Shard]) -> Iterator[Shard]:
    columns: tuple[str, ...] = ()
    for shard in shards:
        before = columns
        columns = columns or header(shard.source, shard.content, complete=not shard.too_long)
        yield replace(shard, columns=columns, has_header=columns != before)


class _Pile:
    """The bytes that were read and are not yet in a shard."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.held = bytearray()
        self.offset, self.line = 0, 1
        self._given = 0  # the end of what the shards hold so far
        self._invalid_bytes = 0

    def shard(self, size: int, stream: Utf8Stream) -> Shard:
        """The first bytes, which stay where they are."""
        skipped, invalid = self.offset - self._given, stream.invalid_bytes - self._invalid_bytes
        self._given = self.offset + size
        self._invalid_bytes = stream.invalid_bytes
        return Shard(
            self.source,
            self.offset,
            self.line,
            bytes(memoryview(self.held)[:size]),
            skipped=skipped,
            invalid_bytes=invalid,
            first_invalid=stream.first_invalid if invalid else None,
        )

    def drop(self, size: int) -> None:
        self.line += _line_ends(self.held, size)
        del self.held[:size]
        self.offset += size


def _byte_shards(source: Source, max_characters: int) -> Iterator[Shard]:
    cuts = cuts_in(source)
    pile = _Pile(source)
    skipping = False  # the rest of a document that is too long
    began = 1  # the line on which it begins
    with opened_text(source) as stream:
        while piece := stream.read(SHARD_BYTES):
            pile.held += piece
            found = cuts.cuts(piece)
            if skipping and found:
                pile.drop(found[0] - pile.offset)
                skipping = False
            if skipping:
                _drop_all_but_overlap(pile)
            elif found:
                if size := found[1] - pile.offset:
                    yield pile.shard(size, stream)
                    pile.drop(size)
            elif source.format == "json":
                _check_size(source, pile)
            elif len(pile.held) > _longest(source, max_characters):
                sample = _whole_characters(bytes(pile.held[:SAMPLE_BYTES]))
                yield replace(pile.shard(len(sample), stream), too_long=True)
                began, skipping = pile.line, True
                _drop_all_but_overlap(pile)
        if not cuts.is_complete():
            raise PipelineError(
                f"{source.path}, line {began if skipping else pile.line}: the record that begins "
                'here has a quoted field without a closing quote; write a " inside a field as "", '
                "or mend the line, and run `dvc repro -f download`"
            )
        if skipping:
            pile.drop(len(pile.held))
        yield replace(pile.shard(len(pile.held), stream), last=True)


def _check_size(source: Source, pile: _Pile) -> None:
    if len(pile.held) > MAX_JSON_BYTES:
        raise PipelineError(
            f"{source.path}: JSON of more than {MAX_JSON_BYTES >> 20} MiB, which is read as a "
            "whole; write a record a line to a file that ends in .jsonl (jq -c '.[]')"
        )


def _drop_all_but_overlap(pile: _Pile) -> None:
    size = max(0, len(pile.held) - OVERLAP_BYTES)
    if size and pile.held[size - 1 : size + 1] == b"\r\n":
        size -= 1
    pile.drop(size)


def _whole_characters(content: bytes) -> bytes:
    """The content without the beginning of a character that ends it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(content)
    unfinished, _ = decoder.getstate()
    return content[: len(content) - len(unfinished)]


def _line_ends(held: bytearray, size: int) -> int:
    found = held.count(b"\n", 0, size)
    if returns := held.count(b"\r", 0, size):
        found += returns - held.count(b"\r\n", 0, size)
    return found
