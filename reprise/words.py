"""Texts as hashes of their words, for finding copies: some nanoseconds a byte, in NumPy.

A word is a run of letters, digits and "_" in ASCII and of all characters of other alphabets,
in lower case; each character from U+3000 on (Chinese, Japanese, Korean, emoji) is a word of its
own. Blanks and ASCII, Latin-1 and general punctuation lie between words. A hash depends on the
word's bytes alone: the same on every machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes32 = npt.NDArray[np.uint32]
Hashes64 = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

CHUNK_BYTES = 1 << 17  # worked on at once, so that the arrays stay in the processor's cache
RUNS_AT_ONCE = 1 << 14  # likewise

_BETWEEN, _WORD, _ALONE = range(3)


def _classes() -> npt.NDArray[np.uint8]:
    """Of a UTF-8 character, by its first byte."""
    table = np.full(256, _WORD, np.uint8)
    table[[b for b in range(128) if not (chr(b).isalnum() or chr(b) == "_")]] = _BETWEEN
    table[0xC2] = _BETWEEN  # U+0080 to U+00BF: signs of Latin-1
    table[0xE2] = _BETWEEN  # U+2000 to U+2FFF: punctuation, arrows, signs
    table[0xE3:] = _ALONE
    return table


_CLASSES = _classes()
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64


def _powers(factor: int, count: int) -> Hashes64:
    powers = np.full(count, factor, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


_POWERS = _powers(_FACTOR, CHUNK_BYTES)
_INVERSES = _powers(pow(_FACTOR, -1, 2**64), CHUNK_BYTES)


@dataclass(frozen=True)
class Words:
    """The words of some documents end to end; document i has hashes[starts[i] : starts[i + 1]]."""

    hashes: Hashes32
    starts: Places  # (documents + 1,)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, document: int) -> Hashes32:
        return self.hashes[self.starts[document] : self.starts[document + 1]]


def words_of(texts: Sequence[str]) -> Words:
    """The word hashes of each text."""
    contents = [text.lower().encode("utf-8") for text in texts]
    ends = np.cumsum([len(content) + 1 for content in contents], dtype=np.int64)
    hashes, places, offset = [], [], 0
    for chunk in _chunks(b"\n".join([*contents, b""])):
        found, starts = _hashed(np.frombuffer(chunk, np.uint8))
        hashes.append(found)
        places.append(starts + offset)
        offset += len(chunk)
    begins = np.concatenate(places) if places else np.zeros(0, np.int64)
    return Words(
        np.concatenate(hashes) if hashes else np.zeros(0, np.uint32),
        np.concatenate([[0], np.searchsorted(begins, ends)]).astype(np.int64),
    )


def _chunks(content: bytes) -> Iterator[bytes]:
    """Pieces of at most CHUNK_BYTES that end after a blank, or where a character ends."""
    start = 0
    while len(content) - start > CHUNK_BYTES:
        end = start + CHUNK_BYTES
        blank = max(content.rfind(b" ", start, end), content.rfind(b"\n", start, end)) + 1
        if not blank:  # no blank far and wide
            blank = end
            while content[blank] & 0xC0 == 0x80:
                blank -= 1
        yield content[start:blank]
        start = blank
    yield content[start:]


def _hashed(characters: npt.NDArray[np.uint8]) -> tuple[Hashes32, Places]:
    """The hash and the first byte of each word of at most CHUNK_BYTES bytes."""
    if not len(characters):
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    starts, ends = _bounds(characters)
    sums = np.zeros(len(characters) + 1, np.uint64)
    np.cumsum(characters * _POWERS[: len(characters)], out=sums[1:])
    return (mixed((sums[ends] - sums[starts]) * _INVERSES[starts]) >> np.uint64(32)).astype(
        np.uint32
    ), starts


def _bounds(characters: npt.NDArray[np.uint8]) -> tuple[Places, Places]:
    kinds = _CLASSES[characters]
    begins = np.empty(len(kinds), bool)
    if characters.max() < 0x80:
        begins[0] = kinds[0] != _BETWEEN
        begins[1:] = (kinds[1:] != _BETWEEN) & (kinds[:-1] == _BETWEEN)
    else:
        inside = (characters & 0xC0) == 0x80
        for _ in range(3):  # the bytes after a character's first are of its kind
            kinds[1:] = np.where(inside[1:], kinds[:-1], kinds[1:])
        begins[0] = kinds[0] != _BETWEEN
        begins[1:] = (
            ~inside[1:] & (kinds[1:] != _BETWEEN) & ((kinds[:-1] != _WORD) | (kinds[1:] == _ALONE))
        )
    stops = np.empty(len(kinds), bool)
    stops[:-1] = (kinds[:-1] != _BETWEEN) & ((kinds[1:] == _BETWEEN) | begins[1:])
    stops[-1] = kinds[-1] != _BETWEEN
    return np.flatnonzero(begins), np.flatnonzero(stops) + 1


def mixed(values: Hashes64) -> Hashes64:
    """Spread over all 64 bits, in place (SplitMix64's last steps, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def ngrams(words: Words, size: int) -> tuple[Hashes64, Places]:
    """Hashes of each run of `size` words inside a document, and where each document's begin.

    A document with fewer words than `size` has one: that of all its words; without any, none.
    """
    counts = np.diff(words.starts)
    amounts = np.where(counts >= size, counts - size + 1, np.minimum(counts, 1))
    starts = np.concatenate([[0], np.cumsum(amounts)]).astype(np.int64)
    rolled = _rolled(words.hashes, size)
    short = (counts < size) & (counts > 0)
    rolled[words.starts[:-1][short]] = _of_all(
        words.hashes, words.starts[:-1][short], counts[short]
    )
    inside = np.ones(len(rolled), bool)
    for offset in range(1, size):  # no run begins in a document's last words
        inside[words.starts[1:][counts > offset] - offset] = False
    return rolled[inside], starts


def _rolled(hashes: Hashes32, size: int) -> Hashes64:
    """At i the hash of hashes[i : i + size]: mixed(sum of hashes[i + k] * factor**(k + 1))."""
    rolled = np.zeros(len(hashes), np.uint64)
    product = np.empty(min(RUNS_AT_ONCE, len(hashes)), np.uint64)
    for begin in range(0, len(hashes), RUNS_AT_ONCE):
        runs = rolled[begin : begin + RUNS_AT_ONCE]
        wide = hashes[begin : begin + len(runs) + size - 1].astype(np.uint64)
        for offset in range(min(size, len(wide))):
            part = wide[offset : offset + len(runs)]
            np.multiply(part, _power(offset + 1), out=product[: len(part)])
            runs[: len(part)] += product[: len(part)]
        mixed(runs)
    return rolled


def _of_all(hashes: Hashes32, starts: Places, counts: Places) -> Hashes64:
    """The same of few words: of each document's, all of them."""
    sums = np.zeros(len(starts), np.uint64)
    for offset in range(int(counts.max(initial=0))):
        more = counts > offset
        sums[more] += hashes[starts[more] + offset] * _power(offset + 1)
    return mixed(sums)


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_FACTOR, exponent, 2**64))
