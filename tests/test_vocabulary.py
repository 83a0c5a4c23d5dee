"""What a vocabulary is learned from."""

from pathlib import Path

import pyarrow as pa
import pytest

from reprise import corpus, vocabulary
from reprise.corpus import SCHEMA, DocumentWriter
from reprise.errors import PipelineError
from reprise.vocabulary import draw_sample, hashed_places, texts_of


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
    assert hashed_places(0, 5, 0).tolist() == splitmix64(0, 5)
    assert hashed_places(0, 1, 0)[0] == 0xE220A8397B1DCDAF  # the published first output of seed 0
    assert not set(hashed_places(0, 1000, 1).tolist()) & set(hashed_places(0, 1000, 2).tolist())


def expected_places(lengths: list[int], sample_bytes: int, seed: int) -> list[int]:
    """The places of the first documents by their hash that fit, one after the other."""
    drawn, total = [], 0
    # A seed is a start 2**32 places further on, in steps of the generator.
    ranks = splitmix64((seed << 32) * 0x9E3779B97F4A7C15 % 2**64, len(lengths))
    for place in sorted(range(len(lengths)), key=ranks.__getitem__):
        total += lengths[place]
        if total > sample_bytes:
            break
        drawn.append(place)
    return sorted(drawn)


@pytest.fixture
def numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hundred documents of 4 to 103 bytes, each beginning with its place, 5 in a row group."""
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 300)
    texts = [f"{place:04}" + "x" * place for place in range(100)]
    return split_of(tmp_path / "train.parquet", texts)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sample_bytes", [120, 500, 2000, 5349, 5350, 10**6])
def test_a_draw_is_the_first_documents_by_their_hash(
    numbered: Path, sample_bytes: int, seed: int
) -> None:
    found = [int(text[:4]) for text in texts_of(draw_sample(numbered, sample_bytes, seed))]
    assert found == expected_places(list(range(4, 104)), sample_bytes, seed)
    assert (len(found) == 100) == (sample_bytes >= 5350)


def test_a_draw_depends_on_the_seed_and_is_from_all_of_the_corpus(numbered: Path) -> None:
    one, two = (list(texts_of(draw_sample(numbered, 2700, seed))) for seed in (1, 2))
    assert one != two
    assert {int(text[:4]) // 25 for text in one} == {0, 1, 2, 3}


def test_a_split_is_read_once_and_little_more_than_the_sample_is_held(
    numbered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    add = vocabulary._Sample.add

    def adding(self: vocabulary._Sample, *arguments: object) -> None:
        add(self, *arguments)
        held.append(sum(len(text) for texts in self.texts for text in texts.to_pylist()))

    monkeypatch.setattr(vocabulary._Sample, "add", adding)
    draw_sample(numbered, 500, 1)
    assert len(held) == len(corpus.row_sizes(numbered)) > 10
    assert max(held) <= 1000


def test_a_sample_too_small_for_any_document_is_told(tmp_path: Path) -> None:
    path = split_of(tmp_path / "train.parquet", ["x" * 2000])
    with pytest.raises(PipelineError) as caught:
        draw_sample(path, 1000, 1)
    assert str(caught.value) == (
        f"{path}: no document fits into tokenize.sample_bytes 1000; raise it, or cut the corpus "
        "finer with download.document"
    )


def test_an_empty_split_has_an_empty_sample(tmp_path: Path) -> None:
    assert len(draw_sample(split_of(tmp_path / "train.parquet", []), 1000, 1)) == 0
