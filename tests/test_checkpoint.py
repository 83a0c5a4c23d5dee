"""Checkpoints are whole or passed over."""

import errno
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import psutil
import pytest
import torch

from reprise.checkpoint import CheckpointFolder, read_checkpoint, write_checkpoint
from reprise.errors import PipelineError


def state(number: int) -> dict[str, object]:
    return {"step": number, "weights": {"w": torch.full((100,), float(number))}, "rows": [{"a": 1}]}


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", state(3))
    found = read_checkpoint(tmp_path / "c")
    assert found is not None
    assert found["step"] == 3
    assert found["rows"] == [{"a": 1}]
    assert found["weights"]["w"].equal(torch.full((100,), 3.0))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_broken_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.save(1, state(1))
    newest = folder.save(2, state(2))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:-1], "empty": b"", "flipped": content}[damage])
    with caplog.at_level(logging.WARNING):
        found = folder.newest()
    assert found is not None
    assert found["step"] == 1
    assert caplog.messages == [
        f"{newest}: cut short or changed since it was written; going back to the one before"
    ]


def test_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for number in (1, 2, 10):
        folder.save(number, state(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-000000002.checkpoint", "step-000000010.checkpoint"]


def test_the_newest_that_every_run_makes_is_kept_beside_those_of_stopped_runs(
    tmp_path: Path,
) -> None:
    folder = CheckpointFolder(tmp_path, keep=1, every=5)
    for number in (5, 7, 9):
        folder.save(number, state(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-000000005.checkpoint", "step-000000009.checkpoint"]
    newest, scheduled = folder.newest(), folder.newest(scheduled=True)
    assert newest is not None
    assert scheduled is not None
    assert (newest["step"], scheduled["step"]) == (9, 5)
    folder.save(10, state(10))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010.checkpoint"]


def test_a_folder_in_a_checkpoints_place_is_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.save(1, state(1))
    (tmp_path / "step-000000002.checkpoint").mkdir()
    found = folder.newest()
    assert found is not None
    assert found["step"] == 1
    assert caplog.messages == [
        f"{tmp_path}/step-000000002.checkpoint: cannot be read: Is a directory; going back to the "
        "one before",
        f"{tmp_path}/step-000000002.checkpoint: cannot be removed, so it is passed over; you can "
        "remove step-000000002.checkpoint.broken",
    ]
    folder.save(2, state(2))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000001.checkpoint",
        "step-000000002.checkpoint",
        "step-000000002.checkpoint.broken",
    ]


def test_what_was_just_saved_stays_whatever_stands_in_a_later_ones_place(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=1, every=5)
    (tmp_path / "step-000000020.checkpoint").mkdir()
    for number in (5, 10, 12):
        folder.save(number, state(number))
    assert (tmp_path / "step-000000010.checkpoint").is_file()
    assert (tmp_path / "step-000000012.checkpoint").is_file()
    with pytest.raises(PipelineError, match="a folder stands where a file is needed"):
        folder.save(20, state(20))
    assert (tmp_path / "step-000000012.checkpoint").is_file()


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(PipelineError, match="a file stands where a folder is needed"):
        CheckpointFolder(tmp_path / "checkpoints" / "key", keep=2).lock()


def test_clearing_keeps_as_many_as_it_is_told(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for number in (1, 2):
        folder.save(number, state(number))
    folder.clear(keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002.checkpoint"]
    folder.clear()
    assert folder.newest() is None


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "absent", keep=2).newest() is None


def test_a_failed_write_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.save(1, state(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        PipelineError, match="No space left on device; nothing half-written"
    ) as told:
        folder.save(2, state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.checkpoint"]
    # A view of a BytesIO that is garbage together with it can crash Python 3.12.
    frames = (frame for frame, _ in traceback.walk_tb(told.tb))
    views = [v for f in frames for v in f.f_locals.values() if isinstance(v, memoryview)]
    assert views
    for view in views:
        with pytest.raises(ValueError, match="released"):
            view.tobytes()


def test_checkpoints_live_in_the_main_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert CheckpointFolder.of_run("abc", keep=2).folder == tmp_path / ".checkpoints" / "abc"


def test_nothing_but_tensors_and_plain_values_is_loaded(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", {"path": Path("x")})
    with pytest.raises(Exception, match="Weights only load failed"):
        read_checkpoint(tmp_path / "c")


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.save(1, state(1))
    (tmp_path / ".step-000000007.unfinished.checkpoint").write_bytes(b"half")
    folder.lock().release()
    assert not list(tmp_path.glob(".step*"))
    assert (tmp_path / "step-000000001.checkpoint").exists()


def test_when_the_last_checkpoint_is_broken_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (1, 2):
        folder.save(step, state(step)).write_bytes(b"")
    assert folder.newest() is None
    assert [message.rpartition("; ")[2] for message in caplog.messages] == [
        "going back to the one before",
        "none is left",
    ]


def test_what_was_saved_past_a_step_that_is_gone_back_to_is_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=1, every=5)
    folder.save(5, state(5))
    folder.save(8, state(8))  # where it was told to stop
    folder.remove_after(5)
    folder.save(6, state(6))
    newest = folder.newest()
    assert newest is not None
    assert newest["step"] == 6


def test_a_checkpoint_of_another_run_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [CheckpointFolder(tmp_path / name, keep=1) for name in ("one", "other")]
    for folder, step in zip(folders, (4, 9), strict=True):
        folder.save(step, state(step))
    foreign = shutil.copy(tmp_path / "other/step-000000009.checkpoint", tmp_path / "one")
    found = folders[0].newest()
    assert found is not None
    assert (found.keys(), found["step"]) == (state(4).keys(), 4)
    assert caplog.messages == [
        f"{foreign}: was made by another run, so it is passed over; you can remove "
        "step-000000009.checkpoint.of-another-run"
    ]
    folders[0].save(5, state(5))
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "step-000000005.checkpoint",
        "step-000000009.checkpoint.of-another-run",
    ]


WAITS = """
import logging, sys
from pathlib import Path
from reprise.checkpoint import CheckpointFolder
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
try:
    CheckpointFolder(Path(sys.argv[1]), keep=1).lock()
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize("who", ["starter", "waiter", "both"])
def test_who_waits_for_another_process_can_be_stopped(tmp_path: Path, who: str) -> None:
    folder = CheckpointFolder(tmp_path, keep=1)
    lock = folder.lock()
    waits = f"{shlex.quote(sys.executable)} -c {shlex.quote(WAITS)} {tmp_path}"
    command = ["sh", "-c", f"{waits} & echo $!; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        waiter = psutil.Process(int(starter.stdout.readline()))
        assert starter.stdout.readline().endswith("waiting for it\n")
        time.sleep(1)
        starter.kill() if who == "starter" else waiter.terminate()
        if who == "both":
            lock.release()
        psutil.wait_procs([waiter], timeout=60)
        assert not waiter.is_running()
        reason = "the end of the process that started this one" if who == "starter" else "SIGTERM"
        assert starter.stdout.read() == (
            f"stopped by {reason}, while waiting for another process\n"
        )
    lock.release()
