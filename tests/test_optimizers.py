"""Who is updated by what, who gets weight decay, and how rates are set."""

import math
from typing import Any

import pytest
import torch
from helpers import model_params, train_params
from torch import nn

from reprise.models import build_model
from reprise.muon import Muon, orthogonal
from reprise.optimizers import hidden_matrices, make_optimizers, set_rate

KINDS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("name", KINDS)
def test_weight_decay_reaches_matrices_only(name: str) -> None:
    model = build_model(model_params(), 20)
    params = train_params(optimizer=name, weight_decay=0.3, momentum=0.7)
    (optimizer,) = make_optimizers(model, params, "cpu")
    assert type(optimizer) is KINDS[name]
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in spared["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
        list(model.parameters())
    )
    if name == "sgd":
        assert decayed["momentum"] == 0.7
    if name in ("adam", "adamw"):
        assert decayed["betas"] == (0.9, 0.99)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
@pytest.mark.parametrize("tied", [True, False])
def test_muon_has_the_hidden_matrices_and_adamw_the_rest(architecture: str, tied: bool) -> None:
    model = build_model(
        model_params(architecture=architecture, tie_weights=tied, embedding_size=16), 20
    )
    adamw, muon = make_optimizers(model, train_params(optimizer="muon", momentum=0.9), "cpu")
    assert (type(adamw), type(muon)) == (torch.optim.AdamW, Muon)
    names = {id(p): name for name, p in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    by_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert by_muon == {n for n, p in model.named_parameters() if "body." in n and p.dim() == 2}
    assert by_adamw == set(names.values()) - by_muon
    assert "embedding.weight" in by_adamw


def test_the_heads_matrix_is_no_hidden_one() -> None:
    model = build_model(model_params(tie_weights=False), 20)
    assert all(p is not model.head.weight for p in hidden_matrices(model))


def test_each_optimizer_gets_the_same_fraction_of_its_own_rate() -> None:
    model = build_model(model_params(), 20)
    params = train_params(
        optimizer="muon", momentum=0.9, learning_rate=0.01, muon_learning_rate=0.2
    )
    optimizers = make_optimizers(model, params, "cpu")
    set_rate(optimizers, 0.5)
    set_rate(optimizers, 0.25)
    rates = {group["lr"] for optimizer in optimizers for group in optimizer.param_groups}
    assert rates == {0.0025, 0.05}


def test_a_step_of_muon_is_orthogonal_up_to_its_few_iterations() -> None:
    """All singular values of the change come out near the rate, whatever the gradient's were."""
    model = build_model(model_params(), 20)
    params = train_params(optimizer="muon", momentum=0.9, muon_learning_rate=1.0, weight_decay=0.0)
    _, muon = make_optimizers(model, params, "cpu")
    weight = model.body.layers[0].hidden_weight  # (64, 16): the rate is times (64 / 16) ** 0.5
    before = weight.detach().clone()
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    muon.step()
    values = torch.linalg.svdvals(weight.detach() - before) / 2
    assert 0.6 < values.min() <= values.max() < 1.3


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (16, 16)])
def test_muon_in_bfloat16_is_torchs_own(shape: tuple[int, int]) -> None:
    settings: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    start = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = (
        Muon([ours], **settings, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], **settings),
    )
    for step in range(5):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(step + 2))
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_muon_in_float32_goes_where_it_goes_in_bfloat16() -> None:
    matrix = torch.randn(48, 32, generator=torch.Generator().manual_seed(1))
    exact, rounded = (orthogonal(matrix, kind) for kind in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(exact, rounded.float(), rtol=0.05, atol=0.02)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert float((exact * (left @ right)).sum()) / exact.norm() / 32**0.5 > 0.97


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (32, 32)])
@pytest.mark.parametrize("smallest", [0.1, 1e-8])
def test_muon_in_float32_goes_where_it_goes_in_float64(
    shape: tuple[int, int], smallest: float
) -> None:
    """float32 leaves the matrix aside, the others multiply it each time; singular values from 1
    down to the smallest."""
    generator = torch.Generator().manual_seed(1)
    left, right = (
        torch.linalg.qr(torch.randn(size, min(shape), generator=generator, dtype=torch.float64)).Q
        for size in shape
    )
    values = torch.logspace(0, math.log10(smallest), min(shape), dtype=torch.float64)
    matrix = (left * values) @ right.t()
    exact = orthogonal(matrix, torch.float64)
    assert (orthogonal(matrix, torch.float32) - exact).norm() / exact.norm() < 1e-3
