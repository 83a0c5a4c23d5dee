"""`reprise catalog`: look at the catalogue, and pin published files in it."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from http_server import Served, Site, site

from reprise import fetching
from reprise.catalog import FilesEntry, find_entry
from reprise.commands.__main__ import reprise
from reprise.download import download_files
from reprise.params.download import DownloadParams

CATALOG = """\
# The corpora.

one:   # a comment beside
  kind: docstrings
  title:  "One"
  language: en
  licence: MIT
  homepage: https://example.org
  packages: [click,   pydantic]
"""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server, and a project's folder with a catalogue of one entry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REPRISE_MIRROR", raising=False)
    monkeypatch.setattr(fetching, "FIRST_PAUSE_SECONDS", 0.001)
    Path("data").mkdir()
    Path("data/catalog.yaml").write_text(CATALOG)
    with site() as here:
        yield here


def run(*arguments: str) -> Result:
    return CliRunner().invoke(reprise, ["catalog", *arguments], catch_exceptions=False)


def added(*arguments: str) -> str:
    """What was appended to the catalogue, all else unchanged."""
    before = Path("data/catalog.yaml").read_text()
    result = run("add", *arguments)
    assert result.exit_code == 0, result.stderr
    after = Path("data/catalog.yaml").read_text()
    assert after.startswith(before + "\n")
    return after.removeprefix(before + "\n")


def errors_of(*arguments: str) -> list[str]:
    before = Path("data/catalog.yaml").read_text()
    result = run("add", *arguments)
    assert result.exit_code == 1
    assert Path("data/catalog.yaml").read_text() == before
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_files_are_measured_and_pinned_so_that_download_finds_them(web: Site) -> None:
    web.served["/d/train/a.txt"] = Served(b"one", statuses=[503])
    web.served["/d/%E4%B8%89.txt.gz"] = Served(b"second")
    text = added(
        f"{web.url}/d/train/a.txt",
        f"{web.url}/d/%E4%B8%89.txt.gz",
        *("--name", "mine", "--title", "My texts", "--licence", "CC0", "--language", "zh"),
        *("--homepage", "https://example.org", "--document", "line"),
        *("--split", f"train={web.url}/d/train/a.txt"),
    )
    assert text == (
        "mine:\n"
        "  kind: files\n"
        "  title: My texts\n"
        "  language: zh\n"
        "  licence: CC0\n"
        "  homepage: https://example.org\n"
        "  document: line\n"
        "  sources:\n"
        f"    - {web.url}/d\n"
        "  files:\n"
        f"    - {{path: train/a.txt, split: train, bytes: 3, sha256: {sha256_of(b'one')}}}\n"
        f"    - {{path: 三.txt.gz, bytes: 6, sha256: {sha256_of(b'second')}}}\n"
    )
    entry = find_entry(Path("data/catalog.yaml"), "mine")
    assert isinstance(entry, FilesEntry)
    params = DownloadParams(
        corpus="mine",
        document="file",
        text_field="text",
        encoding="utf-8",
        max_unpacked_bytes=1,
        max_archive_files=1,
    )
    download_files("mine", entry, params, Path("out"))
    assert Path("out/files/三.txt.gz").read_bytes() == b"second"


def test_files_of_several_hosts_each_have_their_source(web: Site) -> None:
    web.served["/a.jsonl"] = Served(b"one")
    other = web.url.replace("127.0.0.1", "localhost")
    web.served["/d/b.jsonl"] = Served(b"two")
    text = added(
        f"{web.url}/a.jsonl", f"{other}/d/b.jsonl", "--name", "two", "--text-field", "body"
    )
    assert text == (
        "two:\n"
        "  kind: files\n"
        "  title: two\n"
        "  language: not stated\n"
        "  licence: not stated\n"
        "  homepage: not stated\n"
        "  text_field: body\n"
        "  files:\n"
        f"    - {{path: a.jsonl, sources: [{web.url}], bytes: 3, sha256: {sha256_of(b'one')}}}\n"
        f"    - {{path: b.jsonl, sources: [{other}/d], bytes: 3, sha256: {sha256_of(b'two')}}}\n"
    )


def test_a_licence_that_is_not_given_is_warned_of(
    web: Site, caplog: pytest.LogCaptureFixture
) -> None:
    web.served["/a.html"] = Served(b"<html>")
    added(f"{web.url}/a.html")
    assert caplog.messages[-1] == (
        "catalog: a: no --licence was given, so the entry says 'not stated'"
    )


def test_a_path_is_told_from_the_project_folder(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("dvc.yaml").touch()
    Path("texts").mkdir()
    with zipfile.ZipFile("texts/a.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    monkeypatch.chdir(tmp_path / "texts")
    result = run("add", "a.zip", "--catalog", "../data/catalog.yaml", "--licence", "CC0")
    assert result.exit_code == 0, result.stderr
    monkeypatch.chdir(tmp_path)
    entry = find_entry(Path("data/catalog.yaml"), "a")
    assert isinstance(entry, FilesEntry)
    assert entry.sources == ("texts",)
    assert entry.files[0].path == "a.zip"
    (tmp_path / "b.txt").write_text("b")
    assert "    - .\n" in added("b.txt")
    assert f"    - {tmp_path}\n" in added(f"{tmp_path}/b.txt", "--name", "c")
    assert f"    - file://{tmp_path}\n" in added(f"file://{tmp_path}/b.txt", "--name", "d")


def test_a_catalogue_that_is_not_there_is_made(web: Site) -> None:
    web.served["/a.txt"] = Served(b"one")
    result = run("add", f"{web.url}/a.txt", "--catalog", "new.yaml", "--licence", "CC0")
    assert result.exit_code == 0
    assert result.stdout == "a: 1 files, 3 bytes, pinned in new.yaml\n"
    assert find_entry(Path("new.yaml"), "a").licence == "CC0"


def test_a_name_that_is_taken_is_refused_before_anything_is_fetched(web: Site) -> None:
    assert errors_of(f"{web.url}/one.txt") == [
        "error: data/catalog.yaml: one: is there already; give another --name, "
        "or take that entry out"
    ]
    assert web.requests == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["{url}/a.dat"],
            "data/catalog.yaml: a.files.0.format: missing; the ending of 'a.dat' tells none; "
            "say one of text, jsonl, json, csv, parquet, html",
        ),
        (
            ["{url}/a.txt", "--encoding", "utf-9"],
            "data/catalog.yaml: a.encoding: 'utf-9' expected an encoding that Python knows, such "
            "as utf-8 or gb18030",
        ),
        (
            ["{url}/a.txt", "{url}/a.txt"],
            "data/catalog.yaml: a.files: path 'a.txt' stands there 2 times; allowed: once",
        ),
        (
            ["{url}/a.txt", "--split", "trian={url}/a.txt"],
            "--split: found 'trian={url}/a.txt'; expected train=, valid= or test= and one of the "
            "addresses given",
        ),
        (
            ["{url}/a.txt", "--split", "train=b.txt"],
            "--split: found 'train=b.txt'; expected train=, valid= or test= and one of the "
            "addresses given",
        ),
        (
            ["{url}/get?file=a.txt"],
            "{url}/get?file=a.txt: an address with a query or a fragment names no file; "
            "give one without",
        ),
    ],
)
def test_faults_are_told_before_anything_is_fetched(
    web: Site, arguments: list[str], line: str
) -> None:
    found = errors_of(*(argument.format(url=web.url) for argument in arguments))
    assert found == [f"error: {line.format(url=web.url)}"]
    assert web.requests == []


def test_what_cannot_be_had_is_told(web: Site) -> None:
    assert errors_of(f"{web.url}/a.txt") == [f"error: {web.url}/a.txt: not found"]
    web.served["/b.txt"] = Served(b"<!doctype html>")
    assert errors_of(f"{web.url}/b.txt") == [
        f"error: {web.url}/b.txt: an HTML page came instead of the file"
    ]


def test_a_catalogue_in_one_line_cannot_be_added_to(web: Site) -> None:
    Path("data/catalog.yaml").write_text("{one: {kind: docstrings}}\n")
    assert errors_of(f"{web.url}/a.txt") == [
        "error: data/catalog.yaml: cannot be added to; write it as `name:` and lines indented below"
    ]
    assert web.requests == []


def test_the_list_has_all_corpora(web: Site) -> None:
    web.served["/a.txt"] = Served(b"o" * 1234)
    added(f"{web.url}/a.txt", "--title", "A text", "--licence", "CC-BY-4.0")
    result = run("list")
    assert result.stdout == (
        "name  title   licence    bytes  files\n"
        "one   One     MIT            -      -\n"
        "a     A text  CC-BY-4.0  1,234      1\n"
    )


def test_a_fault_in_the_list_is_told(web: Site) -> None:
    Path("data/catalog.yaml").write_text(CATALOG + "two: {kind: files}\n")
    result = run("list")
    assert result.exit_code == 1
    assert "error: data/catalog.yaml: two.title: missing; expected a text\n" in result.stderr
