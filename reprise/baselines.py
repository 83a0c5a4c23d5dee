"""The baselines of a split: unigram, and interpolated Kneser-Ney counted with sorted arrays.

Kneser-Ney of order n, interpolated, after Chen and Goodman, "An empirical study of smoothing
techniques for language modeling" (Computer Speech and Language 13, 1999, 359-393); h are the k - 1
tokens before w, and h' is h without its oldest token:

    p_k(w | h) = max(c_k(h w) - D_k, 0) / c_k(h .) + D_k N_k(h .) / c_k(h .) p_{k-1}(w | h')

c_n counts how often h w occurs; c_k below the highest order, how many different tokens stand
before h w; c_k(h .) is its sum over w; N_k(h .) the number of different w. D_k is
n_1 / (n_1 + 2 n_2), where n_i is how many (h w) have c_k = i. p_0 is 1 / V, and where h was never
seen p_k is p_{k-1}. No h reaches into the document before: it is filled up with the boundary.

An n-gram is a pair (context, token) in one 64-bit number: the context is itself a number, its rank
among the sorted (k - 1)-grams. So a 6-gram of 100,000 pieces fits as well as a bigram of 100.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from reprise.dataset import EncodedSplit
from reprise.unigram import Unigram

Array = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]

TOKENS_AT_ONCE = 1 << 18  # scored together
POSITIONS_AT_ONCE = 1 << 21  # sorted together


@dataclass(frozen=True)
class _Grams:
    """All k-grams of one k, sorted, with their c_k. A k-gram's number is its place here, and that
    is how the (k + 1)-grams that it begins know it. Two numbers more stand for no k-gram."""

    keys: Keys  # (G,) context * V + token
    sums: Counts  # (G + 1,) c_k summed over the k-grams before each
    starts: Counts  # (contexts + 3,) the first k-gram of each context
    discount: float

    @property
    def before_text(self) -> int:
        """The number of the context at a document's first token: boundaries alone."""
        return len(self.keys)

    @property
    def unseen(self) -> int:
        """The number of all k-grams that the counted text does not have."""
        return len(self.keys) + 1

    def find(self, keys: Keys) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Numbers of the k-grams with these keys, and which of them are there."""
        places = np.searchsorted(self.keys, keys)
        found = self.keys[np.minimum(places, len(self.keys) - 1)] == keys
        return np.where(found, places, self.unseen), found


@dataclass(frozen=True)
class KneserNey:
    """Interpolated Kneser-Ney of order n over V pieces, from the first tokens of a split."""

    grams: tuple[_Grams, ...]  # of 1, 2, ..., n tokens
    vocabulary_size: int
    tokens_counted: int

    @property
    def order(self) -> int:
        return len(self.grams)

    @classmethod
    def count(
        cls, split: EncodedSplit, vocabulary_size: int, *, order: int, max_tokens: int
    ) -> Self:
        tokens = split.ids[:max_tokens]
        firsts = _first_tokens(split, 0, len(tokens))
        contexts = np.zeros(len(tokens), dtype=np.uint32)
        contexts_known = 1
        found = _sorted_grams(_keys(contexts, tokens, vocabulary_size))
        grams: list[_Grams] = []
        for _ in range(order - 1):
            shorter = found
            contexts[1:] = shorter.numbers[:-1]
            contexts[firsts] = len(shorter.keys)
            found = _sorted_grams(_keys(contexts, tokens, vocabulary_size))
            continuations = np.zeros(len(shorter.keys), dtype=np.uint32)
            np.add.at(continuations, shorter.numbers[found.examples], np.uint32(1))
            grams.append(_grams(shorter.keys, continuations, contexts_known, vocabulary_size))
            contexts_known = len(shorter.keys)
        grams.append(_grams(found.keys, found.counts, contexts_known, vocabulary_size))
        return cls(tuple(grams), vocabulary_size, len(tokens))

    def nats(self, split: EncodedSplit, start: int, stop: int) -> Floats:
        """-ln p of tokens start to stop of the split, each given those before it."""
        early = max(0, start - self.order + 1)  # the first target's context begins here
        tokens = split.ids[early:stop].astype(np.uint64)
        firsts = _first_tokens(split, early, stop)
        contexts = np.zeros(len(tokens), dtype=np.int64)
        p = np.full(len(tokens), 1 / self.vocabulary_size)
        for grams in self.grams:
            numbers, found = grams.find(_keys(contexts, tokens, self.vocabulary_size))
            begin, end = grams.starts[contexts], grams.starts[contexts + 1]
            total = (grams.sums[end] - grams.sums[begin]).astype(np.float64)
            known = total > 0
            p[known] *= (grams.discount * (end - begin))[known] / total[known]
            count = grams.sums[numbers[found] + 1] - grams.sums[numbers[found]]
            p[found] += np.maximum(count - grams.discount, 0) / total[found]
            contexts = np.concatenate([[grams.unseen], numbers[:-1]])
            contexts[firsts] = grams.before_text
        return -np.log(p[start - early :])


Baseline = Unigram | KneserNey


def document_nats(baseline: Baseline, split: EncodedSplit) -> Floats:
    """Nats (documents,), summed over each document's tokens; streams over the split."""
    sums = np.zeros(split.documents)
    for start in range(0, split.tokens, TOKENS_AT_ONCE):
        stop = min(start + TOKENS_AT_ONCE, split.tokens)
        documents = split.documents_at(np.arange(start, stop))
        np.add.at(sums, documents, baseline.nats(split, start, stop))
    return sums


@dataclass(frozen=True)
class _SortedGrams:
    keys: Keys  # (G,)
    counts: Counts  # (G,) how often each occurs
    examples: Counts  # (G,) a position where each ends
    numbers: Counts  # (N,) the number of the k-gram that ends at each position


def _sorted_grams(keys: Keys) -> _SortedGrams:
    """Sorts the keys of all N positions, so many at once: sorting takes 30 bytes for each."""
    numbers = np.empty(len(keys), dtype=np.uint32)
    parts: list[tuple[Keys, Counts, Counts]] = []
    known = 0
    for low, high in pairwise(_part_edges(keys)):
        positions = np.flatnonzero((keys >= low) & (keys < high)).astype(np.uint32)
        part = keys[positions]
        order = np.argsort(part)
        part, positions = part[order], positions[order]
        new = np.append(True, part[1:] != part[:-1])[: len(part)]
        places = np.flatnonzero(new)
        numbers[positions] = np.cumsum(new) + (known - 1)
        counts = np.diff(places, append=len(part)).astype(np.uint32)
        parts.append((part[places], counts, positions[places]))
        known += len(places)
    del keys
    sorted_keys, counts, examples = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return _SortedGrams(sorted_keys, counts, examples, numbers)


def _part_edges(keys: Keys) -> list[int]:
    """Bounds between which about POSITIONS_AT_ONCE of the keys lie."""
    parts = -(-len(keys) // POSITIONS_AT_ONCE)
    sample = np.sort(keys[:: max(1, len(keys) // 10_000)])
    inner = sample[np.arange(1, parts) * len(sample) // parts]
    return [0, *np.unique(inner).tolist(), 2**64 - 1]


def _grams(keys: Keys, counts: Array, contexts: int, vocabulary_size: int) -> _Grams:
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    # Where nothing occurs once the formula gives 0, which would leave nothing for what is unseen.
    discount = once / (once + 2 * twice) if once else 0.5
    sums = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    firsts = np.arange(contexts + 3, dtype=np.uint64) * np.uint64(vocabulary_size)
    return _Grams(keys, sums, np.searchsorted(keys, firsts).astype(np.uint32), discount)


def _keys(contexts: Array, tokens: Array, vocabulary_size: int) -> Keys:
    keys = contexts.astype(np.uint64)
    keys *= np.uint64(vocabulary_size)
    keys += tokens
    return keys


def _first_tokens(split: EncodedSplit, start: int, stop: int) -> Indices:
    """The documents' first tokens among tokens start to stop, counted from start."""
    first, last = np.searchsorted(split.offsets, [start, stop])
    return np.unique(split.offsets[first:last] - start)
