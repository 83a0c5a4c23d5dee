"""MinHash and banding."""

import random

import numpy as np
import pytest

from reprise import minhash
from reprise.minhash import NO_KEY, band_keys, jaccard, shingle_set
from reprise.words import words_of


def shared_bands(a: str, b: str, bands: int = 40, rows: int = 4) -> float:
    keys = band_keys(words_of([a, b]), 3, bands, rows)
    return float((keys[:, 0] == keys[:, 1]).mean())


def changed(words: list[str], count: int, dice: random.Random) -> str:
    copy = list(words)
    for place in dice.sample(range(len(copy)), count):
        copy[place] = f"new{dice.random()}"
    return " ".join(copy)


def test_the_similarity_is_that_of_the_sets_of_shingles() -> None:
    a, b = (shingle_set(words_of([text]), 2) for text in ("a b c d", "a b c e"))
    assert jaccard(a, b) == 2 / 4  # ab, bc of ab, bc, cd, ce
    assert jaccard(a, a) == 1
    assert jaccard(a, shingle_set(words_of([""]), 2)) == 0


def test_bands_are_shared_as_often_as_the_similarity_says() -> None:
    dice = random.Random(5)
    words = [f"w{i}" for i in range(400)]
    for count in (4, 12, 30):
        found, expected = [], []
        for _ in range(20):
            a, b = " ".join(words), changed(words, count, dice)
            found.append(shared_bands(a, b))
            sets = [shingle_set(words_of([text]), 3) for text in (a, b)]
            expected.append(jaccard(*sets) ** 4)
        assert abs(np.mean(found) - np.mean(expected)) < 0.05


def test_documents_without_words_have_no_key() -> None:
    keys = band_keys(words_of(["...", "a b c d e f", ""]), 5, 2, 3)
    assert (keys[:, [0, 2]] == NO_KEY).all()
    assert (keys[:, 1] != NO_KEY).all()


def test_keys_do_not_depend_on_neighbours_nor_on_how_much_is_done_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(2)
    texts = [" ".join(dice.choices("abcdefgh", k=dice.randrange(80))) for _ in range(30)]
    together = band_keys(words_of(texts), 5, 4, 3)
    alone = np.concatenate([band_keys(words_of([text]), 5, 4, 3) for text in texts], axis=1)
    monkeypatch.setattr(minhash, "SHINGLES_AT_ONCE", 7)
    pieces = band_keys(words_of(texts), 5, 4, 3)
    assert (together == alone).all()
    assert (together == pieces).all()
