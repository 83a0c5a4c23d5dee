"""Outputs that appear whole or not at all, hashes, and JSON with one spelling."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reprise.errors import PipelineError

# What a person can do about a failed write, by the system's error number.
_REMEDIES = {
    errno.ENOSPC: "free some space on this disk and run the same command again",
    errno.EDQUOT: "free some of the disk quota and run the same command again",
    errno.EFBIG: "raise the limit on file size (ulimit -f) and run the same command again",
    errno.EROFS: "make the folder writable or work in another one",
    errno.EACCES: "make the folder writable or work in another one",
    errno.EPERM: "make the folder writable or work in another one",
    errno.EEXIST: "a file stands where a folder is needed: move it away",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EISDIR: "a folder stands where a file is needed: move it away",
}


@contextmanager
def readable_write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write `path` into one line for a person."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise PipelineError(
            f"{path}: cannot be written: {os.strerror(error.errno)}; "
            f"nothing half-written is left; {_REMEDIES[error.errno]}"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path beside `path`; it takes the name `path` once the body has ended well.

    A failing body leaves an existing `path` as it was and no scratch file. The suffix is kept,
    since some writers choose a format by it. A killed process leaves its scratch file, which the
    next one overwrites: its name is always the same.
    """
    with readable_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.parent / f".{path.stem}.unfinished{path.suffix}"
        scratch.touch()
        try:
            yield scratch
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(data: Any) -> str:
    """The same data always gives the same text: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, data: Any) -> None:
    """JSON for people and for git: sorted keys, two spaces, a newline at the end."""
    text = json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """The file's data; PipelineError where it is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file; run `dvc repro` to make it") from None
    except OSError as error:
        raise PipelineError(
            f"{path}: cannot be read: {error.strerror}; move it away and run `dvc repro`"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: not JSON: {error}; run `dvc repro` to make it anew") from None
