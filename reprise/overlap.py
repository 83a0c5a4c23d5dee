"""Runs of words that valid or test have in common with train.

As GPT-3's authors looked for copies with runs of 13 words (Brown et al. 2020, appendix C). All runs
are looked at, without holding a split's runs in memory: those of valid and test go to disk, sorted,
and mark a table of a fixed size; runs of train that hit a mark go to disk too; then both are joined
by ranges of their hashes.

Left in the scratch folder for each shard: "runs" and "run_documents" of valid and test, "hits" and
"hit_documents" of train: sorted uint64 hashes, and the documents in which they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from reprise.duplicates import Documents
from reprise.parallel import Workers, ordered_map
from reprise.progress import Progress
from reprise.scratch import Scratch
from reprise.splits import TRAIN
from reprise.words import Hashes64, Words, ngrams

TABLE_BITS = 26  # 64 MiB of marks
RUNS_A_TASK = 1 << 20
OUT = 255  # in the splits: the document was dropped


@dataclass(frozen=True)
class SharedRuns:
    """Of the documents of valid and test that have a run at all, in order."""

    documents: Documents
    runs: npt.NDArray[np.int64]  # in each document
    shared: npt.NDArray[np.int64]  # of these, those that are in train too
    witnesses: Documents  # a train document with one of them; -1 where there is none


def find_shared_runs(
    scratch: Scratch, splits: npt.NDArray[np.uint8], size: int, workers: Workers
) -> SharedRuns:
    """Count the runs of `size` words that valid and test share with train; `splits` by document."""
    for shard, (low, high) in enumerate(pairwise(scratch.starts.tolist())):
        scratch.save(shard, "splits", splits[low:high])
    shards = range(len(scratch.starts) - 1)
    table = np.zeros(1 << TABLE_BITS, bool)
    total = 0
    with Progress("overlap", 2 * len(shards), "shards") as progress:
        for shard in ordered_map(partial(_write_runs, scratch=scratch, size=size), shards, workers):
            runs = scratch.load(shard, "runs")
            table[_marks(runs)] = True
            total += len(runs)
            progress.advance()
        scratch.save(0, "table", table)
        del table
        for found in ordered_map(partial(_write_hits, scratch=scratch, size=size), shards, workers):
            total += found
            progress.advance()
    parts = list(ordered_map(partial(_join, scratch=scratch), _ranges(total), workers))
    return _summed(parts)


def _marks(hashes: Hashes64) -> npt.NDArray[np.intp]:
    return (hashes & np.uint64((1 << TABLE_BITS) - 1)).astype(np.intp)


def _runs_of(shard: int, scratch: Scratch, size: int, of_train: bool) -> tuple[Hashes64, Documents]:
    """The hashes of all runs in train, or in valid and test, and their documents."""
    words = Words(scratch.load(shard, "words"), scratch.load(shard, "word_starts"))
    splits = scratch.load(shard, "splits")
    wanted = (splits == TRAIN) if of_train else (splits != TRAIN) & (splits != OUT)
    wanted &= np.diff(words.starts) >= size
    hashes, starts = ngrams(words, size)
    counts = np.diff(starts)
    keep = np.repeat(wanted, counts)
    documents = np.repeat(np.arange(len(counts)) + scratch.starts[shard], counts)
    return hashes[keep], documents[keep]


def _write_runs(shard: int, scratch: Scratch, size: int) -> int:
    _save_sorted(shard, "run", *_runs_of(shard, scratch, size, of_train=False), scratch)
    return shard


def _write_hits(shard: int, scratch: Scratch, size: int) -> int:
    hashes, documents = _runs_of(shard, scratch, size, of_train=True)
    hit = scratch.mapped(0, "table")[_marks(hashes)]
    hashes, first = np.unique(hashes[hit], return_index=True)
    _save_sorted(shard, "hit", hashes, documents[hit][first], scratch)
    return len(hashes)


def _save_sorted(
    shard: int, kind: str, hashes: Hashes64, documents: Documents, scratch: Scratch
) -> None:
    order = np.argsort(hashes, kind="stable")
    scratch.save(shard, f"{kind}s", hashes[order])
    scratch.save(shard, f"{kind}_documents", documents[order])


def _ranges(total: int) -> list[tuple[int, int]]:
    count = max(1, -(-total // RUNS_A_TASK))
    bounds = [2**64 * i // count for i in range(count + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]


def _join(bounds: tuple[int, int], scratch: Scratch) -> SharedRuns:
    runs, documents = _within("run", bounds, scratch)
    hits, witnesses = _within("hit", bounds, scratch)
    hits, first = np.unique(hits, return_index=True)  # the first document of train
    witnesses = witnesses[first]
    places = np.minimum(np.searchsorted(hits, runs), max(len(hits) - 1, 0))
    shared = hits[places] == runs if len(hits) else np.zeros(len(runs), bool)
    found = np.where(shared, witnesses[places], -1) if len(hits) else np.full(len(runs), -1)
    return _counted(documents, np.ones(len(runs), np.int64), shared.astype(np.int64), found)


def _within(kind: str, bounds: tuple[int, int], scratch: Scratch) -> tuple[Hashes64, Documents]:
    hashes: list[Hashes64] = [np.zeros(0, np.uint64)]
    documents: list[Documents] = [np.zeros(0, np.int64)]
    for shard in range(len(scratch.starts) - 1):
        all_hashes = scratch.mapped(shard, f"{kind}s")
        low = int(np.searchsorted(all_hashes, np.uint64(bounds[0])))
        high = int(np.searchsorted(all_hashes, np.uint64(bounds[1]), "right"))
        if low < high:
            hashes.append(np.array(all_hashes[low:high]))
            documents.append(np.array(scratch.mapped(shard, f"{kind}_documents")[low:high]))
    return np.concatenate(hashes), np.concatenate(documents)


def _summed(parts: Sequence[SharedRuns]) -> SharedRuns:
    documents, runs, shared, witnesses = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("documents", "runs", "shared", "witnesses")
    )
    return _counted(documents, runs, shared, witnesses)


def _counted(
    documents: Documents,
    runs: npt.NDArray[np.int64],
    shared: npt.NDArray[np.int64],
    witnesses: Documents,
) -> SharedRuns:
    """Sums by document; of the witnesses the first."""
    different, place = np.unique(documents, return_inverse=True)
    totals = [np.zeros(len(different), np.int64) for _ in range(2)]
    for total, values in zip(totals, (runs, shared), strict=True):
        np.add.at(total, place, values)
    none = np.iinfo(np.int64).max
    first = np.full(len(different), none)
    np.minimum.at(first, place, np.where(witnesses < 0, none, witnesses))
    return SharedRuns(different, totals[0], totals[1], np.where(first == none, -1, first))
