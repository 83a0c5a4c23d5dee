"""The model on disk is the model that was trained."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import model_params, train_params
from safetensors.torch import load_file

from reprise.errors import PipelineError
from reprise.files import read_json, write_json
from reprise.model_files import load_model, save_model, weights_of
from reprise.models import build_model
from reprise.params.model import ModelParams


def settings_of(params: ModelParams) -> dict[str, Any]:
    return {
        "run_key": "0" * 20,
        "settings": {"model": params.model_dump(), "train": train_params().model_dump()},
        "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
        "vocabulary_size": 20,
        "boundary": 1,
    }


def saved(folder: Path, architecture: str = "lstm") -> tuple[Path, Path, torch.nn.Module]:
    params = model_params(architecture=architecture)
    torch.manual_seed(1)
    model = build_model(params, 20)
    paths = folder / "model.safetensors", folder / "model.json"
    save_model(*paths, weights_of(model), settings_of(params))
    return *paths, model


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
def test_a_saved_model_comes_back_equal_and_ready_to_score(
    tmp_path: Path, architecture: str
) -> None:
    weights_path, settings_path, model = saved(tmp_path, architecture)
    found, settings = load_model(weights_path, settings_path)
    ids = torch.arange(12).view(2, 6)
    assert found(ids)[0].equal(model.eval()(ids)[0])
    assert not found.training
    assert found.head.weight is found.embedding.weight
    assert settings["vocabulary_size"] == 20


def test_a_tied_matrix_is_written_once(tmp_path: Path) -> None:
    weights = load_file(saved(tmp_path)[0])
    assert sum(value.shape == (20, 16) for value in weights.values()) == 1


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a")[0], saved(tmp_path / "b")[0]
    assert first.read_bytes() == second.read_bytes()


def test_broken_and_foreign_weights_are_told(tmp_path: Path) -> None:
    weights_path, settings_path, _ = saved(tmp_path)
    other, _, _ = saved(tmp_path / "other", "gru")
    with pytest.raises(PipelineError, match=r"do not fit the settings, first at .*; run `dvc"):
        load_model(other, settings_path)
    weights_path.write_bytes(weights_path.read_bytes()[:-10])
    with pytest.raises(PipelineError, match=r"safetensors: cannot be read: .*`dvc repro -f train`"):
        load_model(weights_path, settings_path)
    weights_path.unlink()
    with pytest.raises(PipelineError, match=r"safetensors: cannot be read: .*`dvc repro -f train`"):
        load_model(weights_path, settings_path)


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        (["run_key"], "model.json: run_key is missing"),
        (["machine"], "model.json: machine.device is missing"),
        (["machine", "threads"], "model.json: machine.threads is missing"),
        (["settings", "train"], "model.json: settings.train.sequence_length is missing"),
        (["settings", "model", "heads"], "model.json: model.heads: missing"),
    ],
)
def test_settings_that_another_version_wrote_are_told(
    tmp_path: Path, place: list[str], fault: str
) -> None:
    weights_path, settings_path, _ = saved(tmp_path)
    found = read_json(settings_path)
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    del inner[place[-1]]
    write_json(settings_path, found)
    with pytest.raises(PipelineError) as error:
        load_model(weights_path, settings_path)
    assert len(error.value.lines) == 1
    assert error.value.lines[0].startswith(f"{tmp_path}/{fault}")
    assert error.value.lines[0].endswith("; run `dvc repro -f train`")


@pytest.mark.parametrize("content", [[1], {}, 3, "text"])
def test_settings_of_another_form_are_told(tmp_path: Path, content: Any) -> None:
    weights_path, settings_path, _ = saved(tmp_path)
    write_json(settings_path, content)
    with pytest.raises(PipelineError, match=r"model\.json: .*`dvc repro -f train`"):
        load_model(weights_path, settings_path)


def test_a_full_disk_is_told_and_the_weights_before_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_path, _, model = saved(tmp_path)
    before = weights_path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match=r"cannot be written: No space left on device; .*free"):
        save_model(weights_path, tmp_path / "model.json", weights_of(model), {})
    assert weights_path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_the_file_is_as_safetensors_writes_it_by_no_other_file_and_for_all_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process would leave a file of a random name."""
    weights_path, settings_path, model = saved(tmp_path)
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.extend(p.name for p in tmp_path.iterdir()))
    save_model(weights_path, settings_path, weights_of(model), {})
    names = {"model.json", "model.safetensors"}
    assert set(seen) - names == {".model.unfinished.safetensors", ".model.unfinished.json"}
    safetensors.torch.save_file(weights_of(model), tmp_path / "theirs")
    assert weights_path.read_bytes() == (tmp_path / "theirs").read_bytes()
    assert weights_path.stat().st_mode == settings_path.stat().st_mode
