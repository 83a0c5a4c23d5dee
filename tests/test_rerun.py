"""`reprise rerun` on a finished run, and DVC's remote, from which one is restored."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import pytest
from project import Project
from ruamel.yaml import YAML
from s3_server import s3_server

from reprise.files import read_json, write_json
from reprise.reruns.dvc_lock import locked_stages
from reprise.reruns.dvc_remote import restore
from reprise.reruns.output_checks import another_machine
from reprise.yaml_files import read_yaml


@pytest.fixture(scope="module")
def finished(whole_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("finished") / "project"
    project = whole_run.copied_to(folder, run={"tracking": False})
    project.commit("the run")
    return project


def rerun(project: Project, *arguments: str, check: bool = True) -> CompletedProcess[str]:
    command = (sys.executable, "-m", "reprise.commands", "rerun", "--base", "HEAD", *arguments)
    return project.run(*command, check=check)


def lines_of(result: CompletedProcess[str], *verdicts: str) -> list[str]:
    return [line for line in result.stdout.splitlines() if line[:8].strip() in verdicts]


# Gives the commands of DVC that make a project know it.
Remote = Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[list[list[str]]]]


@contextmanager
def local_remote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    yield [["remote", "add", "--local", "--default", "store", str(folder / "remote")]]


@contextmanager
def s3_remote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """A server of its own with the real protocol."""
    with s3_server("runs", monkeypatch) as (address, _):
        yield [
            ["remote", "add", "--local", "--default", "store", "s3://runs/project"],
            ["remote", "modify", "--local", "store", "endpointurl", address],
        ]


@pytest.mark.slow
@pytest.mark.parametrize("remote", [local_remote, s3_remote])
def test_what_was_pushed_makes_an_empty_clone_whole_and_nothing_runs(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Remote
) -> None:
    with remote(tmp_path, monkeypatch) as configuration:
        project = finished.copied_to(tmp_path / "project")
        clone = project.cloned_to(tmp_path / "clone")
        for command in configuration:
            project.run("dvc", *command)
            clone.run("dvc", *command)
        project.run("dvc", "push", "--run-cache")

        clone.run("dvc", "pull", "--run-cache")
        assert clone.run("dvc", "status").stdout == "Data and pipelines are up to date.\n"
        assert clone.reproduced() == []
        runs = {path.name for path in (project.folder / ".dvc/cache/runs").rglob("*/*/*")}
        assert runs <= {path.name for path in (clone.folder / ".dvc/cache/runs").rglob("*/*/*")}
        assert runs

        # Without dvc.lock the run cache alone knows what came out of what.
        assert restore(clone.folder)
        (clone.folder / "dvc.lock").unlink()
        clone.run("rm", "-r", "data/clean", "data/encode", "data/train")
        assert clone.reproduced() == []
        assert clone.hashes() == finished.hashes()


@pytest.mark.slow
def test_a_remote_that_is_not_there_is_one_line_and_no_fault(
    finished: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clone = finished.cloned_to(tmp_path / "clone")
    with caplog.at_level("INFO"):
        assert not restore(clone.folder)
        clone.run("dvc", "remote", "add", "--local", "--default", "far", "s3://runs/project")
        address = "http://127.0.0.1:9"
        clone.run("dvc", "remote", "modify", "--local", "far", "endpointurl", address)
        for name in ("access_key_id", "secret_access_key"):
            clone.run("dvc", "remote", "modify", "--local", "far", name, "test")
        assert not restore(clone.folder)
    unset, far = [record.message for record in caplog.records if record.name.startswith("reprise")]
    assert unset.startswith("restore: no remote is set (`dvc remote add --default")
    assert far.startswith("restore: `dvc pull --run-cache` failed, and what is missing is made ")
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/' in far


@pytest.mark.slow
def test_a_file_that_has_left_the_remote_is_made_anew_alone(
    finished: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = finished.copied_to(tmp_path / "project")
    clone = project.cloned_to(tmp_path / "clone")
    for each in (project, clone):
        each.run("dvc", "remote", "add", "--local", "--default", "near", str(tmp_path / "remote"))
    project.run("dvc", "push")
    md5 = finished.hashes()["tokenize: data/tokenize/tokenizer.model"]
    (tmp_path / "remote/files/md5" / md5[:2] / md5[2:]).unlink()
    assert restore(clone.folder)
    (message,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert message == (
        f"restore: 1 files are not in the remote and are made anew, the first with md5 {md5}"
    )
    assert clone.reproduced() == ["tokenize"]
    assert clone.hashes() == finished.hashes()


@pytest.mark.slow
def test_an_unchanged_run_passes_and_its_report_says_so(finished: Project) -> None:
    result = rerun(finished, "restore", "repro", "outputs", "report")
    assert len(lines_of(result, "same")) == 7
    assert lines_of(result, "differs", "missing", "note") == []
    report = (finished.folder / "rerun/report.md").read_text(encoding="utf-8")
    assert "None of 7 comparisons of hashes fails." in report
    assert "No other number in `metrics/` differs." in report
    assert (finished.folder / "rerun/losses.png").is_file()
    assert finished.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_a_committed_hash_that_no_run_gives_fails_with_one_line(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copied_to(tmp_path / "project")
    path, yaml = project.folder / "dvc.lock", YAML()
    true = project.hashes()["encode: data/encode/train.npy"]
    wrong = "0123456789abcdef0123456789abcdef"
    lock = yaml.load(path.read_text(encoding="utf-8"))
    for entry in lock["stages"]["encode"]["outs"]:
        if entry["path"] == "data/encode/train.npy":
            entry["md5"] = wrong
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(lock, file)
    project.commit("a hash from nowhere")
    result = rerun(project, "repro", "outputs", check=False)
    assert result.returncode == 1
    (line,) = lines_of(result, "differs", "missing", "note")
    assert line.startswith(
        f"differs  encode: data/encode/train.npy: expected md5 {wrong}, found {true}; "
    )
    last = result.stderr.splitlines()[-1]
    assert last == "error: 1 of 7 checks fail, the first at encode: data/encode/train.npy"


@pytest.mark.slow
def test_the_machine_of_the_committed_training_is_read_from_the_cache(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copied_to(tmp_path / "project")
    train = locked_stages(read_yaml(project.folder / "dvc.lock", ""))["train"]
    assert another_machine(project.folder, train) == ""
    path = project.folder / "data/train/model.json"
    record = read_json(path)
    record["machine"] |= {"threads": 64}
    path.unlink()  # it may be linked to the cache
    write_json(path, record)
    assert another_machine(project.folder, train) == (
        "another machine: it was made with threads 1, here 64"
    )
    gone = type(train)(**{**vars(train), "writes": {"data/train/model.json": "0" * 32}})
    assert another_machine(project.folder, gone) == (
        "on which machine it was made is not known: its data/train/model.json is not in the cache"
    )


@pytest.mark.slow
def test_two_runs_from_nothing_in_two_folders_are_the_same(finished: Project) -> None:
    result = rerun(finished, "twice", "--tiny", "params.yaml")
    (line,) = lines_of(result, "same", "differs")
    assert line.startswith("same     run twice from nothing: ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "tiny.yaml: no such file; give a file with the settings of all stages by --tiny"),
        ("", "tiny.yaml: expected a mapping of names, found nothing; give a file with the setti"),
        ("a: [", "tiny.yaml: not YAML: "),
        ("train: {seed: 1}", "tiny.yaml: download: this section is missing; copy it from a recipe"),
    ],
)
def test_wrong_settings_of_two_runs_are_told(
    finished: Project, content: str | None, told: str
) -> None:
    path = finished.folder / "tiny.yaml"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    result = rerun(finished, "twice", "--tiny", "tiny.yaml", check=False)
    path.unlink(missing_ok=True)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {told}")


def test_a_base_that_is_not_there_is_told_before_anything_runs(finished: Project) -> None:
    result = rerun(finished, "--base", "no-branch", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: --base: no-branch: no commit, branch, tag or exp")
    assert result.stdout == ""


@pytest.mark.parametrize("step", ["restore", "twice"])
def test_a_folder_without_git_is_told(finished: Project, tmp_path: Path, step: str) -> None:
    copy = finished.copied_to(tmp_path / "copy")
    shutil.rmtree(copy.folder / ".git")
    result = rerun(copy, step, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert re.search(r"^error: .*not a git repository", result.stderr, re.MULTILINE)


@pytest.mark.slow
def test_a_signal_ends_two_runs_and_leaves_nothing(finished: Project, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "reprise.commands", "rerun", "twice", "--tiny", "params.yaml"],
        cwd=finished.folder,
        env={**finished.environment, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("reprise-*/workers-1/data/download/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    assert told.splitlines()[-1] == "error: run twice: stopped by SIGTERM; nothing is left"
    assert list(tmp_path.glob("reprise-*")) == []
    assert psutil.wait_procs(started, timeout=30)[1] == []


@pytest.mark.slow
def test_a_stage_that_fails_ends_the_rerun_with_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path, clean={"max_dropped_fraction": 0.0, "min_characters": 100_000})
    result = rerun(project, "repro", "outputs", check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: repro: `dvc repro` ended with exit code 255; the lines above say why"
    )
