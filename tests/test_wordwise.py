"""Encoding each different word once gives what SentencePiece gives for whole texts."""

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import HARD, TEXTS, params

from reprise import wordwise
from reprise.tokenizer import Tokenizer
from reprise.tokenizer_training import train_tokenizer
from reprise.wordwise import is_wordwise

KINDS = [{"vocabulary_size": 420}, {"type": "char", "vocabulary_size": 300}]


@pytest.fixture(scope="module", params=KINDS, ids=["bpe", "char"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    found = Tokenizer(train_tokenizer(TEXTS, params(**request.param)))
    assert found._wordwise
    return found


def same(tokenizer: Tokenizer, texts: list[str]) -> None:
    expected = [tokenizer._processor.encode(text) for text in texts]
    assert [ids.tolist() for ids in tokenizer.encode_all(texts).of_each()] == expected


def test_hard_and_plain_texts_get_the_same_ids(tokenizer: Tokenizer) -> None:
    same(tokenizer, [*HARD, *TEXTS, "", ""])
    same(tokenizer, [""])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("the cats \n\t,天é\u2581\u2582") | st.characters(codec="utf-8"))
    )
)
def test_any_texts_get_the_same_ids(tokenizer: Tokenizer, texts: list[str]) -> None:
    same(tokenizer, texts)


def numbers(count: int) -> list[str]:
    drawn = np.random.default_rng(1).integers(0, 10**6, count).tolist()
    return [" ".join(map(str, drawn[i : i + 7])) for i in range(0, count, 7)]


def test_many_different_words_get_the_same_ids(tokenizer: Tokenizer) -> None:
    same(tokenizer, numbers(3000))


def test_small_batches_and_a_short_memory_change_no_id(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordwise, "CHUNK_BYTES", 50)
    monkeypatch.setattr(wordwise, "CHUNKS_A_BATCH", 2)
    monkeypatch.setattr(wordwise, "REMEMBERED_BYTES", 500)
    same(tokenizer, [*numbers(700), "", *HARD, *TEXTS])
    assert tokenizer._wordwise
    assert len(tokenizer._wordwise._memory.words) < 100


def test_uses_are_the_ids_that_whole_texts_give(tokenizer: Tokenizer) -> None:
    for texts in ([*HARD, *TEXTS, *TEXTS[:9], "a \u2581 b\u2581"], ["\u2581"], [""], []):
        expected = Counter(i for text in texts for i in tokenizer._processor.encode(text))
        found = tokenizer.uses(pa.array(texts, pa.string()))
        assert found.tolist() == [expected[i] for i in range(tokenizer.size)]


@pytest.mark.parametrize(
    "text", [" a" * 30 + "\n\n\nb c", "abc " * 40, "  é" * 40, "a\u2581 \u2581" * 30]
)
def test_a_text_longer_than_a_chunk_loses_no_word(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(wordwise, "CHUNK_BYTES", 50)
    same(tokenizer, ["a", text, "", text])


def test_a_unigram_gets_the_likeliest_pieces_of_each_word() -> None:
    found = Tokenizer(train_tokenizer(TEXTS, params(type="unigram")))
    assert found._wordwise
    texts = [*HARD, *TEXTS]
    for text, ids in zip(texts, found.encode_all(texts).of_each(), strict=True):
        words = re.findall(r"\n| *[^ \n]+| +", text)
        assert ids.tolist() == [i for word in words for i in found._processor.encode(word)]
        whole = found._processor.encode(text)
        scores = [sum(map(found._processor.get_score, each)) for each in (ids.tolist(), whole)]
        assert scores[0] >= scores[1] - 1e-6


def test_unknown_words_side_by_side_are_a_token_each() -> None:
    settings = params(type="word", vocabulary_size=8, byte_fallback=False)
    found = Tokenizer(train_tokenizer(["the cats sat\n the dogs"], settings))
    ids = found.encode("x y\tz z  cats\n z")
    known = found._processor.piece_to_id
    assert ids.tolist() == [0, 0, known("\t"), 0, 0, 0, known("▁cats"), known("\n"), 0]


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (["▁the", "▁▁", "cat"], True),
        (["▁the▁cat"], False),
        (["the▁"], False),
        (["\n\n"], False),
        (["\n▁▁"], False),
        (["New York"], False),
    ],
)
def test_a_piece_over_a_space_or_a_line_end_forbids_it(pieces: list[str], answer: bool) -> None:
    assert is_wordwise([*pieces, "\n"]) == answer
    assert not is_wordwise(["▁the", "cat"])


def test_without_a_piece_for_the_space_texts_are_encoded_whole() -> None:
    settings = params(vocabulary_size=12, byte_fallback=False)
    found = Tokenizer(train_tokenizer(["天地玄黄宇宙洪荒"], settings))
    assert not found._wordwise
    same(found, ["天 地", "x y", "天x y地"])
    assert found.encode("x y").tolist() == [0]


@pytest.mark.parametrize("symbol", ["\n    ", "cats of", "\n\n"])
def test_symbols_over_spaces_are_encoded_whole(symbol: str) -> None:
    found = Tokenizer(train_tokenizer(TEXTS, params(user_defined_symbols=(symbol,))))
    assert not found._wordwise
    assert len(found.encode(symbol)) == 1
    same(found, [*HARD, *TEXTS])


def test_what_is_normalized_is_encoded_whole() -> None:
    found = Tokenizer(train_tokenizer(TEXTS, params(normalization="nfkc")))
    assert not found._wordwise
    same(found, TEXTS)
