"""Outputs beside those of the committed dvc.lock, told from two small locks."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from reprise.checks import Check
from reprise.reruns import two_folders
from reprise.reruns.dvc_lock import LockedStage, locked_stages
from reprise.reruns.output_checks import REMEDY, compared


def lock(**changes: str) -> dict[str, LockedStage]:
    """clean -> train; `changes` replaces hashes by the stage's name and side."""
    md5 = {"clean_in": "a1", "clean_out": "b1", "train_in": "b1", "train_out": "c1"} | changes
    stages: dict[str, dict[str, Any]] = {
        name: {
            "cmd": f"python -m stages.{name}",
            "deps": [{"path": f"data/{name}.in", "hash": "md5", "md5": md5[f"{name}_in"]}],
            "params": {"params.yaml": {name: {"size": 3, "inner": {"rate": 0.5}}}},
            "outs": [{"path": f"data/{name}.out", "hash": "md5", "md5": md5[f"{name}_out"]}],
        }
        for name in ("clean", "train")
    }
    return locked_stages({"schema": "2.0", "stages": stages})


def checks(now: dict[str, LockedStage], reason: str = "") -> list[Check]:
    return list(compared(lock(), now, lambda: reason))


def test_a_stage_goes_in_with_its_command_its_settings_and_what_it_reads() -> None:
    assert lock()["clean"].inputs == {
        "cmd": "python -m stages.clean",
        "clean.size": "3",
        "clean.inner.rate": "0.5",
        "data/clean.in": "a1",
    }


def test_the_same_hashes_are_one_line_a_stage() -> None:
    assert [check.line for check in checks(lock())] == [
        "same     clean: 1 outputs",
        "same     train: 1 outputs",
    ]


def test_another_output_of_the_same_inputs_fails_with_stage_file_expected_and_found() -> None:
    found = checks(lock(clean_out="b2", train_in="b2", train_out="c2"))
    assert [check.line for check in found] == [
        f"differs  clean: data/clean.out: expected md5 b1, found b2; {REMEDY}",
        "note     train: other inputs than committed, so outputs may differ: data/train.in",
    ]
    assert [check.fails for check in found] == [True, False]


def test_another_training_fails_on_the_same_machine_and_is_a_note_on_another() -> None:
    other = lock(train_out="c2")
    assert checks(other)[1].fails
    note = checks(other, "another machine")[1]
    assert note.line == (
        "note     train: data/train.out: expected md5 c1, found c2; another machine"
    )
    assert not note.fails


def test_another_machine_excuses_no_data_stage() -> None:
    assert checks(lock(clean_out="b2"), "another machine")[0].fails


def test_a_stage_or_file_that_was_not_there_is_told() -> None:
    now = lock()
    extra = LockedStage("", {}, {}, {"data/new": "d1"})
    wider = LockedStage(**{**vars(now["clean"]), "writes": {"data/clean.out": "b1", "more": "e1"}})
    assert [check.line for check in checks({"clean": wider, "new": extra})] == [
        f"differs  clean: more: expected md5 nothing, found e1; {REMEDY}",
        "note     new: a new stage: nothing is committed in dvc.lock",
    ]


def test_two_runs_are_compared_by_everything_that_they_read_and_wrote() -> None:
    (same,) = two_folders.compared(lock(), lock())
    assert same.line == "same     run twice from nothing: 4 files"
    (check,) = two_folders.compared(lock(), lock(train_out="c2"))
    assert check.line == (
        "differs  run twice: data/train.out: md5 c1 with 1 worker and md5 c2 with 2 workers; "
        f"{two_folders.REMEDY}"
    )


@pytest.mark.parametrize("committed", [True, False])
def test_a_copied_checkout_has_what_lies_there_and_nothing_that_was_made(
    tmp_path: Path, committed: bool
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("code/a.py", "dvc.lock", "made/x", "gone"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (here / ".gitignore").write_text("/made\n")
    git = ["git", "-C", str(here), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    if committed:
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "all"], check=True)
    (here / "code/a.py").write_text("changed")
    (here / "gone").unlink()
    two_folders.copy_checkout(here, there)
    found = sorted(
        path.relative_to(there).as_posix()
        for path in there.rglob("*")
        if path.is_file() and ".git" not in path.parts
    )
    assert found == [".gitignore", "code/a.py"]
    assert (there / "code/a.py").read_text() == "changed"
