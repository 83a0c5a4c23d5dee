"""What a vocabulary is learned from: documents of train, drawn at random."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reprise.corpus import read_row_group, row_groups, row_sizes
from reprise.errors import PipelineError
from reprise.words import mixed


@dataclass(frozen=True)
class Sample:
    """Documents of a split, in its order; one row group's texts are in memory at a time."""

    path: Path
    chosen: npt.NDArray[np.bool_]  # of each document

    def __iter__(self) -> Iterator[str]:
        ends = np.cumsum(row_sizes(self.path))
        for group, of_group in enumerate(np.split(self.chosen, ends[:-1])):
            if of_group.any():
                texts = read_row_group(self.path, group)["text"]
                yield from texts.filter(pa.array(of_group)).to_pylist()


def draw_sample(path: Path, sample_bytes: int, seed: int) -> Sample:
    """Whole documents, drawn by a hash of (seed, place), as many as fit into sample_bytes.

    About 40 bytes of memory a document. (SentencePiece's own sampling takes a seed that it does not
    keep to in every process.)
    """
    lengths = [
        pc.binary_length(read_row_group(path, group)["text"]).to_numpy()
        for group in range(row_groups(path))
    ]
    all_lengths = np.concatenate([np.zeros(0, np.int32), *lengths], dtype=np.int64)
    chosen = drawn_documents(all_lengths, sample_bytes, seed)
    if len(chosen) and not chosen.any():
        raise PipelineError(
            f"{path}: no document fits into tokenize.sample_bytes {sample_bytes}; raise it, or cut "
            "the corpus finer with download.document"
        )
    return Sample(path, chosen)


def drawn_documents(
    lengths: npt.NDArray[np.int64], sample_bytes: int, seed: int
) -> npt.NDArray[np.bool_]:
    """True for the documents of a random order that come before sample_bytes are full."""
    order = np.argsort(hashed_places(len(lengths), seed), kind="stable")
    chosen = np.zeros(len(lengths), bool)
    chosen[order] = np.cumsum(lengths[order]) <= sample_bytes
    return chosen


def hashed_places(count: int, seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each place 0 .. count-1 (SplitMix64, Steele et al. 2014, figure 16)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**32)
        return mixed(z * np.uint64(0x9E3779B97F4A7C15))
