"""Groups of equal and of nearly equal documents, over the whole corpus.

The keys of all shards are gone through in ranges, each by one worker: documents with the same key
meet there, whatever shards they are in, and nobody holds more than a range's keys. Equal texts
have the same digest. Documents that share a band's key are compared by their words; they are near
duplicates when the Jaccard similarity of their shingles is large enough. What a chain of near
duplicates links is one group.

Documents are counted through the corpus; a group is named by its first one.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reprise.minhash import NO_KEY, jaccard, shingle_set
from reprise.parallel import Workers, ordered_map
from reprise.params.clean import CleanParams
from reprise.progress import Progress
from reprise.scratch import Scratch, save_array
from reprise.words import Hashes64, Words

Documents = npt.NDArray[np.int64]

KEYS_A_TASK = 1 << 17
MODELS_A_BUCKET = 16  # documents of a bucket with which the others are compared, at most


class Groups:
    """The first document of each document's group: a file, so that workers can read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._above = np.lib.format.open_memmap(path)

    @classmethod
    def of_one(cls, path: Path, documents: int) -> "Groups":
        """Each document is a group of its own."""
        save_array(path, np.arange(documents, dtype=np.int64))
        return cls(path)

    def copied_to(self, path: Path) -> "Groups":
        self._above.flush()
        shutil.copyfile(self.path, path)
        return Groups(path)

    def join(self, pairs: Documents) -> None:
        """Make one group of those of each pair: (pairs, 2)."""
        above = self._above
        for pair in pairs.tolist():
            first, second = sorted(map(self._first, pair))
            above[second] = first

    def _first(self, document: int) -> int:
        above = self._above
        while (higher := int(above[document])) != document:
            above[document] = above[higher]
            document = higher
        return document

    def firsts(self, documents: Documents) -> Documents:
        found = np.asarray(self._above[documents])
        while not np.array_equal(higher := np.asarray(self._above[found]), found):
            found = higher
        return found

    def members(self) -> Documents:
        """Every document that shares its group with others, in order."""
        step = 1 << 20
        later = [
            start + np.flatnonzero(piece != np.arange(start, start + len(piece)))
            for start in range(0, len(self._above), step)
            for piece in [self._above[start : start + step]]
        ]
        moved = np.concatenate([np.zeros(0, np.int64), *later])
        return np.union1d(moved, self.firsts(moved))


@dataclass(frozen=True)
class KeyRange:
    """The keys of one row from `low` to `high`."""

    row: int
    low: int
    high: int


def find_duplicates(
    scratch: Scratch, documents: int, params: CleanParams, workers: Workers
) -> tuple[Groups, Groups]:
    """The groups of equal texts, and the groups of equal and similar ones."""
    bands = 0 if params.near_duplicates == "off" else params.minhash_bands
    with Progress("duplicates", 1 + bands, "rows of keys") as progress:
        with scratch.writable(0, "equal") as path:
            equal = Groups.of_one(path, documents)
        if len(_ranges(0, documents)) == 1:
            workers = 1  # there is nothing to share out
        for pairs in ordered_map(partial(_equal, scratch=scratch), _ranges(0, documents), workers):
            equal.join(pairs)
        progress.advance()
        with scratch.writable(0, "alike") as path:
            alike = equal.copied_to(path)
        work = partial(
            _similar,
            scratch=scratch,
            shingle_words=params.shingle_words,
            least=params.near_duplicate_similarity,
        )
        for band in range(1, 1 + bands):
            # Joined when all are there: what is compared depends on the groups of the bands before.
            for pairs in list(ordered_map(work, _ranges(band, documents), workers)):
                alike.join(pairs)
            progress.advance()
    return equal, alike


def _ranges(row: int, documents: int) -> list[KeyRange]:
    count = max(1, -(-documents // KEYS_A_TASK))
    bounds = [2**64 * i // count for i in range(count + 1)]
    return [KeyRange(row, low, high - 1) for low, high in pairwise(bounds)]


def _keyed(
    keys: KeyRange, scratch: Scratch
) -> tuple[Hashes64, Documents, list[tuple[int, npt.NDArray[np.uint32]]]]:
    """Keys in the range, the documents that they belong to, and these by shard."""
    found: list[Hashes64] = [np.zeros(0, np.uint64)]
    documents: list[Documents] = [np.zeros(0, np.int64)]
    by_shard = []
    for shard in range(len(scratch.starts) - 1):
        row = scratch.mapped(shard, "keys")[keys.row]
        low, high = (
            int(np.searchsorted(row, np.uint64(keys.low))),
            int(np.searchsorted(row, np.uint64(keys.high), "right")),
        )
        if low == high:
            continue
        order = scratch.mapped(shard, "order")[keys.row, low:high]
        found.append(np.array(row[low:high]))
        documents.append(order + scratch.starts[shard])
        by_shard.append((shard, np.array(order)))
    return np.concatenate(found), np.concatenate(documents), by_shard


def _equal(keys: KeyRange, scratch: Scratch) -> Documents:
    """(first, later) documents with the same text."""
    _, documents, by_shard = _keyed(keys, scratch)
    digests = [scratch.load(shard, "digests")[order] for shard, order in by_shard]
    if not digests:
        return np.zeros((0, 2), np.int64)
    _, first, inverse = np.unique(np.concatenate(digests), return_index=True, return_inverse=True)
    pairs = np.stack([documents[first[inverse]], documents], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _similar(keys: KeyRange, scratch: Scratch, shingle_words: int, least: float) -> Documents:
    """(model, other) documents that share a key, are similar, and are in different groups."""
    values, documents, _ = _keyed(keys, scratch)
    equal, alike = (Groups(scratch.path(0, name)) for name in ("equal", "alike"))
    alone = (values != NO_KEY) & (equal.firsts(documents) == documents)
    values, documents = values[alone], documents[alone]
    order = np.lexsort((documents, values))
    values, documents = values[order], documents[order]
    bounds = np.flatnonzero(np.diff(values, prepend=~values[:1], append=~values[-1:]))
    pairs: list[tuple[int, int]] = []
    for low, high in pairwise(bounds.tolist()):
        if high - low > 1:
            pairs += _pairs_of(documents[low:high], alike, scratch, shingle_words, least)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _pairs_of(
    bucket: Documents, alike: Groups, scratch: Scratch, shingle_words: int, least: float
) -> Iterator[tuple[int, int]]:
    """Compare with the first; what is not like it, with the first of these; and so on."""
    for _ in range(MODELS_A_BUCKET):
        model, *others = bucket.tolist()
        if not others:
            return
        groups = alike.firsts(bucket)
        shingles = None
        unlike = []
        for other, group in zip(others, groups[1:].tolist(), strict=True):
            if group == groups[0]:
                continue
            if shingles is None:
                shingles = shingle_set(_words(model, scratch), shingle_words)
            if jaccard(shingles, shingle_set(_words(other, scratch), shingle_words)) >= least:
                yield model, other
            else:
                unlike.append(other)
        bucket = np.array(unlike, np.int64)
        if not len(bucket):
            return


def _words(document: int, scratch: Scratch) -> Words:
    """One document's words."""
    shard, place = scratch.place(document)
    low, high = scratch.mapped(shard, "word_starts")[place : place + 2].tolist()
    own = np.array(scratch.mapped(shard, "words")[low:high])
    return Words(own, np.array([0, len(own)], np.int64))
