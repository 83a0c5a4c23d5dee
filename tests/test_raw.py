"""Raw files cut into shards and documents."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprise import raw
from reprise.errors import PipelineError
from reprise.raw import Reading, Shard, Source, decoded, documents_of, read_manifest, shards_of

CHINESE = "天地玄黄"


def source(path: Path, **given: Any) -> Source:
    fields = {"name": path.name, "path": path, "format": "text", "document": "line"}
    return Source(**(fields | {"text_field": "text", "split": None} | given))


def documents(of: Source, max_characters: int = 1000) -> list[tuple[str, str]]:
    return [d for shard in shards_of(of, max_characters) for d in documents_of(shard, Reading())]


def readings(of: Source, max_characters: int = 1000) -> list[Reading]:
    found = []
    for shard in shards_of(of, max_characters):
        found.append(Reading())
        list(documents_of(shard, found[-1]))
    return found


@pytest.fixture(params=[1, 5, 64, 1 << 20])
def shard_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Shards so small that every cut falls everywhere, and one that holds all."""
    monkeypatch.setattr(raw, "SHARD_BYTES", request.param)
    return request.param


@pytest.mark.usefixtures("shard_bytes")
def test_lines_are_named_by_their_number_whatever_ends_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"one\r\ntwo\n\n \nfive {CHINESE}\rsix\r\r\neight".encode())
    assert documents(source(path)) == [
        ("a.txt:1", "one"),
        ("a.txt:2", "two"),
        ("a.txt:5", f"five {CHINESE}"),
        ("a.txt:6", "six"),
        ("a.txt:8", "eight"),
    ]


@pytest.mark.usefixtures("shard_bytes")
def test_paragraphs_are_divided_by_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n\none\n  two\n \t\n\n\nthree\r\n\r\nfour\r\nfive\r\n")
    assert documents(source(path, document="paragraph")) == [
        ("a.txt:3", "one\n  two"),
        ("a.txt:8", "three"),
        ("a.txt:10", "four\nfive\n"),
    ]


@pytest.mark.usefixtures("shard_bytes")
def test_a_file_can_be_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\n\ntwo\n")
    assert documents(source(path, document="file")) == [("a.txt", "one\n\ntwo\n")]


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("document", ["line", "paragraph", "file"])
def test_a_document_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path, document: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"short\n\n" + b"x" * 4_000_000 + b"\n\nend")
    shards = list(shards_of(source(path, document=document), 100))
    marked = [shard for shard in shards if shard.too_long]
    start = (1, 0) if document == "file" else (3, 7)
    assert [(shard.line, shard.offset) for shard in marked] == [start]
    assert all(len(shard.content) <= raw.SAMPLE_BYTES for shard in marked)
    kept = [d for s in shards if not s.too_long for d in documents_of(s, Reading())]
    whole = [] if document == "file" else [("a.txt:1", "short"), ("a.txt:5", "end")]
    assert kept == whole
    assert [shard.last for shard in shards] == [False] * (len(shards) - 1) + [True]


@pytest.mark.usefixtures("shard_bytes")
def test_a_line_of_json_that_is_too_long_is_one_document_and_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "' + "x" * 2_000_000 + '"}\n{"text": "b"}\n')
    names = [name for name, _ in documents(source(path, format="jsonl"), max_characters=100)]
    assert names == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]


@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
@pytest.mark.usefixtures("shard_bytes")
def test_a_document_that_is_too_long_is_cut_between_characters_and_its_bytes_are_counted(
    tmp_path: Path, before: bytes
) -> None:
    path = tmp_path / "a.txt"
    lines = [
        b"short",
        before + "天".encode() * 1_000_000,
        "玄".encode(),
        b"\xff" * 3_000_000,
        b"end",
    ]
    path.write_bytes(b"\n".join(lines))
    found = readings(source(path), max_characters=100)
    assert sum(reading.bytes + reading.skipped_bytes for reading in found) == path.stat().st_size
    shards = [shard for shard in shards_of(source(path), 100) if shard.too_long]
    assert [shard.line for shard in shards] == [2, 4]
    assert set(shards[0].content.removeprefix(before).decode()) == {"天"}
    assert sum(r.invalid_bytes for r in found) == len(shards[1].content)


@pytest.mark.usefixtures("shard_bytes")
def test_the_bytes_of_a_file_that_ends_in_what_is_too_long_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("天".encode() * 100_000)
    found = readings(source(path, document="file"), max_characters=100)
    assert sum(reading.bytes + reading.skipped_bytes for reading in found) == 300_000
    assert sum(reading.invalid_bytes for reading in found) == 0


@pytest.mark.usefixtures("shard_bytes")
def test_invalid_bytes_become_replacement_characters_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nb\xffd\n\xe5\xa4 \xf0\x9f\n")
    assert [text for _, text in documents(source(path))] == ["good", "b\ufffdd", "\ufffd \ufffd"]
    found = readings(source(path))
    assert sum(reading.invalid_bytes for reading in found) == 5
    assert sum(reading.bytes for reading in found) == path.stat().st_size
    assert next(r.first_invalid for r in found if r.first_invalid is not None) == 6


def test_a_byte_order_mark_and_line_ends_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    found, _ = readings(source(path))
    assert (found.byte_order_marks, found.line_ends) == (1, 2)


def test_a_byte_order_mark_inside_a_text_stays() -> None:
    later = Shard(source(Path("a.txt")), offset=9, content=b"\xef\xbb\xbfa")
    assert list(documents_of(later, Reading())) == [("a.txt:1", "\ufeffa")]


@pytest.mark.usefixtures("shard_bytes")
def test_json_lines_are_read_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"text": CHINESE, "name": "n"}, {"text": None}, {"text": "a\u2028b", "name": 3}]
    path.write_text("\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    of = source(path, format="jsonl")
    assert documents(of) == [("n", CHINESE), ("a.jsonl:3", ""), ("a.jsonl:5", "a\u2028b")]


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("document", ["line", "paragraph"])
def test_gzip_is_read_as_what_it_holds(tmp_path: Path, document: str) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\n\ntwo"))
    assert documents(source(path, document=document)) == [
        ("a.txt.gz:1", "one"),
        ("a.txt.gz:3", "two"),
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_tables_are_read_by_rows(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    table = pa.table(
        {
            "text": pa.array([CHINESE.encode(), None, b"b\xff"], pa.binary()).cast(kind)
            if kind == pa.binary()
            else pa.array([CHINESE, None, "b\ufffd"], kind),
            "name": ["first", None, "third"],
            "other": [1, 2, 3],
        }
    )
    plain = io.BytesIO()
    pq.write_table(table, plain)
    content = plain.getvalue()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert documents(source(tmp_path / name, format="parquet")) == [
        ("first", CHINESE),
        (f"{name}:2", ""),
        ("third", "b\ufffd"),
    ]


def test_a_table_counts_invalid_bytes_by_row() -> None:
    reading = Reading()
    assert decoded(b"a\xff", 12, reading, in_table=True) == "a\ufffd"
    assert (reading.first_invalid, reading.invalid_bytes, reading.bytes) == (12, 1, 2)


def error_of(of: Source) -> str:
    with pytest.raises(PipelineError) as caught:
        documents(of)
    (line,) = caught.value.lines
    return line


def test_a_line_that_is_no_json_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n')
    assert error_of(source(path, format="jsonl")) == (
        f"{path}, line 2: not JSON: Expecting value: line 1 column 10 (char 9); "
        "mend the line and run `dvc repro -f download`"
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [('{"body": "a", "id": 1}', "fields body, id"), ("[1]", "no fields"), ("{}", "no fields")],
)
def test_a_missing_field_is_told_with_those_that_are_there(
    tmp_path: Path, line: str, found: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    assert error_of(source(path, format="jsonl")) == (
        f"{path}, line 1: no 'text', found {found}; "
        "name the one with the text in download.text_field"
    )


def test_a_field_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": 3}')
    assert error_of(source(path, format="jsonl")) == (
        f"{path}, line 1: 'text' is int, not text; name another field in download.text_field"
    )


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


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    missing, cut = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    cut.write_bytes(gzip.compress(b"some text " * 1000)[:-20])
    no_table = tmp_path / "c.parquet"
    no_table.write_bytes(b"PAR1 is not enough PAR1")
    advice = "mend or remove the file and run `dvc repro -f download`"
    assert error_of(source(missing)) == (
        f"{missing}: cannot be read: No such file or directory; {advice}"
    )
    assert error_of(source(cut)) == (
        f"{cut}: cannot be read: Compressed file ended before the end-of-stream marker was "
        f"reached; {advice}"
    )
    assert error_of(source(no_table, format="parquet")).startswith(f"{no_table}: cannot be read: ")


@pytest.mark.parametrize(
    "content", ['{"corpus": "a"}', "[]", "null", '{"files": [3]}', '{"files": [{"path": "a"}]}']
)
def test_a_manifest_of_another_form_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(PipelineError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}: not a manifest of raw files; run `dvc repro -f download` to make it anew"
    )
