"""A model beside its baselines: who wins, by how much, and the table by document."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers import model_params
from project import ROOT

from reprise import contest
from reprise.baselines import KneserNey
from reprise.contest import (
    SplitResult,
    Variant,
    check_vocabulary,
    evaluate_split,
    tell,
    variants_of,
    write_documents,
    write_quantiles,
)
from reprise.dataset import EncodedSplit
from reprise.errors import PipelineError
from reprise.evaluation import Scoring
from reprise.files import write_json
from reprise.models import LanguageModel, build_model
from reprise.params.evaluate import EvaluateParams
from reprise.params.loading import load_section
from reprise.unigram import Unigram

torch.set_num_threads(1)

SCORING = Scoring("document", window=16, stride=8, batch_tokens=64)
VOCABULARY_SIZE = 8


def write_split(folder: Path, name: str, documents: list[list[int]]) -> None:
    """As the encode stage does; every token has two bytes."""
    ids = [token for document in documents for token in [*document, 1]]
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", np.array(ids, dtype=np.uint16))
    lengths = [len(document) for document in documents]
    table = {
        "name": [f"{name} {number}" for number in range(len(documents))],
        "tokens": [length + 1 for length in lengths],
        "bytes": [2 * length for length in lengths],
        "words": lengths,
        "lines": [1] * len(documents),
    }
    pq.write_table(pa.table(table), folder / f"{name}.parquet", row_group_size=2)
    write_json(folder / "vocabulary.json", {"boundary": 1, "vocabulary_size": VOCABULARY_SIZE})


def even_model() -> LanguageModel:
    """All tokens are equally likely to it."""
    params = model_params(
        architecture="lstm",
        embedding_size=8,
        hidden_size=8,
        layers=1,
        heads=1,
        feedforward_size=8,
        dropout=0.0,
        tie_weights=False,
    )
    model = build_model(params, VOCABULARY_SIZE)
    torch.nn.init.zeros_(model.head.weight)
    return model


def evaluated(folder: Path, name: str, variants: Sequence[Variant] = ()) -> SplitResult:
    train = EncodedSplit.open_in(folder, "train")
    baselines = {
        "unigram": Unigram.count(train, VOCABULARY_SIZE),
        "kneser_ney": KneserNey.count(train, VOCABULARY_SIZE, order=2, max_tokens=9),
    }
    device = torch.device("cpu")
    return evaluate_split(
        name, folder, even_model(), baselines, SCORING, "document", device, variants
    )


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    write_split(tmp_path, "train", [[2, 3, 4], [2, 3, 5], [2, 3, 4]])
    write_split(tmp_path, "valid", [[2, 3, 4], [2, 3, 5], [3, 4]])
    write_split(tmp_path, "test", [[7, 6, 7, 6], [6]])
    return tmp_path


def test_the_figures_name_model_baselines_and_the_best(encoded: Path) -> None:
    found = evaluated(encoded, "valid").figures
    assert found["nats_per_token"] == pytest.approx(math.log(8), abs=1e-6)
    assert found["bits_per_byte"] == pytest.approx(11 * 3 / 16, abs=1e-6)  # three bits a token
    assert found["best"] == "kneser_ney"
    assert found["unigram"]["order"] == 1
    assert found["unigram"]["tokens_counted"] == 12
    assert found["kneser_ney"]["order"] == 2
    assert found["kneser_ney"]["tokens_counted"] == 9
    # Unigram on valid: counts of the end, 2 and 3 are 3, of 4 2, of 5 1; one added; 20 in all.
    nats = -(math.log(4 / 20) * (3 + 2 + 3) + math.log(3 / 20) * 2 + math.log(2 / 20))
    assert found["unigram"]["nats_per_token"] == pytest.approx(nats / 11, abs=1e-6)


def test_a_model_can_win(encoded: Path) -> None:
    assert evaluated(encoded, "test").figures["best"] == "model"


def test_losing_is_said_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell("test", {"model": 1.62, "unigram": 2.8, "kneser_ney": 1.3}, {})
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "INFO",
            "test, bits a byte: kneser_ney 1.3000, model 1.6200, unigram 2.8000; kneser_ney wins",
        ),
        ("WARNING", "test: the model loses to the baseline kneser_ney by 0.3200 bits a byte"),
    ]


def test_winning_is_said_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell("test", {"model": 1.1, "unigram": 2.8, "kneser_ney": 1.3}, {})
    assert [record.message for record in caplog.records] == [
        "test, bits a byte: model 1.1000, kneser_ney 1.3000, unigram 2.8000; model wins"
    ]


def test_variants_are_named_and_win_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        variants = {"dynamic_evaluation": 1.04, "neural_cache": 1.05}
        tell("test", {"model": 1.1, "unigram": 2.8}, variants)
    assert [record.message for record in caplog.records] == [
        "test, bits a byte: model 1.1000, unigram 2.8000; model wins; "
        "with dynamic_evaluation 1.0400; with neural_cache 1.0500"
    ]


class Surest:
    """Knows every token."""

    name, column = "surest", "surest_nats"

    def settings(self) -> dict[str, int]:
        return {"knowledge": 9}

    def document_nats(
        self, model: LanguageModel, split: EncodedSplit, device: torch.device
    ) -> np.ndarray:
        return np.zeros(split.documents)


def test_a_variant_stands_beside_the_model_and_changes_none_of_its_figures(encoded: Path) -> None:
    plain, varied = evaluated(encoded, "valid"), evaluated(encoded, "valid", [Surest()])
    assert varied.figures.pop("surest") == {
        "nats_per_token": 0.0,
        "bits_per_byte": 0.0,
        "perplexity_per_token": 1.0,
        "perplexity_per_word": 1.0,
        "knowledge": 9,
    }
    assert varied.figures == plain.figures
    assert varied.figures["best"] == "kneser_ney"
    assert set(varied.columns) - set(plain.columns) == {"surest_nats"}


def test_only_the_variants_that_are_asked_for_are_made(encoded: Path) -> None:
    params = load_section(ROOT / "params.yaml", EvaluateParams)
    train = EncodedSplit.open_in(encoded, "train")

    def made(scoring: Scoring = SCORING, **changes: object) -> list[Variant]:
        changed = params.model_copy(update=changes)
        return variants_of(changed, even_model(), train, scoring, torch.device("cpu"))

    assert made() == []
    (dynamic,) = made(dynamic=True, dynamic_learning_rate=0.5, dynamic_train_tokens=9)
    assert dynamic.settings() == {
        "context": "stream",
        "learning_rate": 0.5,
        "decay": 0.02,
        "epsilon": 0.002,
        "segment": 64,
        "train_tokens": 9,
    }
    (cache,) = made(cache_tokens=7)
    assert cache.settings() == {"tokens": 7, "weight": 0.1, "flatness": 0.3}
    assert [variant.name for variant in made(dynamic=True, cache_tokens=7)] == [
        "dynamic_evaluation",
        "neural_cache",
    ]


def test_a_transformers_segment_is_no_longer_than_its_window(encoded: Path) -> None:
    params = load_section(ROOT / "params.yaml", EvaluateParams)
    changed = params.model_copy(update={"dynamic": True, "dynamic_segment": 40})
    train = EncodedSplit.open_in(encoded, "train")
    for architecture, segment in (("transformer", 16), ("lstm", 40)):
        model = build_model(model_params(architecture=architecture), VOCABULARY_SIZE)
        (dynamic,) = variants_of(changed, model, train, SCORING, torch.device("cpu"))
        assert dynamic.settings()["segment"] == segment


def test_the_table_has_a_row_for_each_document_and_sums_to_the_figures(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "ROWS_AT_ONCE", 2)
    results = [evaluated(encoded, name) for name in ("valid", "test")]
    path = encoded / "documents.parquet"
    write_documents(path, encoded, results)
    table = pq.read_table(path).to_pydict()
    assert table["split"] == ["valid"] * 3 + ["test"] * 2
    assert table["name"] == ["valid 0", "valid 1", "valid 2", "test 0", "test 1"]
    assert table["tokens"] == [4, 4, 3, 5, 2]
    assert table["words"] == [3, 3, 2, 4, 1]
    assert table["nats"] == pytest.approx([n * math.log(8) for n in table["tokens"]])
    for column, figures in (
        ("unigram_nats", results[1].figures["unigram"]),
        ("kneser_ney_nats", results[1].figures["kneser_ney"]),
    ):
        assert sum(table[column][3:]) / 7 == pytest.approx(figures["nats_per_token"], abs=1e-6)


def test_documents_by_their_loss_have_a_row_for_each_percent(encoded: Path) -> None:
    result = evaluated(encoded, "test")
    path = encoded / "quantiles.csv"
    write_quantiles(path, encoded, result)
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    assert head == ["percent_of_documents", "model", "unigram", "kneser_ney"]
    assert [int(row[0]) for row in rows] == list(range(101))
    losses = sorted(tokens * 3 / size for tokens, size in ((5, 8), (2, 2)))  # 3 bits a token
    model = [float(row[1]) for row in rows]
    assert (model[0], model[50], model[100]) == pytest.approx(
        (losses[0], sum(losses) / 2, losses[1])
    )
    assert all(list(column) == sorted(column) for column in (model, [float(r[2]) for r in rows]))


def test_the_table_has_the_same_bytes_twice(encoded: Path) -> None:
    results = [evaluated(encoded, name) for name in ("valid", "test")]
    for name in ("first", "second"):
        write_documents(encoded / name, encoded, results)
    assert (encoded / "first").read_bytes() == (encoded / "second").read_bytes()


def test_text_of_another_vocabulary_is_refused(encoded: Path) -> None:
    split = EncodedSplit.open_in(encoded, "test")
    check_vocabulary(split, 8, {"vocabulary_size": 8, "boundary": 1})
    with pytest.raises(PipelineError) as raised:
        check_vocabulary(split, 8, {"vocabulary_size": 4000, "boundary": 1})
    assert raised.value.lines == (
        "the model knows 4,000 pieces and the boundary 1, the encoded text has 8 and 1; "
        "run `dvc repro` to train on this text",
    )
