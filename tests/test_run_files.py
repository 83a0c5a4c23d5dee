import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.runs.files import Revision, Workspace, read_json_of, read_yaml_of
from reprise.runs.git import git
from reprise.tracking.sync import sync


def run(*command: str, folder: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    arguments = [command[0], *(identity if command[0] == "git" else []), *command[1:]]
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two commits: a tracked file and one that DVC keeps, which the second commit changes."""
    run("git", "init", "--quiet", folder=tmp_path)
    run("dvc", "init", "--quiet", folder=tmp_path)
    (tmp_path / "data").mkdir()
    for loss in (2, 1):
        (tmp_path / "params.yaml").write_text(f"train:\n  learning_rate: 1e-{loss}\n")
        (tmp_path / "data" / "figures.json").write_text(json.dumps({"loss": loss}))
        run("dvc", "add", "--quiet", "data", folder=tmp_path)
        run("git", "add", ".", folder=tmp_path)
        run("git", "commit", "--quiet", "-m", f"loss {loss}", folder=tmp_path)
    return tmp_path


def test_a_commit_has_its_files_from_git_and_from_the_cache(project: Path) -> None:
    now, before = Revision("HEAD", project), Revision("HEAD~1", project)
    assert [read_json_of(files, "data/figures.json") for files in (now, before)] == [
        {"loss": 1},
        {"loss": 2},
    ]
    assert read_yaml_of(before, "params.yaml") == {"train": {"learning_rate": 0.01}}
    head = ["git", "-C", str(project), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert (now.name, now.commit) == ("HEAD", commit)
    assert Workspace(project).read("data/figures.json") == b'{"loss": 1}'


def test_what_a_run_does_not_have_is_a_file_not_found(project: Path) -> None:
    for files in (Revision("HEAD", project), Workspace(project)):
        with pytest.raises(FileNotFoundError):
            files.read("data/gone.json")


def test_what_has_left_the_cache_is_a_file_not_found(project: Path) -> None:
    run("dvc", "gc", "--workspace", "--force", "--quiet", folder=project)
    with pytest.raises(FileNotFoundError):
        Revision("HEAD~1", project).read("data/figures.json")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")
def test_a_repository_of_another_user_is_told(project: Path) -> None:
    os.chown(project, 1234, 1234)
    os.chown(project / ".git", 1234, 1234)
    told = re.escape(f"{project}: belongs to another user, so git does not read it; if you trust")
    with pytest.raises(PipelineError, match=told):
        Revision("HEAD", project)
    with pytest.raises(PipelineError, match=told):
        git(project, "rev-parse", "HEAD")


def test_without_git_there_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(PipelineError, match=r"^git: no program of this name is in PATH; install"):
        git(project, "rev-parse", "HEAD")


def test_a_broken_lock_of_a_commit_has_no_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\n<<<<<<< HEAD\n=======\n")
    run("git", "add", ".", folder=project)
    run("git", "commit", "--quiet", "-m", "broken", folder=project)
    (project / "dvc.lock").unlink()
    monkeypatch.chdir(project)
    assert list(sync()) == []


def test_an_unknown_name_is_told(project: Path) -> None:
    with pytest.raises(PipelineError, match=r"brave-toad: no commit, branch, tag or experiment"):
        Revision("brave-toad", project)
