"""dvc.yaml against the code, and the whole pipeline on a small text."""

from pathlib import Path

import pytest
from project import ROOT, Project
from ruamel.yaml import YAML

from reprise.params.loading import SECTIONS
from reprise.source import imported_files

STAGES = ["download", "clean", "tokenize", "encode", "train", "evaluate"]
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_exactly_the_modules_that_a_stage_imports(stage: str) -> None:
    named = [path for path in PIPELINE["stages"][stage]["deps"] if path.endswith(".py")]
    assert named == imported_files(f"stages.{stage}")


def test_a_stage_has_its_own_section_and_writes_to_its_own_folder() -> None:
    assert list(PIPELINE["stages"]) == STAGES
    for name, stage in PIPELINE["stages"].items():
        assert stage["params"] == (["model", "train"] if name == "train" else [name])
        outs = [
            *stage["outs"],
            *(path for entry in stage["metrics"] for path in entry),
            *(path for entry in stage.get("plots", []) for path in entry),
        ]
        for path in outs:
            assert path.startswith((f"data/{name}", f"metrics/{name}.")), path
    assert set(SECTIONS) == {*STAGES, "model", "run"}


def test_the_committed_lock_belongs_to_the_committed_settings_and_code() -> None:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert list(lock["stages"]) == STAGES
    for name, stage in PIPELINE["stages"].items():
        locked = lock["stages"][name]
        expected = {section: params[section] for section in stage["params"]}
        assert locked["params"]["params.yaml"] == expected
        assert {entry["path"] for entry in locked["deps"]} == set(stage["deps"])


@pytest.mark.slow
def test_two_folders_and_two_numbers_of_workers_give_equal_hashes(tmp_path: Path) -> None:
    one = Project(tmp_path / "one", run={"workers": 1})
    other = Project(tmp_path / "somewhere else" / "deep", run={"workers": 3})
    assert one.reproduced() == STAGES
    assert other.reproduced() == STAGES
    assert one.hashes() == other.hashes()
    assert one.reproduced() == []


@pytest.mark.slow
def test_a_change_reruns_the_stages_that_it_must_and_no_other(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.reproduced() == STAGES
    before = project.hashes()

    # Code: a comment in a module that evaluate alone uses.
    sampling = project.folder / "reprise" / "sampling.py"
    sampling.write_text(sampling.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert project.reproduced() == ["evaluate"]

    # Settings: the training algorithm's, and one that decides no result.
    project.set_params({"train": {"learning_rate": 0.002}, "run": {"workers": 2}})
    assert project.reproduced() == ["train", "evaluate"]
    assert (
        project.hashes()["train: data/train/model.safetensors"]
        != (before["train: data/train/model.safetensors"])
    )

    # Data: one more document. DVC looks at a folder of one's own only when it is told to.
    project.add_document("new", "A new note\n\n    the array returns nothing new at all.")
    project.run("dvc", "repro", "--force", "--single-item", "download")
    assert project.reproduced() == ["clean", "tokenize", "encode", "train", "evaluate"]
    changed = {name for name, md5 in project.hashes().items() if before.get(name) != md5}
    assert "clean: data/clean/train.parquet" in changed
    assert len({"clean: data/clean/valid.parquet", "clean: data/clean/test.parquet"} & changed) < 2
