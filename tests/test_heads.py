"""Heads against torch's own functions: losses, gradients, and what is in memory at once."""

import pytest
import torch
from helpers import model_params, new_training, random_split, train_params
from torch import Tensor, nn

from reprise.errors import PipelineError
from reprise.models import build_model, head
from reprise.models.adaptive_head import AdaptiveHead
from reprise.models.head import Head
from reprise.models.transposing import transposed, turn_product

V, E = 50, 32  # the groups get 32, 8 and 2 numbers


def inputs(rows: int = 40) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    targets = torch.randint(0, V, (rows,))
    targets[::7] = -1
    return torch.randn(rows, E, requires_grad=True), targets


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of)


@pytest.mark.parametrize("soft_cap", [0.0, 0.7, 30.0])
@pytest.mark.parametrize("at_once", [V * 3, 10**6])
def test_the_plain_head_is_torchs_cross_entropy(
    soft_cap: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", at_once)
    torch.manual_seed(1)
    ours = Head(V, E, soft_cap)
    nn.init.normal_(ours.bias)
    hidden, targets = inputs()
    logits = nn.functional.linear(hidden, ours.weight, ours.bias)
    if soft_cap:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    expected = nn.functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
    found = ours(hidden, targets)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.logits(hidden), logits, atol=1e-5, rtol=1e-5)
    of = (hidden, ours.weight, ours.bias)
    for mine, theirs in zip(gradients(3 * found, *of), gradients(3 * expected, *of), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("with_amx", [False, True])
@pytest.mark.parametrize("at_once", [V * 3, 10**6])
def test_the_plain_head_in_bfloat16_gives_the_gradients_of_float32(
    at_once: int, with_amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "MORE_LOGITS_AT_ONCE", at_once)
    monkeypatch.setattr(head, "LOGITS_IN_CACHE", 7 * E)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: with_amx)
    torch.manual_seed(1)
    ours = Head(V, E)
    hidden, targets = inputs()
    of = (hidden, ours.weight, ours.bias)
    expected = gradients(ours(hidden, targets), *of)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(ours(hidden, targets), *of)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.is_contiguous()
        assert (mine - theirs).norm() < 0.01 * theirs.norm()


def test_only_a_tall_product_in_bfloat16_on_amx_units_is_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    tall = torch.empty(V, E, dtype=torch.bfloat16)
    assert turn_product(tall)
    assert not turn_product(tall.t())
    assert not turn_product(tall.float())
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    assert not turn_product(tall)


@pytest.mark.parametrize("shape", [(1, 1), (63, 5), (64, 64), (130, 257)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transposed(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = torch.randn(shape).to(dtype)
    found = transposed(matrix)
    assert found.is_contiguous()
    assert torch.equal(found, matrix.t())


@pytest.mark.parametrize("soft_cap", [0.0, 15.0])
def test_a_bias_to_begin_with_is_what_the_head_says_of_an_empty_hidden_state(
    soft_cap: float,
) -> None:
    torch.manual_seed(3)
    nats = -torch.log_softmax(3 * torch.randn(V, dtype=torch.float64), 0)
    ours = Head(V, E, soft_cap)
    ours.begin_with(nats)
    found = -torch.log_softmax(ours.logits(torch.zeros(1, E))[0], 0)
    torch.testing.assert_close(found, nats.float(), atol=1e-4, rtol=1e-5)
    assert ours.bias.requires_grad
    ours.begin_with(torch.tensor([100.0] * V))  # beyond the cap
    assert ours.bias.isfinite().all()


@pytest.mark.parametrize("at_once", [V * 3, 10**6])
def test_the_adaptive_head_is_torchs(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", at_once)
    torch.manual_seed(1)
    ours = AdaptiveHead(V, E, (10, 30))
    nn.init.normal_(ours.groups.head.bias)
    reference = nn.AdaptiveLogSoftmaxWithLoss(E, V, [10, 30], div_value=4.0, head_bias=True)
    reference.load_state_dict(ours.groups.state_dict())
    hidden, targets = inputs()
    counted = targets >= 0
    expected = -reference(hidden[counted], targets[counted]).output.sum()
    found = ours(hidden, targets)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    (mine, *own), (theirs, *others) = (
        gradients(found, hidden, *ours.parameters()),
        gradients(expected, hidden, *reference.parameters()),
    )
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    for one, other in zip(own, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    log_p = ours.logits(hidden)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(len(hidden)))
    torch.testing.assert_close(-log_p[counted].gather(1, targets[counted, None]).sum(), expected)


def test_an_adaptive_head_begins_with_the_shares_of_pieces_and_of_groups() -> None:
    nats = -torch.log_softmax(torch.randn(V, generator=torch.Generator().manual_seed(3)), 0)
    ours = AdaptiveHead(V, E, (10, 30))
    ours.begin_with(nats)
    said = ours.logits(torch.zeros(1, E))[0].exp()
    torch.testing.assert_close(said[:10], (-nats[:10]).exp())
    for start, stop in ((10, 30), (30, V)):
        share = (-nats[start:stop]).exp().sum()
        torch.testing.assert_close(said[start:stop], (share / (stop - start)).expand(stop - start))


def test_where_the_adaptive_head_has_nothing_to_predict_the_gradient_is_zero() -> None:
    ours = AdaptiveHead(V, E, (10, 30))
    hidden, targets = inputs()
    found = ours(hidden, torch.full_like(targets, -1))
    found.backward()
    assert found.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


@pytest.mark.parametrize("highest", [-1, 9, 29])
def test_weights_of_groups_that_are_not_met_have_a_gradient_of_zeros(highest: int) -> None:
    ours = AdaptiveHead(V, E, (10, 30))
    hidden, targets = inputs()
    ours(hidden, targets.clamp(max=highest)).backward()
    first, second = ours.groups.tail
    for met, group in ((highest >= 0, ours.groups.head), (highest >= 10, first), (False, second)):
        for weight in group.parameters():
            assert weight.grad is not None
            assert weight.grad.any() == met


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
def test_the_adaptive_head_learns_in_bf16_too(architecture: str) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        training, batches = new_training(
            model_params(
                architecture=architecture,
                adaptive_cutoffs=[5, 10],
                tie_weights=False,
                dropout=0.0,
            ),
            train_params(precision=precision, max_steps=4),
            random_split(),
        )
        losses[precision] = [step.nats / step.tokens for step in training.steps(batches)]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_the_adaptive_head_scores_in_float32_in_bf16_too() -> None:
    """On a CPU autocast would round each log p to bfloat16, by up to 0.1 nats."""
    torch.manual_seed(0)
    head = AdaptiveHead(10_001, 64, (500, 3_000))
    hidden = torch.randn(3, 64)
    with torch.no_grad():
        expected = head.logits(hidden)
        with torch.autocast("cpu", torch.bfloat16):
            found = head.logits(hidden)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_cutoff_beyond_the_vocabulary_is_told() -> None:
    with pytest.raises(PipelineError) as error:
        build_model(model_params(adaptive_cutoffs=[10, 20], tie_weights=False), 20)
    assert str(error.value) == (
        "model.adaptive_cutoffs: found 20, but the vocabulary has 20 pieces; "
        "allowed: numbers below that"
    )
