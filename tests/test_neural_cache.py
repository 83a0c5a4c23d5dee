"""The neural cache against plain loops over tokens and what each may point to."""

import math

import numpy as np
import pytest
import torch
from helpers import BOUNDARY, model_params, random_split, split_of

from reprise import neural_cache
from reprise.dataset import EncodedSplit
from reprise.evaluation import Floats, Scoring, score_split
from reprise.models import LanguageModel, build_model
from reprise.neural_cache import NeuralCache

torch.set_num_threads(1)

PIECES = 20
CPU = torch.device("cpu")
ARCHITECTURES = ["rnn", "gru", "lstm", "transformer"]
CONTEXTS = ["document", "stream"]


def small_model(architecture: str) -> LanguageModel:
    torch.manual_seed(3)
    return build_model(model_params(architecture=architecture, dropout=0.3), PIECES)


def scoring_of(context: str, batch_tokens: int = 64) -> Scoring:
    return Scoring(context, window=16, stride=6, batch_tokens=batch_tokens)


def nats_of(
    model: LanguageModel,
    split: EncodedSplit,
    scoring: Scoring,
    *,
    tokens: int = 9,
    weight: float = 0.4,
    flatness: float = 0.7,
) -> Floats:
    cache = NeuralCache(tokens, weight, flatness, scoring)
    return cache.document_nats(model, split, CPU)


def plain_hidden_states(model: LanguageModel, ids: list[int]) -> list[torch.Tensor]:
    """Of one document or stream; a transformer's windows as in `scoring_of`."""
    inputs, found = [BOUNDARY, *ids[:-1]], []
    start = 0
    while len(found) < len(ids):
        stop = len(ids) if model.recurrent else min(start + 16, len(ids))
        with torch.no_grad():
            hidden, _ = model(torch.tensor([inputs[start:stop]]), None)
        found += list(hidden[0, len(found) - start :].double())
        start += 6
    return found


def plain_cache_nats(
    model: LanguageModel, ids: list[int], tokens: int, weight: float, flatness: float
) -> list[float]:
    model.eval()
    states, found = plain_hidden_states(model, ids), []
    matrix, bias = model.head.weight.detach().double(), model.head.bias.detach().double()
    for place, token in enumerate(ids):
        p = torch.softmax(matrix @ states[place] + bias, 0)
        cached = range(max(0, place - tokens), place)
        if cached:
            of_piece = [0.0] * PIECES
            for earlier in cached:
                similarity = float(states[place] @ states[earlier])
                of_piece[ids[earlier]] += math.exp(flatness * similarity)
            p = (1 - weight) * p + weight * torch.tensor(of_piece).double() / sum(of_piece)
        found.append(-math.log(float(p[token])))
    return found


@pytest.mark.parametrize("tokens", [1, 9, 10**6])
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_what_plain_loops_give(architecture: str, context: str, tokens: int) -> None:
    model, split = small_model(architecture), random_split(documents=12)
    ends = list(zip(split.offsets, split.offsets[1:], strict=False))
    spans = ends if context == "document" else [(0, split.tokens)]
    nats = [
        nats
        for a, b in spans
        for nats in plain_cache_nats(model, split.ids[a:b].tolist(), tokens, 0.4, 0.7)
    ]
    found = nats_of(model, split, scoring_of(context), tokens=tokens)
    assert found == pytest.approx([sum(nats[a:b]) for a, b in ends], rel=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_weight_of_nothing_gives_the_plain_score(architecture: str, context: str) -> None:
    model, split = small_model(architecture), random_split()
    scores = score_split(model, split, scoring_of(context), CPU)
    found = nats_of(model, split, scoring_of(context), weight=0.0)
    assert found == pytest.approx(scores.nats, rel=1e-6)


def test_a_hand_calculates_the_mixture() -> None:
    """All hidden states count the same, all pieces are equally likely to the model."""
    model = small_model("lstm")
    torch.nn.init.zeros_(model.head.weight)
    split = split_of([[5, 5, 6, 5]])
    found = nats_of(model, split, scoring_of("document"), tokens=2, weight=0.4, flatness=0.0)
    # of the tokens before: none, 5 of {5}, no 6 of {5, 5}, 5 of {5, 6}, no end of {6, 5}
    p = [1 / 20, 0.03 + 0.4, 0.03, 0.03 + 0.2, 0.03]
    assert found.tolist() == pytest.approx([-sum(map(math.log, p))], rel=1e-6)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_the_result_does_not_depend_on_what_is_scored_at_once(
    architecture: str, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, split = small_model(architecture), random_split()
    first = nats_of(model, split, scoring_of(context))
    for batch_tokens in (1, 7, 100, 10**6):
        other = nats_of(model, split, scoring_of(context, batch_tokens))
        assert other == pytest.approx(first, rel=1e-5)
    monkeypatch.setattr(neural_cache, "SIMILARITIES_AT_ONCE", 1)
    assert nats_of(model, split, scoring_of(context)) == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_score_knows_of_later_tokens(architecture: str, context: str) -> None:
    model, split = small_model(architecture), random_split()
    ids = split.ids.copy()
    changed = split.offsets[20] - 1  # the last token of document 19
    ids[changed:] = 2 + (ids[changed:] + 5) % (PIECES - 2)
    first = nats_of(model, split, scoring_of(context))
    second = nats_of(model, EncodedSplit(ids, split.offsets, BOUNDARY), scoring_of(context))
    assert first[:19].tolist() == second[:19].tolist()
    assert first[20:].tolist() != second[20:].tolist()


def test_a_document_knows_nothing_of_those_before_and_a_stream_does() -> None:
    model, split = small_model("gru"), random_split()
    ids = split.ids.copy()
    ids[: split.offsets[3] - 1] = 7
    other = EncodedSplit(ids, split.offsets, BOUNDARY)
    for context, alike in (("document", True), ("stream", False)):
        found = [nats_of(model, text, scoring_of(context), tokens=50) for text in (split, other)]
        assert (found[0][3:] == pytest.approx(found[1][3:], rel=1e-6)) == alike


def test_the_model_is_as_it_was_afterwards() -> None:
    model = small_model("lstm").train()
    before = [weight.detach().clone() for weight in model.parameters()]
    nats_of(model, random_split(), scoring_of("stream"))
    assert all(map(torch.equal, before, model.parameters()))
    assert model.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("architecture", "flatness", "fraction"),
    [("lstm", 0.0, 0.8), ("transformer", 0.0, 0.8), ("transformer", 5.0, 0.5)],
)
def test_a_text_of_one_phrase_is_pointed_to_and_comes_below_what_the_model_gives(
    architecture: str, flatness: float, fraction: float
) -> None:
    """To know its seven pieces leaves ln(7 / 0.8) nats a token, 0.72 of the ln 20 of an even guess;
    a transformer's states, all of one length, also tell which of the seven comes next."""
    model = small_model(architecture)
    split = split_of([[2, 9, 4, 15, 7, 11, 3] * 12])
    plain = score_split(model, split, scoring_of("stream"), CPU).nats
    found = nats_of(model, split, scoring_of("stream"), tokens=14, weight=0.8, flatness=flatness)
    assert plain.sum() > 0.9 * split.tokens * math.log(PIECES)
    assert found.sum() < fraction * plain.sum()


def test_its_settings_are_told() -> None:
    assert NeuralCache(500, 0.2, 0.5, scoring_of("stream")).settings() == {
        "tokens": 500,
        "weight": 0.2,
        "flatness": 0.5,
    }


def test_an_all_even_text_is_counted_once_a_token() -> None:
    model, split = small_model("gru"), random_split()
    torch.nn.init.zeros_(model.head.weight)
    found = nats_of(model, split, scoring_of("document"), weight=0.0)
    assert found == pytest.approx(np.diff(split.offsets) * math.log(PIECES), rel=1e-6)
