"""Encoding each different word once gives what SentencePiece gives for whole texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import HARD, TEXTS, params

from reprise.tokenizer import SPACE_MARK, Tokenizer, train_tokenizer
from reprise.wordwise import is_wordwise


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = Tokenizer(train_tokenizer(TEXTS, params(vocabulary_size=420)))
    assert found._wordwise
    return found


def same(tokenizer: Tokenizer, texts: list[str]) -> None:
    expected = [tokenizer._processor.encode(text) for text in texts]
    assert [ids.tolist() for ids in tokenizer.encode_all(texts)] == expected


def test_hard_and_plain_texts_get_the_same_ids(tokenizer: Tokenizer) -> None:
    same(tokenizer, [*HARD, *TEXTS, "", ""])
    same(tokenizer, [""])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from("the cats \n\t,天é") | st.characters(codec="utf-8"))))
def test_any_texts_get_the_same_ids(tokenizer: Tokenizer, texts: list[str]) -> None:
    same(tokenizer, texts)


def test_many_different_words_get_the_same_ids(tokenizer: Tokenizer) -> None:
    numbers = np.random.default_rng(1).integers(0, 10**6, 3000).tolist()
    same(tokenizer, [" ".join(map(str, numbers[i : i + 7])) for i in range(0, 3000, 7)])


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (["▁the", "▁▁", "cat", "\n"], True),
        (["▁the▁cat"], False),
        (["the▁"], False),
        (["\n\n"], False),
        (["\n▁▁"], False),
        (["New York"], False),
    ],
)
def test_a_piece_over_a_space_or_a_line_end_forbids_it(pieces: list[str], answer: bool) -> None:
    assert is_wordwise(pieces, SPACE_MARK) == answer


@pytest.mark.parametrize("symbol", ["\n    ", "cats of", "\n\n"])
def test_symbols_over_spaces_are_encoded_whole(symbol: str) -> None:
    found = Tokenizer(train_tokenizer(TEXTS, params(user_defined_symbols=(symbol,))))
    assert not found._wordwise
    assert len(found.encode(symbol)) == 1
    same(found, [*HARD, *TEXTS])


@pytest.mark.parametrize("changed", [{"type": "unigram"}, {"normalization": "nfkc"}])
def test_only_plain_bpe_is_encoded_by_words(changed: dict[str, str]) -> None:
    found = Tokenizer(train_tokenizer(TEXTS, params(**changed)))
    assert not found._wordwise
    same(found, TEXTS)
