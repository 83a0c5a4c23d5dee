"""Packed files, and files in other encodings."""

import bz2
import gzip
import io
import lzma
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_reading import CHINESE, documents, error_of, readings, shard_bytes, source  # noqa: F401

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}
TEXT = f"one\n\n{CHINESE} é"
every_packing = pytest.mark.parametrize("packing", PACKERS)


@every_packing
@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize("document", ["line", "paragraph"])
def test_a_packed_file_is_read_as_what_it_holds(
    tmp_path: Path, packing: str, document: str
) -> None:
    path = tmp_path / f"a.txt.{packing}"
    path.write_bytes(PACKERS[packing](TEXT.encode()))
    assert documents(source(path, document=document)) == [
        (f"{path.name}:1", "one"),
        (f"{path.name}:3", f"{CHINESE} é"),
    ]


@every_packing
def test_all_members_of_a_packed_file_are_read(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.txt.{packing}"
    path.write_bytes(b"".join(map(PACKERS[packing], [b"one\ntw", b"o\n", b"three"])))
    assert [text for _, text in documents(source(path))] == ["one", "two", "three"]


@every_packing
def test_a_packed_table_is_read(tmp_path: Path, packing: str) -> None:
    plain = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", CHINESE]}), plain)
    path = tmp_path / f"a.parquet.{packing}"
    path.write_bytes(PACKERS[packing](plain.getvalue()))
    found = documents(source(path, format="parquet"))
    assert found == [(f"{path.name}:1", "one"), (f"{path.name}:2", CHINESE)]


def test_a_full_disk_under_an_unpacked_table_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(gzip.compress(bytes(100_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        line = error_of(source(path, format="parquet"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert line == (
        f"{tempfile.gettempdir()}: cannot be written: File too large; nothing half-written is "
        "left; raise the limit on file size (ulimit -f) and run the same command again"
    )


ADVICE = "mend or remove the file and run `dvc repro -f download`"


@every_packing
@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_a_packed_file_that_was_cut_off_is_told(tmp_path: Path, packing: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}.{packing}"
    path.write_bytes(PACKERS[packing](TEXT.encode() * 1000)[:-20])
    ended = "Compressed file ended before the end-of-stream marker was reached"
    reason = "Truncated compressed stream" if packing == "zst" else ended
    assert error_of(source(path, format=kind)) == f"{path}: cannot be read: {reason}; {ADVICE}"


@every_packing
def test_a_file_that_is_not_packed_as_its_name_says_is_told(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.txt.{packing}"
    path.write_bytes(b"<html>Not found</html>" * 100)
    line = error_of(source(path))
    assert line.startswith(f"{path}: cannot be read: ")
    assert line.endswith(ADVICE)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    missing, no_table = tmp_path / "a.txt", tmp_path / "c.parquet"
    no_table.write_bytes(b"PAR1 is not enough PAR1")
    assert error_of(source(missing)) == (
        f"{missing}: cannot be read: No such file or directory; {ADVICE}"
    )
    assert error_of(source(no_table, format="parquet")).startswith(f"{no_table}: cannot be read: ")


@pytest.mark.usefixtures("shard_bytes")
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "UTF8", "utf-8-sig"]
)
@pytest.mark.parametrize("packing", ["", ".zst"])
def test_a_file_in_another_encoding_is_read_as_its_text(
    tmp_path: Path, encoding: str, packing: str
) -> None:
    path = tmp_path / f"a.txt{packing}"
    content = f"one\r\n\r\n{CHINESE} é 🙂\nend".encode(encoding)
    path.write_bytes(PACKERS["zst"](content) if packing else content)
    names = [f"{path.name}:{line}" for line in (1, 3, 4)]
    found = documents(source(path, encoding=encoding))
    assert found == list(zip(names, ["one", f"{CHINESE} é 🙂", "end"], strict=True))


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "déjà"), ("big5", "天地")])
def test_encodings_of_one_part_of_the_world_are_read(
    tmp_path: Path, encoding: str, text: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(f'{{"text": "{text}"}}\n'.encode(encoding))
    assert documents(source(path, format="jsonl", encoding=encoding)) == [("a.jsonl:1", text)]
    (found, _) = readings(source(path, format="jsonl", encoding=encoding))
    assert (found.invalid_bytes, found.first_invalid) == (0, None)


@pytest.mark.usefixtures("shard_bytes")
def test_what_is_no_text_in_another_encoding_is_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("天地\n".encode("gb18030") + b"a\xff\nb\n\xff" + "玄".encode("gb18030"))
    of = source(path, encoding="gb18030")
    assert [text for _, text in documents(of)] == ["天地", "a\ufffd", "b", "\ufffd玄"]
    found = readings(of)
    assert sum(reading.invalid_bytes for reading in found) == 2
    assert next(r.first_invalid for r in found if r.invalid_bytes) == 6
    path.write_bytes("天".encode("utf-16") + b"x")  # half of a character at the end
    assert documents(source(path, encoding="utf-16")) == [("a.txt:1", "天\ufffd")]
    assert sum(reading.invalid_bytes for reading in readings(source(path, encoding="utf-16"))) == 1


def test_a_mark_in_another_encoding_is_taken_off_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa".encode("utf-16-le"))
    of = source(path, encoding="utf-16-le")
    assert documents(of) == [("a.txt:1", "a")]
    assert [reading.byte_order_marks for reading in readings(of)] == [1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("kind", "name"), [("text", "a.txt"), ("jsonl", "a.jsonl.gz"), ("csv", "a"), ("html", "a")]
)
def test_the_mark_of_an_encoding_that_was_not_named_is_told(
    tmp_path: Path, encoding: str, kind: str, name: str
) -> None:
    path = tmp_path / name
    content = "text".encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert error_of(source(path, format=kind)) == (
        f"{path}: begins with the mark of {encoding.upper()}, but is said to be utf-8; "
        f"set download.encoding: {encoding}"
    )


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "a\0b"])
def test_an_encoding_that_is_not_known_is_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"text")
    assert error_of(source(path, encoding=encoding)) == (
        f"{path}: unknown encoding {encoding!r}; set download.encoding to one that Python knows, "
        "such as utf-8, utf-16, latin-1, cp1252, gb18030 or big5"
    )
