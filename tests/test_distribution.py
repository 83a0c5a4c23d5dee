"""Training on several processes, which are real ones, over gloo on the CPU."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from distributed_training import CASES, STEPS, train
from project import Project

from reprise.files import read_json
from reprise.launching import ALONE, Processes, run_processes

DATA_STAGES = ["download", "clean", "tokenize", "encode"]
# In float32 sums in another order differ in the sixth digit; muon's products may be in bfloat16.
ROUNDING = {"transformer, muon": 2e-2}


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find this folder's modules too."""
    here = Path(__file__).resolve().parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent)]))


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    """Each case trained by one process."""
    return {case: train(case, ALONE) for case in CASES}


def train_on(
    folder: Path, processes: Processes, stop: int = STEPS, **starts: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    for case, state in starts.items():
        torch.save(state, folder / f"{case}.start")
    arguments = [str(folder), str(processes.devices), processes.strategy, str(stop)]
    run_processes("distributed_training", arguments, processes)
    return {case: torch.load(folder / f"{case}.done", weights_only=True) for case in CASES}


def assert_same_steps(case: str, found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    rounding = ROUNDING.get(case, 1e-5)
    for (loss, norm, tokens), (other_loss, other_norm, other_tokens) in zip(
        found, expected, strict=True
    ):
        assert tokens == other_tokens, case
        assert loss == pytest.approx(other_loss, rel=rounding), case
        assert norm == pytest.approx(other_norm, rel=10 * rounding), case


def form(value: Any) -> Any:
    """A state without its numbers: names, shapes and types."""
    if isinstance(value, dict):
        return {name: form(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [form(inner) for inner in value]
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype, value.device.type
    return type(value)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_do_what_one_does(
    strategy: str, alone: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for case, done in train_on(tmp_path, Processes(2, 1, strategy)).items():
        assert_same_steps(case, done["steps"], alone[case]["steps"])
        assert done["valid"] == pytest.approx(alone[case]["valid"], rel=ROUNDING.get(case, 1e-5))
        assert form(done["state"]) == form(alone[case]["state"]), case


@pytest.mark.slow
def test_what_two_processes_began_one_goes_on_with(
    alone: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    for case, done in train_on(tmp_path, Processes(2, 1, "ddp"), stop=5).items():
        rest = train(case, ALONE, done["state"])
        assert_same_steps(case, done["steps"] + rest["steps"], alone[case]["steps"])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [Processes(2, 1, "fsdp"), Processes(3, 1, "ddp")])
def test_what_one_process_began_several_go_on_with(
    processes: Processes, alone: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    begun = {case: train(case, ALONE, stop=5) for case in CASES}
    starts = {case: done["state"] for case, done in begun.items()}
    for case, done in train_on(tmp_path, processes, **starts).items():
        assert_same_steps(case, begun[case]["steps"] + done["steps"], alone[case]["steps"])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [Processes(3, 1, "ddp"), Processes(3, 1, "fsdp")])
def test_what_three_processes_began_three_go_on_with_to_the_same_bytes(
    processes: Processes, tmp_path: Path
) -> None:
    unbroken = train_on(tmp_path, processes)
    begun = train_on(tmp_path, processes, stop=5)
    rest = train_on(tmp_path, processes, **{case: done["state"] for case, done in begun.items()})
    for case in CASES:
        weights, expected = rest[case]["state"]["weights"], unbroken[case]["state"]["weights"]
        assert begun[case]["steps"] + rest[case]["steps"] == unbroken[case]["steps"], case
        for name, value in expected.items():
            assert torch.equal(weights[name], value), (case, name)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("encoded"))
    for name in DATA_STAGES:
        project.stage(name)
    return project


@pytest.fixture
def project(encoded: Project) -> Project:
    """Encoded data, nothing trained yet, two processes, no dropout."""
    for path in [*encoded.folder.glob(".checkpoints/*/*"), *encoded.folder.glob("data/train/*")]:
        path.unlink()
    longer = {"max_steps": 300, "steps_per_validation": 60, "steps_per_checkpoint": 10}
    plain = {f"{place}_dropout": 0.0 for place in ("input", "hidden", "output")}
    encoded.set_params(
        {
            "train": {
                "devices": 2,
                "strategy": "ddp",
                "batch_size": 4,
                "learning_rate": 0.003,
                **longer,
            }
        }
    )
    encoded.set_params({"model": plain})
    return encoded


class Stage:
    """The train stage at work."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stages.train"],
            cwd=project.folder,
            env={**project.environment, "PYTHONPATH": str(project.folder)},
            stderr=subprocess.PIPE,
            text=True,
            # It would be deaf to it where the tests run under nohup.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )

    def wait_for_checkpoint(self) -> None:
        deadline = time.monotonic() + 120
        while not checkpoints(self.folder):
            assert time.monotonic() < deadline, "no checkpoint came"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)
        self.children = psutil.Process(self.process.pid).children()
        self.children.sort(key=lambda child: int(child.environ()["RANK"]))

    def error_lines(self) -> list[str]:
        """What it told at its end; none of its processes is left."""
        _, output = self.process.communicate(timeout=60)
        _, left = psutil.wait_procs(self.children, timeout=30)
        assert not left
        assert "Traceback" not in output
        return [line for line in output.splitlines() if line.startswith("error: ")]


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(".checkpoints/*/step-*.checkpoint"))


def losses(folder: Path) -> list[float]:
    with (folder / "metrics/train.csv").open(newline="") as file:
        return [float(row["train_nats_per_token"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_killed_process_ends_all_and_one_process_goes_on_to_the_same_losses(
    project: Project,
) -> None:
    stage = Stage(project)
    stage.wait_for_checkpoint()
    stage.children[1].kill()
    assert stage.error_lines() == [
        "error: process 2 of 2 ended by signal 9; what was saved is kept; the same command goes "
        "on from here"
    ]
    assert stage.process.returncode == 1
    saved = int(checkpoints(project.folder)[-1].stem[5:])
    project.set_params({"train": {"devices": 1}})
    assert f"going on after step {saved} of 300" in project.stage("train").stderr
    with_two = losses(project.folder)
    assert read_json(project.folder / "data/train/model.json")["processes"] == [
        {"from_step": 0, **Processes(2, 1, "ddp").as_dict(), "micro_batch_size": 2},
        {"from_step": saved, **ALONE.as_dict(), "micro_batch_size": 4},
    ]
    for path in checkpoints(project.folder):
        path.unlink()
    message = project.stage("train").stderr
    assert "was run before: " in message
    assert ", by other processes" in message
    assert with_two == pytest.approx(losses(project.folder), rel=1e-4)


@pytest.mark.slow
def test_three_processes_speak_with_one_voice(project: Project) -> None:
    project.set_params({"train": {"devices": 3, "batch_size": 6, "max_steps": 20}})
    told = project.stage("train").stderr.splitlines()
    assert [line for line in told if "rank" in line or "arning" in line] == []
    assert sum("train: in " in line for line in told) == 1


@pytest.mark.slow
def test_processes_share_an_adaptive_head_of_which_a_group_is_not_met(project: Project) -> None:
    """The last piece is so rare that hardly a step predicts it."""
    size = read_json(project.folder / "data/encode/vocabulary.json")["vocabulary_size"]
    before = (project.folder / "params.yaml").read_text()
    adaptive = {"adaptive_cutoffs": [100, size - 1], "tie_weights": False}
    short = {"max_steps": 20, "micro_batch_size": 2}
    project.set_params({"model": adaptive, "train": short})
    found = []
    for devices in (2, 1):
        project.set_params({"train": {"devices": devices}})
        project.stage("train")
        found.append(losses(project.folder))
    (project.folder / "params.yaml").write_text(before)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_once_and_ends_all_with_one_line(
    project: Project, number: signal.Signals
) -> None:
    project.set_params({"train": {"strategy": "fsdp"}})
    stage = Stage(project)
    stage.wait_for_checkpoint()
    stage.process.send_signal(number)
    (line,) = stage.error_lines()
    step = int(checkpoints(project.folder)[-1].stem[5:])
    assert line == (
        f"error: stopped by {number.name} after step {step} of 300; saved; the same command goes "
        "on from here"
    )
    assert stage.process.returncode == 1


@pytest.mark.slow
def test_without_the_process_that_started_them_all_save_and_end(project: Project) -> None:
    stage = Stage(project)
    stage.wait_for_checkpoint()
    stage.process.kill()
    (line,) = stage.error_lines()
    step = int(checkpoints(project.folder)[-1].stem[5:])
    assert line == (
        f"error: stopped by the end of the process that started this one after step {step} of "
        "300; saved; the same command goes on from here"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "killed"), [(0.0, 0), (0.3, 0), (2.0, 1)])
def test_processes_that_have_only_begun_end_with_the_one_that_started_them(
    project: Project, seconds: float, killed: int
) -> None:
    """In any case: before they could note who it was, and while they wait for each other."""
    stage = Stage(project)
    launcher = psutil.Process(stage.process.pid)
    while len(children := launcher.children()) < 2:
        assert stage.process.poll() is None
        time.sleep(0.001)
    time.sleep(seconds)
    stage.process.kill()
    for child in children[:killed]:
        child.kill()
    _, left = psutil.wait_procs(children, timeout=60)
    for child in left:
        child.kill()
    stage.process.communicate()
    assert not left


@pytest.mark.slow
def test_what_all_processes_find_wrong_is_told_once(project: Project) -> None:
    wild = {"learning_rate": 1e38, "optimizer": "sgd", "clip_norm": 1e9}
    project.set_params({"train": wild})
    result = project.stage("train", check=False)
    project.set_params({"train": {"optimizer": "adamw", "clip_norm": 1.0}})
    assert result.returncode == 1
    assert result.stderr.count("error: ") == 1
    assert "; what was saved before is kept; lower train.learning_rate" in result.stderr


@pytest.mark.slow
def test_processes_of_torchrun_train_as_those_of_the_stage(project: Project) -> None:
    project.set_params({"train": {"max_steps": 40}})
    project.stage("train")
    of_stage = losses(project.folder)
    for path in [*checkpoints(project.folder), *project.folder.glob("data/train/*")]:
        path.unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    message = project.run(*torchrun, "-m", "stages.train").stderr
    assert "was run before: the same bytes" in message
    assert message.count("train: in ") == 1
    assert losses(project.folder) == of_stage
