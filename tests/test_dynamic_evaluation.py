"""Dynamic evaluation against plain loops over segments and weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import BOUNDARY, model_params, random_split, split_of
from torch import Tensor

from reprise import dynamic_evaluation
from reprise.dataset import EncodedSplit
from reprise.dynamic_evaluation import DynamicEvaluation, Pace
from reprise.errors import PipelineError
from reprise.evaluation import Floats, Scoring, score_split
from reprise.models import LanguageModel, build_model

torch.set_num_threads(1)

PIECES = 20
CPU = torch.device("cpu")
ARCHITECTURES = ["rnn", "gru", "lstm", "transformer"]
PACE = Pace(learning_rate=0.01, decay=0.3, epsilon=0.005, segment=8, window=16)


def small_model(architecture: str, *, dropout: float = 0.3) -> LanguageModel:
    torch.manual_seed(3)
    return build_model(model_params(architecture=architecture, dropout=dropout), PIECES)


def prepared(model: LanguageModel, pace: Pace = PACE, max_tokens: int = 100) -> DynamicEvaluation:
    return DynamicEvaluation.prepare(model, random_split(seed=7), pace, max_tokens, CPU)


def nats_of(model: LanguageModel, split: EncodedSplit, pace: Pace = PACE) -> Floats:
    return prepared(model, pace).document_nats(model, split, CPU)


def plain_segments(model: LanguageModel, ids: list[int], pace: Pace):
    """Nats of each token of a segment, with gradients; by the weights when it is asked for."""
    inputs, state = [BOUNDARY, *ids[:-1]], None
    for start in range(0, len(ids), pace.segment):
        stop = min(start + pace.segment, len(ids))
        begin = start if model.recurrent else max(0, stop - pace.window)
        hidden, state = model(torch.tensor([inputs[begin:stop]]), state)
        state = [tuple(t.detach() for t in layer) for layer in state] if model.recurrent else None
        logits = hidden[0] @ model.head.weight.t() + model.head.bias
        targets = torch.tensor(ids[begin:stop])
        yield torch.nn.functional.cross_entropy(logits, targets, reduction="none")[start - begin :]


def plain_usual_gradients(model: LanguageModel, ids: list[int], pace: Pace) -> list[Tensor]:
    squares = []
    for nats in plain_segments(model, ids, pace):
        gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
        squares.append([gradient**2 for gradient in gradients])
    return [torch.stack(of_weight).mean(0).sqrt() for of_weight in zip(*squares, strict=True)]


def plain_dynamic_nats(model: LanguageModel, split: EncodedSplit, pace: Pace) -> list[float]:
    """Krause et al. 2018, section 3, weight by weight; the model is left as it has become."""
    model.eval()
    train_ids = random_split(seed=7).ids[:100].tolist()
    usual = plain_usual_gradients(model, train_ids, pace)
    mean = torch.cat([of_weight.flatten() for of_weight in usual]).mean()
    trained = [weight.detach().clone() for weight in model.parameters()]
    found: list[float] = []
    for nats in plain_segments(model, split.ids.tolist(), pace):
        found += nats.tolist()
        gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
        for weight, start, gradient, rms in zip(
            model.parameters(), trained, gradients, usual, strict=True
        ):
            share = torch.minimum(rms / mean, torch.tensor(1 / pace.decay))
            step = pace.learning_rate * gradient / (rms + pace.epsilon)
            weight.data = weight.data - step + pace.decay * share * (start - weight.data)
    return [sum(found[a:b]) for a, b in zip(split.offsets, split.offsets[1:], strict=False)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_what_plain_loops_give(architecture: str) -> None:
    split = random_split(documents=12)
    found = nats_of(small_model(architecture), split)
    expected = plain_dynamic_nats(small_model(architecture), split, PACE)
    unchanged = score_split(small_model(architecture), split, Scoring("stream", 16, 8, 64), CPU)
    assert found == pytest.approx(expected, rel=1e-5)
    assert np.abs(found - unchanged.nats).max() > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_usual_gradients_are_root_mean_squares_over_the_first_segments_of_train(
    architecture: str,
) -> None:
    model = small_model(architecture, dropout=0.0)
    dynamic = prepared(model, max_tokens=37)
    expected = plain_usual_gradients(model, random_split(seed=7).ids[:37].tolist(), PACE)
    for found, of_weight in zip(dynamic.usual_gradients, expected, strict=True):
        torch.testing.assert_close(found, of_weight, rtol=1e-4, atol=1e-7)
    assert dynamic.train_tokens == 37


def test_train_may_have_fewer_tokens_than_are_asked_for() -> None:
    model = small_model("gru")
    assert prepared(model, max_tokens=10**6).train_tokens == random_split(seed=7).tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_rate_of_nothing_gives_the_plain_score_of_the_stream(architecture: str) -> None:
    model, split = small_model(architecture), random_split()
    scores = score_split(model, split, Scoring("stream", 16, 8, 64), CPU)
    found = nats_of(model, split, replace(PACE, learning_rate=0.0))
    assert found == pytest.approx(scores.nats, rel=1e-5)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_weights_that_run_away_are_told_with_the_rate(architecture: str) -> None:
    model, split = small_model(architecture), random_split()
    trained = [weight.detach().clone() for weight in model.parameters()]
    with pytest.raises(PipelineError) as error:
        nats_of(model, split, replace(PACE, learning_rate=1e38))
    assert str(error.value) == (
        "evaluate.dynamic_learning_rate: found 1e+38, with which the model has no finite loss after"
        " 8 tokens; lower it, or raise evaluate.dynamic_epsilon (now 0.005)"
    )
    for weight, before in zip(model.parameters(), trained, strict=True):
        assert torch.equal(weight, before)


def test_with_a_full_decay_each_segment_meets_the_trained_weights_and_one_step() -> None:
    """All usual gradients are one here, so that all weights are drawn back all the way."""
    model, split = small_model("gru"), random_split(documents=4)
    dynamic = prepared(model, replace(PACE, decay=1.0, learning_rate=0.02))
    ones = [torch.ones_like(usual) for usual in dynamic.usual_gradients]
    found = replace(dynamic, usual_gradients=ones).document_nats(model, split, CPU)
    trained = [weight.detach().clone() for weight in model.parameters()]
    expected: list[float] = []
    for nats in plain_segments(model.eval(), split.ids.tolist(), PACE):
        expected += nats.tolist()
        gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
        for weight, start, gradient in zip(model.parameters(), trained, gradients, strict=True):
            weight.data = start - 0.02 / 1.005 * gradient
    sums = [sum(expected[a:b]) for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
    assert found == pytest.approx(sums, rel=1e-5)


def test_where_all_usual_gradients_are_zero_nothing_is_drawn_back() -> None:
    model, split = small_model("gru"), random_split(documents=4)
    found = []
    for decay in (0.0, 1.0):
        dynamic = prepared(model, replace(PACE, decay=decay))
        zeros = [torch.zeros_like(usual) for usual in dynamic.usual_gradients]
        found += [replace(dynamic, usual_gradients=zeros).document_nats(model, split, CPU)]
    assert np.isfinite(found).all()
    assert np.array_equal(*found)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_every_token_is_scored_once(architecture: str) -> None:
    model, split = small_model(architecture), random_split()
    torch.nn.init.zeros_(model.head.weight)  # all tokens are equally likely
    found = nats_of(model, split, replace(PACE, learning_rate=0.0, segment=7))
    assert found == pytest.approx(np.diff(split.offsets) * math.log(PIECES), rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_score_knows_of_later_tokens(architecture: str) -> None:
    model, split = small_model(architecture), random_split()
    ids = split.ids.copy()
    changed = split.offsets[20] - 1  # the last token of document 19
    ids[changed:] = 2 + (ids[changed:] + 5) % (PIECES - 2)
    first = nats_of(model, split)
    second = nats_of(model, EncodedSplit(ids, split.offsets, BOUNDARY))
    assert first[:19].tolist() == second[:19].tolist()
    assert first[20:].tolist() != second[20:].tolist()


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_the_model_is_as_it_was_afterwards(architecture: str) -> None:
    model = small_model(architecture).train()
    before = [weight.detach().clone() for weight in model.parameters()]
    randomness = torch.get_rng_state()
    nats_of(model, random_split())
    assert all(map(torch.equal, before, model.parameters()))
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert model.training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), randomness)


def test_the_weights_are_the_trained_ones_after_a_failure_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model("lstm")
    before = [weight.detach().clone() for weight in model.parameters()]
    dynamic = prepared(model)
    calls = []

    def fails_late(*arguments: object) -> Tensor:
        calls.append(not all(map(torch.equal, before, model.parameters())))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return torch.zeros(PACE.segment)

    monkeypatch.setattr(dynamic_evaluation, "token_nats", fails_late)
    with pytest.raises(KeyboardInterrupt):
        dynamic.document_nats(model, random_split(), CPU)
    assert calls == [False, True, True]
    assert all(map(torch.equal, before, model.parameters()))


def test_it_gives_the_same_twice() -> None:
    model, split = small_model("lstm"), random_split()
    assert nats_of(model, split).tolist() == nats_of(model, split).tolist()


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_a_text_of_one_phrase_is_learnt_and_comes_below_what_an_even_guess_gives(
    architecture: str,
) -> None:
    """The phrase has no entropy once it is known; the network starts with none of it."""
    model = small_model(architecture)
    phrase = [2, 9, 4, 15, 7, 11, 3]
    split = split_of([phrase * 4] * 20)
    plain = score_split(model, split, Scoring("stream", 16, 8, 64), CPU).nats
    found = nats_of(model, split, replace(PACE, decay=0.0, learning_rate=0.02))
    assert plain[-5:].sum() > 5 * len(phrase) * 4 * math.log(PIECES) * 0.9
    assert found[-5:].sum() < 0.3 * plain[-5:].sum()


def test_its_settings_are_told() -> None:
    assert prepared(small_model("rnn"), max_tokens=24).settings() == {
        "context": "stream",
        "learning_rate": 0.01,
        "decay": 0.3,
        "epsilon": 0.005,
        "segment": 8,
        "train_tokens": 24,
    }
