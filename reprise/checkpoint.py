"""Checkpoints: all that training needs to go on, in files that are whole or are passed over.

A checkpoint file is 8 bytes of magic, 32 bytes of SHA-256 of the rest, and the rest: what
torch.save writes, tensors and plain values only. They live outside DVC's outs, in a folder named
after the run key: `.checkpoints/<run key>/` under the main checkout.
"""

import hashlib
import io
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from reprise.checkout import main_checkout
from reprise.errors import Interrupted
from reprise.files import readable_write_errors, replacing
from reprise.interruption import StopRequest

log = logging.getLogger(__name__)

MAGIC = b"REPRISE1"
NAME = re.compile(r"step-(\d{9})\.checkpoint")
SECONDS_BETWEEN_LOOKS = 0.5  # at a lock that another process holds
UNFINISHED = ".step-*.checkpoint"  # as `replacing` names what it writes to


class CheckpointFolder:
    """The checkpoints of one run key. The newest whole ones are kept, older ones removed.

    Those of every `every` steps are made by any run of this key; the others where a run was told to
    stop. The newest of the first kind is always kept: what a run goes back to after a fault must
    not depend on where it was stopped.
    """

    def __init__(self, folder: Path, keep: int, every: int = 1) -> None:
        self.folder, self.keep, self.every = folder, keep, every

    @classmethod
    def of_run(cls, run_key: str, keep: int, every: int = 1) -> "CheckpointFolder":
        return cls(main_checkout() / ".checkpoints" / run_key, keep, every)

    def lock(self) -> FileLock:
        """Held by the one process that trains this key; another waits, then finds it done.

        What a killed process was writing is removed.
        """
        lock = FileLock(self.folder / "lock")
        try:
            with readable_write_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process trains this very run; waiting for it", self.folder)
            self._wait_for(lock)
        for path in self.folder.glob(UNFINISHED):
            with suppress(OSError):
                path.unlink()
        return lock

    @staticmethod
    def _wait_for(lock: FileLock) -> None:
        with StopRequest() as stop:
            while not lock.is_locked:
                with suppress(Timeout):
                    lock.acquire(timeout=SECONDS_BETWEEN_LOOKS)
                if reason := stop.reason():  # also where the other has just been stopped as well
                    lock.release()
                    raise Interrupted(f"stopped by {reason}, while waiting for another process")

    def save(self, step: int, state: dict[str, Any]) -> Path:
        path = self._path(step)
        write_checkpoint(path, state | {"run_key": self.folder.name})
        done = [number for number in self._steps() if number <= step]
        scheduled = [number for number in done if number % self.every == 0]
        self._remove_all_but({*done[-self.keep :], *scheduled[-1:]})
        return path

    def newest(self, *, scheduled: bool = False) -> dict[str, Any] | None:
        """The newest whole checkpoint's state, or the newest of those that every run makes; broken
        ones are named in the log and removed, and one of another run gets another name."""
        for step in reversed(self._steps()):
            if scheduled and step % self.every:
                continue
            path = self._path(step)
            try:
                state = read_checkpoint(path)
                fault = "cut short or changed since it was written"
            except OSError as error:
                state, fault = None, f"cannot be read: {error.strerror}"
            if state is not None and state.pop("run_key", None) != self.folder.name:
                # Someone has put it here. Going on from it would give other bytes than the run's.
                self._set_aside(path, "of-another-run", "was made by another run")
                continue
            if state is not None:
                return state
            before = "going back to the one before" if step != self._steps()[0] else "none is left"
            log.warning("%s: %s; %s", path, fault, before)
            try:
                path.unlink()
            except OSError:
                self._set_aside(path, "broken", "cannot be removed")
        return None

    @staticmethod
    def _set_aside(path: Path, ending: str, why: str) -> None:
        """Under another name, where it is in nobody's way; what stays is passed over again."""
        other = path.with_name(f"{path.name}.{ending}")
        try:
            path.replace(other)
        except OSError:
            other = path
        log.warning("%s: %s, so it is passed over; you can remove %s", path, why, other.name)

    def remove_after(self, step: int) -> None:
        """What was saved past a step that a run goes back to: it would be taken for the newest."""
        self._remove_all_but({number for number in self._steps() if number <= step})

    def clear(self, keep: int = 0) -> None:
        """Remove all but the newest `keep`."""
        self._remove_all_but(set(self._steps()[-keep:]) if keep else set())

    def _remove_all_but(self, kept: set[int]) -> None:
        for step in self._steps():
            if step not in kept:
                with suppress(OSError):  # somebody else's folder, say
                    self._path(step).unlink()

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
    # Released here: Python 3.12 can crash where a failed write leaves the view as garbage (its
    # issue 111211, seen with 3.12.1).
    with buffer.getbuffer() as content, replacing(path) as scratch, scratch.open("wb") as file:
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
