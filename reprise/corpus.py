"""Clean documents on disk: the only place that knows the columns.

data/clean/<split>.parquet: one row a document, columns `name` and `text`, row groups of some MB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.errors import PipelineError

SPLITS = ("train", "valid", "test")
SCHEMA = pa.schema([("name", pa.string()), ("text", pa.string())])
ROW_GROUP_BYTES = 4 << 20


class DocumentWriter:
    """Appends documents to a parquet file in row groups of about ROW_GROUP_BYTES of text.

    Where the groups end depends on the documents alone, not on how they arrive.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._waiting.append(batch)
            self._bytes += text_bytes(batch)
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, SCHEMA)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._bytes = [], 0


def text_bytes(batch: pa.RecordBatch) -> int:
    """UTF-8 bytes of the batch's texts."""
    return int(pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0)


@contextmanager
def open_documents(path: Path) -> Iterator[pq.ParquetFile]:
    """A split for reading; PipelineError where it is missing or broken, however far in."""
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow != SCHEMA:
                columns = ", ".join(f"{field.name}: {field.type}" for field in file.schema_arrow)
                raise pa.ArrowInvalid(f"its columns are {columns}")
            yield file
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file; run `dvc repro clean` to make it") from None
    except (OSError, pa.ArrowException) as error:
        raise PipelineError(
            f"{path}: not a parquet file of documents: {' '.join(str(error).split())}; "
            "run `dvc repro -f clean` to make it anew"
        ) from None


def row_sizes(path: Path) -> list[int]:
    """Documents in each row group."""
    with open_documents(path) as file:
        return [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]


def read_row_group(path: Path, group: int) -> pa.Table:
    with open_documents(path) as file:
        return file.read_row_group(group, columns=SCHEMA.names, use_threads=False)


def read_columns(path: Path) -> Iterator[pa.StringArray]:
    """The texts of each row group, in order."""
    with open_documents(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["text"], use_threads=False)
            yield rows["text"].combine_chunks()
