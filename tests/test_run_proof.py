"""`reprise verify run` on a finished run, and on one that was tampered with."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from project import Project

from reprise.commands.__main__ import reprise
from reprise.dvc_hashes import dvc_md5

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(whole_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return whole_run.copied_to(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def restored(finished: Project) -> Iterator[Project]:
    """The finished run; afterwards its files are as before."""
    before = {
        path: path.read_bytes()
        for path in finished.folder.rglob("*")
        if path.is_file() and not {".git", ".dvc", "__pycache__"} & set(path.parts)
    }
    yield finished
    for path, content in before.items():
        if not path.exists() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def verified(project: Project) -> Result:
    command = ["verify", "run", "--path", str(project.folder)]
    return CliRunner().invoke(reprise, command, catch_exceptions=False)


def failing(result: Result) -> list[str]:
    lines = [line for line in result.stdout.splitlines() if line[:8] in ("differs ", "missing ")]
    return [line.partition(": expected")[0] for line in lines]


def flip(path: Path, place: int = -1) -> None:
    """Another last bit in one byte. DVC's cache may be linked to the file, so it is made anew."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.slow
def test_a_finished_run_is_what_its_records_say(restored: Project) -> None:
    result = restored.run(sys.executable, "-m", "reprise.commands", "verify", "run")
    *lines, last = result.stdout.splitlines()
    assert {line[:8] for line in lines} == {"same    "}
    for subject in (
        "download: corpus",
        "download: data/download",
        "encode: data/encode/test.parquet",
        "train: params.yaml: model",
        "train: data/encode/train.npy",
        "evaluate: metrics/evaluate.json",
        "data/train/model.json: train_ids, data/encode/train.npy",
        "data/train/model.json: settings: train",
        "data/train/model.json: run key, from its settings, inputs, machine, and the code here",
        "data/train/model.safetensors: names and shapes, from data/train/model.json",
        "data/train/model.safetensors: as training delivered them",
        "machine",
    ):
        assert f"same     {subject}" in lines
    assert any(line.startswith("same     MLflow: run ") for line in lines)
    assert last == f"all {len(lines)} checks passed: the run is what its records say"


@pytest.mark.slow
def test_a_delivery_that_says_nothing_of_the_weights_is_noted(restored: Project) -> None:
    (delivery,) = (restored.folder / ".checkpoints").glob("*/delivered.json")
    delivery.write_text("{}")
    result = verified(restored)
    assert result.exit_code == 0
    assert "says nothing of it, so dvc.lock alone was asked" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "data/encode/train.npy",
            [
                "encode: data/encode/train.npy",
                "data_card: data/encode/train.npy",
                "train: data/encode/train.npy",
                "evaluate: data/encode/train.npy",
                "data/train/model.json: train_ids, data/encode/train.npy",
            ],
        ),
        (
            "data/train/model.safetensors",
            [
                "train: data/train/model.safetensors",
                "evaluate: data/train/model.safetensors",
                "data/train/model.safetensors: as training delivered them",
            ],
        ),
        ("data/evaluate/samples.txt", ["evaluate: data/evaluate"]),
        ("metrics/train.csv", ["train: metrics/train.csv", "evaluate: metrics/train.csv"]),
        ("metrics/evaluate.json", ["evaluate: metrics/evaluate.json"]),
        ("corpus/007.txt", ["download: corpus"]),
    ],
)
def test_one_bit_in_a_file_is_told_wherever_the_file_is_recorded(
    restored: Project, path: str, told: list[str]
) -> None:
    flip(restored.folder / path)
    result = verified(restored)
    assert result.exit_code == 1
    assert failing(result) == [f"differs  {subject}" for subject in told]
    checks = len([line for line in result.stdout.splitlines() if line[8:9] == " "])
    last = result.stderr.splitlines()[-1]
    assert last == f"error: {len(told)} of {checks} checks fail, the first at {told[0]}"


@pytest.mark.slow
def test_expected_and_found_hashes_and_what_to_do_are_told(restored: Project) -> None:
    path = restored.folder / "data/encode/train.npy"
    old = hashlib.md5(path.read_bytes()).hexdigest()
    flip(path)
    new = hashlib.md5(path.read_bytes()).hexdigest()
    assert (
        f"differs  encode: data/encode/train.npy: expected md5 {old}, found {new}; "
        "`dvc checkout --force data/encode/train.npy` brings back what was recorded, "
        "`dvc repro` makes the run anew\n"
    ) in verified(restored).stdout
    restored.run("dvc", "checkout", "--force", "data/encode/train.npy")
    assert failing(verified(restored)) == []


@pytest.mark.slow
def test_another_setting_is_told_with_both_values(restored: Project) -> None:
    restored.set_params({"train": {"learning_rate": 0.002}, "model": {"tie_weights": False}})
    result = verified(restored)
    assert result.exit_code == 1
    assert failing(result) == [
        "differs  train: params.yaml: model.tie_weights",
        "differs  train: params.yaml: train.learning_rate",
        "differs  data/train/model.json: settings: model.tie_weights",
        "differs  data/train/model.json: settings: train.learning_rate",
    ]
    assert ": expected 0.01, found 0.002; set it back, or `dvc repro`" in result.stdout


@pytest.mark.slow
def test_another_command_is_told_with_both(restored: Project) -> None:
    lock = restored.folder / "dvc.lock"
    lock.write_text(lock.read_text().replace("-m stages.train", "-m stages.trbin"))
    result = verified(restored)
    assert result.exit_code == 1
    assert failing(result) == ["differs  train: command"]
    told = ": expected python -m stages.trbin, found python -m stages.train; set it back, or"
    assert told in result.stdout


@pytest.mark.slow
def test_other_code_is_told_and_changes_the_run_key(restored: Project) -> None:
    flip(restored.folder / "reprise/dataset.py", place=5)  # in the docstring
    result = verified(restored)
    assert result.exit_code == 1
    assert failing(result) == [
        "differs  train: reprise/dataset.py",
        "differs  evaluate: reprise/dataset.py",
        "differs  data/train/model.json: run key, from its settings, inputs, machine, and the code "
        "here",
    ]


def edit_model_json(project: Project, change: Callable[[dict], None]) -> None:
    path = project.folder / "data/train/model.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.unlink()
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.slow
def test_other_figures_settings_and_tags_in_model_json_are_told(restored: Project) -> None:
    def change(record: dict) -> None:
        record["best_valid_nats_per_token"] = 0.1
        record["settings"]["model"]["hidden_size"] = 32
        record["inputs"]["valid_ids"] = "0" * 64
        record["parameters"] += 1

    edit_model_json(restored, change)
    result = verified(restored)
    assert result.exit_code == 1
    told = [line for line in failing(result) if not line.startswith("differs  MLflow: ")]
    assert told == [
        "differs  train: data/train/model.json",
        "differs  evaluate: data/train/model.json",
        "differs  data/train/model.json: valid_ids, data/encode/valid.npy",
        "differs  data/train/model.json: settings: model.hidden_size",
        "differs  data/train/model.json: run key, from its settings, inputs, machine, and the code "
        "here",
        "differs  data/train/model.json: parameters",
        "differs  data/train/model.safetensors: names and shapes, from data/train/model.json: "
        "body.layers.0.hidden_bias",
        "differs  metrics/train.json beside data/train/model.json: figures."
        "best_valid_nats_per_token",
        "differs  metrics/train.json beside data/train/model.json: figures.parameters",
    ]
    assert [line.rpartition(": ")[2] for line in failing(result) if "MLflow" in line] == [
        "tags.parameters",
        "tags.valid_ids.sha256",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("data/train/model.json", "null"),
        ("metrics/train.json", "3"),
        ("dvc.lock", "{}"),
        ("dvc.lock", "stages:"),
        ("dvc.lock", "stages: {train: }"),
        ("dvc.yaml", "{}"),
    ],
)
def test_a_record_of_another_kind_is_told(restored: Project, path: str, content: str) -> None:
    (restored.folder / path).unlink()
    (restored.folder / path).write_text(content)
    result = verified(restored)
    assert result.exit_code == 1
    assert any(" it is not what " in line or " is not what " in line for line in failing(result))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["inputs", "settings", "machine", "vocabulary_size", "run_key", "parameters"]
)
def test_a_part_of_model_json_of_another_kind_is_told(restored: Project, name: str) -> None:
    edit_model_json(restored, lambda record: record.update({name: [3]}))
    result = verified(restored)
    assert result.exit_code == 1
    assert any(line.startswith("differs  data/train/model.json") for line in failing(result))


@pytest.mark.slow
def test_another_machine_is_a_note_and_no_fault(
    restored: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.machine._hardware", lambda device: "ABACUS")
    result = verified(restored)
    assert result.exit_code == 0
    (note,) = [line for line in result.stdout.splitlines() if line.startswith("note")]
    assert note.startswith("note     machine: hardware: trained with ")
    assert note.endswith(", here ABACUS: a training here has another run key")


@pytest.mark.slow
def test_what_is_not_there_is_told(restored: Project) -> None:
    (restored.folder / "metrics/clean.json").unlink()
    (restored.folder / "data/train/model.json").unlink()
    result = verified(restored)
    assert result.exit_code == 1
    assert [line.partition(": `")[0] for line in failing(result)][-1].startswith(
        "missing  data/train/model.json"
    )
    assert sum("metrics/clean.json" in line for line in failing(result)) == 2  # clean, data_card


@pytest.mark.slow
def test_without_a_tracking_database_there_is_a_note_and_none_is_made(restored: Project) -> None:
    database = restored.folder / "mlflow.db"
    aside = database.rename(restored.folder / "mlflow.aside")
    result = verified(restored)
    assert not database.exists()
    aside.rename(database)
    assert result.exit_code == 0
    assert "note     MLflow: no run with key " in result.stdout


@pytest.mark.slow
def test_a_folders_hash_is_dvcs_own(restored: Project) -> None:
    hashes = restored.hashes()
    for name in ("download: corpus", "download: data/download", "evaluate: data/evaluate"):
        path = restored.folder / name.partition(": ")[2]
        assert path.is_dir()
        assert dvc_md5(path, restored.folder) == hashes[name]


def test_a_folder_without_a_lock_is_one_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    result = verified(project)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: dvc.lock: no such file; run `dvc repro` first"
