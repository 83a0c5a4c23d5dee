"""Splits by hash, and texts seen before."""

import hashlib
import random

import numpy as np
import pytest

from reprise.splits import (
    DIGEST_BYTES,
    TEST,
    TRAIN,
    VALID,
    SeenDigests,
    drawn_split,
    first_occurrences,
    text_digest,
)


def digests(texts: list[str]) -> np.ndarray:
    return np.frombuffer(b"".join(map(text_digest, texts)), f"S{DIGEST_BYTES}")


def test_a_digest_is_blake2b_of_the_text() -> None:
    assert text_digest("天") == hashlib.blake2b("天".encode(), digest_size=16).digest()


def test_splits_have_about_the_sizes_asked_for() -> None:
    drawn = [drawn_split(text_digest(f"text {i}"), 1, 0.1, 0.2) for i in range(20_000)]
    # 20,000 draws: the standard deviation of a share is below 0.003.
    assert drawn.count(VALID) / 20_000 == pytest.approx(0.1, abs=0.012)
    assert drawn.count(TEST) / 20_000 == pytest.approx(0.2, abs=0.012)


def test_a_changed_fraction_moves_no_document_of_the_other_split() -> None:
    names = [text_digest(f"text {i}") for i in range(3000)]
    small = [drawn_split(name, 1, 0.1, 0.1) for name in names]
    large = [drawn_split(name, 1, 0.3, 0.1) for name in names]
    assert [s == TEST for s in small] == [s == TEST for s in large]
    assert all(b == VALID for a, b in zip(small, large, strict=True) if a == VALID)


def test_another_seed_draws_other_splits() -> None:
    names = [text_digest(f"text {i}") for i in range(1000)]
    one, two = ([drawn_split(name, seed, 0.3, 0.3) for name in names] for seed in (1, 2))
    assert one != two
    assert set(one) == {TRAIN, VALID, TEST}


def test_seen_digests_agree_with_a_set() -> None:
    chance = random.Random(3)
    seen, truth = SeenDigests(), set[bytes]()
    for _ in range(60):
        batch = digests([str(chance.randrange(500)) for _ in range(chance.randrange(40))])
        held = seen.holds(batch)
        assert held.tolist() == [digest in truth for digest in batch.tolist()]
        seen.add(batch[first_occurrences(batch) & ~held])
        truth.update(batch.tolist())
    assert len(seen._runs) <= 10


def test_digests_that_end_in_zeros_are_told_apart() -> None:
    batch = np.array([b"a" + b"\0" * 15, b"a\0b" + b"\0" * 13], f"S{DIGEST_BYTES}")
    seen = SeenDigests()
    seen.add(batch[:1])
    assert seen.holds(batch).tolist() == [True, False]


def test_only_the_first_of_equal_digests_is_the_first() -> None:
    assert first_occurrences(digests(["b", "a", "b", "a", "c"])).tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]
