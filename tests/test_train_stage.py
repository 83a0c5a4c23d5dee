"""Training as a process: killed, stopped, full disks, and settings that cannot work."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from project import Project
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reprise.checkpoint import read_checkpoint
from reprise.files import read_json, sha256_of

DATA_STAGES = ["download", "clean", "tokenize", "encode"]
# Slow enough to be killed in the middle, quick enough for a test.
LONGER = {"max_steps": 300, "steps_per_validation": 60, "steps_per_checkpoint": 10}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("encoded"), train=LONGER)
    for name in DATA_STAGES:
        project.stage(name)
    return project


@pytest.fixture(scope="module")
def unbroken(encoded: Project) -> dict[str, str]:
    """The results of a training that is never stopped."""
    encoded.set_params({"train": {"learning_rate": 0.003}})
    encoded.stage("train")
    return results(encoded)


@pytest.fixture
def project(encoded: Project) -> Project:
    """Encoded data, nothing trained yet."""
    for path in [*encoded.folder.glob(".checkpoints/*/*"), *encoded.folder.glob("data/train/*")]:
        path.unlink()
    encoded.set_params({"train": {"learning_rate": 0.003, **LONGER}})
    return encoded


def start(project: Project) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=project.folder,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def checkpoints(project: Project) -> list[Path]:
    return sorted(project.folder.glob(".checkpoints/*/step-*.checkpoint"))


def wait_for_checkpoint(project: Project, process: subprocess.Popen[str], after: int = 0) -> None:
    """Until there is a checkpoint of a step above `after`."""
    deadline = time.monotonic() + 120
    while not any(int(path.stem[5:]) > after for path in checkpoints(project)):
        assert time.monotonic() < deadline, "no checkpoint came"
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)


def results(project: Project) -> dict[str, str]:
    paths = ["data/train/model.safetensors", "data/train/model.json"]
    paths += ["metrics/train.json", "metrics/train.csv"]
    return {path: sha256_of(project.folder / path) for path in paths}


@pytest.mark.slow
def test_killed_at_random_steps_and_resumed_gives_the_bytes_of_an_unbroken_run(
    unbroken: dict[str, str], project: Project
) -> None:
    dice = random.Random(7)
    step = 0
    for _ in range(3):
        process = start(project)
        step += dice.randrange(10, 80)
        wait_for_checkpoint(project, process, after=step)
        time.sleep(dice.random() * 0.05)
        kill(process)
        assert not (project.folder / "data/train/model.safetensors").exists()
    message = project.stage("train").stderr
    assert "going on after step" in message
    assert results(project) == unbroken


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint_the_run_goes_on_from_the_one_before(
    unbroken: dict[str, str], project: Project
) -> None:
    # The process ends itself, as SIGKILL does, with half of the third checkpoint written.
    script = """
import io, os, signal, pathlib
from pathlib import Path
writes = 0
whole_open = Path.open
def open_and_die(self, mode="r", *args, **kwargs):
    global writes
    file = whole_open(self, mode, *args, **kwargs)
    if self.suffix == ".checkpoint" and mode == "wb":
        writes += 1
        if writes == 3:
            file.write(b"REPRISE1 and half of the rest")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return file
Path.open = open_and_die
from stages.train import main
main()
"""
    died = project.run(sys.executable, "-c", script, check=False)
    assert died.returncode == -signal.SIGKILL
    assert [path.name for path in checkpoints(project)] == [
        "step-000000010.checkpoint",
        "step-000000020.checkpoint",
    ]
    assert "going on after step 20 of 300" in project.stage("train").stderr
    assert results(project) == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_one_clear_line(
    project: Project, number: signal.Signals
) -> None:
    process = start(project)
    wait_for_checkpoint(project, process)
    process.send_signal(number)
    _, output = process.communicate()
    last = output.splitlines()[-1]
    step = int(last.split("after step ")[1].split(" of ")[0])
    assert process.returncode == 1
    assert last == (
        f"error: stopped by {number.name} after step {step} of 300; saved; the same command goes "
        "on from here"
    )
    assert checkpoints(project)[-1].name == f"step-{step:09}.checkpoint"


@pytest.mark.slow
def test_training_ends_itself_when_its_parent_is_gone(project: Project) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-m', 'stages.train'])\n"
            "print(child.pid, flush=True)\n"
            "child.wait()\n",
        ],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 120
    while not checkpoints(project):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    parent.kill()
    parent.communicate()
    while Path(f"/proc/{child}").exists() and "Z" not in _process_state(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (project.folder / "data/train/model.safetensors").exists()
    assert "going on after step" in project.stage("train").stderr


def _process_state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


@pytest.mark.slow
def test_a_broken_newest_checkpoint_is_told_and_passed_over(project: Project) -> None:
    process = start(project)
    wait_for_checkpoint(project, process, after=15)
    kill(process)
    older, newest = checkpoints(project)[-2:]
    newest.write_bytes(newest.read_bytes()[:-100])
    message = project.stage("train").stderr
    assert f"{newest}: cut short or changed since it was written; going back" in message
    assert f"going on after step {int(older.stem[5:])} of 300" in message


@pytest.mark.slow
def test_figures_of_speed_go_to_mlflow_and_tensorboard_and_into_no_file_of_dvc(
    project: Project, tmp_path: Path
) -> None:
    project = project.copied_to(tmp_path / "project")
    project.set_params({"train": {"max_steps": 40}})
    project.stage("train")
    kept = {path: digest for path, digest in results(project).items() if "model.json" not in path}
    project.set_params({"run": {"tracking": True}, "train": {"tensorboard": True}})
    project.stage("train")
    assert kept.items() <= results(project).items()
    model = (project.folder / "data/train/model.json").read_text(encoding="utf-8")
    assert "speed" not in model
    assert "joules" not in model

    named = ("tokens_per_second", "teraflops_per_second", "share_of_peak", "peak_memory_bytes")
    expected = {f"speed/{name}" for name in named}
    expected |= {f"speed/step_seconds_{name}" for name in ("p50", "p95", "max")}
    client = MlflowClient(f"sqlite:///{project.folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("reprise").experiment_id])
    (events,) = project.folder.glob(".tensorboard/*")
    reader = EventAccumulator(str(events))
    reader.Reload()
    for found in (run.data.metrics.keys(), reader.Tags()["scalars"]):
        assert {name for name in found if "speed/" in name and "joules" not in name} == expected
    (first, *_, last) = reader.Scalars("speed/tokens_per_second")
    assert (first.step, last.step) == (5, 40)
    assert 0 < run.data.metrics["speed/share_of_peak"] < 1


@pytest.mark.slow
def test_a_second_run_of_the_same_key_is_compared_with_the_first(project: Project) -> None:
    project.set_params({"train": {"max_steps": 40}})
    project.stage("train")
    # Not recorded by DVC yet: what was trained is delivered again, not trained again.
    assert "going on after step 40 of 40" in project.stage("train").stderr
    md5 = read_json(next(project.folder.glob(".checkpoints/*/delivered.json")))["md5"]
    (project.folder / "dvc.lock").write_text(f"md5: {md5}\n")
    message = project.stage("train").stderr
    (project.folder / "dvc.lock").unlink()
    assert "training anew to compare" in message
    assert "was run before: the same bytes" in message


@pytest.mark.slow
def test_who_only_delivers_what_was_trained_is_not_said_to_have_trained(project: Project) -> None:
    project.set_params({"train": {"max_steps": 20}})
    project.stage("train")
    trained = read_json(project.folder / "data/train/model.json")["processes"]
    next(project.folder.glob(".checkpoints/*/delivered.json")).unlink()
    project.set_params({"train": {"micro_batch_size": 1}})
    assert "going on after step 20 of 20" in project.stage("train").stderr
    project.set_params({"train": {"micro_batch_size": "auto"}})
    assert read_json(project.folder / "data/train/model.json")["processes"] == trained


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_one_line_and_the_last_good_checkpoint_stays(
    project: Project,
) -> None:
    wild = {"learning_rate": 1e38, "optimizer": "sgd", "clip_norm": 1e9, "steps_per_checkpoint": 1}
    project.set_params({"train": wild})
    result = project.stage("train", check=False)
    project.set_params({"train": {"optimizer": "adamw", "clip_norm": 1.0}})
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    what = "(?:loss|gradient|largest weight) is (?:nan|inf)"
    step = int(re.match(rf"error: step (\d+): the {what} at learning rate ", last)[1])
    assert last.endswith(
        "; what was saved before is kept; lower train.learning_rate or "
        "train.clip_norm, or lengthen train.warmup_steps"
    )
    assert "Traceback" not in result.stderr
    saved = read_checkpoint(checkpoints(project)[-1])
    assert saved["step"] == step - 1
    assert all(bool(value.isfinite().all()) for value in saved["weights"].values())


@pytest.mark.slow
def test_a_sequence_length_over_the_splits_length_is_one_line(project: Project) -> None:
    project.set_params({"train": {"sequence_length": 10**6}})
    result = project.stage("train", check=False)
    project.set_params({"train": {"sequence_length": 16}})
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "error: train.sequence_length: found 1000000, but the train split has "
    )


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_half_written_stays(project: Project) -> None:
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from stages.train import main\n"
        "main()\n"
    )
    result = project.run(sys.executable, "-c", script, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith(
        "step-000000010.checkpoint: cannot be written: File too large; nothing half-written is "
        "left; raise the limit on file size (ulimit -f) and run the same command again"
    )
    assert [path.name for path in project.folder.glob(".checkpoints/*/*")] == ["lock"]


@pytest.mark.slow
def test_a_missing_input_is_one_line(project: Project) -> None:
    result = project.run(sys.executable, "-m", "stages.train", "--encoded", "nowhere", check=False)
    assert result.returncode == 1
    assert result.stderr == (
        "error: nowhere/vocabulary.json: no such file; run `dvc repro` to make it\n"
    )


def test_without_tracking_neither_mlflow_nor_pandas_is_loaded(project: Project) -> None:
    """MLflow takes 1.6 s to import, pandas 0.5 s."""
    project.set_params({"train": {"max_steps": 20, "steps_per_validation": 10}})
    for stage in ("train", "evaluate"):
        script = (
            f"import sys\nfrom stages.{stage} import main\nmain([], standalone_mode=False)\n"
            "print({'mlflow', 'pandas', 'pyarrow.dataset'} & sys.modules.keys())"
        )
        assert project.run(sys.executable, "-c", script).stdout == "set()\n"
