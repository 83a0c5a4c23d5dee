"""Words are counted as str.split counts them."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer import HARD, TEXTS

from reprise import word_counts as module
from reprise.word_counts import word_counts

BLANKS = [chr(code) for code in range(0x110000) if chr(code).isspace()]
NEAR = [chr(ord(blank) + step) for blank in BLANKS for step in (-1, 1)]  # the same first bytes


def same(texts: list[str]) -> None:
    expected = [len(text.split()) for text in texts]
    assert word_counts(pa.array(texts, pa.string())).tolist() == expected


def test_every_blank_divides_and_nothing_else() -> None:
    assert len(BLANKS) == 29
    same([f"a{character}b" for character in [*BLANKS, *NEAR]])
    same(["a".join(BLANKS), "".join(BLANKS), *BLANKS, *NEAR, *HARD, *TEXTS])


def test_no_text_and_empty_texts() -> None:
    same([])
    same([""])
    same(["", "a b", "", " ", ""])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from([*"ab  é天", *BLANKS, *NEAR]))))
def test_any_texts(texts: list[str]) -> None:
    same(texts)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunks_and_slices_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", size)
    texts = ["", *HARD, "\u3000", *TEXTS, ""]
    same(texts)
    counts = [len(text.split()) for text in texts]
    assert word_counts(pa.array(texts)[3:-2]).tolist() == counts[3:-2]
