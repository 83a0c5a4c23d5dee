"""Clean documents to one long array of ids for each split, memory-mapped by whoever reads it.

data/encode/<split>.npy      (tokens,) uint16 or uint32: documents end to end, a document end each
data/encode/<split>.parquet  one row a document: name, tokens (with the end), bytes, words, lines
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.arrow import arrow_of, numpy_of
from reprise.corpus import read_row_group, row_sizes
from reprise.errors import PipelineError
from reprise.files import readable_write_errors, replacing
from reprise.memory import give_back_large_blocks
from reprise.parallel import Workers, ordered_map
from reprise.params.encode import EncodeParams
from reprise.progress import Progress
from reprise.tokenizer import Tokenizer
from reprise.word_counts import word_counts
from reprise.wordwise import Encoded, Ids

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("words", pa.int64()),
        ("lines", pa.int64()),
    ]
)
COUNTED = ("tokens", "bytes", "words", "lines")


def id_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)


class ArrayWriter:
    """A one-dimensional .npy file whose length is known only at the end."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.length = 0
        self._file = path.open("wb")
        self._header()

    def append(self, values: npt.NDArray[Any]) -> None:
        self._file.write(values.astype(self.dtype, copy=False).data)
        self.length += len(values)

    def _header(self) -> None:
        # NumPy leaves room in the header for the first axis to grow: the size stays the same.
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.length,),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                data_starts = self._file.tell() - self.length * self.dtype.itemsize
                self._file.seek(0)
                self._header()
                assert self._file.tell() == data_starts


@dataclass(frozen=True)
class Task:
    path: Path  # absolute, since workers may run in another folder
    group: int  # of rows
    round_trips: list[int]  # rows whose ids are decoded again


@dataclass(frozen=True)
class EncodedGroup:
    ids: npt.NDArray[Any]
    documents: pa.RecordBatch


def encode_splits(
    documents: Mapping[str, Path], model: Path, out: Path, params: EncodeParams, workers: Workers
) -> dict[str, dict[str, int]]:
    """Write out/<split>.npy and .parquet of each split; the totals for metrics/encode.json."""
    give_back_large_blocks()
    dtype = id_dtype(Tokenizer.load(model).size)
    tasks = {
        split: list(_tasks(path, params.round_trip_documents)) for split, path in documents.items()
    }
    work = partial(_encode_group, model=model.absolute(), dtype=dtype)
    # One map over all splits, so that no worker waits at the end of one.
    groups = ordered_map(work, chain.from_iterable(tasks.values()), workers)
    return {
        split: _write_split(islice(groups, len(of_split)), out, split, dtype)
        for split, of_split in tasks.items()
    }


def _write_split(
    groups: Iterable[EncodedGroup], out: Path, split: str, dtype: np.dtype[Any]
) -> dict[str, int]:
    totals = dict.fromkeys(("documents", *COUNTED), 0)
    with (
        replacing(out / f"{split}.npy") as ids_path,
        ArrayWriter(ids_path, dtype) as array,
        replacing(out / f"{split}.parquet") as table_path,
        pq.ParquetWriter(table_path, SCHEMA, compression="zstd") as table,
        Progress(f"encode {split}", None, "tokens") as progress,
    ):
        for group in groups:
            with readable_write_errors(out / f"{split}.npy"):
                array.append(group.ids)
            table.write_batch(group.documents)
            totals["documents"] += group.documents.num_rows
            for name in COUNTED:
                totals[name] += int(pc.sum(group.documents.column(name)).as_py())
            progress.advance(len(group.ids))
    return totals


def _tasks(path: Path, round_trips: int) -> Iterator[Task]:
    """One task a row group, with its share of the documents to check, evenly spread."""
    sizes = row_sizes(path)
    total = sum(sizes)
    count = min(round_trips, total)
    checked = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    start = 0
    for group, size in enumerate(sizes):
        inside = [row - start for row in checked if start <= row < start + size]
        yield Task(path.absolute(), group, inside)
        start += size


@lru_cache(maxsize=1)
def _tokenizer(model: Path, _changed: int) -> Tokenizer:
    return Tokenizer.load(model)


def _encode_group(task: Task, model: Path, dtype: np.dtype[Any]) -> EncodedGroup:
    tokenizer = _tokenizer(model, model.stat().st_mtime_ns)
    rows = read_row_group(task.path, task.group)
    names, texts = rows["name"].combine_chunks(), rows["text"].combine_chunks()
    encoded = tokenizer.encode_column(texts)
    for row in task.round_trips:
        check_round_trip(tokenizer, names[row].as_py(), texts[row].as_py(), encoded.of(row))
    counts = {
        "tokens": arrow_of(np.diff(encoded.starts) + 1),
        "bytes": pc.binary_length(texts),
        "words": arrow_of(word_counts(texts)),
        "lines": arrow_of(numpy_of(pc.count_substring(texts, "\n")) + 1),
    }
    return EncodedGroup(
        with_ends(encoded, tokenizer.document_end_id, dtype),
        pa.record_batch({"name": names, **counts}).cast(SCHEMA),
    )


def with_ends(encoded: Encoded, end_id: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The documents end to end, an end after each."""
    ids = np.empty(len(encoded.ids) + len(encoded), dtype)
    ends = encoded.starts[1:] + np.arange(len(encoded))
    inside = np.ones(len(ids), bool)
    inside[ends] = False
    ids[inside] = encoded.ids
    ids[ends] = end_id
    return ids


def check_round_trip(tokenizer: Tokenizer, name: str, text: str, ids: Ids) -> None:
    """The ids give the text back, but for normalization and unknown pieces."""
    if (ids == tokenizer.unknown_id).any():
        return
    decoded, expected = tokenizer.decode(ids), tokenizer.normalize(text)
    if decoded == expected:
        return
    place = next(
        (i for i, (a, b) in enumerate(zip(decoded, expected, strict=False)) if a != b),
        min(len(decoded), len(expected)),
    )
    raise PipelineError(
        f"document {name}: its ids do not give the text back: character {place} is "
        f"{decoded[place : place + 20]!r} instead of {expected[place : place + 20]!r}; set "
        "tokenize.byte_fallback to true and tokenize.normalization to identity"
    )
