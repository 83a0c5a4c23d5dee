"""Experiments of DVC side by side, on a database that none of them finds: no run is lost."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from project import Project
from ruamel.yaml import YAML

# The second and third train alike, side by side, and differ in evaluation alone.
QUEUED: dict[str, dict[str, Any]] = {
    "slow": {"train.learning_rate": 0.001},
    "fast": {"train.learning_rate": 0.02},
    "fast-stream": {"train.learning_rate": 0.02, "evaluate.context": "stream"},
    **{f"seed-{seed}": {"train.seed": seed} for seed in range(1, 6)},
}
IN_WORKSPACE = {"train.seed": 99}


def until_queue_says(project: Project, word: str, times: int) -> None:
    deadline = time.monotonic() + 600
    while (status := project.run("dvc", "queue", "status").stdout).count(word) < times:
        assert "Failed" not in status, status
        assert time.monotonic() < deadline, status
        time.sleep(2)


@contextmanager
def queue_running(project: Project, jobs: int) -> Iterator[None]:
    """Inside, DVC works on what is queued. Its workers keep a pipe that they were started with, and
    one that meets a file half written by another stays for good, so that they get no pipe here and
    are told to stop."""
    subprocess.run(
        ["dvc", "queue", "start", "--jobs", str(jobs)],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    try:
        until_queue_says(project, "Running", 1)
        yield
    finally:
        project.run("dvc", "queue", "stop")


@pytest.mark.slow
def test_queued_experiments_and_a_repro_beside_them_are_runs_with_params_curves_and_figures(
    whole_run: Project, tmp_path: Path
) -> None:
    project = whole_run.copied_to(tmp_path / "project", train={"max_steps": 20})
    for path in project.folder.glob("mlflow.db*"):
        path.unlink()
    lock, yaml = project.folder / "dvc.lock", YAML()
    locked = yaml.load(lock.read_text(encoding="utf-8"))
    del locked["stages"]["train"], locked["stages"]["evaluate"]
    with lock.open("w", encoding="utf-8") as file:
        yaml.dump(locked, file)
    project.commit("the data")
    for name, changes in QUEUED.items():
        options = [f"--set-param={setting}={value}" for setting, value in changes.items()]
        project.run("dvc", "exp", "run", "--queue", "--name", name, *options)
    with queue_running(project, jobs=len(QUEUED)):
        project.set_params({"train": {"seed": IN_WORKSPACE["train.seed"]}})
        assert project.reproduced() == ["train", "evaluate"]  # in the workspace, meanwhile
        until_queue_says(project, "Success", len(QUEUED))

    expected: dict[str | None, dict[str, Any]] = {**QUEUED, None: IN_WORKSPACE}
    said = project.run(sys.executable, "-m", "reprise.commands", "track", "sync").stdout
    assert said.splitlines()[-1].startswith(
        f"{len(expected)} finished runs in git and DVC: 0 published"
    )
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("reprise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.data.tags.get("DVC_EXP_NAME"): run for run in runs}
    assert len(runs) == len(by_name)
    assert by_name.keys() == expected.keys()
    for name, run in by_name.items():
        assert name in (None, run.info.run_name)
        params = {setting: run.data.params[setting] for setting in expected[name]}
        assert params == {setting: str(value) for setting, value in expected[name].items()}
        assert run.info.status == "FINISHED"
        history = client.get_metric_history(run.info.run_id, "loss/train_nats_per_token")
        assert [point.step for point in history] == [5, 10, 15, 20]
    assert len({run.data.metrics["test/bits_per_byte"] for run in runs}) == len(runs)
