"""Which split a document belongs to, decided by its text alone, and texts seen before."""

import hashlib

import numpy as np
import numpy.typing as npt

from reprise.corpus import SPLITS

TRAIN, VALID, TEST = range(len(SPLITS))

DIGEST_BYTES = 16
Digests = npt.NDArray[np.bytes_]  # S16


def text_digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=DIGEST_BYTES).digest()


def drawn_split(digest: bytes, seed: int, valid_fraction: float, test_fraction: float) -> int:
    """The split of a text by its digest: no other document has a say.

    valid is drawn from the low end and test from the high end, so that changing one fraction moves
    no document in or out of the other.
    """
    key = seed.to_bytes(16, "little")
    drawn = hashlib.blake2b(digest, digest_size=8, key=key).digest()
    position = int.from_bytes(drawn, "little") / 2**64
    if position < valid_fraction:
        return VALID
    if position >= 1 - test_fraction:
        return TEST
    return TRAIN


class SeenDigests:
    """A growing set of digests in some 16 bytes each: sorted runs, merged as they pile up."""

    def __init__(self) -> None:
        self._runs: list[Digests] = []

    def holds(self, digests: Digests) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(digests), bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, digests), len(run) - 1)
            found |= run[places] == digests
        return found

    def add(self, digests: Digests) -> None:
        """Take in digests that are not held yet, each given once."""
        if not len(digests):
            return
        self._runs.append(np.sort(digests))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # finds the two sorted runs and merges them
            self._runs.append(merged)


def first_occurrences(digests: Digests) -> npt.NDArray[np.bool_]:
    """True where a digest has not come before in this array."""
    first = np.zeros(len(digests), bool)
    first[np.unique(digests, return_index=True)[1]] = True
    return first
