"""What a vocabulary is learned from, and its figures."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_tokenizer import TEXTS, params

from reprise import corpus
from reprise.corpus import SCHEMA, DocumentWriter
from reprise.errors import PipelineError
from reprise.tokenizer import Tokenizer, train_tokenizer
from reprise.vocabulary import drawn_documents, hashed_places, quality, sampled_texts


def split_of(path: Path, texts: list[str]) -> Path:
    writer = DocumentWriter(path)
    for text in texts:
        writer.write(pa.record_batch([["name"], [text]], schema=SCHEMA))
    writer.close()
    return path


def splitmix64(seed: int, count: int) -> list[int]:
    """The published generator in Python's whole numbers."""
    mask, state, drawn = 2**64 - 1, seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        drawn.append(z ^ (z >> 31))
    return drawn


def test_places_are_hashed_by_splitmix64() -> None:
    assert hashed_places(5, 0).tolist() == splitmix64(0, 5)
    assert hashed_places(1, 0)[0] == 0xE220A8397B1DCDAF  # the published first output of seed 0
    assert not set(hashed_places(1000, 1).tolist()) & set(hashed_places(1000, 2).tolist())


def test_all_documents_are_drawn_where_they_fit() -> None:
    lengths = np.array([10, 20, 30])
    assert drawn_documents(lengths, 60, 1).tolist() == [True, True, True]
    assert drawn_documents(lengths, 59, 1).sum() < 3


def test_a_draw_fills_its_bytes_and_no_more_and_depends_on_the_seed() -> None:
    lengths = np.full(1000, 10)
    one, two = (drawn_documents(lengths, 5000, seed) for seed in (1, 2))
    assert one.sum() == two.sum() == 500
    assert 200 < (one & two).sum() < 300  # two independent halves share a quarter
    assert 200 < one[:500].sum() < 300  # from all of the corpus


def test_sampled_texts_are_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 100)
    path = split_of(tmp_path / "train.parquet", TEXTS)
    assert list(sampled_texts(path, 10**6, 1)) == TEXTS
    some = list(sampled_texts(path, 1000, 1))
    assert some == [text for text in TEXTS if text in some]
    assert 900 < sum(len(text.encode()) for text in some) <= 1000


def test_a_sample_too_small_for_any_document_is_told(tmp_path: Path) -> None:
    path = split_of(tmp_path / "train.parquet", ["x" * 2000])
    with pytest.raises(PipelineError) as caught:
        list(sampled_texts(path, 1000, 1))
    assert str(caught.value) == (
        f"{path}: no document fits into tokenize.sample_bytes 1000; raise it, or cut the corpus "
        "finer with download.document"
    )


def test_figures_are_counted_on_valid(tmp_path: Path) -> None:
    tokenizer = Tokenizer(train_tokenizer(["ab ab ab ab"], params(vocabulary_size=263)))
    assert tokenizer.pieces()[260:] == ["ab", "a", "b"] or tokenizer.size == 263
    valid = split_of(tmp_path / "valid.parquet", ["ab\nab", "é"])
    tokens = len(tokenizer.encode("ab")) * 2 + 1 + 2
    used = len(set(tokenizer.encode("ab\nabé").tolist()))
    assert quality(tokenizer, valid) == {
        "pieces": 263,
        "bytes_per_token_on_valid": round(7 / tokens, 4),
        "tokens_per_word_on_valid": round(tokens / 3, 4),
        "unknown_on_valid": 0,
        "byte_fallback_share_on_valid": round(2 / tokens, 6),
        "pieces_unused_on_valid": 263 - used,
    }


def test_unknown_pieces_are_counted(tmp_path: Path) -> None:
    tokenizer = Tokenizer(
        train_tokenizer(["ab ab"], params(type="char", vocabulary_size=6, byte_fallback=False))
    )
    valid = split_of(tmp_path / "valid.parquet", ["ab жa ж"])
    assert quality(tokenizer, valid)["unknown_on_valid"] >= 2
