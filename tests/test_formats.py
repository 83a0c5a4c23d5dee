"""What the names of files tell."""

import pytest

from reprise.formats import archive_packing, format_of, is_archive, is_text_encoding, packing_of


@pytest.mark.parametrize(
    ("name", "kind", "packing"),
    [
        ("a.txt", "text", None),
        ("en/A.TXT.GZ", "text", "gzip"),
        ("a.jsonl.zst", "jsonl", "zstd"),
        ("a.ndjson", "jsonl", None),
        ("a.json.xz", "json", "xz"),
        ("a.tsv.bz2", "csv", "bz2"),
        ("a.parquet", "parquet", None),
        ("a.htm", "html", None),
        ("a.txt/b", None, None),
        ("txt", None, None),
        ("a.gz", None, "gzip"),
        ("a.txt.zip", None, None),
        ("a.md", None, None),
    ],
)
def test_the_endings_tell_the_format_and_the_packing(
    name: str, kind: str | None, packing: str | None
) -> None:
    assert format_of(name) == kind
    assert packing_of(name) == packing


@pytest.mark.parametrize(
    ("name", "packing"),
    [
        ("a.zip", None),
        ("a.txt.ZIP", None),
        ("a.tar", None),
        ("a.tgz", "gzip"),
        ("a.tbz2", "bz2"),
        ("a.txz", "xz"),
        ("a.tar.gz", "gzip"),
        ("A.Tar.Zst", "zstd"),
    ],
)
def test_archives_are_known_by_their_endings(name: str, packing: str | None) -> None:
    assert is_archive(name)
    assert format_of(name) is None
    assert archive_packing(name) == packing


def test_other_files_are_no_archives() -> None:
    assert not any(map(is_archive, ("a.gz", "a.txt.gz", "zip", "a.zip.txt", "tar.gz")))


def test_encodings_are_those_of_text() -> None:
    assert all(map(is_text_encoding, ("utf-8", "UTF8", "latin-1", "gb18030", "utf-16")))
    assert not any(map(is_text_encoding, ("utf-9", "base64", "rot13", "", "a\0b")))
