"""Sizes solved for a target, against the networks themselves."""

from typing import Any

import pytest
from helpers import model_params, train_params

from reprise.errors import PipelineError
from reprise.models import build_model
from reprise.params.model import ModelParams
from reprise.studies.solving import Solve, solved

PIECES = 300


def settings(**model: Any) -> dict[str, dict[str, Any]]:
    return {
        "tokenize": {"vocabulary_size": PIECES},
        "model": model_params(**model).model_dump() | {"heads": 2},
        "train": train_params(batch_size=8, sequence_length=32).model_dump(),
    }


def network(params: dict[str, dict[str, Any]], values: dict[str, int]) -> ModelParams:
    sizes = {name.removeprefix("model."): value for name, value in values.items()}
    return ModelParams.model_validate({**params["model"], **sizes})


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
@pytest.mark.parametrize("target", [150_000, 1_000_000])
def test_a_network_of_the_solved_size_has_the_parameters_asked_for(
    architecture: str, target: int
) -> None:
    params = settings(architecture=architecture)
    solve = Solve(
        setting="model.hidden_size",
        also={"model.embedding_size": 1, "model.feedforward_size": 4},
        multiple_of=4,
        parameters=target,
    )
    values = solved(params, solve)
    assert values["model.feedforward_size"] == 4 * values["model.hidden_size"]
    model = build_model(network(params, values), PIECES)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(target, rel=0.05)


def test_the_size_is_the_nearest_of_all() -> None:
    params = settings(architecture="lstm", layers=1, tie_weights=False)

    def parameters(size: int) -> int:  # counted by hand: E = 16 inputs, H hidden, V = 300 pieces
        return 300 * 16 + 4 * (16 * size + size * size + 2 * size) + 300 * size + 300

    target = 50_000
    nearest = min(range(1, 500), key=lambda size: abs(parameters(size) - target))
    solve = Solve(setting="model.hidden_size", parameters=target)
    assert solved(params, solve) == {"model.hidden_size": nearest}


def test_steps_are_solved_for_the_operations_of_training() -> None:
    params = settings(architecture="lstm", layers=1, tie_weights=False, hidden_size=32)
    weights = 4 * (16 * 32 + 32 * 32) + 32 * PIECES  # two operations each, forward; twice that back
    step = 8 * 32 * 6 * weights
    solve = Solve(setting="train.max_steps", training_flops=123 * step + step / 3)
    assert solved(params, solve) == {"train.max_steps": 123}


def test_a_target_that_no_size_comes_near_to_is_told() -> None:
    solve = Solve(setting="model.hidden_size", multiple_of=1000, parameters=50_000)
    with pytest.raises(
        PipelineError, match=r"model.hidden_size: 1000 comes closest to 50,000 param"
    ):
        solved(settings(architecture="lstm"), solve)


def test_one_target_is_needed_and_not_two() -> None:
    for targets in ({}, {"parameters": 5, "training_flops": 5.0}):
        with pytest.raises(ValueError, match="one of parameters and training_flops"):
            Solve.model_validate({"setting": "model.hidden_size", **targets})
