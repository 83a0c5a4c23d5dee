"""GPT-2 against Hugging Face's, and what its positions allow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import model_params, train_params
from torch import Tensor, nn
from transformers_reference import (
    PIECES,
    assert_equal_with_gradients,
    ids,
    shaken,
    with_their_weights,
)

from reprise.errors import PipelineError
from reprise.models import build_model
from reprise.training_run import TrainingRun

SIZES = [  # size, heads, feedforward_size, layers, positions
    (16, 2, 24, 1, 12),
    (32, 4, 128, 2, 20),
    (96, 6, 80, 3, 64),
]


def gpt2(*sizes: int, activation: str = "gelu_new") -> nn.Module:
    from transformers import GPT2Config, GPT2Model

    size, heads, feedforward_size, layers, positions = sizes
    config = GPT2Config(
        vocab_size=PIECES,
        n_positions=positions,
        n_embd=size,
        n_layer=layers,
        n_head=heads,
        n_inner=feedforward_size,
        activation_function=activation,
        attn_implementation="eager",
    )
    torch.manual_seed(3)
    return shaken(GPT2Model(config))


def by_our_names(theirs: Any, number: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
    """Their weights, or gradients, as ours are laid out: their matrices are turned."""
    layers = {"body.norm": theirs.ln_f}
    for place, layer in enumerate(theirs.h):
        of_block = {
            "attention_norm": layer.ln_1,
            "attention.input": layer.attn.c_attn,
            "attention.output": layer.attn.c_proj,
            "feedforward_norm": layer.ln_2,
            "feedforward.up": layer.mlp.c_fc,
            "feedforward.down": layer.mlp.c_proj,
        }
        layers |= {f"body.blocks.{place}.{name}": module for name, module in of_block.items()}
    named = {
        "embedding.weight": number(theirs.wte.weight),
        "body.positions.weight": number(theirs.wpe.weight),
    }
    for name, module in layers.items():
        weight = number(module.weight)
        named |= {f"{name}.weight": weight.t() if weight.dim() == 2 else weight}
        named |= {f"{name}.bias": number(module.bias)}
    return named


@pytest.mark.parametrize("parts", [[12], [7, 5], [4, 1, 1, 6]])
@pytest.mark.parametrize("sizes", SIZES)
def test_hidden_states_caches_and_gradients_are_those_of_gpt2(
    sizes: tuple[int, ...], parts: list[int]
) -> None:
    theirs = gpt2(*sizes)
    size, heads, feedforward_size, layers, positions = sizes
    ours = with_their_weights(
        theirs,
        by_our_names,
        architecture="gpt2",
        embedding_size=size,
        hidden_size=size,
        heads=heads,
        feedforward_size=feedforward_size,
        layers=layers,
        positions=positions,
    )
    assert_equal_with_gradients(ours, theirs, by_our_names, parts)


def test_gelu_can_be_the_exact_one() -> None:
    theirs = gpt2(32, 4, 128, 2, 20, activation="gelu")
    settings = {
        "architecture": "gpt2",
        "embedding_size": 32,
        "hidden_size": 32,
        "heads": 4,
        "feedforward_size": 128,
        "layers": 2,
        "positions": 20,
    }
    exact = with_their_weights(theirs, by_our_names, gelu_approximation="none", **settings)
    assert_equal_with_gradients(exact, theirs, by_our_names, [12])
    by_tanh = with_their_weights(theirs, by_our_names, **settings)
    with pytest.raises(AssertionError):
        assert_equal_with_gradients(by_tanh, theirs, by_our_names, [12])


def test_biases_start_at_zero_and_what_is_added_to_the_residual_starts_smaller() -> None:
    params = model_params(
        architecture="gpt2", embedding_size=256, hidden_size=256, layers=8, feedforward_size=512
    )
    torch.manual_seed(3)
    body = build_model(params, PIECES).body
    spreads = {}
    for name, parameter in body.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert bool((parameter == 1).all()), name
        else:
            spreads[name.removeprefix("blocks.7.")] = float(parameter.detach().std())
    expected = {
        "positions.weight": 1 / 16,
        "attention.input.weight": 1 / 16,
        "attention.output.weight": 1 / 16 / 4,  # the root of 2 x 8 layers
        "feedforward.up.weight": 1 / 16,
        "feedforward.down.weight": 512**-0.5 / 4,
    }
    assert {name: spreads[name] for name in expected} == pytest.approx(expected, rel=0.03)


def test_all_dropouts_act_in_training_only() -> None:
    places = [f"{place}_dropout" for place in ("input", "hidden", "attention", "output")]
    for place in places:
        dropout = dict.fromkeys(places, 0.0) | {place: 0.5}
        model = build_model(model_params(architecture="gpt2", **dropout), PIECES)
        assert not torch.equal(model(ids(9))[0], model(ids(9))[0]), place
        model.eval()
        assert torch.equal(model(ids(9))[0], model(ids(9))[0]), place


def test_a_text_past_the_last_position_is_an_error_with_a_cache_too() -> None:
    model = build_model(model_params(architecture="gpt2", positions=8), PIECES)
    _, state = model(ids(8))
    for text, before in ((ids(9), None), (ids(1), state)):
        with pytest.raises(IndexError):
            model(text, before)


def test_a_sequence_length_above_the_positions_is_refused_before_any_file_is_read() -> None:
    params = train_params(sequence_length=65)
    with pytest.raises(PipelineError) as error:
        TrainingRun.prepare(params, model_params(architecture="gpt2"), Path("nowhere"))
    assert error.value.lines == (
        "train.sequence_length: found 65, allowed: up to model.positions 64; "
        "lower the one, or raise the other and train anew",
    )


@pytest.mark.parametrize(
    ("architecture", "tokens"), [("gpt2", 64), ("transformer", 65), ("lstm", 65)]
)
def test_positions_limit_gpt2_alone_and_may_all_be_used(architecture: str, tokens: int) -> None:
    model_params(architecture=architecture).check_window("evaluate.window", tokens)
