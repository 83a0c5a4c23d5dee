"""Raw files and their manifest."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from http_server import Served, Site, site
from permissions import bound_by_permissions
from ruamel.yaml import YAML

from reprise import download, fetching
from reprise.catalog import FilesEntry, checked_entry
from reprise.download import (
    digest_of,
    download_files,
    download_own,
    from_the_project,
    own_files,
    start_over,
    without_text,
)
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.formats import READABLE
from reprise.params.download import DownloadParams

ROOT = Path(__file__).parents[1]


def params(corpus: Path | str, **changes: Any) -> DownloadParams:
    settings = {
        "document": "line",
        "text_field": "body",
        "encoding": "utf-8",
        "max_unpacked_bytes": 1_000_000,
        "max_archive_files": 100,
    }
    return DownloadParams.model_validate({"corpus": str(corpus), **settings, **changes})


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
        "encoding": "utf-8",
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


def test_each_format_is_read_by_the_settings_that_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "b.jsonl", "c.json", "d.tsv.zst", "e.parquet", "f.HTML"):
        (folder / name).write_text("?")
    manifest = download_own(folder, params(folder, encoding="gb18030"), tmp_path / "out")
    common = {"path", "bytes", "sha256", "split"}
    assert [
        {key: value for key, value in file.items() if key not in common}
        for file in manifest["files"]
    ] == [
        {"format": "text", "document": "line", "encoding": "gb18030"},
        {"format": "jsonl", "text_field": "body", "encoding": "gb18030"},
        {"format": "json", "text_field": "body", "encoding": "gb18030"},
        {"format": "csv", "text_field": "body", "encoding": "gb18030"},
        {"format": "parquet", "text_field": "body"},
        {"format": "html", "encoding": "gb18030"},
    ]


@pytest.mark.parametrize(
    ("encoding", "nearest"),
    [("utf-9", "; did you mean utf-8?"), ("base64", ""), ("gb1803", "; did you mean gb18030?")],
)
def test_an_encoding_that_python_does_not_know_is_told(
    texts: Path, tmp_path: Path, encoding: str, nearest: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        download_own(texts, params(texts, encoding=encoding), tmp_path / "out")
    assert str(caught.value) == (
        f"download.encoding: found {encoding!r}; expected an encoding that Python knows, such as "
        f"utf-8, utf-16, latin-1, cp1252, gb18030 or big5{nearest}"
    )


def test_archives_in_a_folder_are_unpacked(texts: Path, tmp_path: Path, caplog) -> None:
    with zipfile.ZipFile(texts / "b/z.zip", "w") as archive:
        archive.writestr("en/x.txt", "four")
        archive.writestr("en/x.pdf", "?")
    with tarfile.open(texts / "t.tar.gz", "w:gz") as tar:
        tar.add(texts / "a.jsonl", "y.jsonl")
    out = tmp_path / "out"
    manifest = download_own(texts, params(texts), out)
    names = [file["path"] for file in manifest["files"]]
    assert names == [
        "files/a.jsonl",
        "files/b/second.txt.gz",
        "files/b/z.zip/en/x.txt",
        "files/first.txt",
        "files/t.tar.gz/y.jsonl",
    ]
    member = manifest["files"][2]
    assert member["sha256"] == hashlib.sha256(b"four").hexdigest()
    assert member["document"] == "line"
    assert (out / "files/b/z.zip/en/x.txt").read_text() == "four"
    assert manifest["sources"][0]["ignored_names"] == ["notes.docx", "b/z.zip/en/x.pdf"]
    assert caplog.messages == [
        "download: 2 files or linked folders ignored (notes.docx, b/z.zip/en/x.pdf)"
    ]


def test_an_archive_that_is_not_sound_ends_the_download(texts: Path, tmp_path: Path) -> None:
    (texts / "z.zip").write_bytes(b"no zip")
    with pytest.raises(PipelineError) as caught:
        download_own(texts, params(texts), tmp_path / "out")
    assert str(caught.value).startswith(f"{texts}/z.zip: cannot be unpacked, it is damaged, ")
    assert not (tmp_path / "out/manifest.json").exists()
    assert not (tmp_path / "out/files/z.zip").exists()


def test_an_archive_that_cannot_be_read_is_told(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A read that fails for everyone, also for root: the memory of this process at address 0.
    (texts / "z.tar").symlink_to("/proc/self/mem")
    with pytest.raises(PipelineError) as caught:
        download_own(texts, params(texts), tmp_path / "out")
    assert str(caught.value) == (
        f"{texts}/z.tar: cannot be read: Input/output error; make it readable or take it away"
    )


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        own_files(tmp_path)
    assert str(caught.value) == (
        f"download.corpus: {tmp_path} is an empty folder; put {READABLE} there"
    )


def test_a_folder_of_other_files_is_told_with_their_names(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.pdf").touch()
    with pytest.raises(PipelineError) as caught:
        own_files(tmp_path)
    assert str(caught.value) == (
        f"download.corpus: {tmp_path} holds no file that can be read, but 4 others "
        f"(a.pdf, b.pdf, c.pdf, ...); expected {READABLE}"
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
    texts: Path, tmp_path: Path
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


def published(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"path": path, "bytes": len(content), "sha256": sha256, **more}


def entry_of(*files: dict[str, Any], **more: Any) -> FilesEntry:
    entry = {
        "kind": "files",
        "title": "Tiny texts",
        "language": "en",
        "licence": "MIT",
        "homepage": "https://example.org",
        "document": "article",
        "files": list(files),
        **more,
    }
    found = checked_entry("tiny", entry)
    assert isinstance(found, FilesEntry)
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("REPRISE_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "project"


@pytest.fixture
def web(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_SECONDS", 0.001)
    with site() as here:
        yield here


def waiting() -> list[str]:
    return sorted(path.name for path in Path(download.WAITING).iterdir())


def test_published_files_come_with_what_the_catalogue_says_of_them(web: Site) -> None:
    web.served["/d/train.txt"] = Served(b"one")
    web.served["/d/%E4%B8%89.txt"] = Served(b"two")
    web.served["/e/en/c.jsonl"] = Served(b"")
    entry = entry_of(
        published("train.txt", b"one", split="train"),
        published("san.txt", b"two", published_as="三.txt", document="file", encoding="utf-16"),
        published("en/c.jsonl", b"", sources=[f"{web.url}/e"], text_field="body"),
        sources=[f"{web.url}/nowhere", f"{web.url}/d/"],
    )
    out = Path("data/download")
    manifest = download_files("tiny", entry, params("tiny"), out)
    assert manifest == read_json(out / "manifest.json")
    assert manifest == {
        "corpus": "tiny",
        "title": "Tiny texts",
        "language": "en",
        "licence": "MIT",
        "homepage": "https://example.org",
        "files": [
            {
                **published("files/train.txt", b"one", split="train"),
                "format": "text",
                "document": "article",
                "encoding": "utf-8",
            },
            {
                **published("files/san.txt", b"two", split=None),
                "format": "text",
                "document": "file",
                "encoding": "utf-16",
            },
            {
                **published("files/en/c.jsonl", b"", split=None),
                "format": "jsonl",
                "text_field": "body",
                "encoding": "utf-8",
            },
        ],
        "sources": [
            {
                "addresses": [f"{web.url}/nowhere", f"{web.url}/d/", f"{web.url}/e"],
                "ignored": 0,
                "ignored_names": [],
                "empty": 1,
            }
        ],
    }
    assert (out / "files/san.txt").read_bytes() == b"two"
    assert waiting() == []
    assert without_text(manifest) == "0 files of unknown kinds or linked folders, 1 empty files"


def test_the_manifest_has_the_same_bytes_wherever_the_files_came_from(
    web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.served["/a.txt"] = Served(b"one")
    entry = entry_of(published("a.txt", b"one"), sources=[web.url])
    out = Path("out")
    download_files("tiny", entry, params("tiny"), out)
    before = (out / "manifest.json").read_bytes()
    Path("mirror/tiny").mkdir(parents=True)
    Path("mirror/tiny/a.txt.gz").write_bytes(gzip.compress(b"one"))
    monkeypatch.setenv("REPRISE_MIRROR", "mirror")
    web.served.clear()
    download_files("tiny", entry, params("tiny"), out)
    assert (out / "manifest.json").read_bytes() == before
    assert (out / "files/a.txt").read_bytes() == b"one"


def test_files_twice_with_the_same_content_are_both_written(web: Site) -> None:
    web.served["/a.txt"] = Served(b"one")
    entry = entry_of(published("a.txt", b"one"), published("b.txt", b"one"), sources=[web.url])
    download_files("tiny", entry, params("tiny"), Path("out"))
    assert Path("out/files/b.txt").read_bytes() == b"one"


def test_what_has_come_waits_until_all_is_there(web: Site) -> None:
    first, second = os.urandom(300), os.urandom(300)
    web.served["/a.txt"] = Served(first)
    entry = entry_of(published("a.txt", first), published("b.txt", second), sources=[web.url])
    with pytest.raises(PipelineError) as caught:
        download_files("tiny", entry, params("tiny"), Path("out"))
    assert str(caught.value).startswith(f"tiny/b.txt: could not be fetched; {web.url}/b.txt: not ")
    assert waiting() == [hashlib.sha256(first).hexdigest()]
    assert not Path("out/manifest.json").exists()
    web.served["/b.txt"] = Served(second)
    download_files("tiny", entry, params("tiny"), Path("out"))
    assert [path for path, _ in web.requests] == ["/a.txt", "/b.txt", "/b.txt"]
    assert waiting() == []


def zip_of(*names: str) -> bytes:
    with zipfile.ZipFile("made.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return Path("made.zip").read_bytes()


def test_a_published_archive_gives_the_members_that_the_entry_names(web: Site) -> None:
    content = zip_of("wiki/train.tokens", "wiki/b.txt", "wiki/c.txt")
    web.served["/w.zip"] = Served(content)
    members = [
        {"path": "wiki/train.tokens", "split": "train", "format": "text"},
        {"path": "wiki/b.txt", "split": "test", "document": "line"},
    ]
    entry = entry_of(published("w.zip", content, members=members), sources=[web.url])
    manifest = download_files("tiny", entry, params("tiny"), Path("out"))
    assert manifest["files"] == [
        {
            **published("files/w.zip/wiki/b.txt", b"wiki/b.txt", split="test"),
            "format": "text",
            "document": "line",
            "encoding": "utf-8",
        },
        {
            **published("files/w.zip/wiki/train.tokens", b"wiki/train.tokens", split="train"),
            "format": "text",
            "document": "article",
            "encoding": "utf-8",
        },
    ]
    assert manifest["sources"][0]["ignored_names"] == ["w.zip/wiki/c.txt"]
    assert not Path("out/files/w.zip/wiki/c.txt").exists()


def test_a_published_file_is_cut_into_the_pieces_that_the_entry_names(web: Site) -> None:
    content = b"one two drei\n"
    web.served["/a.txt"] = Served(content)
    pieces = [
        {"path": "train.txt", "first_byte": 0, "bytes": 8, "split": "train", "document": "line"},
        {"path": "valid.txt", "first_byte": 8, "bytes": 5, "split": "valid"},
        {"path": "test.txt", "first_byte": 8, "bytes": 5, "split": "test"},
    ]
    entry = entry_of(published("a.txt", content, pieces=pieces), sources=[web.url])
    manifest = download_files("tiny", entry, params("tiny"), Path("out"))
    text = {"format": "text", "encoding": "utf-8"}
    assert manifest["files"] == [
        {**published("files/a.txt/train.txt", b"one two ", split="train"), **text}
        | {"document": "line"},
        {**published("files/a.txt/valid.txt", b"drei\n", split="valid"), **text}
        | {"document": "article"},
        {**published("files/a.txt/test.txt", b"drei\n", split="test"), **text}
        | {"document": "article"},
    ]
    for file in manifest["files"]:
        found = Path("out", file["path"]).read_bytes()
        assert hashlib.sha256(found).hexdigest() == file["sha256"]
    assert waiting() == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_a_piece_has_its_bytes_wherever_chunks_and_characters_end(
    web: Site, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(download, "COPY_BYTES", chunk)
    content = "früh übt sich".encode()
    web.served["/a.txt"] = Served(content)
    cuts = {"whole.txt": (0, 6), "inside.txt": (3, 5), "end.txt": (5, len(content) - 5)}
    pieces = [
        {"path": path, "first_byte": first, "bytes": size} for path, (first, size) in cuts.items()
    ]
    entry = entry_of(published("a.txt", content, pieces=pieces), sources=[web.url])
    manifest = download_files("tiny", entry, params("tiny"), Path("out"))
    for path, (first, size) in cuts.items():
        cut = content[first : first + size]
        assert Path("out/files/a.txt", path).read_bytes() == cut
        (facts,) = (file for file in manifest["files"] if file["path"].endswith(path))
        assert (facts["bytes"], facts["sha256"]) == (size, hashlib.sha256(cut).hexdigest())


def test_of_a_file_that_is_another_no_piece_is_cut(web: Site) -> None:
    web.served["/a.txt"] = Served(b"eins zwei")
    pieces = [{"path": "x.txt", "first_byte": 0, "bytes": 3}]
    entry = entry_of(published("a.txt", b"one seven", pieces=pieces), sources=[web.url])
    with pytest.raises(PipelineError, match="sha256"):
        download_files("tiny", entry, params("tiny"), Path("out"))
    assert not Path("out/files/a.txt").exists()


def test_two_entries_may_share_a_folder_of_a_mirror(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror/whole").mkdir(parents=True)
    (tmp_path / "mirror/whole/a.txt").write_bytes(b"one")
    monkeypatch.setenv("REPRISE_MIRROR", str(tmp_path / "mirror"))
    gone = (tmp_path / "gone").as_uri()
    entry = entry_of(published("a.txt", b"one"), sources=[gone], mirrored_as="whole")
    download_files("cut", entry, params("cut"), Path("out"))
    assert Path("out/files/a.txt").read_bytes() == b"one"


def test_a_published_archive_without_named_members_gives_all(web: Site) -> None:
    content = zip_of("a.txt", "b.pdf", "c.html")
    web.served["/w.zip"] = Served(content)
    entry = entry_of(published("w.zip", content), sources=[web.url])
    manifest = download_files("tiny", entry, params("tiny"), Path("out"))
    names = [file["path"] for file in manifest["files"]]
    assert names == ["files/w.zip/a.txt", "files/w.zip/c.html"]
    assert manifest["sources"][0]["ignored"] == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "a.jsonl",
            "text_field: missing; name the field with the text of 'a.jsonl', in the catalogue",
        ),
        ("../a.txt", "member '../a.txt' leads out of its folder"),
    ],
)
def test_a_published_archive_with_a_fault_is_told(web: Site, name: str, line: str) -> None:
    content = zip_of(name)
    web.served["/w.zip"] = Served(content)
    entry = entry_of(published("w.zip", content), sources=[web.url])
    with pytest.raises(PipelineError) as caught:
        download_files("tiny", entry, params("tiny"), Path("out"))
    assert str(caught.value) == f"tiny/w.zip: {line}"
    assert waiting() == [hashlib.sha256(content).hexdigest()]


def test_a_second_download_waits_for_the_first(web: Site, caplog: pytest.LogCaptureFixture) -> None:
    web.served["/a.txt"] = Served(b"one")
    entry = entry_of(published("a.txt", b"one"), sources=[web.url])
    Path(download.WAITING).mkdir()
    is_held = threading.Event()
    requests_meanwhile = []

    def first() -> None:
        with FileLock(Path(download.WAITING) / "lock"):
            is_held.set()
            while not caplog.messages:
                time.sleep(0.005)
            requests_meanwhile.append(len(web.requests))

    thread = threading.Thread(target=first)
    with caplog.at_level("INFO"):
        thread.start()
        is_held.wait()
        download_files("tiny", entry, params("tiny"), Path("out"))
    thread.join()
    assert caplog.messages == [f"download: waits for another download in {Path.cwd()}/.downloads"]
    assert requests_meanwhile == [0]
    assert len(web.requests) == 1
    assert waiting() == []


def test_relative_paths_begin_at_the_project_folder_wherever_dvc_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir("/")
    assert from_the_project("../mirror") == f"{project}/../mirror"
    assert from_the_project("/mirror") == "/mirror"
    for address in ("s3://bucket", "https://host/a", "zip://::a.zip"):
        assert from_the_project(address) == address


def stage(url: str, content: bytes) -> list[str]:
    """A catalogue and settings for a published file, and the command of the stage."""
    entry = entry_of(published("a.txt", content), sources=[url])
    Path("data").mkdir()
    YAML().dump(
        {"tiny": entry.model_dump(exclude_none=True, mode="json")}, Path("data/catalog.yaml")
    )
    settings = YAML().load(ROOT / "params.yaml")
    settings["download"]["corpus"] = "tiny"
    YAML().dump(settings, Path("params.yaml"))
    return [sys.executable, "-B", "-m", "stages.download"]


@pytest.mark.slow
def test_a_killed_stage_goes_on_where_it_was(web: Site) -> None:
    content = os.urandom(1_000_000)
    web.served["/a.txt"] = Served(content, pause=0.1)
    arguments = stage(web.url, content)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE) as process:
        part = Path(download.WAITING, f"{hashlib.sha256(content).hexdigest()}.part")
        while not (part.exists() and part.stat().st_size > 50_000):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    come = part.stat().st_size
    web.served["/a.txt"] = Served(content)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny/a.txt goes on behind" in done.stderr
    assert "download: in tiny; out 1 files, 1.0 MB in data/download" in done.stderr
    assert web.requests == [("/a.txt", None), ("/a.txt", f"bytes={come}-")]
    assert Path("data/download/files/a.txt").read_bytes() == content
    assert waiting() == []


def corpora() -> Path:
    return Path(os.environ.get("REPRISE_TEST_CORPORA") or ROOT.parent / "shared/corpora")


@pytest.mark.slow
@pytest.mark.skipif(
    not corpora().is_dir(), reason="no folder of corpora: set REPRISE_TEST_CORPORA to one"
)
def test_a_folder_of_corpora_is_a_mirror_for_all_of_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reprise.catalog import find_entry

    monkeypatch.setenv("REPRISE_MIRROR", str(corpora()))
    entry = find_entry(ROOT / "data/catalog.yaml", "wikitext-2")
    assert isinstance(entry, FilesEntry)
    manifest = download_files("wikitext-2", entry, params("wikitext-2"), Path("out"))
    assert [(file["split"], file["bytes"]) for file in manifest["files"]] == [
        ("train", 10_797_148),
        ("valid", 1_121_681),
        ("test", 1_256_449),
    ]
