"""Studies run in projects of their own: of a toy pipeline, and the real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from permissions import bound_by_permissions
from project import Project
from ruamel.yaml import YAML

from reprise.errors import PipelineError
from reprise.runs.experiments import experiments
from reprise.runs.files import Revision
from reprise.studies.frozen_project import FrozenProject, source_paths
from reprise.studies.running import alone, error_line

PIPELINE: dict[str, Any] = {
    "stages": {
        "train": {
            "cmd": "python toy.py",
            "deps": ["toy.py"],
            "params": ["train"],
            "outs": ["data/train/model.txt"],
            "metrics": [
                {f"metrics/{name}.json": {"cache": False}}
                for name in ("encode", "evaluate", "tokenize", "train")
            ],
        }
    }
}
# A rate above 1 fails; one of 0.5 waits, where a file asks it to, and says when it is told to stop.
TOY = """
import json, os, pathlib, sys, time
from ruamel.yaml import YAML

rate = YAML(typ="safe", pure=True).load(open("params.yaml"))["train"]["learning_rate"]
root = pathlib.Path(os.environ["DVC_ROOT"])
try:
    while rate == 0.5 and (root / ".hold").exists():
        (root / ".held").touch()
        time.sleep(0.05)
except KeyboardInterrupt:
    (root / ".told").touch()
    sys.exit("stopped")
if rate > 1:
    raise ValueError(f"the rate {rate} is too high")
figures = {"bits_per_byte": 1 + rate, "bytes": 10, "kneser_ney": {"bits_per_byte": 1.15}}
files = {
    "metrics/encode.json": {"train": {"tokens": 100, "bytes": 300}},
    "metrics/evaluate.json": {"test": figures, "valid": figures},
    "metrics/tokenize.json": {"pieces": 50},
    "metrics/train.json": {"tokens": 1000, "parameters": 77},
    "data/train/model.txt": rate,
}
for name, content in files.items():
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(json.dumps(content))
"""


def write_study(project: Project, name: str, **content: Any) -> None:
    path = project.folder / "studies" / f"{name}.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump({"title": "Which rate?", "question": "Which rate is best?", **content}, file)


def study(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reprise.commands", "study", *arguments]
    return project.run(*command, check=False)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("toy"))
    with (project.folder / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(PIPELINE, file)
    (project.folder / "toy.py").write_text(TOY)
    (project.folder / ".gitignore").write_text(".hold\n.held\n.told\n/data/\n__pycache__/\n")
    write_study(
        project, "rates", grid={"train.learning_rate": [0.1, 2.0, 0.2]}, axis="train.learning_rate"
    )
    write_study(project, "waits", grid={"train.learning_rate": [0.5]}, axis="train.learning_rate")
    project.commit("a toy")
    return project


@pytest.mark.slow
def test_a_point_that_fails_keeps_no_other_from_running_and_is_alone_run_again(
    toy: Project,
) -> None:
    params = toy.folder / "params.yaml"
    params.write_text(params.read_text() + "# not committed\n")
    before = params.read_bytes(), toy.run("git", "stash", "list").stdout

    first = study(toy, "run", "rates")
    assert first.returncode == 1, first.stderr
    assert "point 3 of 3: learning_rate=0.2; about" in first.stderr
    failures = [line for line in first.stderr.splitlines() if line.startswith("error: ")]
    assert failures[0].startswith(
        "error: learning_rate=2: ValueError: the rate 2.0 is too high; see .dvc/tmp/studies/rates/"
    )
    assert failures[1:] == [
        "error: 1 of 3 points failed; `reprise study run rates` tries them again, and no others"
    ]
    report = (toy.folder / "docs" / "studies" / "rates" / "report.md").read_text()
    assert "Best is `learning_rate=0.1`: 1.1000 bits a byte on test." in report
    assert "- `learning_rate=2`: failed: ValueError: the rate 2.0 is too high" in report

    second = study(toy, "run", "rates")
    assert second.returncode == 1
    assert "study rates: 3 points, 2 of them done already" in second.stderr
    assert "point 1 of 1: learning_rate=2" in second.stderr
    assert report == (toy.folder / "docs" / "studies" / "rates" / "report.md").read_text()

    names = sorted(experiments(toy.folder))
    assert [name.rpartition("-")[0] for name in names] == [
        "rates-learning-rate-0.1",
        "rates-learning-rate-0.2",
    ]
    weights = [Revision(name, toy.folder).read("data/train/model.txt") for name in names]
    assert weights == [b"0.1", b"0.2"]  # from the project's own cache
    assert (params.read_bytes(), toy.run("git", "stash", "list").stdout) == before
    changed = toy.run("git", "status", "--porcelain").stdout.splitlines()
    assert changed == [" M params.yaml", "?? docs/"]
    assert not (toy.folder / ".dvc" / "tmp" / "studies" / "rates" / "checkout").exists()


@pytest.mark.slow
def test_what_is_stopped_is_told_to_its_stages_and_run_again(toy: Project) -> None:
    hold, held = toy.folder / ".hold", toy.folder / ".held"
    hold.touch()
    command = [sys.executable, "-m", "reprise.commands", "study", "run", "waits"]
    process = subprocess.Popen(
        command, cwd=toy.folder, env=toy.environment, stderr=subprocess.PIPE, text=True
    )
    while not held.exists():
        assert process.poll() is None
        time.sleep(0.1)
    other = study(toy, "run", "waits")
    assert other.stderr.splitlines()[-1].endswith(
        "another process runs this study; wait for it, or stop it"
    )
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 1
    assert told.splitlines()[-1] == (
        "error: study waits: stopped by SIGINT in the point learning_rate=0.5; the same command "
        "goes on from there"
    )
    assert (toy.folder / ".told").exists()
    hold.unlink()
    again = study(toy, "run", "waits")
    assert again.returncode == 0, again.stderr
    assert "1 of 1 points are done" in again.stdout


@pytest.mark.slow
def test_a_file_that_the_pipeline_reads_and_git_does_not_know_is_told(toy: Project) -> None:
    pipeline = toy.folder / "dvc.yaml"
    committed = pipeline.read_text()
    pipeline.write_text(committed.replace("- toy.py", "- toy.py\n    - texts"))
    (toy.folder / "texts").mkdir()
    (toy.folder / "texts" / "mine.txt").touch()
    try:
        with pytest.raises(PipelineError, match=r"^texts/mine.txt: the pipeline reads it, but git"):
            FrozenProject(toy.folder)
    finally:
        pipeline.write_text(committed)


@pytest.mark.slow
def test_a_mere_change_of_a_files_time_is_none(toy: Project, tmp_path: Path) -> None:
    clone = toy.cloned_to(tmp_path / "clone")
    os.utime(clone.folder / "dvc.yaml", (1, 1))
    frozen = FrozenProject(clone.folder)
    assert frozen.snapshot == frozen.baseline


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir(mode=0o555)
    with (
        bound_by_permissions(),
        pytest.raises(PipelineError, match=r"^studies/rates: cannot be written: Permission denied"),
        alone(Path("studies/rates")),
    ):
        pass


def test_one_process_at_a_time_runs_a_study(tmp_path: Path) -> None:
    with (
        alone(tmp_path / "rates"),
        pytest.raises(PipelineError, match="another process runs this study"),
        alone(tmp_path / "rates"),
    ):
        pass
    with alone(tmp_path / "rates"):
        pass


def test_sources_are_what_stages_need_and_do_not_make() -> None:
    stages = {
        "one": {"deps": ["corpus", "a.py"], "outs": ["data/one"]},
        "two": {
            "deps": ["data/one/words", "a.py", "metrics/two.json", "b.py"],
            "metrics": [{"metrics/two.json": {"cache": False}}],
        },
    }
    assert source_paths({"stages": stages}) == ["dvc.yaml", "a.py", "b.py", "corpus"]


def test_a_project_without_a_commit_is_told(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with pytest.raises(PipelineError, match="make a first commit"):
        FrozenProject(tmp_path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["error: train.x: bad", "ERROR: failed to reproduce 'train'"], "train.x: bad"),
        (["torch.OutOfMemoryError: no", "ERROR: failed"], "torch.OutOfMemoryError: no"),
        (["Running", "ERROR: failed to reproduce 'train'", "hint"], "failed to reproduce 'train'"),
        (["gone"], "gone"),
        ([], "it said nothing"),
    ],
)
def test_the_line_that_tells_best_why_is_found(lines: list[str], expected: str) -> None:
    assert error_line(lines, 1) == expected
    assert error_line(lines, -9) == f"{expected} (ended by SIGKILL)"


@pytest.mark.slow
def test_a_study_of_the_real_pipeline(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write_study(
        project,
        "tiny",
        settings={"train.max_steps": 20},
        grid={"train.learning_rate": [0.01, 1e30]},
        solve=[
            {
                "setting": "model.hidden_size",
                "also": {"model.embedding_size": 1},
                "parameters": 9000,
            }
        ],
        axis="train_tokens",
        fit="power_law",
    )
    project.commit("a study")
    result = study(project, "run", "tiny")
    assert result.returncode == 1
    (line, _) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: learning_rate=1e+30: step ")
    assert "the loss is nan at learning rate" in line
    report = (project.folder / "docs" / "studies" / "tiny" / "report.md").read_text()
    assert "No power law is fitted: 1 different values of tokens of training text" in report
    rows = (project.folder / "docs" / "studies" / "tiny" / "points.csv").read_text().splitlines()
    (done,) = [dict(zip(rows[0].split(","), row.split(","), strict=True)) for row in rows[1:]]
    assert int(done["parameters"]) == pytest.approx(9000, rel=0.05)
    assert 1 < float(done["test_bits_per_byte"]) < 9
    assert report == _reported_again(project)


def _reported_again(project: Project) -> str:
    assert study(project, "report", "tiny").returncode == 0
    return (project.folder / "docs" / "studies" / "tiny" / "report.md").read_text()
