"""`reprise compare` in a repository, and against MLflow."""

import json
import re
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from finished_runs import NATS, record, write_run
from mlflow import MlflowClient

from reprise.commands.__main__ import reprise
from reprise.comparing.loss_curves import seconds_at
from reprise.params.loading import read_params
from reprise.tracking.description import shown_params
from reprise.tracking.store import connect

RATE = {"train.learning_rate": 0.02}


def git(*command: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *command], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags first, second (another seed) and faster (another rate); the workspace is as faster."""
    folder = tmp_path_factory.mktemp("repository")
    with chdir(folder):
        git("init", "--quiet")
        subprocess.run(["dvc", "init", "--quiet"], check=True)
        for name, factor, settings in (
            ("first", 1, {}),
            ("second", 0.998, {"train.seed": 2}),
            ("faster", 0.8, RATE),
        ):
            write_run(folder, factor * NATS, settings=settings)
            git("add", ".")
            git("commit", "--quiet", "--allow-empty", "-m", name)
            git("tag", name)
    return folder


@pytest.fixture
def project(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # where mlflow.db would be
    monkeypatch.chdir(repository)
    return repository


def compared(*arguments: str) -> Result:
    return CliRunner().invoke(reprise, ["compare", *arguments], catch_exceptions=False)


def test_seeds_are_noise_and_a_better_rate_is_not(project: Path) -> None:
    result = compared("first", "second", "faster", "workspace")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Verdict"
    assert lines[1].startswith("B against A: within noise: -0.0")
    assert lines[1].endswith("a repeat, whose difference is noise by definition")
    assert lines[2].startswith("C against A: better: -0.2")
    assert lines[3] == lines[2].replace("C against", "D against")
    assert re.search(
        r"^  train.learning_rate +0.01 +0.01 +0.02 +0.02$", result.stdout, re.MULTILINE
    )


def test_markdown_has_the_same_tables(project: Path, tmp_path: Path) -> None:
    compared("first,second", "faster", "--markdown", str(tmp_path / "a.md"))
    text = (tmp_path / "a.md").read_text()
    assert "### Verdict\n\nB against A: better: " in text
    assert "| train.learning\\_rate | 0.01 | 0.02 |" in text
    assert re.search(r"^\| bits a byte \| 1\.\d{4} ± 0\.\d{4} \(n=2\) \| ", text, re.MULTILINE)


def test_the_page_needs_nothing_but_itself(project: Path, tmp_path: Path) -> None:
    compared("first,second", "faster", "--html", str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text()
    assert not re.findall(r"https?:|src=|href=|@import|url\((?!#)", page)
    assert '<div class="verdict better"><b>better</b>' in page
    points = [json.loads(text) for text in re.findall(r"json\">(.*?)</script>", page)]
    over_tokens, over_operations = points  # MLflow knows of no time
    assert "No chart over seconds of training steps: MLflow has no speeds of" in page
    lines = {line["label"]: line["points"] for line in over_tokens["lines"]}
    assert lines["B valid"] == [[2000, 4.2], [3000, 3.75]]
    assert lines["A, seed 2 train"] == [[1000, 4.5], [2000, 4], [3000, 3.5]]
    # LSTM of 512 on 256, tied with 1,000 pieces: 2 operations a weight, three times in training.
    weights = 4 * 512 * (256 + 512) + 256 * 512 + 1000 * 256
    assert over_operations["lines"][0]["points"][0][0] == 2 * 3 * weights * 2000


def test_names_of_nothing_are_one_line(project: Path) -> None:
    for name, told in (
        ("brave-toad", "brave-toad: no run of this name; tried: the id of a run in MLflow"),
        ("0" * 32, "has no run of this id"),
    ):
        result = compared("first", name)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert told in line
    result = compared("first")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: one run was named, first; name at least two\n",
    )


@pytest.mark.parametrize("names", [("", "first"), ("first,", "faster"), ("first", " ")])
def test_a_name_that_is_empty_is_no_name(project: Path, names: tuple[str, str]) -> None:
    """DVC would take it for the workspace."""
    result = compared(*names)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.match("error: found ' ?' for the name of a run; ", line)


def test_settings_without_a_run_are_one_line(project: Path, tmp_path: Path) -> None:
    settings = (project / "params.yaml").read_text().replace("batch_size: 32", "batch_size: 8")
    (tmp_path / "mine.yaml").write_text(settings)
    result = compared("first", str(tmp_path / "mine.yaml"))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "mine.yaml: no finished run has these settings; tried: the runs of MLflow's exp" in line


@pytest.fixture
def tracked(project: Path, tmp_path: Path) -> str:
    """The id of a run in MLflow that has the rate's files."""
    client, experiment = connect("reprise")
    assert isinstance(client, MlflowClient)
    run_id: str = client.create_run(experiment).info.run_id
    for name, value in shown_params(read_params(project / "params.yaml")).items():
        client.log_param(run_id, name, value)
    for path in ("params.yaml", "dvc.lock", "metrics/train.csv", "metrics/evaluate.json",
                 "data/train/model.json", "data/evaluate/documents.parquet"):  # fmt: skip
        folder = str(Path(path).parent)
        client.log_artifact(run_id, str(project / path), "" if folder == "." else folder)
    client.log_metric(run_id, "test/bits_per_byte", 1.2)
    client.set_tag(run_id, "reprise.run_key", "key-1")
    for step, speed in ((10, 500), (20, 1000), (30, 250)):
        client.log_metric(run_id, "speed/tokens_per_second", speed, step=step)
    client.set_terminated(run_id)
    return run_id


def test_a_run_in_mlflow_goes_by_its_id_and_by_its_settings(
    project: Path, tmp_path: Path, tracked: str
) -> None:
    shutil.copy(project / "params.yaml", tmp_path / "mine.yaml")
    by_id = compared("first", tracked, "--html", str(tmp_path / "a.html"))
    by_settings = compared("first", str(tmp_path / "mine.yaml"))
    assert by_id.exit_code == by_settings.exit_code == 0
    assert by_id.stderr == by_settings.stderr == ""
    assert by_id.stdout == by_settings.stdout
    assert f"B  {tracked}" in by_id.stdout
    # The key of both is the same here, and with it the speeds.
    assert "Over seconds of training steps" in (tmp_path / "a.html").read_text()


def test_a_run_with_more_on_than_the_settings_is_not_theirs(
    project: Path, tmp_path: Path, tracked: str
) -> None:
    """What is off is not shown, so that all that is shown of them is shown of the run too."""
    client, _ = connect("reprise")
    client.log_param(tracked, "model.adaptive_cutoffs", "[100]")
    settings = (project / "params.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(settings)
    result = compared("first", str(tmp_path / "mine.yaml"))
    assert result.exit_code == 0
    assert tracked not in result.stdout  # but the commit that has these settings


def test_settings_find_a_commit_where_mlflow_has_no_run(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        subprocess.run(
            ["git", "show", "second:params.yaml"], check=True, capture_output=True, text=True
        ).stdout
    )
    result = compared("second", str(tmp_path / "mine.yaml"))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("B against A: within noise: +0.0000 bits a by")


def test_seconds_are_tokens_by_speed(tmp_path: Path) -> None:
    run = record(tmp_path)
    assert seconds_at(run, {10: 500.0, 20: 1000.0, 30: 250.0}) == [2.0, 3.0, 7.0]
    assert seconds_at(run, {10: 500.0, 20: 1000.0}) is None
