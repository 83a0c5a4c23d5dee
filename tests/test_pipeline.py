"""dvc.yaml against the code, and the whole pipeline on a small text."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from project import ROOT, Project
from ruamel.yaml import YAML

from reprise.params.loading import SECTIONS
from reprise.source import imported_files

STAGES = ["download", "clean", "tokenize", "encode", "data_card", "train", "evaluate"]
SECTIONS_READ = {"train": ["model", "train"], "data_card": []}
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_exactly_the_modules_that_a_stage_imports(stage: str) -> None:
    named = [path for path in PIPELINE["stages"][stage]["deps"] if path.endswith(".py")]
    assert named == imported_files(f"stages.{stage}")


def test_a_stage_has_its_own_section_and_writes_to_its_own_folder() -> None:
    assert list(PIPELINE["stages"]) == STAGES
    for name, stage in PIPELINE["stages"].items():
        assert stage.get("params", []) == SECTIONS_READ.get(name, [name])
        entries = [*stage["outs"], *stage.get("metrics", [])]
        for entry in entries:
            (path,) = [entry] if isinstance(entry, str) else entry  # a mapping has options
            assert path.startswith((f"data/{name}", f"metrics/{name}")), path
    assert set(SECTIONS) == {*STAGES, "model", "run"} - {"data_card"}


def test_the_committed_lock_belongs_to_the_committed_settings_and_code() -> None:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert sorted(lock["stages"]) == sorted(STAGES)
    for name, stage in PIPELINE["stages"].items():
        locked = lock["stages"][name]
        expected = {section: params[section] for section in stage.get("params", [])}
        assert locked.get("params", {}).get("params.yaml", {}) == expected
        assert locked["cmd"] == stage["cmd"]
        assert {entry["path"] for entry in locked["deps"]} == set(stage["deps"])
        for entry in [*locked["deps"], *locked["outs"]]:
            path = ROOT / entry["path"]
            if not entry["path"].startswith("data/") or path.suffix == ".yaml":
                assert path.is_dir() or _md5(path) == entry["md5"], (
                    f"{entry['path']} is not what {name} ran with; run `dvc repro` and commit"
                )


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def reference(whole_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole pipeline, unbroken, by one worker."""
    folder = tmp_path_factory.mktemp("reference") / "project"
    return whole_run.copied_to(folder, run={"tracking": False})


@pytest.mark.slow
def test_another_folder_and_number_of_workers_give_equal_hashes(
    reference: Project, tmp_path: Path
) -> None:
    other = Project(tmp_path / "somewhere else" / "deep", run={"workers": 3})
    assert other.reproduced() == STAGES
    assert other.hashes() == reference.hashes()
    assert reference.reproduced() == []


@pytest.mark.slow
def test_killed_again_and_again_the_same_command_ends_in_equal_hashes(
    reference: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path, run={"workers": 2})
    dice = random.Random(3)
    for _ in range(5):
        process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(2, 12))
        with contextlib.suppress(ProcessLookupError):  # it had ended before
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        project.mended()
    project.reproduced()
    assert project.hashes() == reference.hashes()


@pytest.mark.slow
def test_a_lock_that_was_cut_off_is_removed_and_no_training_is_repeated(
    reference: Project, tmp_path: Path
) -> None:
    project = reference.copied_to(tmp_path / "copy")
    lock = project.folder / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(text[: text.rindex("path: ") + len("path:")] + "\n", encoding="utf-8")
    assert "'./dvc.lock' validation failed" in project.run("dvc", "repro", check=False).stderr
    project.mended()
    assert not lock.exists()
    assert set(project.reproduced()) <= {"data_card"}  # whose figures DVC does not cache
    assert project.hashes() == reference.hashes()


@pytest.mark.slow
def test_a_list_of_readers_that_was_cut_off_is_removed_and_nothing_is_repeated(
    reference: Project, tmp_path: Path
) -> None:
    project = reference.copied_to(tmp_path / "copy")
    (project.folder / ".dvc/tmp/rwlock").write_text("")
    told = project.run("dvc", "repro", check=False).stderr
    assert "Unable to read RWLock-file '.dvc/tmp/rwlock'" in told
    project.mended()
    assert project.reproduced() == []
    assert project.hashes() == reference.hashes()


@pytest.mark.slow
def test_an_empty_folder_of_the_run_cache_is_removed_and_the_stage_runs(
    reference: Project, tmp_path: Path
) -> None:
    """DVC makes it before it writes what belongs there."""
    project = reference.copied_to(tmp_path / "copy")
    (project.folder / "dvc.lock").unlink()
    for entry in (project.folder / ".dvc" / "cache" / "runs").glob("*/*/*"):
        if "stages.evaluate" in entry.read_text(encoding="utf-8"):
            entry.unlink()
    error = project.run("dvc", "repro", check=False).stderr
    assert "'evaluate': join() argument must be str" in error
    project.mended()
    assert project.reproduced() == ["evaluate"]
    assert project.hashes() == reference.hashes()


@pytest.mark.slow
def test_a_change_reruns_the_stages_that_it_must_and_no_other(
    reference: Project, tmp_path: Path
) -> None:
    project = reference.copied_to(tmp_path / "copy")
    before = project.hashes()

    # Code: a comment in a module that evaluate alone uses.
    sampling = project.folder / "reprise" / "sampling.py"
    sampling.write_text(sampling.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert project.reproduced() == ["evaluate"]

    # Settings: the training algorithm's, and one that decides no result.
    project.set_params({"train": {"learning_rate": 0.002}, "run": {"workers": 2}})
    assert project.reproduced() == ["train", "evaluate"]
    weights = "train: data/train/model.safetensors"
    assert project.hashes()[weights] != before[weights]

    # Data: one more document.
    project.add_document("new", "A new note\n\n    the array returns nothing new at all.")
    assert project.reproduced("clean") == ["download", "clean"]
    changed = {name for name, md5 in project.hashes().items() if before.get(name) != md5}
    splits = {f"clean: data/clean/{split}.parquet" for split in ("train", "valid", "test")}
    assert len(splits & changed) == 1  # a new document moves no other
