"""Sizes and costs by formula against the networks themselves and torch's own counter."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from helpers import model_params
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reprise.models import build_model
from reprise.models.size import flops_per_token, parameter_count, training_flops_per_token
from reprise.params.model import ModelParams

PIECES = 53
ROWS, LENGTH = 3, 11
RECURRENT = [
    {"architecture": kind, "embedding_size": 24, "tie_weights": tied, **sizes}
    for kind, tied, sizes in product(
        ("rnn", "gru", "lstm"),
        (True, False),
        (
            {"hidden_size": 24, "layers": 2},
            {"hidden_size": 40, "layers": 1},
            {"hidden_size": [40, 32, 24], "layers": 3},
            {"hidden_size": [24, 36], "layers": 2},
        ),
    )
]
TRANSFORMERS = [
    {"architecture": "transformer", "tie_weights": tied, "key_value_heads": groups, **sizes}
    for tied, groups, sizes in product(
        (True, False),
        ("auto", 1, 2),
        (
            {"embedding_size": 24, "hidden_size": 24, "heads": 4, "layers": 1},
            {"embedding_size": 32, "hidden_size": 32, "heads": 2, "layers": 3},
            {"embedding_size": 32, "hidden_size": 32, "heads": 8, "query_key_norm": True},
        ),
    )
] + [
    {"architecture": "gpt2", "tie_weights": tied, "positions": positions, **sizes}
    for tied, positions, sizes in product(
        (True, False),
        (16, 100),
        (
            {"embedding_size": 24, "hidden_size": 24, "heads": 4, "layers": 1},
            {"embedding_size": 32, "hidden_size": 32, "feedforward_size": 20, "layers": 3},
        ),
    )
]


def params_of(settings: dict[str, Any]) -> ModelParams:
    return model_params(dropout=0.0, **settings)


@pytest.mark.parametrize("settings", RECURRENT + TRANSFORMERS, ids=str)
def test_the_parameters_are_as_many_as_the_network_has(settings: dict[str, Any]) -> None:
    params = params_of(settings)
    model = build_model(params, PIECES)
    assert parameter_count(params, PIECES) == sum(p.numel() for p in model.parameters())


def counted(forward: Callable[[], Tensor]) -> tuple[float, float]:
    """What torch counts a token: forward, and forward with backward."""
    with sdpa_kernel(SDPBackend.MATH):  # it does not see the fused kernel for CPUs
        with FlopCounterMode(display=False) as inference, torch.no_grad():
            forward()
        with FlopCounterMode(display=False) as training:
            forward().sum().backward()
    tokens = ROWS * LENGTH
    return inference.get_total_flops() / tokens, training.get_total_flops() / tokens


@pytest.mark.parametrize("settings", TRANSFORMERS, ids=str)
def test_transformers_cost_what_torch_counts(settings: dict[str, Any]) -> None:
    params = params_of(settings)
    model = build_model(params, PIECES)
    ids = torch.randint(0, PIECES, (ROWS, LENGTH))
    forward, training = counted(lambda: model.head.logits(model(ids)[0].flatten(0, 1)))
    assert flops_per_token(params, PIECES, LENGTH) == forward
    assert training_flops_per_token(params, PIECES, LENGTH) == training


@pytest.mark.parametrize("settings", RECURRENT, ids=str)
def test_recurrent_networks_cost_what_torch_counts_for_single_cells(
    settings: dict[str, Any],
) -> None:
    params = params_of(settings)
    model = build_model(params, PIECES)
    is_lstm = params.architecture == "lstm"
    cell = {"rnn": torch.rnn_tanh_cell, "gru": torch.gru_cell, "lstm": torch.lstm_cell}[
        params.architecture
    ]

    def forward() -> Tensor:
        tokens = torch.randn(LENGTH, ROWS, params.embedding_size, requires_grad=True).unbind(0)
        for layer in model.body.layers:  # a token at a time; kernels for whole texts go uncounted
            size = layer.hidden_weight.shape[1]
            hidden, memory = torch.zeros(2, ROWS, size, requires_grad=True).unbind(0)
            outputs = []
            for token in tokens:
                weights = list(layer.parameters())
                if is_lstm:
                    hidden, memory = cell(token, (hidden, memory), *weights)
                else:
                    hidden = cell(token, hidden, *weights)
                outputs.append(hidden)
            tokens = tuple(outputs)
        return model.head.logits(model.projection(torch.cat(tokens)))

    inference, training = counted(forward)
    assert flops_per_token(params, PIECES, LENGTH) == inference
    assert training_flops_per_token(params, PIECES, LENGTH) == training


@pytest.mark.parametrize("cutoffs", [[20], [10, 30], [5, 20, 50]])
def test_an_adaptive_head_is_laid_out_and_costs_as_torchs(cutoffs: list[int]) -> None:
    settings = {"embedding_size": 64, "hidden_size": 64, "tie_weights": False}
    plain, adaptive = (params_of({**settings, "adaptive_cutoffs": each}) for each in ([], cutoffs))
    head = nn.AdaptiveLogSoftmaxWithLoss(64, PIECES, cutoffs, div_value=4.0, head_bias=True)
    numbers = sum(parameter.numel() for parameter in head.parameters())
    difference = parameter_count(adaptive, PIECES) - parameter_count(plain, PIECES)
    assert difference == numbers - (64 * PIECES + PIECES)
    hidden = torch.randn(ROWS * LENGTH, 64, requires_grad=True)
    inference, training = counted(lambda: head.log_prob(hidden))
    costs = (flops_per_token(each, PIECES, LENGTH) for each in (adaptive, plain))
    assert next(costs) - next(costs) == inference - 2 * 64 * PIECES
    costs = (training_flops_per_token(each, PIECES, LENGTH) for each in (adaptive, plain))
    assert next(costs) - next(costs) == training - 6 * 64 * PIECES


def test_gpt2_as_published_has_124_million_parameters() -> None:
    params = model_params(
        architecture="gpt2",
        embedding_size=768,
        hidden_size=768,
        layers=12,
        heads=12,
        feedforward_size=3072,
        positions=1024,
    )
    # 124,439,808 in the files that OpenAI released; our head adds a bias for each piece.
    assert parameter_count(params, 50_257) == 124_439_808 + 50_257
