"""Experiments of DVC side by side, on a database that none of them finds: no run is lost."""

import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from project import Project

COUNT = 8


@pytest.mark.slow
def test_eight_queued_experiments_and_a_repro_beside_them_all_arrive(tmp_path: Path) -> None:
    project = Project(tmp_path, run={"tracking": True}, train={"max_steps": 20})
    project.run("dvc", "repro", "encode")
    project.commit("the data")
    for seed in range(1, COUNT + 1):
        names = ("--name", f"seed-{seed}", "--set-param", f"train.seed={seed}")
        project.run("dvc", "exp", "run", "--queue", *names)
    project.run("dvc", "queue", "start", "--jobs", str(COUNT))
    project.set_params({"train": {"seed": 99}})
    assert project.reproduced()[-1] == "evaluate"  # in the workspace, meanwhile
    deadline = time.monotonic() + 600
    while (status := project.run("dvc", "queue", "status").stdout).count("Success") < COUNT:
        assert "Failed" not in status, status
        assert time.monotonic() < deadline, status
        time.sleep(2)
    said = project.run(sys.executable, "-m", "reprise.commands", "track", "sync").stdout
    assert said.splitlines()[-1].startswith(
        f"{COUNT + 1} finished runs in git and DVC: 0 published"
    )
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("reprise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    found = {run.data.params["train.seed"]: run.data.tags.get("DVC_EXP_NAME") for run in runs}
    assert found == {**{f"{n}": f"seed-{n}" for n in range(1, COUNT + 1)}, "99": None}
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "loss/train_nats_per_token")
        assert [point.step for point in history] == [5, 10, 15, 20]
        assert "test/bits_per_byte" in run.data.metrics
