"""Fetching files from real servers that behave well and badly."""

import bz2
import gzip
import hashlib
import lzma
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from http_server import Served, Site, site
from s3_server import s3_server

from reprise import fetching
from reprise.errors import PipelineError
from reprise.fetching import Address, Wanted, address_below, fetch_all, measure

CONTENT = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"
HELP = "; check the network, or set REPRISE_MIRROR to a folder or an address that holds the corpus"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(fetching, "LONGEST_PAUSE_SECONDS", 0.01)
    with site() as here:
        yield here


def wanted(*addresses: str, content: bytes = CONTENT, mirror: str | None = None) -> Wanted:
    return Wanted(
        name="corpus/a.txt",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        published=tuple(map(Address, addresses)),
        mirrored=Address(mirror) if mirror else None,
    )


def fetched(folder: Path, *addresses: str, mirror: str | None = None) -> None:
    """The file is there, and nothing else."""
    fetch_all([wanted(*addresses, mirror=mirror)], folder)
    assert [path.name for path in folder.iterdir()] == [SHA256]
    assert (folder / SHA256).read_bytes() == CONTENT


def error_of(folder: Path, *addresses: str, mirror: str | None = None) -> str:
    """The one line without its fixed ends, where nothing is kept."""
    with pytest.raises(PipelineError) as caught:
        fetch_all([wanted(*addresses, mirror=mirror)], folder)
    assert list(folder.iterdir()) == []
    (line,) = caught.value.lines
    assert line.startswith("corpus/a.txt: could not be fetched; ")
    assert line.endswith(HELP)
    return line.removeprefix("corpus/a.txt: could not be fetched; ").removesuffix(HELP)


def test_a_file_comes_whole_in_one_request(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests == [("/a.txt", None)]
    assert web.agents == {"reprise"}


def test_the_same_content_under_two_names_comes_once(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT)
    fetch_all([wanted(f"{web.url}/a.txt"), wanted(f"{web.url}/b.txt")], tmp_path)
    assert web.requests == [("/a.txt", None)]


def test_a_slow_server_is_waited_for(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SILENCE_SECONDS", 0.3)
    web.served["/a.txt"] = Served(CONTENT[: 1 << 16] * 8, pause=0.02)  # longer than the limit
    content = web.served["/a.txt"].content
    fetch_all([wanted(f"{web.url}/a.txt", content=content)], tmp_path)
    assert web.requests == [("/a.txt", None)]


def test_a_silent_server_is_asked_again_for_the_rest(
    web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SILENCE_SECONDS", 0.1)
    web.served["/a.txt"] = Served(CONTENT, silences=[0.5])
    fetched(tmp_path, f"{web.url}/a.txt")
    (first, second) = web.requests
    assert first[1] is None
    assert second[1] is not None


def test_a_cut_off_body_goes_on_behind_what_has_come(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT, cut_after=[600_000, 900_000])
    fetched(tmp_path, f"{web.url}/a.txt")
    (_, first), (_, second), (_, third) = web.requests
    assert first is None
    # What the client had not yet handed over when the server hung up is lost: under 512 KiB.
    places = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
    assert 600_000 - (1 << 19) < places[0] <= 600_000
    assert places[0] <= places[1] <= 900_000


def test_the_rest_of_an_earlier_process_is_asked_for_exactly(web: Site, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:123_456])
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests == [("/a.txt", "bytes=123456-")]


def test_a_server_without_ranges_sends_all_again(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT, ranges=False, cut_after=[600_000])
    fetched(tmp_path, f"{web.url}/a.txt")
    assert len(web.requests) == 2


def test_a_whole_part_is_not_asked_for(web: Site, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests == []


@pytest.mark.parametrize("size", [400_000, 1_000_000, 1_200_000])
def test_a_part_of_something_else_is_dropped_and_all_comes_anew(
    web: Site, tmp_path: Path, size: int
) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(b"x" * size)
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests[-1] == ("/a.txt", None)


def test_a_redirect_is_followed(web: Site, tmp_path: Path) -> None:
    web.served["/old"] = Served(b"", redirect="/a.txt")
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/old")


def test_a_status_that_passes_is_waited_out(
    web: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web.served["/a.txt"] = Served(CONTENT, statuses=[503, 429])
    with caplog.at_level("INFO"):
        fetched(tmp_path, f"{web.url}/a.txt")
    assert caplog.messages == [
        f"download: {web.url}/a.txt: status 503 Service Unavailable; again in 0.001 s",
        f"download: {web.url}/a.txt: status 429 Too Many Requests; again in 0.002 s",
    ]


def test_the_pause_that_a_server_asks_for_is_kept(
    web: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web.served["/a.txt"] = Served(CONTENT, statuses=[503], retry_after="7")
    with caplog.at_level("INFO"):
        fetched(tmp_path, f"{web.url}/a.txt")
    assert caplog.messages[0].endswith("; again in 0.01 s")  # 7 s, but for the longest pause


def test_a_source_that_lacks_the_file_is_asked_once_and_the_next_one_has_it(
    web: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web.served["/b.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt", f"{web.url}/b.txt")
    assert web.requests == [("/a.txt", None), ("/b.txt", None)]
    assert caplog.messages == [f"download: {web.url}/a.txt: not found"]


def test_a_source_that_goes_on_where_another_ended_is_as_good(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT, cut_after=[600_000], statuses=[])
    web.served["/b.txt"] = Served(CONTENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "ATTEMPTS", 1)
        fetched(tmp_path, f"{web.url}/a.txt", f"{web.url}/b.txt")
    assert web.requests[1][0] == "/b.txt"
    assert web.requests[1][1] is not None


def test_a_wrong_hash_says_expected_got_and_from_where_and_keeps_nothing(
    web: Site, tmp_path: Path
) -> None:
    wrong = b"x" * len(CONTENT)
    web.served["/a.txt"] = Served(wrong)
    found = hashlib.sha256(wrong).hexdigest()
    assert error_of(tmp_path, f"{web.url}/a.txt") == (
        f"{web.url}/a.txt: sha256 {found}, expected {SHA256}"
    )
    assert len(web.requests) == 1


def test_after_a_wrong_hash_the_next_source_is_tried_from_the_beginning(
    web: Site, tmp_path: Path
) -> None:
    web.served["/a.txt"] = Served(b"x" * len(CONTENT))
    web.served["/b.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt", f"{web.url}/b.txt")
    assert web.requests == [("/a.txt", None), ("/b.txt", None)]


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Served(CONTENT + b"more"), "1,000,004 bytes, expected 1,000,000"),
        (Served(CONTENT[:-4]), "999,996 bytes, expected 1,000,000"),
        (Served(CONTENT + b"more", with_length=False), "more than the expected 1,000,000 bytes"),
        (Served(CONTENT[:-4], with_length=False), "not more than 999,996 bytes"),
        (
            Served(CONTENT[:-4], with_length=False, ranges=False),
            "ended after 999,996 of 1,000,000 bytes",
        ),
        (
            Served(PAGE),
            "an HTML page came instead of the file: 55 bytes, expected 1,000,000",
        ),
        (
            Served(PAGE, with_length=False),
            "an HTML page came instead of the file: ended after 55 of 1,000,000 bytes",
        ),
        (Served(b"", statuses=[403]), "status 403 Forbidden"),
        (Served(b"", statuses=[500] * 5), "status 500 Internal Server Error"),
    ],
)
def test_what_is_not_the_pinned_file_is_told(
    web: Site, tmp_path: Path, served: Served, reason: str
) -> None:
    web.served["/a.txt"] = served
    with pytest.raises(PipelineError) as caught:
        fetch_all([wanted(f"{web.url}/a.txt")], tmp_path)
    assert f"; {web.url}/a.txt: {reason}{HELP}" in str(caught.value)


def test_a_large_file_with_a_wrong_length_is_not_even_read(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT * 20)
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:1000])
    with pytest.raises(PipelineError):
        fetch_all([wanted(f"{web.url}/a.txt")], tmp_path)
    assert (tmp_path / f"{SHA256}.part").read_bytes() == CONTENT[:1000]  # of a better source


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("bytes */1000000", "a part of the file without its place (Content-Range)"),
        ("bytes 700-999/1000000", "a part from byte 700, asked for byte 500"),
    ],
)
def test_another_range_than_asked_for_is_told(
    web: Site, tmp_path: Path, told: str, reason: str
) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:500])
    web.served["/a.txt"] = Served(CONTENT, told_range=told)
    with pytest.raises(PipelineError) as caught:
        fetch_all([wanted(f"{web.url}/a.txt")], tmp_path)
    assert f"{web.url}/a.txt: {reason};" in str(caught.value)


def test_a_range_of_a_file_of_unknown_length_is_good(web: Site, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:500])
    web.served["/a.txt"] = Served(CONTENT, told_range="bytes 500-999999/*")
    fetched(tmp_path, f"{web.url}/a.txt")


def test_a_host_that_nobody_answers_at_is_asked_often_for_the_first_file_alone(
    tmp_path: Path, web: Site, caplog: pytest.LogCaptureFixture
) -> None:
    other = Wanted("b.txt", 1, hashlib.sha256(b"b").hexdigest(), (Address(f"{web.url}/b"),))
    (tmp_path / "a.txt").write_bytes(CONTENT)
    first = wanted("http://127.0.0.1:9/a.txt", str(tmp_path / "a.txt"))
    second = Wanted(
        "b.txt", 1, other.sha256, (Address("http://127.0.0.1:9/b"), Address(f"{web.url}/b"))
    )
    web.served["/b"] = Served(b"b")
    with caplog.at_level("INFO"):
        fetch_all([first, second], tmp_path / "new")
    retries = [message for message in caplog.messages if "; again in " in message]
    assert len(retries) == fetching.ATTEMPTS - 1
    assert "http://127.0.0.1:9/a.txt: Cannot connect to host 127.0.0.1:9" in caplog.messages[-2]


def test_all_sources_are_named_with_their_reasons_and_without_passwords(
    web: Site, tmp_path: Path
) -> None:
    host = web.url.removeprefix("http://")
    web.served["/b.txt"] = Served(PAGE)
    nowhere = f"{tmp_path}/nowhere.txt"
    folder = tmp_path / "new"
    assert error_of(folder, f"http://me:secret@{host}/a.txt", f"{web.url}/b.txt", nowhere) == (
        f"{web.url}/a.txt: not found; {web.url}/b.txt: an HTML page came instead of the file: "
        f"55 bytes, expected 1,000,000; {nowhere}: not found"
    )


def test_an_unknown_kind_of_address_and_a_folder_are_told(tmp_path: Path) -> None:
    line = error_of(tmp_path / "new", "gopher://host/a.txt", str(tmp_path))
    assert line.startswith("gopher://host/a.txt: Protocol not known: gopher; ")
    assert line.endswith(f"Is a directory: '{tmp_path}'")


def test_files_and_file_addresses_are_read(tmp_path: Path) -> None:
    (tmp_path / "三国 演义.txt").write_bytes(CONTENT)
    for number, address in enumerate(
        (f"{tmp_path}/三国 演义.txt", f"file://{tmp_path}/三国 演义.txt")
    ):
        (tmp_path / f"new{number}").mkdir()
        (tmp_path / f"new{number}/{SHA256}.part").write_bytes(CONTENT[:1000])
        fetched(tmp_path / f"new{number}", address)


def test_names_are_quoted_in_web_addresses_alone(web: Site, tmp_path: Path) -> None:
    name = "en/三国 100%+a?b.txt"
    assert address_below("s3://bucket/", name).url == f"s3://bucket/{name}"
    path = "/en/%E4%B8%89%E5%9B%BD%20100%25%2Ba%3Fb.txt"
    assert address_below(web.url, name).url == web.url + path
    web.served[path] = Served(CONTENT)
    fetched(tmp_path, address_below(web.url, name).url)


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_a_mirror_may_hold_the_file_packed(
    web: Site, tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    web.served[f"/a.txt{ending}"] = Served(pack(CONTENT))
    (tmp_path / "new").mkdir()
    (tmp_path / f"new/{SHA256}.part").write_bytes(CONTENT[:100_000])
    fetched(tmp_path / "new", mirror=f"{web.url}/a.txt")
    (tmp_path / f"a.txt{ending}").write_bytes(pack(CONTENT))
    fetched(tmp_path / "other", mirror=f"file://{tmp_path}/a.txt")


def test_the_mirror_comes_before_the_sources(web: Site, tmp_path: Path) -> None:
    web.served["/mirror/a.txt"] = web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt", mirror=f"{web.url}/mirror/a.txt")
    assert web.requests == [("/mirror/a.txt", None)]


def test_a_mirror_without_the_file_leaves_it_to_the_sources(
    web: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path / "new", f"{web.url}/a.txt", mirror=f"{tmp_path}/a.txt")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("ending", "content", "reason"),
    [
        (".gz", gzip.compress(CONTENT)[:-9], ".gz: Compressed file ended before the end-of-stream"),
        (".gz", b"no gzip", ".gz: Not a gzipped file"),
        (".zst", zstd(CONTENT)[:-9], ".zst: "),
        (".xz", b"no xz", ".xz: Input format not supported"),
        (".bz2", bz2.compress(CONTENT[:9]), ".bz2: ended after 9 of 1,000,000 bytes"),
        (".bz2", bz2.compress(CONTENT * 2), ".bz2: more than the expected 1,000,000 bytes"),
        ("", CONTENT[:9], "9 bytes, expected 1,000,000"),
    ],
)
def test_a_damaged_mirror_is_told(tmp_path: Path, ending: str, content: bytes, reason: str) -> None:
    (tmp_path / f"a.txt{ending}").write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        fetch_all([wanted(mirror=f"{tmp_path}/a.txt")], tmp_path / "new")
    assert f"{tmp_path}/a.txt: {reason}" in str(caught.value)


def test_a_mirror_that_lacks_the_file_in_every_form_is_told(tmp_path: Path) -> None:
    assert error_of(tmp_path / "new", mirror=f"{tmp_path}/a.txt") == (
        f"{tmp_path}/a.txt: not found, nor with .gz, .bz2, .xz, .zst"
    )


FETCH = """
import sys
from pathlib import Path
from reprise import fetching
from reprise.errors import PipelineError
file = fetching.Wanted("corpus/a.txt", int(sys.argv[2]), sys.argv[3],
                       (fetching.Address(sys.argv[1]),))
try:
    fetching.fetch_all([file], Path(sys.argv[4]))
except PipelineError as error:
    print(error)
"""


def fetching_process(url: str, folder: Path, limit: int | None = None) -> subprocess.Popen[str]:
    def full_disk() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-B", "-c", FETCH, url, str(len(CONTENT)), SHA256, str(folder)],
        env={"PYTHONPATH": str(Path(fetching.__file__).parents[1]), "NO_PROXY": "127.0.0.1"},
        preexec_fn=full_disk,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT, pause=0.1)
    part = tmp_path / f"{SHA256}.part"
    with fetching_process(f"{web.url}/a.txt", tmp_path) as process:
        while not (part.exists() and part.stat().st_size > 50_000):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    come = part.stat().st_size
    web.served["/a.txt"] = Served(CONTENT)
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests == [("/a.txt", None), ("/a.txt", f"bytes={come}-")]


def test_a_full_disk_keeps_what_has_come_and_the_next_process_goes_on(
    web: Site, tmp_path: Path
) -> None:
    web.served["/a.txt"] = Served(CONTENT)
    with fetching_process(f"{web.url}/a.txt", tmp_path, limit=300_000) as process:
        output, _ = process.communicate()
    part = tmp_path / f"{SHA256}.part"
    assert output == (
        f"{part}: cannot be written: File too large; what has come is kept; raise the limit on "
        "file size (ulimit -f) and run the same command: it goes on\n"
    )
    assert part.read_bytes() == CONTENT[:300_000]
    fetched(tmp_path, f"{web.url}/a.txt")
    assert web.requests[1] == ("/a.txt", "bytes=300000-")


def test_what_a_full_disk_took_of_the_first_piece_is_kept(tmp_path: Path) -> None:
    """A piece of the download may be larger than what still fits."""
    source = tmp_path / "source.txt"
    source.write_bytes(CONTENT)
    limit = 300
    with fetching_process(source.as_uri(), tmp_path / "new", limit=limit) as process:
        process.communicate()
    assert (tmp_path / "new" / f"{SHA256}.part").read_bytes() == CONTENT[:limit]


def test_a_library_that_is_not_here_is_told(tmp_path: Path) -> None:
    """In a process that cannot find s3fs, as after an install without the extra."""
    (tmp_path / "s3fs.py").write_text("raise ModuleNotFoundError(\"No module named 's3fs'\")\n")
    script = FETCH.replace(
        "import sys\n", f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n", 1
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, "s3://b/a.txt", "1", SHA256, str(tmp_path / "new")],
        env={"PYTHONPATH": str(Path(fetching.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "corpus/a.txt: could not be fetched; s3://b/a.txt: Install s3fs to access S3: "
        f"pip install 'reprise[cloud]'{HELP}\n"
    )


def test_an_address_is_measured(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(CONTENT, statuses=[503], cut_after=[600_000])
    assert measure(Address(f"{web.url}/a.txt")) == (1_000_000, SHA256)
    assert len(web.requests) == 3


def test_an_address_that_cannot_be_measured_is_told(web: Site, tmp_path: Path) -> None:
    web.served["/a.txt"] = Served(PAGE)
    for name, reason in (("a.txt", "an HTML page came instead of the file"), ("b", "not found")):
        with pytest.raises(PipelineError) as caught:
            measure(Address(f"{web.url}/{name}"))
        assert str(caught.value) == f"{web.url}/{name}: {reason}"


@pytest.mark.slow
def test_a_bucket_is_read_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    with s3_server("corpora", monkeypatch) as (address, bucket):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        bucket.put_object(Bucket="corpora", Key="en/a.txt", Body=CONTENT)
        bucket.put_object(Bucket="corpora", Key="en/c.txt.gz", Body=gzip.compress(CONTENT))
        (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:400_000])
        fetched(tmp_path, "s3://corpora/en/b.txt", "s3://corpora/en/a.txt")
        shutil.rmtree(tmp_path)
        fetched(tmp_path, mirror="s3://corpora/en/c.txt")
        shutil.rmtree(tmp_path)
        assert error_of(tmp_path, "s3://corpora/no.txt", "s3://nowhere/no.txt") == (
            "s3://corpora/no.txt: not found; s3://nowhere/no.txt: not found"
        )
        s3fs.S3FileSystem.clear_instance_cache()
