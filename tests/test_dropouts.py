"""What the dropouts of recurrent networks drop, and for how long."""

import pytest
import torch
from helpers import model_params
from torch import nn

from reprise.activation_penalty import activation_penalty
from reprise.models import build_model
from reprise.models.dropouts import Dropout, PieceDropout, SequenceDropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.4, 0.75])
def test_each_number_is_dropped_by_itself_as_often_as_asked(probability: float) -> None:
    torch.manual_seed(1)
    found = dropout(torch.ones(401, 503), probability)
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=1e-4)
    deviation = (probability * (1 - probability) / found.numel()) ** 0.5
    assert (found == 0).double().mean().item() == pytest.approx(probability, abs=5 * deviation)
    # Four neighbours come out of one draw: none of them knows of another.
    kept = (found != 0).double().flatten()
    for distance in (1, 2, 3, 4):
        pairs = torch.stack([kept[:-distance], kept[distance:]])
        assert abs(torch.corrcoef(pairs)[0, 1].item()) < 5 / found.numel() ** 0.5
    places = torch.arange(len(kept)) % 4
    for place in range(4):
        mean = kept[places == place].mean().item()
        assert mean == pytest.approx(1 - probability, abs=10 * deviation)


def test_dropouts_gradient_reaches_what_was_kept_and_a_seed_repeats_it() -> None:
    values = torch.randn(6, 35, requires_grad=True)
    torch.manual_seed(4)
    found = dropout(values, 0.3)
    torch.manual_seed(4)
    assert dropout(values, 0.3).equal(found)
    found.sum().backward()
    assert values.grad.equal(torch.where(found == 0, 0.0, 1 / (1 - round(0.3 * 65536) / 65536)))
    assert not dropout(values, 0.3).equal(found)


def test_dropout_off_returns_what_came_and_draws_nothing() -> None:
    values = torch.randn(3, 5)
    before = torch.get_rng_state()
    assert Dropout(0.0)(values) is values
    assert Dropout(0.5).eval()(values) is values
    assert torch.get_rng_state().equal(before)


def test_a_probability_next_to_one_or_zero_is_no_fault() -> None:
    assert dropout(torch.ones(1000), 1e-7).eq(1).all()
    assert dropout(torch.ones(1000), 0.999999).isfinite().all()


def test_a_sequences_mask_stays_along_its_tokens_and_differs_between_sequences() -> None:
    torch.manual_seed(1)
    dropped = SequenceDropout(0.5)(torch.ones(4, 7, 50))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert all(dropped[:, t].equal(dropped[:, 0]) for t in range(7))
    assert not dropped[0].equal(dropped[1])


def test_a_piece_is_dropped_wherever_it_stands() -> None:
    torch.manual_seed(1)
    ids = torch.randint(0, 20, (5, 30))
    scales = PieceDropout(0.4)(torch.ones(5, 30, 3), ids, 20)
    for piece in ids.unique():
        assert scales[ids == piece].unique().numel() == 1
    assert scales.unique().tolist() == pytest.approx([0.0, 1 / 0.6], rel=1e-4)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_weight_dropout_is_the_layer_with_a_dropped_matrix(kind: str) -> None:
    """The same mask by hand, in torch's own module; the gradient reaches what was kept."""
    params = model_params(architecture=kind, layers=1, dropout=0.0, weight_dropout=0.5)
    torch.manual_seed(3)
    layer = build_model(params, 20).body.layers[0]
    inputs = torch.randn(2, 6, 16)
    torch.manual_seed(8)
    outputs, _ = layer(inputs, None)
    torch.manual_seed(8)
    mask = dropout(torch.ones_like(layer.hidden_weight), 0.5)
    reference = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](16, 16, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(layer.input_weight)
        reference.weight_hh_l0.copy_(layer.hidden_weight * mask)
        reference.bias_ih_l0.copy_(layer.input_bias)
        reference.bias_hh_l0.copy_(layer.hidden_bias)
    expected, _ = reference(inputs)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(
        layer.hidden_weight.grad, reference.weight_hh_l0.grad * mask, atol=1e-4, rtol=1e-4
    )
    assert (mask == 0).any()


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_nothing_is_dropped_when_scoring(architecture: str) -> None:
    changes = {"weight_dropout": 0.5, "variational_dropout": True} if architecture == "lstm" else {}
    params = model_params(architecture=architecture, dropout=0.5, embedding_dropout=0.5, **changes)
    torch.manual_seed(3)
    model = build_model(params, 20).eval()
    plain = build_model(model_params(architecture=architecture, dropout=0.0), 20)
    plain.load_state_dict(model.state_dict())
    ids = torch.randint(0, 20, (2, 9))
    assert model(ids)[0].equal(plain(ids)[0])
    model.train()
    assert not model(ids)[0].equal(plain(ids)[0])


def test_layers_may_have_sizes_of_their_own() -> None:
    model = build_model(
        model_params(hidden_size=[24, 20, 16], layers=3, embedding_size=16, dropout=0.0), 20
    )
    hidden, state = model(torch.randint(0, 20, (2, 9)))
    assert hidden.shape == (2, 9, 16)
    assert [tuple(tensor.shape for tensor in layer) for layer in state] == [
        ((2, n), (2, n)) for n in (24, 20, 16)
    ]


def test_the_penalty_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    raw = torch.tensor([[[1.0, 1.0], [3.0, 0.0]]])
    # The mean of 1, 4, 9, 0 is 3.5; that of the squares of 2 and -1 is 2.5.
    assert activation_penalty(hidden, raw, 2.0, 10.0).item() == 2 * 3.5 + 10 * 2.5
    assert activation_penalty(hidden[:, :1], raw[:, :1], 2.0, 10.0).item() == 2 * 2.5
