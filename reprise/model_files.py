"""The trained model on disk: weights in safetensors, everything else in JSON beside them."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from reprise.cut_tensors import cut_like, whole
from reprise.errors import PipelineError
from reprise.files import read_json, replacing, write_json
from reprise.models import LanguageModel, build_model
from reprise.params.loading import section_faults
from reprise.params.model import ModelParams

Weights = dict[str, Tensor]

NEEDED = (  # of model.json, to score the model and to publish it
    *(("run_key",), ("vocabulary_size",), ("boundary",), ("settings", "model")),
    *(("settings", "train", "sequence_length"), ("machine", "device"), ("machine", "threads")),
)


def weights_of(model: LanguageModel) -> Weights:
    """Whole copies on the CPU of what is learnt; a matrix that two layers share appears once."""
    return {name: whole(value.detach()).cpu().clone() for name, value in model.named_parameters()}


@torch.no_grad()
def set_weights(model: LanguageModel, weights: Weights) -> None:
    expected = {name: tuple(value.shape) for name, value in model.named_parameters()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != expected:
        wrong = sorted(set(expected.items()) ^ set(found.items()))
        raise PipelineError(
            f"the weights do not fit the settings, first at {wrong[0][0]}; run `dvc repro -f train`"
        )
    for name, value in model.named_parameters():
        value.copy_(cut_like(weights[name], value))


def save_model(weights_path: Path, settings_path: Path, weights: Weights, settings: Any) -> None:
    # safetensors' own way goes by a file of a random name, which a killed process would leave.
    content = save(weights)
    with replacing(weights_path) as scratch:
        scratch.write_bytes(content)
    write_json(settings_path, settings)


def _read_settings(path: Path) -> dict[str, Any]:
    """model.json; PipelineError where it lacks what scoring needs of it."""
    found = read_json(path)
    try:
        for names in NEEDED:
            place = found
            for name in names:
                place = place[name]
        faults = section_faults(f"{path}: model", ModelParams, found["settings"]["model"])[:1]
    except (KeyError, TypeError, IndexError):
        faults = [f"{path}: {'.'.join(names)} is missing"]
    if faults:
        raise PipelineError(f"{faults[0]}; run `dvc repro -f train`")
    return dict(found)


def load_model(weights_path: Path, settings_path: Path) -> tuple[LanguageModel, dict[str, Any]]:
    """The network with its weights, on the CPU and ready to score, and what model.json says."""
    settings = _read_settings(settings_path)
    try:
        weights = load_file(weights_path)
    except (OSError, SafetensorError) as error:
        raise PipelineError(
            f"{weights_path}: cannot be read: {error}; run `dvc repro -f train`"
        ) from None
    params = ModelParams.model_validate(settings["settings"]["model"])
    model = build_model(params, settings["vocabulary_size"])
    set_weights(model, weights)
    return model.eval(), settings
