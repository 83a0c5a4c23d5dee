"""MinHash with banding: which documents may be near duplicates, and how alike two really are.

A document is the set of its shingles (runs of words). For each of bands * rows hash functions its
smallest hash is the same as another document's with the probability of their Jaccard similarity
(Broder 1997, "On the resemblance and containment of documents"); the rows of a band together make
one key. Two documents of similarity s share at least one of b keys of r rows with the probability
1 - (1 - s**r)**b (Leskovec et al., "Mining of Massive Datasets", section 3.4).
"""

import numpy as np

from reprise.words import Hashes64, Words, mixed, ngrams

SHINGLES_AT_ONCE = 1 << 16  # 512 KiB: what a core's cache holds
NO_KEY = np.uint64(0)  # of a document without words


def band_keys(words: Words, shingle_words: int, bands: int, rows: int) -> Hashes64:
    """(bands, documents) keys; NO_KEY for documents without words."""
    shingles, starts = ngrams(words, shingle_words)
    smallest = np.full((bands * rows, len(words)), np.iinfo(np.uint64).max, np.uint64)
    factors, addends = _functions(bands * rows)
    filled = np.flatnonzero(np.diff(starts))
    scratch = np.empty(min(SHINGLES_AT_ONCE, len(shingles)), np.uint64)
    for begin in range(0, len(shingles), SHINGLES_AT_ONCE):
        piece = shingles[begin : begin + SHINGLES_AT_ONCE]
        hashed = scratch[: len(piece)]
        first = int(np.searchsorted(starts[filled], begin, "right")) - 1
        last = int(np.searchsorted(starts[filled], begin + len(piece)))
        cuts = np.maximum(starts[filled[first:last]] - begin, 0)
        documents = filled[first:last]
        for index in range(bands * rows):
            np.multiply(piece, factors[index], out=hashed)
            np.add(hashed, addends[index], out=hashed)
            found = np.minimum.reduceat(hashed, cuts)
            smallest[index, documents] = np.minimum(smallest[index, documents], found)
    keys = np.zeros((bands, len(words)), np.uint64)
    for row in range(rows):
        keys = mixed(keys ^ smallest[row::rows] ^ np.uint64(row))
    keys[keys == NO_KEY] = 1
    keys[:, np.diff(words.starts) == 0] = NO_KEY
    return keys


def _functions(count: int) -> tuple[Hashes64, Hashes64]:
    """Odd factors and addends modulo 2**64 (Dietzfelbinger et al. 1997), always the same."""
    drawn = mixed(np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return drawn[:count] | np.uint64(1), drawn[count:]


def shingle_set(words: Words, shingle_words: int) -> Hashes64:
    """The different shingles of one document, sorted."""
    return np.unique(ngrams(words, shingle_words)[0])


def jaccard(a: Hashes64, b: Hashes64) -> float:
    """The share of what two sets have in common in what they have together: 0 to 1."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    together = len(a) + len(b) - common
    return common / together if together else 0.0
