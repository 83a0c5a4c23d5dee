"""How often each piece of the vocabulary occurs: a baseline, and what a network begins with."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from reprise.dataset import EncodedSplit

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

COUNTED_AT_ONCE = 1 << 18  # tokens


@dataclass(frozen=True)
class Unigram:
    """Each token by its share of the train split, with one added to every count."""

    counts: Indices  # (V,)
    order = 1

    @classmethod
    def count(cls, split: EncodedSplit, vocabulary_size: int) -> Self:
        counts = np.zeros(vocabulary_size, dtype=np.int64)
        for start in range(0, split.tokens, COUNTED_AT_ONCE):
            part = split.ids[start : start + COUNTED_AT_ONCE]
            counts += np.bincount(part, minlength=vocabulary_size)
        return cls(counts)

    @property
    def tokens_counted(self) -> int:
        return int(self.counts.sum())

    @property
    def surprise(self) -> Floats:
        """-ln p of each piece of the vocabulary, (V,)."""
        total = np.log(self.tokens_counted + len(self.counts))
        return np.asarray(total - np.log(self.counts + 1), dtype=np.float64)

    def nats(self, split: EncodedSplit, start: int, stop: int) -> Floats:
        """-ln p of tokens start to stop of the split."""
        return self.surprise[split.ids[start:stop]]
