"""What a vocabulary is learned from."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_tokenizer import TEXTS

from reprise import corpus, vocabulary
from reprise.corpus import SCHEMA, DocumentWriter
from reprise.errors import PipelineError
from reprise.vocabulary import draw_sample, drawn_documents, hashed_places


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


def test_a_sample_is_whole_documents_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 100)
    path = split_of(tmp_path / "train.parquet", TEXTS)
    assert list(draw_sample(path, 10**6, 1)) == TEXTS
    sample = draw_sample(path, 1000, 1)
    some = list(sample)
    assert some == [text for text in TEXTS if text in some] == list(sample)
    assert 900 < sum(len(text.encode()) for text in some) <= 1000


def test_a_sample_reads_only_the_row_groups_that_it_needs_and_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 1)
    path = split_of(tmp_path / "train.parquet", [str(i) * 100 for i in range(1000, 1100)])
    sample = draw_sample(path, 2000, 1)
    assert sample.chosen.sum() == 5
    read: list[int] = []

    def reading(path: Path, group: int) -> pa.Table:
        read.append(group)
        return corpus.read_row_group(path, group)

    monkeypatch.setattr(vocabulary, "read_row_group", reading)
    for number, text in enumerate(sample):
        assert read == np.flatnonzero(sample.chosen)[: number + 1].tolist()
        assert text == str(1000 + read[-1]) * 100


def test_a_sample_too_small_for_any_document_is_told(tmp_path: Path) -> None:
    path = split_of(tmp_path / "train.parquet", ["x" * 2000])
    with pytest.raises(PipelineError) as caught:
        draw_sample(path, 1000, 1)
    assert str(caught.value) == (
        f"{path}: no document fits into tokenize.sample_bytes 1000; raise it, or cut the corpus "
        "finer with download.document"
    )


def test_an_empty_split_has_an_empty_sample(tmp_path: Path) -> None:
    assert list(draw_sample(split_of(tmp_path / "train.parquet", []), 1000, 1)) == []
