"""Arrays and documents of each shard on disk, between the passes of clean.

The folder lies beside the outputs and is gone when the work has ended, well or not; what a killed
process leaves is taken away by the next. Workers on other machines need it on a shared disk.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reprise.files import readable_write_errors


@dataclass(frozen=True)
class Scratch:
    folder: Path  # absolute, since workers may run in another
    shown: Path  # the folder as a person knows it

    def save(self, shard: int, kind: str, values: npt.NDArray[Any]) -> None:
        with self.writable(shard, kind) as path:
            save_array(path, values)

    def load(self, shard: int, kind: str) -> npt.NDArray[Any]:
        return np.load(self.path(shard, kind))

    def mapped(self, shard: int, kind: str) -> npt.NDArray[Any]:
        """Like load, for those who want a part of it only."""
        try:
            return np.load(self.path(shard, kind), mmap_mode="r")
        except ValueError:  # nothing cannot be mapped
            return self.load(shard, kind)

    def save_documents(self, shard: int, documents: pa.RecordBatch) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            self.writable(shard, "documents") as path,
            pa.ipc.new_file(str(path), documents.schema, options=options) as file,
        ):
            file.write_batch(documents)

    def load_documents(self, shard: int) -> pa.RecordBatch:
        with pa.OSFile(str(self.path(shard, "documents"))) as file:
            return pa.ipc.open_file(file).get_batch(0)

    def path(self, shard: int, kind: str) -> Path:
        return self.folder / f"{shard:07}.{kind}"

    @contextmanager
    def writable(self, shard: int, kind: str) -> Iterator[Path]:
        path = self.path(shard, kind)
        with readable_write_errors(self.shown / path.name):
            yield path

    def save_starts(self, sizes: list[int]) -> None:
        """The number of each shard's first document, and the number of documents at the end."""
        self.save(0, "starts", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        return self.load(0, "starts")

    def place(self, document: int) -> tuple[int, int]:
        """The shard of a document, counted through the whole corpus, and its number there."""
        shard = int(np.searchsorted(self.starts, document, "right")) - 1
        return shard, document - int(self.starts[shard])


def save_array(path: Path, values: npt.NDArray[Any]) -> None:
    """np.save, by Python's own writing: NumPy's raises an OSError that does not say whether the
    disk is full."""
    with path.open("wb") as file:
        np.save(SimpleNamespace(write=file.write), values)


@contextmanager
def scratch_in(out: Path) -> Iterator[Scratch]:
    shown = out / ".unfinished"
    folder = shown.resolve()
    with readable_write_errors(shown):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        yield Scratch(folder, shown)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
