"""The model on disk is the model that was trained."""

from pathlib import Path

import pytest
import torch
from helpers import model_params
from safetensors.torch import load_file

from reprise.errors import PipelineError
from reprise.model_files import load_model, save_model, weights_of
from reprise.models import build_model


def saved(folder: Path, architecture: str = "lstm") -> tuple[Path, Path, torch.nn.Module]:
    params = model_params(architecture=architecture)
    torch.manual_seed(1)
    model = build_model(params, 20)
    paths = folder / "model.safetensors", folder / "model.json"
    settings = {"vocabulary_size": 20, "settings": {"model": params.model_dump()}}
    save_model(*paths, weights_of(model), settings)
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
