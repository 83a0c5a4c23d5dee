"""What a vocabulary is learned from: documents of train, drawn at random."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reprise.arrow import mask_of, numpy_of
from reprise.corpus import read_columns
from reprise.errors import PipelineError
from reprise.words import Hashes64, mixed


def draw_sample(path: Path, sample_bytes: int, seed: int) -> pa.ChunkedArray:
    """Texts of whole documents, drawn by a hash of (seed, place), as many as fit into sample_bytes.

    In the split's order. The split is read once, with up to twice the sample in memory.
    (SentencePiece's own sampling takes a seed that it does not keep to in every process.)
    """
    sample = _Sample(sample_bytes)
    documents = 0
    for texts in read_columns(path):
        sample.add(texts, hashed_places(documents, len(texts), seed))
        documents += len(texts)
    sample.shrink()
    drawn = pa.chunked_array(sample.texts, pa.string())
    if documents and not len(drawn):
        raise PipelineError(
            f"{path}: no document fits into tokenize.sample_bytes {sample_bytes}; raise it, or cut "
            "the corpus finer with download.document"
        )
    return drawn


def texts_of(sample: pa.ChunkedArray) -> Iterator[str]:
    for texts in sample.chunks:
        yield from texts.to_pylist()


class _Sample:
    """Of the documents so far those that may be drawn: the first by rank, until the bytes are full.

    What comes later can only push some of them out, so what is out stays out.
    """

    def __init__(self, most_bytes: int) -> None:
        self.texts: list[pa.StringArray] = []
        self._ranks: list[Hashes64] = []
        self._bytes = 0
        self._most_bytes = most_bytes
        self._highest = np.uint64(2**64 - 1)  # rank of those that are not out

    def add(self, texts: pa.StringArray, ranks: Hashes64) -> None:
        inside = ranks <= self._highest
        if inside.any():
            self.texts.append(texts.filter(mask_of(inside)))
            self._ranks.append(ranks[inside])
            self._bytes += int(_lengths(self.texts[-1]).sum())
        if self._bytes > 2 * self._most_bytes:
            self.shrink()

    def shrink(self) -> None:
        ranks = np.concatenate([np.zeros(0, np.uint64), *self._ranks])
        lengths = np.concatenate([np.zeros(0, np.int64), *map(_lengths, self.texts)])
        order = np.argsort(ranks)
        total = np.cumsum(lengths[order])
        fit = int((total <= self._most_bytes).sum())
        if fit == len(order):
            return
        self._highest = ranks[order[fit]] - np.uint64(1)
        inside = [each <= self._highest for each in self._ranks]
        self.texts = [
            texts.filter(mask_of(kept)) for texts, kept in zip(self.texts, inside, strict=True)
        ]
        self._ranks = [each[kept] for each, kept in zip(self._ranks, inside, strict=True)]
        self._bytes = int(total[fit - 1]) if fit else 0


def _lengths(texts: pa.StringArray) -> npt.NDArray[np.int64]:
    """UTF-8 bytes of each text."""
    return numpy_of(pc.binary_length(texts)).astype(np.int64)


def hashed_places(first: int, count: int, seed: int) -> Hashes64:
    """A 64-bit hash of each place first .. first+count-1 (SplitMix64, Steele et al. 2014, fig. 16).

    Different for each place.
    """
    with np.errstate(over="ignore"):
        z = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        z += np.uint64(seed % 2**32) * np.uint64(2**32)
        return mixed(z * np.uint64(0x9E3779B97F4A7C15))
