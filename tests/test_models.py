"""Every network against an independent implementation: values and gradients."""

import math

import pytest
import torch
from helpers import model_params
from torch import Tensor, nn

from reprise.models import LanguageModel, build_model
from reprise.models.head import Head
from reprise.models.language_model import select_rows

ARCHITECTURES = ["rnn", "gru", "lstm", "transformer", "gpt2"]


def make(architecture: str, size: int = 16, layers: int = 2, **changes: object) -> LanguageModel:
    settings = {"hidden_size": size, "embedding_size": size, "layers": layers, "dropout": 0.0}
    params = model_params(architecture=architecture, **settings | changes)
    torch.manual_seed(3)
    return build_model(params, vocabulary_size=50)


def ids(rows: int = 3, length: int = 9) -> Tensor:
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(5))


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_recurrent_layers_equal_torchs_own(kind: str) -> None:
    model = make(kind, size=16, layers=2)
    reference = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](16, 16, 2, batch_first=True)
    for number, layer in enumerate(model.body.layers):
        for part in ("weight", "bias"):
            for end, name in (("ih", "input"), ("hh", "hidden")):
                target = getattr(reference, f"{part}_{end}_l{number}")
                target.data.copy_(getattr(layer, f"{name}_{part}").data)
    hidden, _ = model(ids())
    expected, _ = reference(model.embedding(ids()))
    torch.testing.assert_close(hidden, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_read_in_two_parts_with_its_state_equals_the_text_read_at_once(
    architecture: str,
) -> None:
    model = make(architecture).eval()
    whole, _ = model(ids())
    first, state = model(ids()[:, :4])
    second, _ = model(ids()[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_position_sees_what_comes_after_it(architecture: str) -> None:
    model, changed = make(architecture).eval(), ids().clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % 50
    torch.testing.assert_close(model(ids())[0][:, :6], model(changed)[0][:, :6])
    assert not torch.equal(model(ids())[0][:, 6:], model(changed)[0][:, 6:])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_state_of_some_rows_continues_these_rows(architecture: str) -> None:
    model, rows = make(architecture).eval(), torch.tensor([2, 0])
    _, state = model(ids()[:, :4])
    expected, _ = model(ids()[:, 4:], state)
    hidden, _ = model(ids()[rows, 4:], select_rows(state, rows))
    torch.testing.assert_close(hidden, expected[rows], atol=1e-5, rtol=1e-5)


# The sizes of the recipes, and the size at which a kernel once gave wrong gradients.
@pytest.mark.parametrize("size", [16, 256, 512, 1024])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_gives_the_gradients_of_float32(architecture: str, size: int) -> None:
    model = make(architecture, size, layers=1, embedding_size=size, heads=8, feedforward_size=size)
    targets = ids(rows=4).roll(1)
    expected = gradients(model, model.head(model(ids(rows=4))[0], targets) / targets.numel())
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.head(model(ids(rows=4))[0], targets) / targets.numel()
    found = gradients(model, loss)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < 0.02, (name, float(error))


def test_the_bfloat16_lstm_passes_gradients_through_its_state() -> None:
    model = make("lstm")
    found = {}
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            _, state = model(ids()[:, :5])
            hidden, last = model(ids()[:, 5:], state)
            loss = hidden.float().square().sum() + sum(t.sum() for layer in last for t in layer)
        found[enabled] = gradients(model, loss)
    for name, gradient in found[False].items():
        assert (found[True][name] - gradient).norm() / gradient.norm() < 0.02, name


def test_a_transformer_block_follows_its_formulas() -> None:
    model = make("transformer", size=8, layers=1, heads=2).eval()
    block, text = model.body.blocks[0], ids(rows=1, length=5)

    def rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt()

    x = model.embedding(text)[0]  # (T, H); the norms' weights are one at first
    query, key, value = (rms(x) @ block.attention.input.weight.T).split(8, dim=1)
    mixed = torch.zeros(5, 8)
    for head in range(2):
        columns = slice(4 * head, 4 * head + 4)
        for t in range(5):
            scores = []
            for s in range(t + 1):
                score = 0.0
                for pair in range(2):  # rotary: only the distance between t and s counts
                    angle = (t - s) * 10_000 ** (-2 * pair / 4)
                    q = complex(*query[t, columns][[pair, pair + 2]].tolist())
                    k = complex(*key[s, columns][[pair, pair + 2]].tolist())
                    score += (q * k.conjugate() * complex(math.cos(angle), math.sin(angle))).real
                scores.append(score / 2)  # the root of 4 numbers a head
            weights = torch.tensor(scores).softmax(0)
            mixed[t, columns] = (weights[:, None] * value[: t + 1, columns]).sum(0)
    x = x + mixed @ block.attention.output.weight.T
    gate, up = (rms(x) @ block.feedforward.up.weight.T).split(24, dim=1)
    x = x + (gate * gate.sigmoid() * up) @ block.feedforward.down.weight.T
    torch.testing.assert_close(model(text)[0][0], rms(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_the_loss_in_pieces_equals_the_cross_entropy_of_all_logits(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.models.head.LOGITS_AT_ONCE", rows * 50)
    torch.manual_seed(1)
    head, hidden = Head(50, 16), torch.randn(4, 10, 16, requires_grad=True)
    targets = torch.randint(0, 50, (4, 10))
    targets[1, 3:] = -1
    expected = nn.functional.cross_entropy(
        head.logits(hidden).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
    )
    wanted = torch.autograd.grad(expected * 0.5, [hidden, head.weight, head.bias])
    loss = head(hidden, targets)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss * 0.5, [hidden, head.weight, head.bias]), wanted
    )


def test_tied_weights_are_one_matrix_and_counted_once() -> None:
    # LSTM of 16: 4 gates x 16 x (16 + 16) weights and 2 x 64 biases; 50 x 16 embedding; 50 biases.
    assert make("lstm", layers=1).parameter_count() == 2048 + 128 + 800 + 50
    assert make("lstm", layers=1, tie_weights=False).parameter_count() == 2048 + 128 + 1600 + 50


def test_tied_weights_of_two_sizes_are_joined_by_a_projection() -> None:
    model = make("gru", layers=1, embedding_size=8)
    hidden, _ = model(ids())
    assert hidden.shape == (3, 9, 8)
    assert model.head.weight is model.embedding.weight


def test_dropout_acts_in_training_only() -> None:
    model = make("lstm", dropout=0.5)
    assert not torch.equal(model(ids())[0], model(ids())[0])
    model.eval()
    assert torch.equal(model(ids())[0], model(ids())[0])
