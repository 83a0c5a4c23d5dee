"""Checkpoints: all that training needs to go on, in files that are whole or are passed over.

A checkpoint file is 8 bytes of magic, 32 bytes of SHA-256 of the rest, and the rest: what
torch.save writes, tensors and plain values only. They live outside DVC's outs, in a folder named
after the run key: `.checkpoints/<run key>/` under the main checkout.
"""

import hashlib
import io
import logging
import re
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from reprise.checkout import main_checkout
from reprise.files import replacing

log = logging.getLogger(__name__)

MAGIC = b"REPRISE1"
NAME = re.compile(r"step-(\d{9})\.checkpoint")


class CheckpointFolder:
    """The checkpoints of one run key. The newest whole ones are kept, older ones removed."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    @classmethod
    def of_run(cls, run_key: str, keep: int) -> "CheckpointFolder":
        return cls(main_checkout() / ".checkpoints" / run_key, keep)

    def lock(self) -> FileLock:
        """Held by the one process that trains this key; another waits, then finds it done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process trains this very run; waiting for it", self.folder)
            lock.acquire()
        return lock

    def save(self, step: int, state: dict[str, Any]) -> Path:
        path = self._path(step)
        write_checkpoint(path, state)
        self.clear(keep=self.keep)
        return path

    def newest(self) -> dict[str, Any] | None:
        """The newest whole checkpoint's state; broken ones are named in the log and removed."""
        for step in reversed(self._steps()):
            state = read_checkpoint(self._path(step))
            if state is not None:
                return state
            log.warning(
                "%s: cut short or changed since it was written; going back to the one before",
                self._path(step),
            )
            self._path(step).unlink()
        return None

    def clear(self, keep: int = 0) -> None:
        """Remove all but the newest `keep`."""
        for step in self._steps()[: -keep or None]:
            self._path(step).unlink(missing_ok=True)

    def bytes(self) -> int:
        """On the disk, of all that are there."""
        return sum(self._path(step).stat().st_size for step in self._steps())

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.checkpoint"

    def _steps(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        matches = (NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with replacing(path) as scratch, scratch.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(content).digest())
        file.write(content)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state, on the CPU; None for a file that is cut short or changed. Nothing is unpickled
    but tensors and plain values."""
    content = path.read_bytes()
    head, digest, rest = content[:8], content[8:40], memoryview(content)[40:]
    if head != MAGIC or hashlib.sha256(rest).digest() != digest:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    return state
