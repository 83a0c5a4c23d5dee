"""Gopher's heuristics at their limits."""

from typing import Any

import pytest
from rule_settings import applied, words

from reprise.rules import Drop


def prose(others: int = 0) -> list[str]:
    """A hundred words, some of them left to the test; two are stop words."""
    return ["the", "and", *words(98 - others)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (prose()[:49], "too_few_words"),
        (prose()[:50], None),
        (["the", "and", *words(998)], None),
        (["the", "and", *words(999)], "too_many_words"),
        (["the", "and", *words(98, 3)], None),  # 300 characters
        (["the", "and", "xx", *words(97, 3)], "too_short_words"),  # 299
        (["the", "and", "x" * 14, *words(98, 10)], None),  # 1000 characters, 101 words
        (["the", "and", "x" * 26, *words(98, 10)], "too_long_words"),  # 1012, 101 words
        ([*prose(10), *["#ab"] * 10], None),
        ([*prose(10), *["#ab"] * 9, "##a"], "too_many_hashes"),
        ([*prose(10), *["ab..."] * 5, *["ab…"] * 5, "end"], None),
        ([*prose(11), *["ab..."] * 5, *["ab…"] * 6], "too_many_ellipses"),
        ([*prose(20), *["1,000"] * 20], None),
        ([*prose(21), *["1,000"] * 21], "too_few_words_with_letters"),
        ([*prose(50), *["x-ray2"] * 50], None),  # letters among others
        (["The", "AND", *words(98)], None),
        (["the", "the", *words(98)], "too_few_stop_words"),
        (["the", "and,", *words(98)], "too_few_stop_words"),
    ],
)
def test_limits_of_words(text: list[str], reason: str | None) -> None:
    joined = " ".join(text)
    assert applied(joined, "quality")[0] == (Drop(reason) if reason else joined)


@pytest.mark.parametrize(
    ("first", "last", "marked", "reason"),
    [
        ("•", "", 9, None),
        ("  * ", "", 10, "too_many_bullet_lines"),
        ("- ", "", 10, "too_many_bullet_lines"),
        ("", "...", 3, None),
        ("", "…", 4, "too_many_ellipsis_lines"),
    ],
)
def test_limits_of_lines(first: str, last: str, marked: int, reason: str | None) -> None:
    lines = [
        f"{first * (index < marked)}{word} the and with words of enough letters"
        f"{last * (index < marked)}"
        for index, word in enumerate(words(10))
    ]
    text = "\n\n".join(lines)  # blank lines are no lines here
    assert applied(text, "quality")[0] == (Drop(reason) if reason else text)


def test_other_stop_words_serve_other_languages() -> None:
    changed: dict[str, Any] = {"stop_words": ["Und", "der"], "min_stop_words": 2}
    text = " ".join(["und", "DER", *words(60)])
    assert applied(text, "quality", quality=changed)[0] == text
