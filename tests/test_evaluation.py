"""Scores against a plain loop over documents, and figures against hand calculations."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers import model_params

from reprise.dataset import EncodedSplit
from reprise.errors import PipelineError
from reprise.evaluation import Counts, Scores, Scoring, figures, model_figures, score_split
from reprise.models import LanguageModel, build_model, head

torch.set_num_threads(1)

BOUNDARY = 1
VOCABULARY_SIZE = 23
CPU = torch.device("cpu")
ARCHITECTURES = ["rnn", "gru", "lstm", "transformer", "gpt2"]


def small_model(architecture: str, *, dropout: float = 0.0) -> LanguageModel:
    torch.manual_seed(3)
    params = model_params(
        architecture=architecture,
        embedding_size=16,
        hidden_size=16,
        layers=2,
        heads=2,
        feedforward_size=24,
        dropout=dropout,
        tie_weights=False,
    )
    return build_model(params, VOCABULARY_SIZE)


def small_split(*, lengths: tuple[int, ...] = (7, 1, 30, 12, 30, 3, 1, 18)) -> EncodedSplit:
    """Documents of these lengths, the boundary at each end counted."""
    generator = np.random.default_rng(5)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    ids = generator.integers(2, VOCABULARY_SIZE, offsets[-1]).astype(np.uint16)
    ids[offsets[1:] - 1] = BOUNDARY
    return EncodedSplit(ids, offsets, BOUNDARY)


def scoring_of(
    context: str = "document", window: int = 64, stride: int = 64, batch_tokens: int = 64
) -> Scoring:
    return Scoring(context=context, window=window, stride=stride, batch_tokens=batch_tokens)


def plain_nats(model: LanguageModel, inputs: list[int], targets: list[int]) -> np.ndarray:
    """-ln p of each target, the whole text in one call."""
    model.eval()
    with torch.no_grad():
        hidden, _ = model(torch.tensor([inputs]), None)
        logits = hidden[0].double() @ model.head.weight.double().t() + model.head.bias.double()
        log_p = torch.log_softmax(logits, dim=1)
    return -log_p[torch.arange(len(targets)), torch.tensor(targets)].numpy()


def documents(split: EncodedSplit) -> list[list[int]]:
    return [
        split.ids[start:stop].tolist()
        for start, stop in zip(split.offsets[:-1], split.offsets[1:], strict=True)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_documents_are_scored_afresh_after_a_boundary(architecture: str) -> None:
    model, split = small_model(architecture), small_split()
    expected = [
        plain_nats(model, [BOUNDARY, *document[:-1]], document).sum()
        for document in documents(split)
    ]
    scores = score_split(model, split, scoring_of(), CPU)
    assert scores.nats == pytest.approx(expected, rel=1e-6)
    assert scores.tokens.tolist() == [7, 1, 30, 12, 30, 3, 1, 18]


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm"])
def test_a_stream_carries_the_state_through_the_whole_split(architecture: str) -> None:
    model, split = small_model(architecture), small_split()
    ids = split.ids.tolist()
    nats = plain_nats(model, [BOUNDARY, *ids[:-1]], ids)
    expected = np.add.reduceat(nats, split.offsets[:-1])
    scores = score_split(model, split, scoring_of("stream", batch_tokens=10), CPU)
    assert scores.nats == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("window", "stride"), [(8, 8), (8, 3), (8, 1), (5, 4), (1, 1), (200, 7)])
@pytest.mark.parametrize("context", ["document", "stream"])
def test_a_transformer_sees_windows_and_scores_what_is_new_in_each(
    context: str, window: int, stride: int
) -> None:
    model, split = small_model("transformer"), small_split()
    spans = documents(split) if context == "document" else [split.ids.tolist()]
    nats = []
    for span in spans:
        inputs = [BOUNDARY, *span[:-1]]
        start = scored = 0
        while scored < len(span):
            stop = min(start + window, len(span))
            of_window = plain_nats(model, inputs[start:stop], span[start:stop])
            nats.extend(of_window[scored - start :])
            scored = stop
            start += stride
    expected = np.add.reduceat(nats, split.offsets[:-1])
    scores = score_split(model, split, scoring_of(context, window, stride), CPU)
    assert scores.nats == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("context", ["document", "stream"])
def test_the_result_does_not_depend_on_what_is_scored_at_once(
    architecture: str, context: str
) -> None:
    model = small_model(architecture)
    split = small_split(lengths=(400, 3, 1, 260, 90, 12, 130))
    results = [
        score_split(model, split, scoring_of(context, 32, 16, batch_tokens), CPU)
        for batch_tokens in (1, 7, 64, 1000, 10**9)
    ]
    for other in results[1:]:
        assert other.nats == pytest.approx(results[0].nats, rel=1e-5)
        assert other.top1.tolist() == results[0].top1.tolist()
        assert other.top5.tolist() == results[0].top5.tolist()


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
@pytest.mark.parametrize("context", ["document", "stream"])
def test_every_token_counts_once(architecture: str, context: str) -> None:
    model, split = small_model(architecture), small_split()
    torch.nn.init.zeros_(model.head.weight)  # all tokens are equally likely
    scores = score_split(model, split, scoring_of(context, window=5, stride=2), CPU)
    assert scores.nats == pytest.approx(np.diff(split.offsets) * math.log(VOCABULARY_SIZE))
    assert scores.nats.sum() / scores.tokens.sum() == pytest.approx(
        math.log(VOCABULARY_SIZE), rel=1e-6
    )


def test_hits_count_the_tokens_that_are_likelier_than_the_right_one() -> None:
    model = small_model("lstm")
    torch.nn.init.zeros_(model.head.weight)
    with torch.no_grad():
        model.head.bias.copy_(-torch.arange(VOCABULARY_SIZE))  # token 0 is the likeliest, then 1
    ids = [0, 4, 5, BOUNDARY, 0, BOUNDARY]
    split = EncodedSplit(np.array(ids, np.uint16), np.array([0, 4, 6]), BOUNDARY)
    scores = score_split(model, split, scoring_of(), CPU)
    assert scores.top1.tolist() == [1, 1]
    assert scores.top5.tolist() == [3, 2]


def test_few_logits_at_once_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = small_model("lstm"), small_split()
    whole = score_split(model, split, scoring_of(), CPU)
    monkeypatch.setattr(head, "SCORED_AT_ONCE", 3 * VOCABULARY_SIZE)
    pieces = score_split(model, split, scoring_of(), CPU)
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-6)


def test_scoring_leaves_a_model_in_training_as_it_was() -> None:
    model, split = small_model("lstm", dropout=0.5).train(), small_split()
    randomness = torch.get_rng_state()
    first = score_split(model, split, scoring_of(), CPU)
    second = score_split(model, split, scoring_of(), CPU)
    assert model.training
    assert torch.equal(torch.get_rng_state(), randomness)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first.nats.tolist() == second.nats.tolist()


def test_figures_are_what_a_hand_calculates() -> None:
    counts = Counts(documents=2, tokens=10, bytes=40, words=6, lines=4)
    nats = 20 * math.log(2)
    assert figures(nats, counts, "document") == {
        "nats_per_token": 1.386294,  # 2 ln 2
        "bits_per_byte": 0.5,
        "perplexity_per_token": 4.0,
        "perplexity_per_word": 5.656854,  # 2 to the power of 20 / (6 + 2)
    }
    assert figures(nats, counts, "line")["perplexity_per_word"] == 4.0  # 20 / (6 + 4)


def test_a_models_figures_say_what_they_were_counted_over() -> None:
    scores = Scores(
        nats=np.array([4.0, 6.0]),
        tokens=np.array([4, 6]),
        top1=np.array([1, 2]),
        top5=np.array([3, 4]),
    )
    counts = Counts(documents=2, tokens=10, bytes=40, words=6, lines=4)
    found = model_figures(small_model("lstm"), scores, counts, scoring_of(), "document")
    assert found == figures(10.0, counts, "document") | {
        "context": "document",
        "top1_accuracy": 0.3,
        "top5_accuracy": 0.7,
        "documents": 2,
        "tokens": 10,
        "bytes": 40,
        "words": 8,
    }
    transformer = small_model("transformer")
    found = model_figures(transformer, scores, counts, scoring_of(window=32, stride=16), "line")
    assert (found["window"], found["stride"], found["words"]) == (32, 16, 10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_empty_text_costs_nothing(architecture: str) -> None:
    lengths = (4, 0, 4, 4, 0, 4)
    scores = score_split(
        small_model(architecture),
        small_split(lengths=lengths),
        scoring_of(window=8, stride=4, batch_tokens=8),  # so that the empty ones are left for last
        CPU,
    )
    assert [nats > 0 for nats in scores.nats] == [length > 0 for length in lengths]
    assert scores.tokens.tolist() == list(lengths)


def test_a_perplexity_above_all_numbers_is_left_out_and_told() -> None:
    counts = Counts(documents=1, tokens=1000, bytes=3000, words=1, lines=1)  # text without spaces
    found = figures(5000.0, counts, "document")
    assert "perplexity_per_word" not in found
    assert found["omitted"] == "perplexity_per_word: exp(2500) is above the largest number"
    assert found["perplexity_per_token"] == pytest.approx(math.exp(5), abs=1e-6)


def test_a_model_without_finite_numbers_is_told() -> None:
    counts = Counts(documents=2, tokens=1000, bytes=40, words=6, lines=4)
    with pytest.raises(PipelineError) as raised:
        figures(math.nan, counts, "document")
    assert raised.value.lines == (
        "the model gives nan nats for 1,000 tokens; allowed: a finite number; "
        "train it anew with a lower train.learning_rate",
    )


def test_counts_are_the_sums_of_a_documents_table(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    table = pa.table(
        {
            "name": ["a", "b", "c"],
            "tokens": [3, 4, 5],
            "bytes": [9, 8, 7],
            "words": [2, 2, 0],
            "lines": [1, 2, 1],
        }
    )
    pq.write_table(table, path, row_group_size=2)
    assert Counts.read(path) == Counts(documents=3, tokens=12, bytes=24, words=4, lines=4)
