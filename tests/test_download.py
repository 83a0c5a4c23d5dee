"""Raw files and their manifest."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest
from permissions import bound_by_permissions

from reprise.download import digest_of, download_own, format_of, own_files, start_over, without_text
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.params.download import DownloadParams

ENDINGS = ".txt, .jsonl, .parquet, .txt.gz, .jsonl.gz, .parquet.gz"


def params(corpus: Path) -> DownloadParams:
    return DownloadParams(corpus=str(corpus), document="line", text_field="body")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / "b/second.txt.gz").write_bytes(gzip.compress(b"two", mtime=0))
    (folder / "first.txt").write_bytes(b"one")
    (folder / "a.jsonl").write_bytes(b'{"body": "three"}\n')
    (folder / "notes.docx").write_bytes(b"?")
    return folder


def test_a_folder_is_copied_as_it_is_in_the_order_of_names(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = download_own(texts, params(texts), out)
    assert manifest == read_json(out / "manifest.json")
    assert manifest["corpus"] == "texts"
    first = manifest["files"][2]
    assert first == {
        "path": "files/first.txt",
        "bytes": 3,
        "sha256": hashlib.sha256(b"one").hexdigest(),
        "format": "text",
        "document": "line",
        "split": None,
    }
    names = [file["path"] for file in manifest["files"]]
    assert names == ["files/a.jsonl", "files/b/second.txt.gz", "files/first.txt"]
    assert manifest["files"][0]["text_field"] == "body"
    for name in names:
        source = texts / name.removeprefix("files/")
        assert (out / name).read_bytes() == source.read_bytes()
    assert manifest["sources"] == [{"ignored": 1, "ignored_names": ["notes.docx"], "empty": 0}]


def test_the_manifest_does_not_tell_where_the_folder_was(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    download_own(texts, params(texts), out)
    before = (out / "manifest.json").read_bytes()
    moved = tmp_path / "elsewhere/texts"
    moved.parent.mkdir()
    texts.rename(moved)
    download_own(moved, params(moved), out)
    assert (out / "manifest.json").read_bytes() == before
    assert str(tmp_path) not in before.decode()


def test_files_of_an_earlier_download_do_not_stay(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    download_own(texts, params(texts), out)
    download_own(texts / "first.txt", params(texts), out)
    assert [path.name for path in (out / "files").rglob("*")] == ["first.txt"]


def test_starting_over_leaves_files_that_download_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "files").mkdir()
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text"),
        ("A.TXT.GZ", "text"),
        ("a.jsonl.gz", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.json", None),
        ("txt", None),
        ("a.gz", None),
    ],
)
def test_the_ending_tells_the_format(name: str, kind: str | None) -> None:
    assert format_of(Path(name)) == kind


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        own_files(tmp_path)
    assert str(caught.value) == (
        f"download.corpus: {tmp_path} is an empty folder; put {ENDINGS} there"
    )


def test_a_folder_of_other_files_is_told_with_their_names(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.pdf").touch()
    with pytest.raises(PipelineError) as caught:
        own_files(tmp_path)
    assert str(caught.value) == (
        f"download.corpus: {tmp_path} holds no file that can be read, but 4 others "
        f"(a.pdf, b.pdf, c.pdf, ...); expected {ENDINGS}"
    )


def test_a_file_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.txt").write_text("text")
    with pytest.raises(PipelineError) as caught:
        own_files(tmp_path)
    assert str(caught.value) == (
        f"download.corpus: the name 'caf\\udce9.txt' in {tmp_path} is not UTF-8; rename the file"
    )


def test_empty_files_are_counted(texts: Path, tmp_path: Path) -> None:
    (texts / "empty.txt").touch()
    manifest = download_own(texts, params(texts), tmp_path / "out")
    assert manifest["sources"][0]["empty"] == 1
    assert without_text(manifest) == ("1 files of unknown kinds or linked folders, 1 empty files")


def test_a_linked_file_is_read_and_a_linked_folder_is_told_and_not_followed(
    texts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.txt").write_text("far")
    (texts / "linked.txt").symlink_to(tmp_path / "elsewhere/far.txt")
    (texts / "b/folder.txt").symlink_to(tmp_path / "elsewhere")
    (texts / "b/itself").symlink_to(texts)
    found, ignored = own_files(texts)
    names = ["a.jsonl", "b/second.txt.gz", "first.txt", "linked.txt"]
    assert found == [(texts / name, name) for name in names]
    assert ignored == ["b/folder.txt/", "b/itself/", "notes.docx"]
    assert caplog.messages == [
        "download: 3 files or linked folders ignored (b/folder.txt/, b/itself/, notes.docx)"
    ]


def error_of(source: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        own_files(source)
    (line,) = caught.value.lines
    return line


def test_a_link_to_nothing_or_to_itself_is_told(texts: Path) -> None:
    link = texts / "b/gone.txt"
    for target in ("no such file", "gone.txt"):
        link.symlink_to(target)
        assert error_of(texts) == f"{link}: a broken link; mend it or take it away"
        link.unlink()
    (texts / "b/gone.docx").symlink_to("no such file")
    assert own_files(texts)[1] == ["b/gone.docx", "notes.docx"]


def test_a_pipe_is_told_and_not_waited_for(texts: Path) -> None:
    os.mkfifo(texts / "pipe.txt")
    assert error_of(texts) == f"{texts}/pipe.txt: not a regular file; take it away"


@pytest.mark.parametrize(("mode", "name"), [(0o000, "texts/b"), (0o444, "texts/b/second.txt.gz")])
def test_a_folder_without_permission_is_told(
    texts: Path, monkeypatch: pytest.MonkeyPatch, mode: int, name: str
) -> None:
    """One that cannot be listed, and one that can be but not entered."""
    monkeypatch.chdir(texts.parent)
    Path().chmod(0o755)
    Path("texts/b").chmod(mode)
    with bound_by_permissions():
        assert error_of(Path("texts")) == (
            f"{name}: cannot be read: Permission denied; make it readable or take it away"
        )
    Path("texts/b").chmod(0o755)


def test_a_corpus_inside_the_output_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "files"
    source.mkdir()
    (source / "a.txt").write_text("kept")
    with pytest.raises(PipelineError) as caught:
        download_own(source, params(source), tmp_path)
    assert str(caught.value) == (
        f"download.corpus: {source} and the output {tmp_path} lie in one another; "
        "keep your texts in a folder of their own"
    )
    assert (source / "a.txt").read_text() == "kept"


def test_the_digest_covers_names_and_contents() -> None:
    files = [{"path": "a", "sha256": "1"}, {"path": "b", "sha256": "2"}]
    assert digest_of({"files": files}) == hashlib.sha256(b"1  a\n2  b\n").hexdigest()
