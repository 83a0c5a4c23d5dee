import subprocess
from pathlib import Path

import pytest

from reprise.checkout import experiment_tags, git_difference, git_state, main_checkout


@pytest.fixture(autouse=True)
def _no_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "metrics").mkdir()
    for name in ("params.yaml", "dvc.lock", "metrics/train.json"):
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_the_checkout_is_the_nearest_folder_above_that_holds_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "project" / "docs" / "images"
    inner.mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "project" / ".dvc").mkdir()
    monkeypatch.chdir(inner)
    assert main_checkout() == tmp_path / "project"


def test_in_a_temporary_experiment_the_checkout_is_the_one_that_dvc_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "main" / ".dvc" / "tmp" / "exps" / "tmpx"
    (temporary / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert main_checkout() == tmp_path / "main"


def test_a_committed_tree_is_clean(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert git_state(repository) == {
        "git.commit": commit,
        "git.dirty": "false",
        "mlflow.source.git.commit": commit,
    }


@pytest.mark.parametrize("name", ["params.yaml", "new.py"])
def test_a_changed_or_new_file_makes_the_tree_dirty(repository: Path, name: str) -> None:
    (repository / name).write_text("2\n")
    assert git_state(repository)["git.dirty"] == "true"
    assert git_state(repository / "metrics")["git.dirty"] == "true"


def test_what_the_pipeline_writes_makes_the_tree_no_dirtier(repository: Path) -> None:
    (repository / "dvc.lock").write_text("2\n")
    (repository / "metrics" / "train.json").unlink()
    (repository / "metrics" / "train.csv").touch()
    assert git_state(repository)["git.dirty"] == "false"
    assert git_state(repository / "metrics")["git.dirty"] == "false"


def test_a_changed_text_in_another_encoding_is_no_fault(repository: Path) -> None:
    path = repository / "params.yaml"
    path.write_bytes("Straße: 1\n".encode("latin-1"))
    git(repository, "commit", "--quiet", "-am", "second")
    path.write_bytes("Straße: 2\n".encode("latin-1"))
    assert git_difference(repository).endswith("-Stra\ufffde: 1\n+Stra\ufffde: 2\n")


def test_outside_of_git_and_before_the_first_commit_there_is_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) == {}
    assert git_state(tmp_path / "missing") == {}


def test_tags_tell_the_dvc_experiment_as_far_as_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert experiment_tags() == {}
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-arch")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    assert experiment_tags() == {
        "DVC_STAGE": "train",
        "DVC_EXP_NAME": "tidal-arch",
        "DVC_EXP_BASELINE_REV": "abc",
    }
