"""Parquet tables in batches of bounded size, and the documents of a batch."""

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.errors import PipelineError
from reprise.raw.decoding import Reading, decoded
from reprise.raw.sources import Source

BATCH_ROWS = 1 << 13
READ_BYTES = 1 << 20
TEXT, NAME = "text", "name"  # columns of a batch, whatever the file calls its text


def batches_of(source: Source, file: IO[bytes], max_bytes: int) -> Iterator[pa.RecordBatch]:
    """Batches of up to BATCH_ROWS rows and `max_bytes` of text, or of one row with more text.

    Columns: TEXT as bytes, and NAME if the file has it.
    """
    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BYTES)
    names = table.schema_arrow.names
    if source.text_field not in names:
        raise no_field(str(source.path), source.text_field, f"columns {', '.join(names)}")
    columns = [source.text_field, *([NAME] if NAME in names else [])]
    for group in range(table.num_row_groups):
        rows = _rows_of(table.metadata.row_group(group), source.text_field, max_bytes)
        for batch in table.iter_batches(rows, [group], columns, use_threads=False):
            yield from _cut(_renamed(source, batch), max_bytes)


def _rows_of(group: pq.RowGroupMetaData, field: str, max_bytes: int) -> int:
    """How many rows to read at once: by the mean size of a row."""
    columns = (group.column(index) for index in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema == field)
    return max(1, min(BATCH_ROWS, max_bytes * group.num_rows // max(1, size)))


def _renamed(source: Source, batch: pa.RecordBatch) -> pa.RecordBatch:
    column = batch.column(source.text_field)
    try:
        columns = {TEXT: column.cast(pa.large_binary())}
    except pa.ArrowException:
        raise PipelineError(
            f"{source.path}: column {source.text_field!r} holds {column.type}, not text; "
            "name another column in download.text_field"
        ) from None
    if NAME in batch.schema.names:
        columns[NAME] = batch.column(NAME)
    return pa.record_batch(columns)


def _cut(batch: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """Copies, for a slice takes the whole batch along to another process."""
    lengths = pc.fill_null(pc.binary_length(batch.column(TEXT)), 0)
    ends = np.cumsum(lengths.to_numpy(zero_copy_only=False))
    start, before = 0, 0
    while start < batch.num_rows:
        fitting = int(np.searchsorted(ends, before + max_bytes, "right"))
        stop = max(start + 1, fitting)
        yield batch.take(pa.array(np.arange(start, stop)))
        start, before = stop, int(ends[stop - 1])


def documents_of_rows(
    source: Source, first_row: int, rows: pa.RecordBatch, reading: Reading
) -> Iterator[tuple[str, str]]:
    contents = rows.column(TEXT).to_pylist()
    names = rows.column(NAME).to_pylist() if NAME in rows.schema.names else [None] * len(rows)
    for row, (name, content) in enumerate(zip(names, contents, strict=True), first_row):
        text = decoded(content or b"", row, reading, in_table=True)
        yield own_name(name) or f"{source.name}:{row}", text


def own_name(name: Any) -> str | None:
    """The name that a record has, if it is text."""
    return name if isinstance(name, str) and name else None


def no_field(where: str, field: str, found: str) -> PipelineError:
    return PipelineError(
        f"{where}: no {field!r}, found {found}; name the one with the text in download.text_field"
    )
