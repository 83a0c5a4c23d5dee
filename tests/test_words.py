"""Texts as hashes of words."""

import random
import re
from collections import Counter

import numpy as np
import pytest

from reprise import words as words_module
from reprise.words import ngrams, words_of

TEXTS = [
    "The cat, the hat; the CAT_2.",
    "",
    "天地玄黄 and more",
    "naïve café Straße «quoted» “words” — dash",
    "...",
    "  leading and trailing  ",
    "日本語のテスト🙂🙂",
    "x",
]


def plain_words(text: str) -> list[str]:
    """The definition, written with a regular expression."""
    return re.findall("[\u3000-\U0010ffff]|[^\\W\u2000-\u2fff\u3000-\U0010ffff]+", text.lower())


def test_as_many_words_as_a_regular_expression_finds() -> None:
    words = words_of(TEXTS)
    assert np.diff(words.starts).tolist() == [len(plain_words(text)) for text in TEXTS]


def test_equal_words_and_no_others_have_equal_hashes() -> None:
    flat = [word for text in TEXTS for word in plain_words(text)]
    hashes = words_of(TEXTS).hashes.tolist()
    assert len(set(zip(flat, hashes, strict=True))) == len(set(flat)) == len(set(hashes))


def test_a_hash_is_a_sum_of_bytes_times_powers_and_then_mixed() -> None:
    """Written again in plain whole numbers, so that no machine has another."""

    def plain_hash(word: bytes) -> int:
        value = sum(byte * 0x9E3779B97F4A7C15**place for place, byte in enumerate(word)) % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ value >> shift) * factor % 2**64
        return (value ^ value >> 31) >> 32

    assert words_of(["The cat"]).hashes.tolist() == [plain_hash(b"the"), plain_hash(b"cat")]


@pytest.mark.parametrize("chunk", [8, 16, 64])
def test_a_long_text_is_cut_between_words(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "some words of eight bytes or fewer, 天地 é " * 5
    whole = words_of([text, "end"])
    monkeypatch.setattr(words_module, "CHUNK_BYTES", chunk)
    cut = words_of([text, "end"])
    assert cut.hashes.tolist() == whole.hashes.tolist()
    assert cut.starts.tolist() == whole.starts.tolist()


def test_a_word_longer_than_a_chunk_ends_where_a_character_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words_module, "CHUNK_BYTES", 16)
    assert len(words_of(["é" * 100]).hashes) == 13  # 8 characters of 2 bytes fit


@pytest.mark.parametrize("size", [1, 2, 5])
def test_ngrams_are_equal_where_the_words_are(size: int) -> None:
    dice = random.Random(1)
    texts = [" ".join(dice.choices("abc", k=length)) for length in (30, 4, 0, 1, 5, 60)]
    hashes, starts = ngrams(words_of(texts), size)
    expected = []
    for text in texts:
        words = text.split()
        runs = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
        expected.append(runs or ([tuple(words)] if words else []))
    assert np.diff(starts).tolist() == [len(runs) for runs in expected]
    flat = [run for runs in expected for run in runs]
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat))
    assert Counter(Counter(flat).values()) == Counter(Counter(hashes.tolist()).values())
