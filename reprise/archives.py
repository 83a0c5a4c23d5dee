"""Archives (zip, and tar in all packings) unpacked without trust in what they say of themselves."""

import hashlib
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tarfile import HeaderError, ReadError, TarFile, TarInfo
from typing import IO, Self

import pyarrow as pa

from reprise.catalog import path_fault
from reprise.errors import PipelineError
from reprise.files import readable_write_errors
from reprise.formats import READABLE, archive_packing, format_of, is_archive
from reprise.params.download import DownloadParams
from reprise.unpacking import unpacking

PIECE_BYTES = 1 << 20
LONGEST_HEADER = 1 << 20  # bytes
HEADERS_IN_MEMORY = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)

_END: type[HeaderError] = tarfile.EOFHeaderError  # type: ignore[attr-defined]

# What the libraries raise on files that are damaged or cut off; OSError is gzip's and Arrow's, too.
DAMAGES = (
    EOFError,
    lzma.LZMAError,
    pa.ArrowInvalid,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Unpacked:
    """A member as it lies now, by its name in the archive."""

    name: str
    bytes: int
    sha256: str


class _Refused(Exception):  # noqa: N818, it is told as a PipelineError
    """Why the archive is not unpacked."""


def unpack(
    archive: Path,
    name: str,
    into: Path,
    params: DownloadParams,
    wanted: Collection[str] | None = None,
) -> tuple[list[Unpacked], list[str]]:
    """Write the files of an archive below the folder `into`; (files, names of others), by name.

    All files with an ending that can be read, or those whose names are wanted. PipelineError, with
    the archive by `name`, and nothing left in `into` where anything is wrong with it.
    """
    try:
        with _sound():
            files, others = _unpack(archive, name, into, params, wanted)
        if wanted is not None and (missing := set(wanted) - {file.name for file in files}):
            there = ", ".join([*(file.name for file in files), *others][:10])
            raise _Refused(f"holds no {', '.join(sorted(missing))}; there: {there}")
        if not files:
            some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            found = f"{len(others)} others ({some})" if others else "nothing"
            raise _Refused(f"holds no file that can be read, but {found}; expected {READABLE}")
    except _Refused as fault:
        shutil.rmtree(into, ignore_errors=True)
        raise PipelineError(f"{name}: {fault}") from None
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return sorted(files, key=lambda file: file.name), sorted(others)


def _unpack(
    archive: Path, name: str, into: Path, params: DownloadParams, wanted: Collection[str] | None
) -> tuple[list[Unpacked], list[str]]:
    files: dict[str, Unpacked] = {}
    others: list[str] = []
    room = _Room(params)
    open_members = _zip_members if name.lower().endswith(".zip") else _tar_members
    for member in open_members(archive, name):
        path = member.name.rstrip("/").removeprefix("./")
        room.take_file(member.name)
        if wanted is None or path in wanted:
            _check(member, path, files)
        if not member.is_folder and _is_used(path, wanted):
            files[path] = _write(member, path, into / path, room)
            continue
        room.take_bytes(member.bytes_to_skip, member.name)
        if not member.is_folder and not _is_clutter(path):
            others.append(path)
    return list(files.values()), others


def _is_used(path: str, wanted: Collection[str] | None) -> bool:
    if wanted is not None:
        return path in wanted
    return format_of(path) is not None and not _is_clutter(path)


@dataclass(frozen=True)
class _Member:
    name: str
    is_folder: bool
    fault: str | None  # why it is not to be unpacked, whatever its name
    file: IO[bytes]
    bytes_to_skip: int = 0  # which are unpacked also where nobody reads them


class _Room:
    """What is left of the limits."""

    def __init__(self, params: DownloadParams) -> None:
        self._params = params
        self._files = self._bytes = 0

    def take_file(self, member: str) -> None:
        self._files += 1
        if self._files > self._params.max_archive_files:
            raise _Refused(
                f"holds more than {self._params.max_archive_files:,} files, {member!r} is the "
                "first beyond; if that is right, raise download.max_archive_files"
            )

    def take_bytes(self, count: int, member: str) -> None:
        self._bytes += count
        if self._bytes > self._params.max_unpacked_bytes:
            raise _Refused(
                f"unpacks to more than {self._params.max_unpacked_bytes:,} bytes, reached in "
                f"{member!r}; if that is right, raise download.max_unpacked_bytes"
            )


def _check(member: _Member, path: str, files: Collection[str]) -> None:
    fault = path_fault(path) if path not in ("", ".") else None
    if fault is None and not member.is_folder:
        fault = member.fault
        if path in files:
            fault = "is there twice"
        elif any(str(folder) in files for folder in PurePosixPath(path).parents):
            fault = "lies in a folder that is a file"
        elif is_archive(path) and not _is_clutter(path):
            fault = "is an archive in an archive; unpack it and put its files there"
    if fault:
        raise _Refused(f"member {member.name!r} {fault}")


def _is_clutter(path: str) -> bool:
    """What macOS puts into archives beside the files."""
    parts = path.split("/")
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _write(member: _Member, path: str, target: Path, room: _Room) -> Unpacked:
    digest = hashlib.sha256()
    size = 0
    with readable_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("wb")
    with file:
        while piece := member.file.read(PIECE_BYTES):
            room.take_bytes(len(piece), member.name)
            size += len(piece)
            digest.update(piece)
            with readable_write_errors(target):
                file.write(piece)
        with readable_write_errors(target):
            file.flush()
    return Unpacked(path, size, digest.hexdigest())


def _zip_members(archive: Path, name: str) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            fault = None
            if info.flag_bits & 0x1:
                fault = "is encrypted; unpack it and give the folder"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                fault = "is a link or a device, not a file"
            if info.is_dir() or fault:
                yield _Member(info.orig_filename, info.is_dir(), fault, io.BytesIO())
                continue
            with file.open(info) as content:
                yield _Member(info.orig_filename, False, None, content)


class _Header(TarInfo):
    """A member of a tar; a damaged header is an error anywhere, not the end."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if isinstance(error, _END):
                raise
            raise ReadError(str(error)) from None

    def _proc_member(self, tarfile: TarFile) -> TarInfo:  # for subclasses, as tarfile says
        if self.type in HEADERS_IN_MEMORY and self.size > LONGEST_HEADER:
            raise ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tarfile)  # type: ignore[misc]


def _tar_members(archive: Path, name: str) -> Iterator[_Member]:
    packing = archive_packing(name)
    with (
        archive.open("rb") as packed,
        unpacking(packed, packing) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as file,
    ):
        while (info := file.next()) is not None:
            file.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            fault = None if info.isfile() else "is a link or a device, not a file"
            if info.issparse():
                fault = "is a sparse file"
            content = file.extractfile(info) if not fault else None
            size = max(0, info.size)
            yield _Member(info.name, info.isdir(), fault, content or io.BytesIO(), size)
        while stream.read(PIECE_BYTES):  # to the end, where a packing has its checksum
            pass


@contextmanager
def _sound() -> Iterator[None]:
    try:
        yield
    except (*DAMAGES, OSError, ValueError, NotImplementedError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the system's
        raise _Refused(
            f"cannot be unpacked, it is damaged, cut off or of an unknown kind: {error}; "
            "get it again"
        ) from None
