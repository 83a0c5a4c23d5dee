"""Documents that repeat themselves, by the measures of Gopher.

Rae et al. 2021, "Scaling Language Models", arXiv 2112.11446, section A.1 and table A1. The paper
leaves open what a duplicate is; here it is what stood in the document before, so the first of
several is none. Characters are those of words, blanks left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from reprise.params.clean import Repetition
from reprise.rules.base import Drop, Tally
from reprise.rules.words import lines_of, paragraphs_of, words_of

Ngram = tuple[str, ...]

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
REASONS = (
    "too_many_duplicate_lines",
    "too_many_characters_in_duplicate_lines",
    "too_many_duplicate_paragraphs",
    "too_many_characters_in_duplicate_paragraphs",
    *(f"too_frequent_{size}_gram" for size in TOP_SIZES),
    *(f"too_many_duplicate_{size}_grams" for size in DUPLICATE_SIZES),
)


def not_repetitive(params: Repetition, text: str, tally: Tally) -> str | Drop:
    lines, characters = duplicate_fractions(lines_of(text))
    if lines > params.max_duplicate_line_fraction:
        return Drop("too_many_duplicate_lines")
    if characters > params.max_duplicate_line_character_fraction:
        return Drop("too_many_characters_in_duplicate_lines")
    paragraphs, characters = duplicate_fractions(paragraphs_of(text))
    if paragraphs > params.max_duplicate_paragraph_fraction:
        return Drop("too_many_duplicate_paragraphs")
    if characters > params.max_duplicate_paragraph_character_fraction:
        return Drop("too_many_characters_in_duplicate_paragraphs")
    reason = _frequent_ngrams(params, words_of(text)) or _duplicate_ngrams(params, words_of(text))
    return Drop(reason) if reason else text


def _frequent_ngrams(params: Repetition, words: Sequence[str]) -> str | None:
    limits = {size: getattr(params, f"max_top_{size}_gram_fraction") for size in TOP_SIZES}
    counts = Counter(_ngrams(words, 2))
    if _top(counts) > limits[2] * _characters(words):
        return "too_frequent_2_gram"
    # Each of three or four words in a row belongs to one of two pairs, as frequent as the row.
    heaviest = max(_weights(counts), default=0)
    if 2 * heaviest <= min(limits[3], limits[4]) * _characters(words):
        return None
    for size in (3, 4):
        if top_ngram_fraction(words, size) > limits[size]:
            return f"too_frequent_{size}_gram"
    return None


def _duplicate_ngrams(params: Repetition, words: Sequence[str]) -> str | None:
    limits = {
        size: getattr(params, f"max_duplicate_{size}_gram_fraction") for size in DUPLICATE_SIZES
    }
    repeats = len(words) - 4 - len(set(_ngrams(words, 5)))
    if repeats * 5 * max(map(len, words), default=0) <= min(limits.values()) * _characters(words):
        return None
    for size in DUPLICATE_SIZES:
        fraction = duplicate_ngram_fraction(words, size)
        if fraction > limits[size]:
            return f"too_many_duplicate_{size}_grams"
        # What stands in a duplicate n-gram stands in a duplicate (n-1)-gram too.
        if fraction <= min(limits.values()):
            return None
    return None


def duplicate_fractions(pieces: Sequence[str]) -> tuple[float, float]:
    """Of the pieces, and of their characters: what stood there before."""
    different = set(pieces)
    if len(different) == len(pieces):
        return 0.0, 0.0
    characters = _characters(pieces)
    repeated = characters - _characters(different)
    return (len(pieces) - len(different)) / len(pieces), repeated / characters


def top_ngram_fraction(words: Sequence[str], size: int) -> float:
    """The characters of the most frequent run of `size` words; 0 where none comes twice."""
    return _top(Counter(_ngrams(words, size))) / max(_characters(words), 1)


def _top(counts: Counter[Ngram]) -> int:
    """The characters of the most frequent n-gram, of the longest where several are."""
    most = max(counts.values(), default=0)
    return max(_weights(counts, most), default=0) if most > 1 else 0


def _weights(counts: Counter[Ngram], least: int = 2) -> list[int]:
    return [count * _characters(ngram) for ngram, count in counts.items() if count >= least]


def _characters(words: Iterable[str]) -> int:
    return sum(map(len, words))


def duplicate_ngram_fraction(words: Sequence[str], size: int) -> float:
    """The characters in runs of `size` words that stood there before, each counted once."""
    amount = len(words) - size + 1
    if len(set(_ngrams(words, size))) >= amount:
        return 0.0
    lengths = list(accumulate(map(len, words), initial=0))
    seen: set[Ngram] = set()
    covered = end = 0
    for start, ngram in enumerate(_ngrams(words, size)):
        if ngram in seen:
            covered += lengths[start + size] - lengths[max(start, end)]
            end = start + size
        seen.add(ngram)
    return covered / lengths[-1]


def _ngrams(words: Sequence[str], size: int) -> Iterator[Ngram]:
    return zip(*(words[start:] for start in range(size)), strict=False)
