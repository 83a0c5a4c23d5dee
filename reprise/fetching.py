"""Fetch published files, by their bytes and sha256, from the first address that has them.

Every kind of address that fsspec knows will do: https, s3, gs, hf, file, plain paths and more.
A file grows as <sha256>.part and becomes <sha256> once its hash is right. What has come stays
when a process ends, however it ends, and the next one goes on behind it.
"""

import codecs
import errno
import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import aiohttp
import fsspec

from reprise.archives import DAMAGES
from reprise.errors import PipelineError
from reprise.files import readable_write_errors
from reprise.formats import PACKINGS, format_of
from reprise.progress import Progress
from reprise.unpacking import unpacking

log = logging.getLogger(__name__)

ATTEMPTS = 5  # at one address, in a row without a new byte
FIRST_PAUSE_SECONDS = 1.0  # doubled with each attempt
LONGEST_PAUSE_SECONDS = 60.0
CONNECT_SECONDS = 30.0
SILENCE_SECONDS = 60.0  # without a byte; a download may take as long as it takes
PIECE_BYTES = 1 << 20
BLOCK_BYTES = 1 << 23  # a request's, where a file system has no streams
BEGINNING_BYTES = 512

HTTP = ("http://", "https://")
HTTP_PARTIAL_CONTENT, HTTP_RANGE_NOT_SATISFIABLE = 206, 416
STATUSES_THAT_PASS = (408, 425, 429)  # and all from 500

REMEDIES = {
    errno.ENOSPC: "free some space on this disk",
    errno.EDQUOT: "free some of the disk quota",
    errno.EFBIG: "raise the limit on file size (ulimit -f)",
}
CLOUD_LIBRARIES = ("s3fs", "gcsfs", "huggingface_hub")

# What clients raise beside OSError when the other side fails; only those that are loaded count.
_CLIENT_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
    ("ftplib", "Error"),
)


@dataclass(frozen=True)
class Address:
    """Where a file may be; a packed one holds it under a packing's ending."""

    url: str
    packing: str | None = None

    @property
    def shown(self) -> str:
        """Without a name and password."""
        return re.sub(r"//[^/@]*@", "//", self.url)

    @property
    def host(self) -> str:
        return "/".join(self.url.split("/")[:3])

    @property
    def is_http(self) -> bool:
        return self.url.startswith(HTTP)

    @property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")


@dataclass(frozen=True)
class Wanted:
    """A file by its content. `mirrored` is tried first; packed, too, where it is not there."""

    name: str
    bytes: int
    sha256: str
    published: tuple[Address, ...]
    mirrored: Address | None = None


NOT_FOUND = "not found"


class _WrongContent(Exception):  # noqa: N818, it is a reason to try the next address
    """The address answers, but with something else than the pinned file."""


class _CutOff(OSError):  # noqa: N818, one more attempt may mend it
    """The content ended early, without an error."""


def address_below(folder: str, path: str) -> Address:
    """The address of `path` below a folder or an address of one."""
    below = quote(path) if folder.startswith(HTTP) else path
    return Address(f"{folder.rstrip('/')}/{below}")


def fetch_all(wanted: Iterable[Wanted], folder: Path) -> None:
    """Fetch each file to folder/<sha256>; PipelineError tells why each of its addresses failed."""
    files: dict[str, Wanted] = {}
    for file in wanted:
        files.setdefault(file.sha256, file)
    with readable_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs tracebacks of what is told here
    tired: set[str] = set()
    with Progress("download", sum(file.bytes for file in files.values()), "B") as progress:
        progress.resume_at(sum(_bytes_here(file, folder) for file in files.values()))
        for file in files.values():
            if not (folder / file.sha256).is_file():
                _fetch(file, folder, progress, tired)


def measure(address: Address) -> tuple[int, str]:
    """(bytes, sha256) of what is there; PipelineError where it cannot be had."""
    failed = 0
    while True:
        try:
            return _measure(address)
        except _failures() as error:
            failed += 1
            if address.is_local or failed >= ATTEMPTS or not _may_pass(error):
                raise PipelineError(f"{address.shown}: {_reason(error)}") from None
            _pause(address, error, failed)


def _measure(address: Address) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with _opened(address, 0) as (stream, _, total), Progress("catalog", total, "B") as progress:
        while piece := stream.read(PIECE_BYTES):
            if size == 0 and _is_page(piece, address.url):
                raise PipelineError(f"{address.shown}: an HTML page came instead of the file")
            digest.update(piece)
            size += len(piece)
            progress.advance(len(piece))
    return size, digest.hexdigest()


def _bytes_here(file: Wanted, folder: Path) -> int:
    places = (folder / file.sha256, folder / f"{file.sha256}.part")
    return max((place.stat().st_size for place in places if place.is_file()), default=0)


def _fetch(file: Wanted, folder: Path, progress: Progress, tired: set[str]) -> None:
    with _Part(folder / f"{file.sha256}.part", file, progress) as part:
        if not part.is_complete() and (faults := _faults_of_addresses(part, tired)):
            raise PipelineError(
                f"{file.name}: could not be fetched; {'; '.join(faults)}; check the network, "
                "or set REPRISE_MIRROR to a folder or an address that holds the corpus"
            )
    with readable_write_errors(folder):
        part.path.replace(folder / file.sha256)


def _faults_of_addresses(part: "_Part", tired: set[str]) -> list[str]:
    """Fetch from the first address that has the file: no faults; else those of all."""
    faults: list[str] = []
    mirrored = part.wanted.mirrored
    if mirrored:
        fault = _fetch_from(mirrored, part, tired)
        if fault == NOT_FOUND:
            for ending, packing in PACKINGS.items():
                fault = _fetch_from(Address(mirrored.url + ending, packing), part, tired)
                if fault != NOT_FOUND:
                    fault = fault and f"{ending}: {fault}"
                    break
            else:
                fault = f"{NOT_FOUND}, nor with {', '.join(PACKINGS)}"
        if fault is None:
            return []
        faults.append(f"{mirrored.shown}: {fault}")
        if not fault.startswith(NOT_FOUND):
            log.warning("download: %s", faults[-1])
    for address in part.wanted.published:
        fault = _fetch_from(address, part, tired)
        if fault is None:
            return []
        faults.append(f"{address.shown}: {fault}")
        log.warning("download: %s", faults[-1])
    return faults


def _fetch_from(address: Address, part: "_Part", tired: set[str]) -> str | None:
    """None once the part is the whole file; else why this address did not give it.

    An address that failed again and again makes its host `tired`: for other files it is asked once.
    """
    attempts = 1 if address.is_local or address.host in tired else ATTEMPTS
    failed, furthest, begun_anew = 0, part.bytes, False
    while True:
        try:
            _append(address, part)
            return None
        except _WrongContent as error:
            if part.bytes or not part.is_joined or begun_anew:
                return str(error)
            log.warning("download: %s: what was here does not fit; it begins anew", address.shown)
            part.is_joined, begun_anew, furthest = False, True, 0
            continue
        except _failures() as error:
            failed = 1 if part.bytes > furthest else failed + 1
            furthest = max(furthest, part.bytes)
            if not _may_pass(error):
                return _reason(error)
            if failed >= attempts:
                tired.add(address.host)
                return _reason(error)
            _pause(address, error, failed)


def _pause(address: Address, error: Exception, failed: int) -> None:
    asked = None
    if isinstance(error, aiohttp.ClientResponseError) and error.headers:
        asked = error.headers.get("Retry-After")
    doubled = FIRST_PAUSE_SECONDS * 2 ** (failed - 1)
    pause = float(asked) if asked and asked.isdecimal() else doubled
    pause = min(pause, LONGEST_PAUSE_SECONDS)
    log.info("download: %s: %s; again in %g s", address.shown, _reason(error), pause)
    time.sleep(pause)


def _append(address: Address, part: "_Part") -> None:
    """Complete the part from this address, from where it stands."""
    wanted = part.wanted
    part.is_joined = part.bytes > 0
    with _opened(address, part.bytes) as (stream, start, total):
        if total is not None and total != wanted.bytes:
            beginning = stream.read(BEGINNING_BYTES) if start == 0 else b""
            found = f"{total:,} bytes, expected {wanted.bytes:,}"
            raise _WrongContent(_told(found, beginning, wanted.name))
        known = part.bytes - start
        while piece := stream.read(PIECE_BYTES):
            new = piece[known:]
            known = max(0, known - len(piece))
            if part.bytes + len(new) > wanted.bytes:
                found = f"more than the expected {wanted.bytes:,} bytes"
                raise _WrongContent(_told(found, part.start_over(), wanted.name))
            part.append(new)
    if part.bytes < wanted.bytes:
        found = f"ended after {part.bytes - known:,} of {wanted.bytes:,} bytes"
        if address.packing or _is_page(part.beginning(), wanted.name):
            raise _WrongContent(_told(found, part.start_over(), wanted.name))
        raise _CutOff(found)
    if not part.is_complete():
        found = f"sha256 {part.sha256}, expected {wanted.sha256}"
        raise _WrongContent(_told(found, part.start_over(), wanted.name))


@contextmanager
def _opened(address: Address, offset: int) -> Iterator[tuple[IO[bytes], int, int | None]]:
    """(stream, the place in the file where it begins, the file's bytes if they are known)."""
    options = {"client_kwargs": {"trust_env": True}} if address.is_http else {}
    system, path = fsspec.core.url_to_fs(address.url, **options)
    start, total = 0, None
    if address.is_http:
        headers = {"User-Agent": "reprise", "Accept-Encoding": "identity"}
        if offset and not address.packing:
            headers["Range"] = f"bytes={offset}-"
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        try:
            file = system.open(
                path,
                block_size=0,  # one request
                size=1,  # else another one would ask for it
                headers=headers,
                timeout=timeout,
                auto_decompress=False,
            )
        except aiohttp.ClientResponseError as error:
            if error.status != HTTP_RANGE_NOT_SATISFIABLE:
                raise
            raise _WrongContent(f"not more than {offset:,} bytes") from None
        start, total = _range_of(file.r, offset)
    else:
        file = system.open(path, block_size=BLOCK_BYTES)
    with file:
        if address.packing:
            with unpacking(file, address.packing) as stream:
                yield stream, 0, None
            return
        if not address.is_http:
            total = file.seek(0, os.SEEK_END)
            start = file.seek(min(offset, total))
        yield file, start, total


def _range_of(response: aiohttp.ClientResponse, offset: int) -> tuple[int, int | None]:
    """Where the content begins in the file, and the bytes of the whole file."""
    if response.status != HTTP_PARTIAL_CONTENT:
        return 0, response.content_length
    told = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if told is None:
        raise _WrongContent("a part of the file without its place (Content-Range)")
    if int(told[1]) > offset:
        raise _WrongContent(f"a part from byte {told[1]}, asked for byte {offset}")
    return int(told[1]), None if told[2] == "*" else int(told[2])


def _is_page(beginning: bytes, name: str) -> bool:
    """It looks like a page for people, and none is wanted."""
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html")) and format_of(name) != "html"


def _told(found: str, beginning: bytes, name: str) -> str:
    page = "an HTML page came instead of the file: " if _is_page(beginning, name) else ""
    return page + found


def _failures() -> tuple[type[Exception], ...]:
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in _CLIENT_ERRORS)
    known = [kind for kind in loaded if kind is not None]
    return (OSError, ValueError, ImportError, aiohttp.ClientError, *DAMAGES, *known)


def _may_pass(error: Exception) -> bool:
    """Whether the same address may do better a little later."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500 or error.status in STATUSES_THAT_PASS
    if isinstance(error, DAMAGES):
        return True
    lasting = (ImportError, ValueError, FileNotFoundError, PermissionError, IsADirectoryError)
    return not isinstance(error, lasting) and "Credentials" not in type(error).__name__


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return NOT_FOUND
    if isinstance(error, aiohttp.ClientResponseError):
        return f"status {error.status} {error.message}".strip()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    told = " ".join(str(error).split()) or type(error).__name__
    is_extra = isinstance(error, ImportError) and any(name in told for name in CLOUD_LIBRARIES)
    return f"{told}: pip install 'reprise[cloud]'" if is_extra else told


class _Part:
    """What has come of a file, on the disk as soon as it comes."""

    def __init__(self, path: Path, wanted: Wanted, progress: Progress) -> None:
        self.path, self.wanted = path, wanted
        self.bytes = 0
        self.is_joined = False  # its content came in several pieces, perhaps of different files
        self._progress = progress
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        with self._kept():
            self._file = self.path.open("ab+", buffering=0)
            self._file.seek(0)
            while piece := self._file.read(PIECE_BYTES):
                self._digest.update(piece)
                self.bytes += len(piece)
        if self.bytes >= self.wanted.bytes and not self.is_complete():
            self.start_over()
        elif 0 < self.bytes < self.wanted.bytes:
            log.info("download: %s goes on behind %s bytes", self.wanted.name, f"{self.bytes:,}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if not self.bytes and self.wanted.bytes:
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def is_complete(self) -> bool:
        if self.bytes != self.wanted.bytes or self.sha256 != self.wanted.sha256:
            return False
        with self._kept():
            os.fsync(self._file.fileno())
        return True

    def append(self, piece: bytes) -> None:
        left = memoryview(piece)
        with self._kept():
            while left:  # a full disk may take a part of it, which counts then
                written = self._file.write(left)
                self._digest.update(left[:written])
                self.bytes += written
                self._progress.advance(written)
                left = left[written:]

    def beginning(self) -> bytes:
        with self._kept():
            self._file.seek(0)
            return self._file.read(BEGINNING_BYTES)

    def start_over(self) -> bytes:
        """Forget all that came; give its beginning."""
        beginning = self.beginning()
        with self._kept():
            self._file.truncate(0)
        self._progress.advance(-self.bytes)
        self.bytes, self._digest = 0, hashlib.sha256()
        return beginning

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = REMEDIES.get(error.errno or 0, "make the folder writable")
            raise PipelineError(
                f"{self.path}: cannot be written: {error.strerror or error}; what has come is "
                f"kept; {remedy} and run the same command: it goes on"
            ) from error
