"""The baselines against hand calculations and a slow dictionary implementation of the formula."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from reprise import baselines
from reprise.baselines import KneserNey, document_nats
from reprise.dataset import EncodedSplit
from reprise.unigram import Unigram

BOUNDARY = 1


def split_of(*documents: list[int], dtype: type = np.uint16) -> EncodedSplit:
    ids = [token for document in documents for token in [*document, BOUNDARY]]
    offsets = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return EncodedSplit(np.array(ids, dtype=dtype), offsets.astype(np.int64), BOUNDARY)


def random_documents(seed: int, vocabulary_size: int, documents: int = 40) -> list[list[int]]:
    """Skewed tokens, so that counts of one, two and many all occur; some documents are empty."""
    generator = np.random.default_rng(seed)
    return [
        (2 + (vocabulary_size - 2) * generator.random(length) ** 3).astype(int).tolist()
        for length in generator.integers(0, 30, documents)
    ]


class SlowKneserNey:
    """Chen and Goodman 1999, interpolated Kneser-Ney, one dictionary look-up after the other."""

    def __init__(self, documents: list[list[int]], vocabulary_size: int, order: int) -> None:
        self.vocabulary_size, self.order = vocabulary_size, order
        grams = Counter(
            (*history, token)
            for document in documents
            for history, token in histories(document, order)
        )
        self.counts: dict[int, Counter[tuple[int, ...]]] = {order: grams}
        for length in range(order - 1, 0, -1):
            longer = self.counts[length + 1]
            self.counts[length] = Counter(gram[1:] for gram in longer)  # N_1+(. gram)
        self.totals: defaultdict[tuple[int, ...], int] = defaultdict(int)
        self.types: defaultdict[tuple[int, ...], int] = defaultdict(int)
        self.discounts = {}
        for length, counts in self.counts.items():
            for gram, count in counts.items():
                self.totals[gram[:-1]] += count
                self.types[gram[:-1]] += 1
            once = sum(count == 1 for count in counts.values())
            twice = sum(count == 2 for count in counts.values())
            self.discounts[length] = once / (once + 2 * twice) if once else 0.5

    def p(self, history: tuple[int, ...], token: int) -> float:
        lower = self.p(history[1:], token) if history else 1 / self.vocabulary_size
        total = self.totals[history]
        if not total:
            return lower
        length = len(history) + 1
        discount = self.discounts[length]
        own = max(self.counts[length][*history, token] - discount, 0) / total
        return own + discount * self.types[history] / total * lower


def histories(document: list[int], order: int) -> list[tuple[tuple[int, ...], int]]:
    padded = [BOUNDARY] * (order - 1) + [*document, BOUNDARY]
    return [
        (tuple(padded[place - order + 1 : place]), padded[place])
        for place in range(order - 1, len(padded))
    ]


def test_a_bigram_of_two_short_documents_is_what_a_hand_calculates() -> None:
    # "a b", "a c" and "a b" with a=2, b=3, c=4, end=1, V=5.
    # Bigrams: (|a) 3, (a b) 2, (a c) 1, (b end) 2, (c end) 1; n1 = 2, n2 = 2: D_2 = 2 / 6.
    # Continuations: a 1 (start), b 1, c 1, end 2 (b, c): 5 in all; n1 = 3, n2 = 1: D_1 = 3 / 5.
    model = KneserNey.count(
        split_of([2, 3], [2, 4], [2, 3]), vocabulary_size=5, order=2, max_tokens=100
    )
    seen = split_of([2, 3])
    rest_1 = 3 / 5 * 4 / 5 / 5  # D_1 * (4 different tokens) / 5, shared by V = 5
    p_a, p_b, p_end = (1 - 3 / 5) / 5 + rest_1, (1 - 3 / 5) / 5 + rest_1, (2 - 3 / 5) / 5 + rest_1
    p = [
        (3 - 1 / 3) / 3 + 1 / 3 * 1 / 3 * p_a,
        (2 - 1 / 3) / 3 + 1 / 3 * 2 / 3 * p_b,
        (2 - 1 / 3) / 2 + 1 / 3 * 1 / 2 * p_end,
    ]
    assert model.nats(seen, 0, 3) == pytest.approx(-np.log(p), rel=1e-12)
    # 0 was never seen: after "a" it gets a share of what is left; after itself the lower order.
    unseen = split_of([2, 0, 2])
    p_unseen = 1 / 3 * 2 / 3 * rest_1
    assert model.nats(unseen, 1, 3) == pytest.approx(-np.log([p_unseen, p_a]), rel=1e-12)


def test_an_add_one_unigram_is_what_a_hand_calculates() -> None:
    model = Unigram.count(split_of([2, 2], [3]), vocabulary_size=10)
    # Counts: end 2, "2" 2, "3" 1: five tokens, ten added.
    nats = model.nats(split_of([2, 9]), 0, 3)
    assert nats == pytest.approx([-math.log(3 / 15), -math.log(1 / 15), -math.log(3 / 15)])
    assert model.tokens_counted == 5


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("vocabulary_size", [6, 90])
def test_every_token_agrees_with_dictionaries(order: int, vocabulary_size: int) -> None:
    train = random_documents(1, vocabulary_size)
    test = random_documents(2, vocabulary_size, documents=15)
    slow = SlowKneserNey(train, vocabulary_size, order)
    fast = KneserNey.count(split_of(*train), vocabulary_size, order=order, max_tokens=1_000_000)
    expected = [
        -math.log(slow.p(history, token))
        for document in test
        for history, token in histories(document, order)
    ]
    split = split_of(*test)
    assert fast.nats(split, 0, len(split.ids)) == pytest.approx(expected, rel=1e-10)
    assert [grams.discount for grams in fast.grams] == pytest.approx(
        [slow.discounts[length] for length in range(1, order + 1)]
    )


@pytest.mark.parametrize("context", [[], [2], [2, 3], [5, 5], [11, 11], [3, 11], [11, 3, 2]])
def test_probabilities_sum_to_one_after_seen_and_unseen_contexts(context: list[int]) -> None:
    train = [document for document in random_documents(3, 10, documents=10) if 11 not in document]
    model = KneserNey.count(split_of(*train), vocabulary_size=12, order=3, max_tokens=1_000_000)
    total = 0.0
    for token in range(12):
        split = split_of([*context, token])
        place = len(context)
        total += math.exp(-model.nats(split, place, place + 1)[0])
    assert total == pytest.approx(1, rel=1e-12)


def test_the_unigram_sums_to_one() -> None:
    model = Unigram.count(split_of(*random_documents(3, 10)), vocabulary_size=12)
    nats = model.nats(split_of(list(range(12))), 0, 12)
    assert np.exp(-nats).sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_a_split_scored_in_pieces_equals_one_scored_at_once(order: int) -> None:
    model = KneserNey.count(
        split_of(*random_documents(4, 20)), vocabulary_size=20, order=order, max_tokens=10**6
    )
    split = split_of(*random_documents(5, 20, documents=10))
    whole = model.nats(split, 0, len(split.ids))
    for size in (1, 2, 7):
        pieces = [
            model.nats(split, start, min(start + size, len(split.ids)))
            for start in range(0, len(split.ids), size)
        ]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_sorting_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, split = split_of(*random_documents(6, 30)), split_of(*random_documents(7, 30))
    whole = KneserNey.count(train, vocabulary_size=30, order=4, max_tokens=10**6)
    monkeypatch.setattr(baselines, "POSITIONS_AT_ONCE", 16)
    parts = KneserNey.count(train, vocabulary_size=30, order=4, max_tokens=10**6)
    np.testing.assert_array_equal(
        parts.nats(split, 0, len(split.ids)), whole.nats(split, 0, len(split.ids))
    )


def test_document_nats_are_the_sums_of_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "TOKENS_AT_ONCE", 10)  # pieces end inside documents
    split = split_of(*random_documents(8, 20, documents=12))
    model = KneserNey.count(split, vocabulary_size=20, order=3, max_tokens=10**6)
    nats = model.nats(split, 0, len(split.ids))
    expected = [
        math.fsum(nats[start:stop])
        for start, stop in zip(split.offsets[:-1], split.offsets[1:], strict=True)
    ]
    assert document_nats(model, split) == pytest.approx(expected, rel=1e-12)


def test_only_the_first_tokens_are_counted() -> None:
    documents = random_documents(9, 20)
    long, short = split_of(*documents), split_of(*documents[:5])
    limited = KneserNey.count(long, vocabulary_size=20, order=3, max_tokens=len(short.ids))
    other = KneserNey.count(short, vocabulary_size=20, order=3, max_tokens=10**6)
    assert limited.tokens_counted == len(short.ids)
    np.testing.assert_array_equal(
        limited.nats(long, 0, len(long.ids)), other.nats(long, 0, len(long.ids))
    )


def test_a_single_document_longer_than_the_limit_is_counted_up_to_it() -> None:
    split = split_of(random_documents(10, 20)[1] * 20)
    model = KneserNey.count(split, vocabulary_size=20, order=3, max_tokens=50)
    assert model.tokens_counted == 50
    assert np.isfinite(model.nats(split, 0, len(split.ids))).all()


def test_six_tokens_of_a_vocabulary_of_four_billion_fit() -> None:
    top = 2**32 - 1
    split = split_of([top, top - 1, top, top - 2, top, top], dtype=np.uint32)
    model = KneserNey.count(split, vocabulary_size=2**32, order=6, max_tokens=100)
    slow = SlowKneserNey([[top, top - 1, top, top - 2, top, top]], 2**32, 6)
    document = [top, top - 1, 7, top, top]
    expected = [-math.log(slow.p(history, token)) for history, token in histories(document, 6)]
    other = split_of(document, dtype=np.uint32)
    assert model.nats(other, 0, len(other.ids)) == pytest.approx(expected, rel=1e-12)
