"""Parquet read by rows, in batches of bounded size."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_reading import CHINESE, documents, error_of, readings, source

from reprise.raw import Reading, decoded, documents_of, shards, shards_of
from reprise.raw.tables import BATCH_ROWS


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_tables_are_read_by_rows(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table(
        {
            "text": pa.array([CHINESE.encode(), None, b"b\xff"], pa.binary()).cast(kind)
            if kind == pa.binary()
            else pa.array([CHINESE, None, "b\ufffd"], kind),
            "name": ["first", None, "third"],
            "other": [1, 2, 3],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    assert documents(source(path, format="parquet")) == [
        ("first", CHINESE),
        ("a.parquet:2", ""),
        ("third", "b\ufffd"),
    ]


def test_a_table_counts_invalid_bytes_by_row() -> None:
    reading = Reading()
    assert decoded(b"a\xff", 12, reading, in_table=True) == "a\ufffd"
    assert (reading.first_invalid, reading.invalid_bytes, reading.bytes) == (12, 1, 2)


def test_a_column_that_is_missing_or_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["a"], "size": [1]}), path)
    assert error_of(source(path, format="parquet")) == (
        f"{path}: no 'text', found columns body, size; "
        "name the one with the text in download.text_field"
    )
    assert error_of(source(path, format="parquet", text_field="size")) == (
        f"{path}: column 'size' holds int64, not text; name another column in download.text_field"
    )


def test_a_column_of_repeated_texts_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(["a", None, "a"]).dictionary_encode()}), path)
    assert [text for _, text in documents(source(path, format="parquet"))] == ["a", "", "a"]


def test_what_a_shard_carries_to_another_process_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 100_000)
    random = np.random.default_rng(1)
    sizes = [*[10] * 20_000, *[60_000] * 20, 90_000, 150_000, 1, 2]
    texts = [random.bytes(size // 2).hex() for size in sizes]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "other": texts}), path)
    cut = list(shards_of(source(path, format="parquet"), 10**6))
    assert max(len(pickle.dumps(shard)) for shard in cut) < 150_000 + 1000
    assert max(len(pickle.dumps(shard)) for shard in cut[:-3]) < 100_000 + 10 * BATCH_ROWS
    found = [document for shard in cut for document in documents_of(shard, Reading())]
    assert found == [(f"a.parquet:{row}", text) for row, text in enumerate(texts, 1)]
    assert [shard.last for shard in cut] == [False] * (len(cut) - 1) + [True]


def test_a_row_that_is_too_long_is_passed_over_and_its_bytes_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    texts = ["a", "x" + "天" * 50_000, "b" * 900, "c", "y" * 150_000]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "name": ["1", None, "3", "4", "5"]}), path)
    of = source(path, format="parquet")
    cut = list(shards_of(of, 100))
    assert [shard.line for shard in cut if shard.too_long] == [2, 5]
    found = [(shard.too_long, *d) for shard in cut for d in documents_of(shard, Reading())]
    assert [(long, name) for long, name, _ in found] == [
        (False, "1"),
        (True, "a.parquet:2"),
        (False, "3"),
        (False, "4"),
        (True, "5"),
    ]
    assert found[1][2] == texts[1][: len(found[1][2])]
    assert len(found[1][2].encode()) <= shards.SAMPLE_BYTES
    read = readings(of, 100)
    assert sum(r.bytes + r.skipped_bytes for r in read) == sum(len(t.encode()) for t in texts)
    assert sum(reading.invalid_bytes for reading in read) == 0
