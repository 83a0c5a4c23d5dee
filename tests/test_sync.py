"""A small pipeline whose runs are lost, and come back from what git and DVC have."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import Project

VOLATILE = (
    "system/",
    "speed/",
    "train/tokens_per_second",
    "spent/",
)  # of the machine, in no file
NO_FILE = ("version.", "command", "reprise.process", "DVC_", "git.", "mlflow.")


@pytest.fixture(scope="module")
def made(whole_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A commit, an experiment and an uncommitted change, all three run."""
    project = whole_run.copied_to(tmp_path_factory.mktemp("made") / "project")
    # DVC pushes a commit's files only where the commit itself names the remote.
    project.run("dvc", "remote", "add", "--default", "store", "../store")
    project.commit("a run")
    changed = ("-S", "train.learning_rate=0.02")
    project.run("dvc", "exp", "run", "--temp", "--name", "faster", *changed)
    project.set_params({"train": {"learning_rate": 0.03}})
    assert project.reproduced() == ["train", "evaluate"]
    return project


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    return made.copied_to(tmp_path / "project")


PATHS = count()


def client_of(project: Project) -> MlflowClient:
    """Of the database that is there now: MLflow keeps those that it knows by their path open."""
    uri = f"sqlite:///{project.folder}/{'./' * next(PATHS)}mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs_in(project: Project) -> dict[str, Run]:
    """By learning rate."""
    client = client_of(project)
    experiment = client.get_experiment_by_name("reprise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.params["train.learning_rate"]: run for run in runs}
    assert len(found) == len(runs)
    return found


def content(project: Project) -> dict[str, Any]:
    """All of the runs that does not tell of the machine that they ran on."""
    client, found = client_of(project), {}
    for rate, run in runs_in(project).items():
        names = [name for name in run.data.metrics if not name.startswith(VOLATILE)]
        curves = {
            name: sorted(
                (p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)
            )
            for name in names
        }
        tags = {n: value for n, value in run.data.tags.items() if not n.startswith(NO_FILE)}
        inputs = [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs]
        found[rate] = {
            "curves": curves,
            "params": run.data.params,
            "tags": tags,
            "inputs": sorted(inputs),
            "models": len(run.outputs.model_outputs),
            "status": run.info.status,
            "artifacts": sorted(artifacts(client, run.info.run_id)),
        }
    return found


def artifacts(client: MlflowClient, run_id: str, folder: str = "") -> Iterator[str]:
    for file in client.list_artifacts(run_id, folder):
        if file.is_dir:
            yield from artifacts(client, run_id, file.path)
        elif file.path != "git.diff":
            yield file.path


def sync(project: Project, check: bool = True) -> subprocess.CompletedProcess[str]:
    return project.run("reprise", "track", "sync", check=check)


@pytest.mark.slow
def test_runs_that_are_there_stay_as_they_are(project: Project) -> None:
    before = content(project)
    assert sorted(before) == ["0.01", "0.02", "0.03"]
    assert before["0.01"]["models"] == 1
    assert len(before["0.01"]["inputs"]) == 3
    assert before["0.01"]["curves"]["loss/valid_nats_per_token"][-1][0] == 40
    assert "data/evaluate/samples.txt" in before["0.01"]["artifacts"]
    assert "metrics/data_card.md" in before["0.01"]["artifacts"]
    said = sync(project).stdout.splitlines()
    assert said == [
        "3 finished runs in git and DVC: 0 published, 3 there already, 0 not in the cache, "
        "0 of another version"
    ]
    assert content(project) == before


@pytest.mark.slow
def test_a_lost_database_comes_back_equal_from_commit_experiment_and_workspace(
    project: Project,
) -> None:
    before = content(project)
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlartifacts")
    said = sync(project).stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in said[:3]] == ["published"] * 3
    assert content(project) == before
    runs = runs_in(project)
    commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    assert runs["0.01"].data.tags["git.commit"] == commit
    assert runs["0.02"].data.tags["DVC_EXP_NAME"] == runs["0.02"].info.run_name == "faster"
    assert runs["0.02"].data.tags["DVC_EXP_BASELINE_REV"] == commit
    when = int(project.run("git", "log", "-1", "--format=%ct").stdout) * 1000
    assert (runs["0.01"].info.start_time, runs["0.01"].info.end_time) == (when, when)
    assert "0 published, 3 there already" in sync(project).stdout


@pytest.mark.slow
def test_a_fresh_clone_with_a_pulled_cache_gets_the_runs_and_without_it_says_what_to_do(
    project: Project, tmp_path: Path
) -> None:
    before = content(project)
    project.commit("another run")
    project.run("dvc", "push", "--all-commits")
    clone = object.__new__(Project)
    clone.folder = tmp_path / "clone"
    project.run("git", "clone", "--quiet", str(project.folder), str(clone.folder))
    (tmp_path / "store").rename(tmp_path / "away")
    said = sync(clone).stdout.splitlines()
    assert said[-2:] == [
        "2 finished runs in git and DVC: 0 published, 0 there already, 2 not in the cache, "
        "0 of another version",
        "`dvc pull --all-commits` brings what a remote has; then run this again",
    ]
    (tmp_path / "away").rename(tmp_path / "store")
    clone.run("dvc", "pull", "--all-commits")
    sync(clone)
    del before["0.02"]  # experiments are pushed by `dvc exp push`
    assert content(clone) == before


@pytest.mark.slow
def test_a_stage_restored_from_the_run_cache_leaves_a_run_after_sync(project: Project) -> None:
    (project.folder / "mlflow.db").unlink()
    project.set_params({"train": {"learning_rate": 0.01}})
    assert project.reproduced() == []  # DVC has it, and runs nothing
    sync(project)
    assert "0.01" in content(project)


@pytest.mark.slow
def test_a_forced_second_run_is_a_run_of_its_own_that_reproduces_the_first(
    project: Project,
) -> None:
    (first,) = [run for rate, run in runs_in(project).items() if rate == "0.03"]
    project.run("dvc", "repro", "--force", "--single-item", "train")
    project.run("dvc", "repro", "--force", "--single-item", "evaluate")
    client = client_of(project)
    runs = client.search_runs([first.info.experiment_id], "params.`train.learning_rate` = '0.03'")
    assert len(runs) == 2
    (second,) = [run for run in runs if run.info.run_id != first.info.run_id]
    assert second.data.tags["reproduces"] == first.info.run_id
    assert second.data.metrics["test/bits_per_byte"] == first.data.metrics["test/bits_per_byte"]
    assert "there already" in sync(project).stdout


@pytest.mark.slow
def test_the_best_run_is_registered_and_its_model_works_in_a_clean_process(
    project: Project, tmp_path: Path
) -> None:
    runs = runs_in(project)
    best = min(runs.values(), key=lambda run: run.data.metrics["valid/bits_per_byte"])
    said = project.run("reprise", "track", "register", "--name", "novels").stdout
    assert said.startswith(f"models:/novels@best is version 1: run {best.info.run_id} (")
    assert "version 1:" in project.run("reprise", "track", "register", "--name", "novels").stdout
    clean = tmp_path / "clean"
    clean.mkdir()
    code = """
import json, sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/novels@best")
texts = pd.DataFrame({"text": ["the ", "the ", ""]})
answer = model.predict(texts, params={"max_tokens": 5, "temperature": 0.0})
import reprise
print(json.dumps([answer.to_dict("list"), reprise.__file__]))
"""
    uri = f"sqlite:///{project.folder / 'mlflow.db'}"
    command = [sys.executable, "-P", "-W", "ignore", "-c", code, uri]
    result = subprocess.run(command, cwd=clean, capture_output=True, text=True, check=True)
    answer, package = json.loads(result.stdout.splitlines()[-1])
    assert "/mlartifacts/" in package  # its own code, kept with it
    assert answer["completion"][0] == answer["completion"][1] != ""
    assert answer["tokens"][2] == 0
    assert answer["log_probability"][2] == 0
    assert answer["log_probability"][0] < 0


@pytest.mark.slow
def test_without_a_finished_run_there_is_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path / "new", run={"tracking": True})
    result = project.run("reprise", "track", "register", check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "error: MLflow has no experiment reprise; run `dvc repro` first\n",
    )
    assert sync(project).stdout == (
        "0 finished runs in git and DVC: 0 published, 0 there already, 0 not in the cache, "
        "0 of another version\n"
    )


@pytest.mark.slow
def test_a_run_of_other_code_is_told_and_left_out(project: Project) -> None:
    (project.folder / "mlflow.db").unlink()
    params = project.folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("  fraction: ", "  share: "), encoding="utf-8")
    said = sync(project).stdout.splitlines()
    assert said[-2] == "workspace: of another version"
    assert said[-1].endswith(
        " 2 published, 0 there already, 0 not in the cache, 1 of another version"
    )
