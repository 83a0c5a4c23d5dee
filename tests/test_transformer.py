"""The transformer against Hugging Face's Llama and Qwen3, and against its own formulas."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import model_params
from torch import Tensor, nn
from transformers_reference import (
    PIECES,
    assert_equal_with_gradients,
    ids,
    shaken,
    with_their_weights,
)

from reprise.models import LanguageModel, build_model
from reprise.models.blocks import QUERIES_AT_ONCE, attend
from reprise.models.dropouts import dropout

SIZES = [  # size, heads, key_value_heads, feedforward_size, layers
    (16, 2, 2, 24, 1),
    (32, 4, 2, 40, 2),
    (32, 8, 1, 48, 2),
    (96, 6, 3, 80, 3),
]
PARTS = [[12], [7, 5], [4, 1, 1, 6]]


def llama_or_qwen3(kind: str, *sizes: int) -> nn.Module:
    import transformers

    size, heads, key_value_heads, feedforward_size, layers = sizes
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=PIECES,
        hidden_size=size,
        intermediate_size=feedforward_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=size // heads,
        rms_norm_eps=torch.finfo(torch.float32).eps,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        attn_implementation="eager",
    )
    torch.manual_seed(3)
    return shaken(getattr(transformers, f"{kind}Model")(config))


def by_our_names(theirs: Any, number: Callable[[nn.Parameter], Tensor]) -> dict[str, Tensor]:
    """Their weights, or gradients, as ours are laid out."""

    def of(*layers: nn.Module) -> Tensor:
        return torch.cat([number(layer.weight) for layer in layers])

    named = {"embedding.weight": of(theirs.embed_tokens), "body.norm.weight": of(theirs.norm)}
    for place, layer in enumerate(theirs.layers):
        attention, feedforward = layer.self_attn, layer.mlp
        of_block = {
            "attention_norm": of(layer.input_layernorm),
            "attention.input": of(attention.q_proj, attention.k_proj, attention.v_proj),
            "attention.output": of(attention.o_proj),
            "feedforward_norm": of(layer.post_attention_layernorm),
            "feedforward.up": of(feedforward.gate_proj, feedforward.up_proj),
            "feedforward.down": of(feedforward.down_proj),
        }
        if hasattr(attention, "q_norm"):
            of_block["attention.query_norm"] = of(attention.q_norm)
            of_block["attention.key_norm"] = of(attention.k_norm)
        named |= {f"body.blocks.{place}.{name}.weight": value for name, value in of_block.items()}
    return named


def ours_of(theirs: nn.Module, kind: str, *sizes: int) -> LanguageModel:
    size, heads, key_value_heads, feedforward_size, layers = sizes
    return with_their_weights(
        theirs,
        by_our_names,
        architecture="transformer",
        embedding_size=size,
        hidden_size=size,
        heads=heads,
        key_value_heads=key_value_heads,
        feedforward_size=feedforward_size,
        layers=layers,
        query_key_norm=kind == "Qwen3",
    )


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
def test_hidden_states_caches_and_gradients_are_those_of_llama_and_qwen3(
    kind: str, sizes: tuple[int, ...], parts: list[int]
) -> None:
    theirs = llama_or_qwen3(kind, *sizes)
    assert_equal_with_gradients(ours_of(theirs, kind, *sizes), theirs, by_our_names, parts)


def make(**changes: Any) -> LanguageModel:
    settings = {"embedding_size": 32, "hidden_size": 32, "heads": 4, "dropout": 0.0}
    torch.manual_seed(3)
    return build_model(model_params(architecture="transformer", **settings | changes), PIECES)


def test_auto_is_as_many_key_value_heads_as_heads() -> None:
    automatic, explicit = make(key_value_heads="auto"), make(key_value_heads=4)
    assert torch.equal(automatic(ids(9))[0], explicit(ids(9))[0])
    names = [name for name, _ in automatic.body.blocks[0].named_parameters()]
    assert names == [
        "attention_norm.weight",
        "attention.input.weight",
        "attention.output.weight",
        "feedforward_norm.weight",
        "feedforward.up.weight",
        "feedforward.down.weight",
    ]


def test_the_cache_holds_the_key_value_heads_only() -> None:
    _, state = make(key_value_heads=2)(ids(9))
    assert [tuple(tensor.shape) for layer in state for tensor in layer] == [(3, 9, 2, 8)] * 4


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_attention_equals_attention_to_repeated_heads_with_dropout_too(groups: int) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(2, 6, heads, 8, generator=generator) for heads in (4, groups, groups)
    )
    repeated = [tensor.repeat_interleave(4 // groups, dim=2) for tensor in (key, value)]
    for probability in (0.0, 0.5):
        torch.manual_seed(2)
        found, cache = attend(query, key, value, None, probability)
        torch.manual_seed(2)
        expected, _ = attend(query, *repeated, None, probability)
        torch.testing.assert_close(found, expected)
        assert cache[0] is key
        assert cache[1] is value


def test_attention_with_dropout_is_attention_whose_weights_are_dropped() -> None:
    """With a cache too; the same mask by hand, and gradients through it."""
    torch.manual_seed(3)
    query = torch.randn(2, 6, 4, 8, requires_grad=True)
    key, value, old_key, old_value = (torch.randn(2, n, 2, 8) for n in (6, 6, 5, 5))
    torch.manual_seed(9)
    found, _ = attend(query, key, value, (old_key, old_value), 0.4)
    torch.manual_seed(9)
    mask = dropout(torch.ones(2, 4, 6, 11), 0.4)
    key, value = torch.cat([old_key, key], 1), torch.cat([old_value, value], 1)
    key, value = key.repeat_interleave(2, 2), value.repeat_interleave(2, 2)
    scores = torch.einsum("btad,bsad->bats", query, key) / 8**0.5
    seen = torch.arange(11) <= torch.arange(6)[:, None] + 5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1) * mask
    expected = torch.einsum("bats,bsad->btad", weights, value).flatten(2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    slope = torch.autograd.grad(found.square().sum(), query, retain_graph=True)
    wanted = torch.autograd.grad(expected.square().sum(), query)
    torch.testing.assert_close(slope, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("past", [0, 5])
def test_attention_in_bfloat16_is_that_in_float32_with_its_gradients(past: int) -> None:
    """With more queries than it takes at once."""
    T = QUERIES_AT_ONCE + 30
    torch.manual_seed(3)
    drawn = [torch.randn(2, T, 4, 16), *(torch.randn(2, past + T, 2, 16) for _ in range(2))]
    outer = torch.randn(2, T, 64)
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        query, key, value = (tensor.to(dtype).requires_grad_() for tensor in drawn)
        cache = (key[:, :past], value[:, :past]) if past else None
        mixed, longer = attend(query, key[:, past:], value[:, past:], cache, 0.0)
        mixed.backward(outer.to(dtype))
        assert mixed.dtype == dtype
        assert longer[0].shape == key.shape
        found[dtype] = [mixed, query.grad, key.grad, value.grad]
    for low, full in zip(*found.values(), strict=True):
        assert full is not None
        assert (low.float() - full).norm() / full.norm() < 0.01


@pytest.mark.parametrize("factor", [0.5, 100.0])
def test_normed_queries_and_keys_are_blind_to_their_scale(factor: float) -> None:
    model = make(query_key_norm=True, key_value_heads=2)
    before, _ = model(ids(9))
    with torch.no_grad():
        for block in model.body.blocks:
            block.attention.input.weight[: (4 + 2) * 8] *= factor  # queries and keys, not values
    torch.testing.assert_close(model(ids(9))[0], before, atol=1e-4, rtol=1e-4)


def test_bfloat16_gives_the_gradients_of_float32_with_groups_and_norms() -> None:
    model = make(query_key_norm=True, key_value_heads=2, embedding_size=64, hidden_size=64)
    found = {}
    for low in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            first, state = model(ids(12)[:, :5])
            second, _ = model(ids(12)[:, 5:], state)
            loss = model.head(torch.cat([first, second], 1), ids(12).roll(1)) / ids(12).numel()
        loss.backward()
        found[low] = {name: p.grad.clone() for name, p in model.named_parameters()}
    for name, gradient in found[False].items():
        assert (found[True][name] - gradient).norm() / gradient.norm() < 0.03, name
