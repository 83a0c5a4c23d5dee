"""Clean documents on disk."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprise import corpus
from reprise.corpus import SCHEMA, DocumentWriter, read_columns, read_row_group, row_sizes
from reprise.errors import PipelineError

TEXTS = [("x" * (i % 7) + "天") for i in range(100)]


def write(path: Path, batches: list[list[str]]) -> None:
    writer = DocumentWriter(path)
    for texts in batches:
        writer.write(pa.record_batch([[f"n{t}" for t in texts], texts], schema=SCHEMA))
    writer.close()


def test_row_groups_hold_about_so_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 50)
    path = tmp_path / "a.parquet"
    write(path, [TEXTS[i : i + 3] for i in range(0, 100, 3)])
    groups = [
        read_row_group(path, group)["text"].to_pylist() for group in range(len(row_sizes(path)))
    ]
    sizes = [sum(len(text.encode()) for text in group) for group in groups]
    assert all(50 <= size < 50 + 3 * 9 for size in sizes[:-1])
    assert [text for group in groups for text in group] == TEXTS
    assert [text for texts in read_columns(path) for text in texts.to_pylist()] == TEXTS


def test_no_documents_make_a_table_without_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [[]])
    table = pq.read_table(tmp_path / "a.parquet")
    assert (table.num_rows, table.schema) == (0, SCHEMA)


def test_a_missing_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        row_sizes(tmp_path / "train.parquet")
    assert str(caught.value) == (
        f"{tmp_path}/train.parquet: no such file; run `dvc repro clean` to make it"
    )


def test_a_broken_split_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(PipelineError) as caught:
        row_sizes(path)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: not a parquet file of documents: ")
    assert line.endswith("; run `dvc repro -f clean` to make it anew")


def test_a_split_broken_in_its_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write(path, [TEXTS])
    content = path.read_bytes()
    middle = len(content) // 4
    path.write_bytes(content[:4] + b"?" * middle + content[4 + middle :])
    assert len(row_sizes(path)) == 1
    with pytest.raises(PipelineError) as caught:
        read_row_group(path, 0)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: not a parquet file of documents: ")
    assert line.endswith("; run `dvc repro -f clean` to make it anew")


def test_a_table_of_other_columns_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"name": ["a"], "body": [1]}), path)
    with pytest.raises(PipelineError) as caught:
        list(read_columns(path))
    assert str(caught.value) == (
        f"{path}: not a parquet file of documents: its columns are name: string, body: int64; "
        "run `dvc repro -f clean` to make it anew"
    )
