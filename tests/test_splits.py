"""Splits and fractions by hash."""

import hashlib

import pytest

from reprise.splits import TEST, TRAIN, VALID, drawn_split, is_in_fraction, text_digest


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


def test_a_fraction_of_about_the_size_asked_for_lies_in_every_larger_one() -> None:
    names = [text_digest(f"text {i}") for i in range(5000)]
    inside = [
        {name for name in names if is_in_fraction(name, 1, fraction)} for fraction in (0.1, 0.5, 1)
    ]
    assert inside[0] < inside[1] < inside[2] == set(names)
    assert len(inside[0]) / 5000 == pytest.approx(0.1, abs=0.02)


def test_the_fraction_and_the_split_are_drawn_apart() -> None:
    names = [text_digest(f"text {i}") for i in range(5000)]
    test = [name for name in names if drawn_split(name, 1, 0.1, 0.2) == TEST]
    assert sum(is_in_fraction(name, 1, 0.5) for name in test) / len(test) == pytest.approx(
        0.5, abs=0.06
    )
