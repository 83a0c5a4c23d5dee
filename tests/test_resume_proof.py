"""`reprise verify resume`, as a user runs it, on code that is sound and on code that is not."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import random_split, train_params
from project import Project
from pyarrow import parquet, table

from reprise.files import write_json
from reprise.resume_proof import first_difference, remedy_for_repeats, shortened, stop_of

PARTS = (
    *("weights", "optimizer state", "averages", "best weights", "carried state", "loss rows"),
    "counts and the rest",
)


def verified(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reprise.commands", "verify", "resume", *options]
    return project.run(*command, check=False)


def change_code(project: Project, module: str, sound: str, broken: str) -> None:
    path = project.folder / "reprise" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert sound in text
    path.write_text(text.replace(sound, broken), encoding="utf-8")


def files_of(project: Project) -> dict[str, bytes]:
    return {
        str(path.relative_to(project.folder)): path.read_bytes()
        for path in project.folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_a_resumed_and_a_repeated_training_have_the_bits_of_an_unbroken_one(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, train={"averaging": "triggered"})
    encoded = project.folder / "data" / "encode"
    encoded.mkdir()
    for name in ("train", "valid"):
        split = random_split(documents=100)
        np.save(encoded / f"{name}.npy", split.ids)
        lengths = table({"tokens": np.diff(split.offsets)})
        parquet.write_table(lengths, encoded / f"{name}.parquet")
    write_json(encoded / "vocabulary.json", {"boundary": split.boundary, "vocabulary_size": 20})
    before = files_of(project)
    result = verified(project, "--steps", "9")
    assert result.returncode == 0, result.stderr
    first, *lines, last = result.stdout.splitlines()
    assert first.startswith("9 steps of lstm-16x1 adamw 0.01, first tokens of data/encode, cpu (")
    assert first.endswith(", fp32, 1 threads, dropout input 0.2, hidden 0.2, output 0.2")
    expected = [
        f"{training}: {part}: same bits"
        for training in ("repeated", "stopped after step 5")
        for part in PARTS
    ]
    assert [line.partition(" (")[0] for line in lines] == expected
    assert last == "a training that is stopped ends in the same bits as an unbroken one"
    assert files_of(project) == before


@pytest.mark.slow
def test_a_checkpoint_that_lacks_something_is_found_and_told(tmp_path: Path) -> None:
    no_dropout = {f"{place}_dropout": 0.0 for place in ("input", "hidden", "output")}
    project = Project(tmp_path, model=no_dropout, train={"devices": 1, "nodes": 2})
    change_code(project, "training", "set_optimizer_state(optimizer, of_optimizer)", "pass")
    result = verified(project)
    assert result.returncode == 1
    lines = dict(line.rsplit(": ", 1) for line in result.stdout.splitlines() if "same bits" in line)
    first = result.stdout.splitlines()[0]
    assert ", random ids, " in first
    assert ", 1 of the 2 processes, " in first
    assert first.endswith(", dropout off: set one of model to prove it too")
    assert all(f"repeated: {part}" in lines for part in PARTS if part != "averages")
    assert "repeated: averages: none" in result.stdout
    (weights,) = [line for line in result.stdout.splitlines() if "step 3: weights: " in line]
    assert " numbers differ, by at most " in weights
    assert "stopped after step 3: optimizer state: optimizers.0.state.0.step: " in result.stdout
    assert result.stderr.splitlines()[-1] == (
        "error: a repeat has the same bits, so a checkpoint lacks something: a fault of Reprise; "
        "tell its makers, with the lines above and params.yaml"
    )


@pytest.mark.slow
@pytest.mark.parametrize("sound", [True, False])
def test_as_many_processes_are_proved_as_train(sound: bool, tmp_path: Path) -> None:
    project = Project(tmp_path, train={"devices": 3, "batch_size": 6})
    if not sound:  # sums of three, put into other buckets after a process's first step
        change_code(project, "distribution", "find_unused_parameters=processes.count > 2", "")
    result = verified(project)
    assert ", 1 threads, 3 processes, dropout input 0.2, " in result.stdout.splitlines()[0]
    assert "repeated: weights: same bits (" in result.stdout
    assert ("stopped after step 3: weights: same bits (" in result.stdout) is sound
    assert result.returncode == (0 if sound else 1)


@pytest.mark.slow
def test_a_training_that_is_ended_from_outside_is_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path, train={"devices": 2})
    killed = "    os.kill(os.getpid(), 9)\n    with one_voice"
    change_code(project, "proof_training", "    with one_voice", killed)
    result = verified(project)
    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(
        "error: process [12] of 2 ended by signal 9; nothing of it is kept",
        result.stderr.splitlines()[-1],
    )


@pytest.mark.slow
def test_bits_that_do_not_repeat_are_found_and_a_remedy_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path, train={"deterministic": False})
    sound, broken = "            torch.manual_seed(", "            torch.seed() and ("
    change_code(project, "training", sound, broken)
    result = verified(project, "--steps", "4")
    assert result.returncode == 1
    (weights,) = [line for line in result.stdout.splitlines() if "repeated: weights: " in line]
    assert " numbers differ, by at most " in weights
    assert result.stderr.splitlines()[-1] == (
        "error: this machine computes other bits each time: set train.deterministic to true, and "
        "verify again"
    )


@pytest.mark.parametrize(
    ("deterministic", "device", "threads", "remedy"),
    [
        (False, "cuda", 2, "set train.deterministic to true"),
        (True, "mps", 2, "set train.device to cpu, since mps has no kernels that repeat"),
        (True, "cpu", 2, "set train.threads to 1"),
        (True, "cpu", 1, "test its memory"),
    ],
)
def test_the_likeliest_remedy_is_told_first(
    deterministic: bool, device: str, threads: int, remedy: str
) -> None:
    train = train_params(deterministic=deterministic)
    assert remedy_for_repeats(train, {"device": device, "threads": threads}) == (
        f"this machine computes other bits each time: {remedy}, and verify again"
    )


@pytest.mark.slow
def test_what_cannot_be_trained_is_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path, train={"optimizer": "sgd", "learning_rate": 1e38})
    project.set_params({"train": {"clip_norm": 1e9}})
    result = verified(project)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "; lower train.learning_rate" in result.stderr.splitlines()[-1]


def test_the_first_difference_is_named_with_its_size() -> None:
    one = {"a": [1, 2.0], "b": {"w": torch.tensor([1.0, -4.0, 3.0])}}
    assert first_difference(one, {"a": [1, 2.0], "b": {"w": one["b"]["w"].clone()}}) == ""
    other = {"a": [1, 2.0], "b": {"w": torch.tensor([1.0, -4.5, 3.25])}}
    assert first_difference(one, other) == (
        "b.w: 2 of 3 numbers differ, by at most 0.5; the largest is 4"
    )
    assert first_difference(one, {"a": [1, 2], "b": one["b"]}) == "a.1: float 2.0 and int 2"
    assert first_difference(one, {"a": [1, 2.0]}) == ": only one of them has b"
    assert first_difference({"a": [1]}, {"a": [1, 7]}) == "a: only one of them has 1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0.0, -0.0, False),
        (math.nan, math.nan, True),
        (torch.tensor(0.0), torch.tensor(-0.0), False),
        (torch.tensor(math.nan), torch.tensor(math.nan), True),
        (torch.tensor([1]), torch.tensor([1.0]), False),
        (torch.tensor([1]), torch.tensor([[1]]), False),
        (torch.tensor([True, False]), torch.tensor([True, True]), False),
        (
            torch.tensor([1.5], dtype=torch.bfloat16),
            torch.tensor([1.5], dtype=torch.bfloat16),
            True,
        ),
        (torch.empty(0), torch.empty(0), True),
        (None, None, True),
        (None, [1], False),
    ],
)
def test_bits_are_compared_and_not_values(one: object, other: object, same: bool) -> None:
    assert (first_difference(one, other) == "") is same


@pytest.mark.parametrize("steps", range(4, 60))
def test_the_stop_lies_between_two_validations(steps: int) -> None:
    train = shortened(train_params(), steps)
    assert train.max_steps == steps
    assert train.steps_per_validation < stop_of(steps) < steps
    assert stop_of(steps) % train.steps_per_validation
