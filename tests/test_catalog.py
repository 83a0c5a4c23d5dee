"""The catalogue of corpora."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reprise.catalog import (
    FilesEntry,
    PublishedFile,
    checked_entry,
    find_entry,
    is_named,
    path_fault,
    read_catalog,
)
from reprise.errors import PipelineError
from reprise.formats import is_archive

COMMITTED = Path(__file__).parents[1] / "data/catalog.yaml"


def test_every_committed_entry_is_sound() -> None:
    for corpus, content in read_catalog(COMMITTED).items():
        entry = checked_entry(corpus, content)
        if isinstance(entry, FilesEntry):
            for file in entry.files:
                assert entry.sources_of(file)
                if not is_archive(file.path):
                    assert entry.reading(file)["format"]


def test_the_committed_docstrings_name_installed_packages() -> None:
    from importlib.metadata import version

    for corpus in ("docstrings", "docstrings-full"):
        entry = find_entry(COMMITTED, corpus)
        assert entry.kind == "docstrings"
        assert all(version(package) for package in entry.packages)


def test_an_unknown_corpus_is_answered_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(PipelineError) as caught:
        find_entry(COMMITTED, "docstring")
    line = str(caught.value)
    assert line.startswith(
        f"download.corpus: 'docstring' is neither a file or folder nor a name in {COMMITTED}; "
        "names there: docstrings, docstrings-full"
    )
    assert line.endswith("; did you mean docstrings?")


def error_of(catalog: Path, corpus: str = "mine") -> tuple[str, ...]:
    with pytest.raises(PipelineError) as caught:
        find_entry(catalog, corpus)
    return caught.value.lines


def faults_of(tmp_path: Path, entry: Any) -> list[str]:
    """The lines, each without the file's name and the corpus."""
    catalog = tmp_path / "catalog.yaml"
    YAML().dump({"mine": entry}, catalog)
    lines = error_of(catalog)
    assert all(line.startswith(f"{catalog}: mine") for line in lines)
    return [line.removeprefix(f"{catalog}: mine").removeprefix(".") for line in lines]


def test_faults_of_a_docstrings_entry_are_told_all_at_once(tmp_path: Path) -> None:
    entry = {
        "kind": "docstring",
        "title": 7,
        "language": "en",
        "licence": "MIT",
        "homepag": "https://example.org",
        "packages": [],
    }
    assert faults_of(tmp_path, entry) == [
        "kind: found 'docstring'; allowed: docstrings, files; did you mean docstrings?",
        "title: found 7; expected a text",
        "homepage: missing; expected a text",
        "packages: found []; expected a list of names of installed packages",
        "homepag: no such key; allowed: title, language, licence, homepage, kind, packages; "
        "did you mean homepage?",
    ]


def published(path: str = "a.txt", **more: Any) -> dict[str, Any]:
    return {"path": path, "bytes": 3, "sha256": "0f" * 32, **more}


def entry_of(*files: Any, **more: Any) -> dict[str, Any]:
    return {
        "kind": "files",
        "title": "Mine",
        "language": "en",
        "licence": "MIT",
        "homepage": "https://example.org",
        "sources": ["https://example.org/data"],
        "document": "line",
        "files": list(files),
        **more,
    }


def test_faults_of_a_files_entry_are_told_all_at_once(tmp_path: Path) -> None:
    entry = entry_of(
        published("../a.txt", splt="train"),
        {"path": "b.txt", "bytes": "3", "sha256": "0F" * 32, "split": "trian"},
        published("c.zip", members=[{"path": "/c.txt", "document": "lines"}, {"split": "test"}]),
        published("d.txt", encoding="utf-9", published_as="x/../d.txt", sources=[]),
        "e.txt",
        published("f.txt", pieces=[]),
        published("g.txt", pieces=[{"first_byte": -1, "split": "train"}]),
        sources="https://example.org",
        document="row",
    )
    keys = (
        "format, document, text_field, encoding, path, split, bytes, sha256, published_as, "
        "sources, members, pieces"
    )
    assert sorted(faults_of(tmp_path, entry)) == sorted(
        [
            "document: found 'row'; expected one of file, paragraph, line, article",
            "sources: found 'https://example.org'; expected a list of addresses of folders",
            "files.0.path: '../a.txt' leads out of its folder; expected a relative path such as "
            "en/train.txt",
            f"files.0.splt: no such key; allowed: {keys}; did you mean split?",
            "files.1.bytes: found '3'; expected a whole number of bytes",
            f"files.1.sha256: found '{'0F' * 32}'; expected 64 lower-case hex digits",
            "files.1.split: found 'trian'; expected one of train, valid, test; did you mean train?",
            "files.2.members.0.path: '/c.txt' is absolute; expected a relative path such as "
            "en/train.txt",
            "files.2.members.0.document: found 'lines'; expected one of file, paragraph, line, "
            "article; did you mean line?",
            "files.2.members.1.path: missing; expected a relative path",
            "files.3.encoding: 'utf-9' expected an encoding that Python knows, such as utf-8 or "
            "gb18030",
            "files.3.published_as: 'x/../d.txt' leads out of its folder; expected a relative path "
            "such as en/train.txt",
            "files.3.sources: found []; expected a list of addresses of folders",
            "files.4: found 'e.txt'; expected a list of files with path, bytes and sha256",
            "files.5.pieces: found []; expected a list of pieces, each with path, first_byte and "
            "bytes",
            "files.6.pieces.0.path: missing; expected a relative path",
            "files.6.pieces.0.first_byte: found -1; expected a whole number of bytes before the "
            "piece",
            "files.6.pieces.0.bytes: missing; expected a whole number of bytes, from 1",
        ]
    )


def test_broken_rules_between_keys_are_told_all_at_once(tmp_path: Path) -> None:
    entry = entry_of(
        published("a.dat"),
        published("b.txt"),
        published("b.txt"),
        published("b.txt/c.jsonl"),
        published("d.tar.gz", format="text", members=[{"path": "x"}, {"path": "x"}]),
        published("e.html", members=[{"path": "x.txt"}]),
        published("f.txt.gz", pieces=[{"path": "x.html", "first_byte": 0, "bytes": 1}]),
        published("g.zip", document="file", pieces=[{"path": "x", "first_byte": 0, "bytes": 1}]),
        published("h.txt", pieces=[{"path": "x.html", "first_byte": 10**9, "bytes": 1}] * 2),
    )
    del entry["document"], entry["sources"]
    entry["files"][1]["sources"] = ["https://example.org"]
    allowed = "say one of text, jsonl, json, csv, parquet, html"
    no_sources = [
        f"files.{number}.sources: missing, for the entry has none either"
        for number in (0, *range(2, 9))
    ]
    no_document = "say what is a document in 'b.txt': one of file, paragraph, line, article"
    assert sorted(faults_of(tmp_path, entry)) == sorted(
        [
            *no_sources,
            f"files.0.format: missing; the ending of 'a.dat' tells none; {allowed}",
            f"files.1.document: missing; {no_document}",
            f"files.2.document: missing; {no_document}",
            "files.3.text_field: missing; name the field with the text of 'b.txt/c.jsonl'",
            "files.4.format: an archive has none; say it of its members",
            "files.4.members: path 'x' stands there 2 times; allowed: once",
            "files.4.members.0.document: missing; say what is a document in 'x': one of file, "
            "paragraph, line, article",
            "files.4.members.1.document: missing; say what is a document in 'x': one of file, "
            "paragraph, line, article",
            "files.5.members: 'e.html' is no archive",
            "files.6.pieces: 'f.txt.gz' is packed; only a file that is not can be cut",
            "files.7.pieces: 'g.zip' is an archive; name its members",
            *(
                f"files.8.pieces.{piece}: 'x.html' ends at byte 1,000,000,001; 'h.txt' has "
                f"{entry['files'][8]['bytes']:,} bytes"
                for piece in (0, 1)
            ),
            "files.8.pieces: path 'x.html' stands there 2 times; allowed: once",
            "files: path 'b.txt' stands there 2 times; allowed: once",
            "files: path 'b.txt' is a file and a folder",
        ]
    )


def test_a_file_and_a_member_may_say_otherwise_than_the_entry(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    entry = entry_of(
        published("a.txt.gz", split="train", published_as="原文.txt.gz"),
        published("b.csv", encoding="gb18030", sources=["s3://b"], text_field="body"),
        published("c.parquet", text_field="body"),
        published("d.html"),
        published("e.zip", document="file", members=[{"path": "x.tokens", "format": "text"}]),
        text_field="text",
    )
    YAML().dump({"mine": entry}, catalog)
    found = find_entry(catalog, "mine")
    assert isinstance(found, FilesEntry)
    assert [found.reading(file) for file in found.files[:4]] == [
        {"format": "text", "document": "line", "encoding": "utf-8"},
        {"format": "csv", "text_field": "body", "encoding": "gb18030"},
        {"format": "parquet", "text_field": "body"},
        {"format": "html", "encoding": "utf-8"},
    ]
    archive = found.files[4]
    assert archive.members
    assert found.reading(archive, archive.members[0])["document"] == "file"
    assert [file.published_path for file in found.files[:2]] == ["原文.txt.gz", "b.csv"]
    assert [found.sources_of(file) for file in found.files[:2]] == [
        ("https://example.org/data",),
        ("s3://b",),
    ]


def test_an_entry_without_a_kind_is_told(tmp_path: Path) -> None:
    assert faults_of(tmp_path, {"title": "A"}) == ["kind: missing; allowed: docstrings, files"]
    assert faults_of(tmp_path, {"kind": [1]}) == ["kind: found [1]; allowed: docstrings, files"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("en/a b.txt", None),
        ("三国/..a.txt", None),
        ("/a.txt", "is absolute"),
        ("C:a.txt", "is absolute"),
        ("a/../b.txt", "leads out of its folder"),
        ("a\\b.txt", "holds a backslash"),
        ("a//b.txt", "holds an empty part or a single dot"),
        ("a/./b.txt", "holds an empty part or a single dot"),
        ("a/", "holds an empty part or a single dot"),
        ("a\0b.txt", "holds a control character"),
        ("caf\udce9.txt", "is not UTF-8"),
        ("三" * 67, "has a name of more than 200 bytes"),
    ],
)
def test_paths_that_lead_elsewhere_are_faults(path: str, fault: str | None) -> None:
    assert path_fault(path) == fault


def test_a_missing_an_empty_and_another_file_are_told(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    advice = "give the catalogue of corpora with --catalog"
    assert error_of(catalog) == (f"{catalog}: no such file; {advice}",)
    for content, found in (("# nothing\n", "nothing"), ("- a\n", "a list"), ("a", "a str")):
        catalog.write_text(content)
        assert error_of(catalog) == (
            f"{catalog}: expected a mapping of names, found {found}; {advice}",
        )


ENTRY = "kind: docstrings, title: A, language: en, licence: MIT, homepage: a, packages: [a]"


def test_a_name_that_is_a_number_to_yaml_can_be_found(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(f"2024: {{{ENTRY}}}\ntrue: {{{ENTRY}}}\n[a, b]: {{{ENTRY}}}\n")
    assert find_entry(catalog, "2024").title == "A"
    assert is_named(catalog, "2024")
    (line,) = error_of(catalog)
    assert line.startswith("download.corpus: 'mine' is neither a file or folder nor a name in ")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            f"{{{ENTRY}, 1: a}}",
            "mine.1: no such key; allowed: title, language, licence, homepage, kind, packages",
        ),
        ("null", "mine: found nothing; expected a mapping with kind, title and more"),
        ("[a]", "mine: found ['a']; expected a mapping with kind, title and more"),
    ],
)
def test_an_entry_of_another_kind_is_told(tmp_path: Path, entry: str, line: str) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(f"mine: {entry}\n")
    assert error_of(catalog) == (f"{catalog}: {line}",)


def test_a_sha256_has_no_line_end() -> None:
    with pytest.raises(ValueError, match=re.escape("pattern")):
        PublishedFile(path="a.txt", bytes=1, sha256="0" * 64 + "\n")
