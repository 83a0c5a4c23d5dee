"""Archives, sound and hostile, are unpacked or refused whole."""

import gzip
import hashlib
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from reprise.archives import unpack
from reprise.errors import PipelineError
from reprise.params.download import DownloadParams

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
Files = Iterable[tuple[str | tarfile.TarInfo | zipfile.ZipInfo, bytes]]


def limits(**changes: int) -> DownloadParams:
    settings = {"max_unpacked_bytes": 1_000_000, "max_archive_files": 100} | changes
    return DownloadParams(
        corpus="a", document="file", text_field="text", encoding="utf-8", **settings
    )


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Files) -> Path:
    ending = "".join(path.suffixes[-2:]) if path.suffixes[-2:-1] == [".tar"] else path.suffix
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=TARS.get(ending, "w")) as archive:
        for name, content in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    packed = buffer.getvalue()
    path.write_bytes(pa.compress(packed, "zstd", asbytes=True) if ending == ".tar.zst" else packed)
    return path


MAKERS: list[tuple[str, Callable[[Path, Files], Path]]] = [("a.zip", zipped), ("a.tar", tarred)]
both = pytest.mark.parametrize(("name", "make"), MAKERS)


@pytest.mark.parametrize("name", ["a.zip", *(f"A{ending}" for ending in [*TARS, ".tar.zst"])])
def test_all_that_can_be_read_is_unpacked_and_the_rest_is_named(tmp_path: Path, name: str) -> None:
    make = zipped if name.endswith(".zip") else tarred
    big = os.urandom(2_500_000)
    archive = make(
        tmp_path / name,
        [
            ("./en/b.txt.gz", b"packed stays packed"),
            ("a.jsonl", big),
            ("en/notes.docx", b"?"),
            ("__MACOSX/a.jsonl", b"?"),
            ("en/._b.txt", b"?"),
            ("en/.DS_Store", b"?"),
            ("empty.txt", b""),
        ],
    )
    out = tmp_path / "out"
    files, others = unpack(archive, name, out, limits(max_unpacked_bytes=2_600_000))
    assert [(file.name, file.bytes) for file in files] == [
        ("a.jsonl", 2_500_000),
        ("empty.txt", 0),
        ("en/b.txt.gz", 19),
    ]
    assert files[0].sha256 == hashlib.sha256(big).hexdigest()
    assert others == ["en/notes.docx"]
    assert (out / "a.jsonl").read_bytes() == big
    assert sorted(path.name for path in out.rglob("*.*")) == ["a.jsonl", "b.txt.gz", "empty.txt"]


@both
def test_the_wanted_files_alone_are_unpacked_whatever_else_is_there(
    tmp_path: Path, name: str, make: Callable[[Path, Files], Path]
) -> None:
    files = [("wiki/train.tokens", b"one"), ("../evil.txt", b"?"), ("b.txt", b"two")]
    archive = make(tmp_path / name, files)
    found, others = unpack(archive, name, tmp_path / "out", limits(), {"wiki/train.tokens"})
    assert [file.name for file in found] == ["wiki/train.tokens"]
    assert (tmp_path / "out/wiki/train.tokens").read_bytes() == b"one"
    assert others == ["../evil.txt", "b.txt"]


def error_of(archive: Path, wanted: set[str] | None = None, **changes: int) -> str:
    out = archive.parent / "out"
    with pytest.raises(PipelineError) as caught:
        unpack(archive, archive.name, out, limits(**changes), wanted)
    assert not out.exists()
    assert sorted(path.name for path in archive.parent.iterdir()) == [archive.name]
    (line,) = caught.value.lines
    return line


@both
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/etc/a.txt", "is absolute"),
        ("c:/a.txt", "is absolute"),
        ("en/../../a.txt", "leads out of its folder"),
        ("../notes.docx", "leads out of its folder"),
        ("en\\a.txt", "holds a backslash"),
        ("en//a.txt", "holds an empty part or a single dot"),
        ("en/a\n.txt", "holds a control character"),
        ("x" * 201 + ".txt", "has a name of more than 200 bytes"),
        ("en/inner.tar.gz", "is an archive in an archive; unpack it and put its files there"),
        ("inner.ZIP", "is an archive in an archive; unpack it and put its files there"),
        ("good.txt", "is there twice"),
        ("good.txt/a.txt", "lies in a folder that is a file"),
    ],
)
def test_a_member_that_must_not_be_written_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path, Files], Path], path: str, fault: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of zipfile, at the second name
        archive = make(tmp_path / name, [("good.txt", b"good"), (path, b"bad")])
    assert error_of(archive) == f"{name}: member {path!r} {fault}"


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", [("caf\udce9.txt", b"?")])
    assert error_of(archive) == "a.tar: member 'caf\\udce9.txt' is not UTF-8"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (tarfile.SYMTYPE, "is a link or a device, not a file"),
        (tarfile.LNKTYPE, "is a link or a device, not a file"),
        (tarfile.CHRTYPE, "is a link or a device, not a file"),
        (tarfile.FIFOTYPE, "is a link or a device, not a file"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, fault: str) -> None:
    link = tarfile.TarInfo("link.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    archive = tarred(tmp_path / "a.tar", [("good.txt", b"good"), (link, b"")])
    assert error_of(archive) == f"a.tar: member 'link.txt' {fault}"


def test_a_sparse_file_in_a_tar_is_refused(tmp_path: Path) -> None:
    """A gigabyte of nothing, as GNU tar writes it."""
    info = tarfile.TarInfo("a.txt")
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 30)}
    archive = tarred(tmp_path / "a.tar", [(info, b"")])
    assert error_of(archive) == "a.tar: member 'a.txt' is a sparse file"


def test_links_and_encrypted_members_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    archive = zipped(tmp_path / "a.zip", [(link, b"/etc/passwd")])
    assert error_of(archive) == "a.zip: member 'link.txt' is a link or a device, not a file"
    zipped(archive, [("a.txt", b"secret")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    archive.write_bytes(content)
    assert error_of(archive) == (
        "a.zip: member 'a.txt' is encrypted; unpack it and give the folder"
    )


def test_an_unknown_compression_in_a_zip_is_told(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", [("a.txt", b"text")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 99
    content[8] = 99
    archive.write_bytes(content)
    assert error_of(archive) == (
        "a.zip: cannot be unpacked, it is damaged, cut off or of an unknown kind: "
        "That compression method is not supported; get it again"
    )


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_a_bomb_is_refused_while_it_unpacks(tmp_path: Path, name: str) -> None:
    make = zipped if name.endswith(".zip") else tarred
    archive = make(tmp_path / name, [("a.txt", bytes(600_000)), ("b.txt", bytes(400_001))])
    assert error_of(archive) == (
        f"{name}: unpacks to more than 1,000,000 bytes, reached in 'b.txt'; "
        "if that is right, raise download.max_unpacked_bytes"
    )
    files, _ = unpack(archive, name, tmp_path / "out", limits(max_unpacked_bytes=1_000_001))
    assert len(files) == 2


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", [("a.txt", bytes(3_000_000))])
    content = bytearray(archive.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 10)
    archive.write_bytes(content)
    assert error_of(archive).startswith("a.zip: cannot be unpacked, it is damaged, ")


def test_what_a_tar_unpacks_to_counts_where_nobody_wants_it(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar.gz", [("a.bin", bytes(1_000_001)), ("b.txt", b"text")])
    assert "unpacks to more than 1,000,000 bytes, reached in 'a.bin'" in error_of(archive)


@both
def test_too_many_files_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path, Files], Path]
) -> None:
    archive = make(tmp_path / name, [(f"{number}.txt", b"") for number in range(4)])
    assert error_of(archive, max_archive_files=3) == (
        f"{name}: holds more than 3 files, '3.txt' is the first beyond; "
        "if that is right, raise download.max_archive_files"
    )


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", [("x" * 2_000_000 + ".txt", b"text")])
    assert "it is damaged, cut off or of an unknown kind: a header of 2,000" in error_of(archive)


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tar.zst"]
)
@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, name: str, part: float) -> None:
    make = zipped if name.endswith(".zip") else tarred
    archive = make(tmp_path / name, [("a.txt", os.urandom(100_000)), ("b.txt", b"b" * 99)])
    whole = archive.read_bytes().rstrip(b"\0") if name == "a.tar" else archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * part)])
    assert error_of(archive).startswith(
        f"{name}: cannot be unpacked, it is damaged, cut off or of an unknown kind: "
    )


def test_a_tar_that_is_cut_off_between_two_files_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", [("a.txt", b"a" * 512), ("b.txt", b"b")])
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "cut off or of an unknown kind: empty header; get it again" in error_of(archive)


def test_a_checksum_behind_the_last_file_counts(tmp_path: Path) -> None:
    plain = tarred(tmp_path / "a.tar", [("a.txt", b"text")]).read_bytes()
    (tmp_path / "a.tar").unlink()
    packed = bytearray(gzip.compress(plain + bytes(3_000_000)))
    packed[-8] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(packed)
    assert "of an unknown kind: CRC check failed" in error_of(tmp_path / "a.tar.gz")


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    """Each is read within the one before."""
    header = tarfile.TarInfo("a.txt")
    header.pax_headers = {"comment": "more"}
    one = header.tobuf(tarfile.PAX_FORMAT)[:1024]
    (tmp_path / "a.tar").write_bytes(one * 3000)
    assert "of an unknown kind: maximum recursion depth" in error_of(tmp_path / "a.tar")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", [("a.txt", os.urandom(1000))])
    content = bytearray(archive.read_bytes())
    content[500] ^= 1
    archive.write_bytes(content)
    assert "of an unknown kind: Bad CRC-32 for file 'a.txt'; get it again" in error_of(archive)


@both
def test_an_archive_without_texts_is_told(
    tmp_path: Path, name: str, make: Callable[[Path, Files], Path]
) -> None:
    line = error_of(make(tmp_path / name, []))
    assert line.startswith(f"{name}: holds no file that can be read, but nothing; expected .txt, ")
    line = error_of(make(tmp_path / name, [(f"{letter}.pdf", b"") for letter in "abcd"]))
    assert line.startswith(
        f"{name}: holds no file that can be read, but 4 others (a.pdf, b.pdf, c.pdf, ...); expected"
    )


@both
def test_a_wanted_file_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, name: str, make: Callable[[Path, Files], Path]
) -> None:
    archive = make(tmp_path / name, [("en/train.txt", b"text"), ("en/valid.txt", b"text")])
    assert error_of(archive, {"en/train.txt", "test.txt"}) == (
        f"{name}: holds no test.txt; there: en/train.txt, en/valid.txt"
    )
