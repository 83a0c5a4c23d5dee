"""The measures of repetition."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_settings import PUBLISHED, applied

from reprise.rules import Drop
from reprise.rules.repetition import (
    duplicate_fractions,
    duplicate_ngram_fraction,
    top_ngram_fraction,
)
from reprise.rules.words import paragraphs_of


def test_fractions_count_what_stood_there_before() -> None:
    assert duplicate_fractions(["aa", "b", "aa", "aa"]) == (2 / 4, 4 / 7)
    assert duplicate_fractions(["a", "b"]) == (0, 0)
    assert duplicate_fractions([]) == (0, 0)


def test_the_most_frequent_ngram_counts_with_all_its_characters() -> None:
    # "of the" twice: 2 * 5 of 18 characters; "a of", "the b" and "b of" once.
    assert top_ngram_fraction(["a", "of", "the", "bbb", "of", "the", "bbbb"], 2) == 10 / 18
    # "a b" and "cc d" both twice: the longer one counts.
    assert (
        top_ngram_fraction(["a", "b", "x", "a", "b", "y", "cc", "d", "z", "cc", "d"], 2) == 6 / 13
    )
    assert top_ngram_fraction(["a", "b", "c", "d"], 2) == 0
    assert top_ngram_fraction([], 2) == 0


def test_characters_in_overlapping_duplicates_count_once() -> None:
    words = ["a", "b", "c", "d", "a", "b", "c", "d", "a", "b"]
    # Runs of two: seen before from the fifth word on, so six of ten words are covered.
    assert duplicate_ngram_fraction(words, 2) == 6 / 10
    assert duplicate_ngram_fraction(words, 4) == 6 / 10
    # "a bb" comes again at the end: 3 of 10 characters.
    assert duplicate_ngram_fraction(["a", "bb", "ccc", "d", "a", "bb"], 2) == 3 / 10
    assert duplicate_ngram_fraction(words, 11) == 0
    assert duplicate_ngram_fraction([], 5) == 0


WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "e"]), max_size=60)


@given(WORDS)
def test_coverage_never_grows_with_the_size_and_agrees_with_a_slow_count(words: list[str]) -> None:
    fractions = [duplicate_ngram_fraction(words, size) for size in range(2, 12)]
    assert fractions == sorted(fractions, reverse=True)
    for size, fraction in enumerate(fractions, 2):
        covered = set()
        ngrams = [words[start : start + size] for start in range(len(words) - size + 1)]
        for start, ngram in enumerate(ngrams):
            if ngram in ngrams[:start]:
                covered |= set(range(start, start + size))
        characters = sum(map(len, words))
        assert fraction == (
            sum(len(words[place]) for place in covered) / characters if characters else 0
        )


@given(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=80))
def test_the_shortcuts_change_no_outcome(words: list[str]) -> None:
    limits = {
        f"max_{kind}_{size}_gram_fraction": limit
        for kind, sizes in (("top", (2, 3, 4)), ("duplicate", range(5, 11)))
        for size, limit in zip(sizes, (0.2, 0.18, 0.16, 0.13, 0.12, 0.11), strict=False)
    }
    expected = None
    for name, limit in limits.items():
        _, kind, size = name.split("_")[:3]
        measure = top_ngram_fraction if kind == "top" else duplicate_ngram_fraction
        if expected is None and measure(words, int(size)) > limit:
            expected = (
                f"too_frequent_{size}_gram" if kind == "top" else f"too_many_duplicate_{size}_grams"
            )
    outcome, _ = applied(" ".join(words), "repetition", repetition=limits)
    assert outcome == (Drop(expected) if expected else " ".join(words))


@pytest.mark.parametrize(("repeats", "dropped"), [(3, False), (4, True)])
def test_a_fraction_at_its_limit_passes(repeats: int, dropped: bool) -> None:
    lines = [f"line {index}" for index in range(10 - repeats)] + ["line 0"] * repeats
    limits = dict.fromkeys(PUBLISHED["repetition"], 1.0) | {"max_duplicate_line_fraction": 0.3}
    outcome, _ = applied("\n".join(lines), "repetition", repetition=limits)
    assert isinstance(outcome, Drop) == dropped


def test_blank_lines_part_paragraphs() -> None:
    assert paragraphs_of("\n a\nb \n\nc\n \t\n\n d") == ["a\nb", "c", "d"]


def test_prose_passes() -> None:
    text = "It is a truth that a dog in the wood must be in want of a bone, and of the bone a dog."
    assert applied(text, "repetition") == (text, Counter())
    assert applied("", "repetition")[0] == ""
