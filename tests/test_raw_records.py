"""Records of text: jsonl, json and csv."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from raw_reading import CHINESE, documents, error_of, readings, shard_bytes, source  # noqa: F401

from reprise.raw import Reading, documents_of, shards, shards_of
from reprise.raw.cuts import RecordCuts


def test_a_line_of_json_that_is_too_long_is_one_document_and_not_parsed(
    tmp_path: Path,
    shard_bytes: int,  # noqa: F811
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "a"}\n{"text": "' + "x" * 3 * max(shard_bytes, 1000) + '"}\n{"text": "b"}\n'
    )
    names = [name for name, _ in documents(source(path, format="jsonl"), max_characters=100)]
    assert names == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]


@pytest.mark.usefixtures("shard_bytes")
def test_json_lines_are_read_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"text": CHINESE, "name": "n"}, {"text": None}, {"text": "a\u2028b", "name": 3}]
    path.write_text("\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    of = source(path, format="jsonl")
    assert documents(of) == [("n", CHINESE), ("a.jsonl:3", ""), ("a.jsonl:5", "a\u2028b")]


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


def test_escapes_of_half_a_character_and_of_nul_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800b\\u0000"}')
    assert documents(source(path, format="jsonl")) == [("a.jsonl:1", "a\ud800b\0")]


def json_file(folder: Path, content: Any) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1))
    return path


@pytest.mark.usefixtures("shard_bytes")
def test_a_json_file_holds_an_array_of_records_or_one(tmp_path: Path) -> None:
    records = [{"text": CHINESE, "name": "n"}, {"text": None}, {"text": ["one", "two"]}]
    found = [("n", CHINESE), ("a.json:2", ""), ("a.json:3", "one\ntwo")]
    assert documents(source(json_file(tmp_path, records), format="json")) == found
    assert documents(source(json_file(tmp_path, records[2]), format="json")) == [
        ("a.json:1", "one\ntwo")
    ]
    assert documents(source(json_file(tmp_path, []), format="json")) == []


def test_a_blank_json_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(" \n")
    assert documents(source(path, format="json")) == []


def test_each_list_on_the_way_to_a_field_gives_documents(tmp_path: Path) -> None:
    articles = [
        {"title": "A", "paragraphs": [{"context": "one"}, {"context": "two"}]},
        {"title": "B", "paragraphs": [{"context": ["three", "four"]}]},
    ]
    path = json_file(tmp_path, {"data": articles, "version": 1})
    assert documents(source(path, format="json", text_field="data.paragraphs.context")) == [
        ("a.json:1/1", "one"),
        ("a.json:1/2", "two"),
        ("a.json:1/3", "three\nfour"),
    ]
    path = json_file(tmp_path, articles)
    assert documents(source(path, format="json", text_field="paragraphs.context")) == [
        ("a.json:1/1", "one"),
        ("a.json:1/2", "two"),
        ("a.json:2", "three\nfour"),
    ]


def test_a_path_to_a_field_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = json_file(tmp_path, [{"a": [{"b": "x"}]}, {"a": [{"c": "x", "d": 1}]}])
    assert error_of(source(path, format="json", text_field="a.b")) == (
        f"{path}, record 2: no 'a.b', found fields c, d; "
        "name the one with the text in download.text_field"
    )
    assert error_of(source(path, format="json", text_field="a")) == (
        f"{path}, record 1: 'a' is list, not text; name another field in download.text_field"
    )


@pytest.mark.parametrize("content", ['[{"text": "a"},\n}', "[" * 100_000])
def test_a_file_that_is_no_json_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    line = error_of(source(path, format="json"))
    assert line.startswith(f"{path}: not JSON: ")
    assert line.endswith("; mend the file and run `dvc repro -f download`")


def test_a_json_file_that_is_too_large_to_read_as_a_whole_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_JSON_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    path.write_text('[{"text": "' + "x" * (1 << 20) + '"}]')
    assert error_of(source(path, format="json")) == (
        f"{path}: JSON of more than 1 MiB, which is read as a whole; write a record a line to a "
        "file that ends in .jsonl (jq -c '.[]')"
    )


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.TSV", "\t")])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_csv_is_read_by_the_column_that_its_header_names(
    tmp_path: Path, name: str, delimiter: str, line_end: str
) -> None:
    path = tmp_path / name
    rows = [
        ["id", "text", "name"],
        ["1", "one", "first"],
        ["2", f'two, "{CHINESE}"\n\nand\tmore\n', ""],
        ["3", "", ""],
        ["4", '"', ""],
        ["5", 'a 5" screen', ""],
    ]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    content = text.getvalue().replace('"a 5"" screen"', 'a 5" screen')
    path.write_bytes(b"\xef\xbb\xbf" + ("\n" + content + "\n").replace("\n", line_end).encode())
    assert documents(source(path, name=name, format="csv")) == [
        ("first", "one"),
        (f"{name}:4", rows[2][1]),
        (f"{name}:8", ""),
        (f"{name}:9", '"'),
        (f"{name}:10", 'a 5" screen'),
    ]


@pytest.mark.parametrize("content", ["", "\n\r\n", "text", "id,text\n"])
def test_csv_without_records_holds_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert documents(source(path, format="csv")) == []


@pytest.mark.usefixtures("shard_bytes")
def test_invalid_bytes_in_csv_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'text\n"a\xff\nb"\nnul \0\n')
    of = source(path, format="csv")
    assert documents(of) == [("a.csv:2", "a\ufffd\nb"), ("a.csv:4", "nul \0")]
    found = readings(of)
    assert sum(reading.invalid_bytes for reading in found) == 1
    assert next(r.first_invalid for r in found if r.first_invalid is not None) == 7


@pytest.mark.parametrize("part", ['""\r\n,', "x"])
def test_a_record_of_csv_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path,
    part: str,
    shard_bytes: int,  # noqa: F811
) -> None:
    long = part * (3 * max(shard_bytes, 2000) // len(part))
    long = f'"{long}"' if '"' in part else long
    path = tmp_path / "a.csv"
    path.write_bytes(f'text,id\nshort,1\n{long},2\n"ne\nxt",3\nend,4\n'.encode())
    cut = list(shards_of(source(path, format="csv"), 100))
    assert [shard.line for shard in cut if shard.too_long] == [3]
    kept = [d for shard in cut if not shard.too_long for d in documents_of(shard, Reading())]
    line = 4 + long.count("\n")
    expected = [("a.csv:2", "short"), (f"a.csv:{line}", "ne\nxt"), (f"a.csv:{line + 2}", "end")]
    assert kept == expected
    found = readings(source(path, format="csv"), 100)
    assert sum(r.bytes + r.skipped_bytes for r in found) == path.stat().st_size


def test_a_column_that_csv_does_not_have_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,body\n1,a\n")
    assert error_of(source(path, format="csv")) == (
        f"{path}, line 1: no 'text', found columns id, body; "
        "name the one with the text in download.text_field"
    )


@pytest.mark.usefixtures("shard_bytes")
def test_a_record_of_another_length_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"a\nb"\n2,a,b\n')
    assert error_of(source(path, format="csv")) == (
        f"{path}, line 4: 3 fields, expected 2 as in the file's first line; "
        "mend the line and run `dvc repro -f download`"
    )


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("rest", ["a", 'a""', "a\n" * 2000])
def test_a_quote_that_is_never_closed_is_told(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text\na\n"{rest}')
    assert error_of(source(path, format="csv"), max_characters=100) == (
        f"{path}, line 3: the record that begins here has a quoted field without a closing quote; "
        'write a " inside a field as "", or mend the line, and run `dvc repro -f download`'
    )


def test_a_header_that_is_too_long_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x" * (shards.SHARD_BYTES + 1))
    assert error_of(source(path, format="csv")) == (
        f"{path}: the first record, which names the columns, is too long; "
        "put a line with the names of the columns first"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_csv_is_cut_between_records_alone_whatever_it_holds(size: int) -> None:
    draw = random.Random(size)
    for _ in range(2000):
        text = "".join(draw.choices('"",\r\na', k=draw.randrange(20)))
        cuts, places = RecordCuts(","), [0]
        for start in range(0, len(text), size):
            found = cuts.cuts(text[start : start + size].encode())
            places += [place for place in found or () if place > places[-1]]
        parts = [text[a:b] for a, b in zip(places, [*places[1:], len(text)], strict=True)]
        assert [row for part in parts for row in rows_of(part)] == rows_of(text), repr(text)
        if size == 1 and "\r" not in text:
            assert all(len(rows_of(part)) <= 1 for part in parts[:-1]), repr(text)
        try:
            list(csv.reader(io.StringIO(text, newline=""), strict=True))
            closed = True
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                continue
            closed = False
        assert cuts.is_complete() == closed, repr(text)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))
