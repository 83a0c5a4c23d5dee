"""A model against its baselines on the same tokens: figures, a table by document, a verdict.

Dynamic evaluation and the neural cache are named beside it, and are no part of the verdict.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from reprise.arrow import arrow_of, numbers_in, strings_of
from reprise.baselines import Baseline, document_nats
from reprise.dataset import EncodedSplit
from reprise.dynamic_evaluation import DynamicEvaluation, Pace
from reprise.errors import PipelineError
from reprise.evaluation import (
    Counts,
    Figures,
    Floats,
    Scoring,
    WordEnds,
    figures,
    model_figures,
    score_split,
)
from reprise.files import replacing, write_text
from reprise.models.language_model import LanguageModel
from reprise.neural_cache import NeuralCache
from reprise.params.evaluate import EvaluateParams

log = logging.getLogger(__name__)

MODEL = "model"
ROWS_AT_ONCE = 1 << 16
COUNTED = ("name", "tokens", "bytes", "words")  # columns that the encode stage wrote


@dataclass(frozen=True)
class SplitResult:
    split: str
    figures: Figures  # the model's, each baseline's and variant's under its name, and who is best
    columns: Mapping[str, npt.NDArray[np.generic]]  # a number for each document


class Variant(Protocol):
    """Another way to predict with the same model, whose figures stand beside the model's own."""

    @property
    def name(self) -> str: ...  # in metrics/evaluate.json

    @property
    def column(self) -> str: ...  # in documents.parquet

    def settings(self) -> Figures: ...

    def document_nats(
        self, model: LanguageModel, split: EncodedSplit, device: torch.device
    ) -> Floats: ...


def variants_of(
    params: EvaluateParams,
    model: LanguageModel,
    train: EncodedSplit,
    scoring: Scoring,
    device: torch.device,
) -> list[Variant]:
    """Those that params.yaml asks for."""
    variants: list[Variant] = []
    if params.dynamic:
        segment = params.dynamic_segment
        pace = Pace(
            learning_rate=params.dynamic_learning_rate,
            decay=params.dynamic_decay,
            epsilon=params.dynamic_epsilon,
            segment=segment if model.recurrent else min(segment, scoring.window),
            window=scoring.window,
        )
        variants.append(
            DynamicEvaluation.prepare(model, train, pace, params.dynamic_train_tokens, device)
        )
    if params.cache_tokens:
        variants.append(
            NeuralCache(params.cache_tokens, params.cache_weight, params.cache_flatness, scoring)
        )
    return variants


def check_vocabulary(
    split: EncodedSplit, vocabulary_size: int, settings: Mapping[str, Any]
) -> None:
    """The ids must be those that the model learned."""
    encoded = (vocabulary_size, split.boundary)
    learned = (settings["vocabulary_size"], settings["boundary"])
    if encoded != learned:
        raise PipelineError(
            f"the model knows {learned[0]:,} pieces and the boundary {learned[1]}, the encoded "
            f"text has {encoded[0]:,} and {encoded[1]}; run `dvc repro` to train on this text"
        )


def evaluate_split(
    name: str,
    encoded: Path,
    model: LanguageModel,
    baselines: Mapping[str, Baseline],
    scoring: Scoring,
    word_ends: WordEnds,
    device: torch.device,
    variants: Sequence[Variant] = (),
) -> SplitResult:
    """Score all documents of data/encode/<name> with the model and with each baseline, and with the
    model once more in each of the variants; these compete with nobody."""
    split = EncodedSplit.open_in(encoded, name)
    counts = Counts.read(encoded / f"{name}.parquet")
    scores = score_split(model, split, scoring, device, f"evaluate {name}")
    found = model_figures(model, scores, counts, scoring, word_ends)
    columns = {"nats": scores.nats, "top1": scores.top1, "top5": scores.top5}
    for baseline_name, baseline in baselines.items():
        nats = document_nats(baseline, split)
        columns[f"{baseline_name}_nats"] = nats
        found[baseline_name] = {
            **figures(float(nats.sum()), counts, word_ends),
            "order": baseline.order,
            "tokens_counted": baseline.tokens_counted,
        }
    bits = {MODEL: found["bits_per_byte"]}
    bits |= {baseline_name: found[baseline_name]["bits_per_byte"] for baseline_name in baselines}
    found["best"] = min(bits, key=bits.__getitem__)
    for variant in variants:
        nats = variant.document_nats(model, split, device)
        columns[variant.column] = nats
        found[variant.name] = figures(float(nats.sum()), counts, word_ends) | variant.settings()
    tell(name, bits, {variant.name: found[variant.name]["bits_per_byte"] for variant in variants})
    return SplitResult(name, found, columns)


def tell(split: str, bits_per_byte: Mapping[str, float], of_variants: Mapping[str, float]) -> None:
    """Say who wins, and warn where it is not the model; name what the model's variants give."""
    ranking = sorted(bits_per_byte, key=bits_per_byte.__getitem__)
    table = ", ".join(f"{name} {bits_per_byte[name]:.4f}" for name in ranking)
    further = "".join(f"; with {name} {bits:.4f}" for name, bits in of_variants.items())
    log.info("%s, bits a byte: %s; %s wins%s", split, table, ranking[0], further)
    for name in ranking[: ranking.index(MODEL)]:
        log.warning(
            "%s: the model loses to the baseline %s by %.4f bits a byte",
            split,
            name,
            bits_per_byte[MODEL] - bits_per_byte[name],
        )


def write_documents(path: Path, encoded: Path, results: Sequence[SplitResult]) -> None:
    """One row a document of each split: what it counts, and everybody's nats on it."""
    with replacing(path) as scratch, ExitStack() as opened:
        writer = None
        for result in results:
            first = 0
            documents = opened.enter_context(pq.ParquetFile(encoded / f"{result.split}.parquet"))
            for batch in documents.iter_batches(ROWS_AT_ONCE, columns=list(COUNTED)):
                rows = slice(first, first + batch.num_rows)
                first += batch.num_rows
                columns = {
                    "split": strings_of([result.split] * batch.num_rows),
                    **{name: batch[name] for name in COUNTED},
                    **{name: arrow_of(values[rows]) for name, values in result.columns.items()},
                }
                table = pa.table(columns)
                writer = writer or opened.enter_context(
                    pq.ParquetWriter(scratch, table.schema, compression="zstd")
                )
                writer.write_table(table)


def write_quantiles(path: Path, encoded: Path, result: SplitResult) -> None:
    """CSV for a plot: by percent of the split's documents, the bits a byte that so many do not
    exceed, for the model and each baseline on its own order."""
    counted = numbers_in(encoded / f"{result.split}.parquet", "bytes")
    percents = np.arange(101)
    columns = {
        name.removesuffix("nats").rstrip("_") or MODEL: np.percentile(
            nats[counted > 0] / counted[counted > 0] / np.log(2), percents
        )
        for name, nats in result.columns.items()
        if name.endswith("nats")
    }
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(["percent_of_documents", *columns])]
    lines += [
        ",".join([str(percent), *(f"{value:.6g}" for value in row)])
        for percent, row in zip(percents, rows, strict=True)
    ]
    write_text(path, "\n".join(lines) + "\n")
