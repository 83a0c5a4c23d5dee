"""Score a split with a model, and turn the scores into figures that can be compared.

Every token of a split is predicted exactly once. What the model may look back on is `context`:
`document`, each document from a fresh state; `stream`, the whole split as one text. A recurrent
model carries its state along; a transformer sees windows of `window` tokens that move on by
`stride`, and of each window only the tokens that no window before it had are scored. The input at
the first token is the boundary. Nats are summed in float64 and divided once.

B rows scored together, T tokens, E numbers in a hidden state, V pieces in the vocabulary.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor

from reprise.arrow import numpy_of
from reprise.dataset import EncodedSplit
from reprise.errors import PipelineError
from reprise.models.language_model import LanguageModel, select_rows
from reprise.progress import Progress

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

STEPS_ABREAST = 128  # tokens of each row that a recurrent model takes at a time
LARGEST_EXPONENT = 700.0  # e to this is still a float
DECIMALS = 6  # of every figure, so that git shows no noise


@dataclass(frozen=True)
class Scoring:
    """How a split is scored."""

    context: Literal["document", "stream"]
    window: int  # tokens; transformers only
    stride: int  # tokens; transformers only
    batch_tokens: int  # scored at once; changes speed and memory, and of the result only rounding


@dataclass(frozen=True)
class Scores:
    """Of each document: nats, tokens, and how often no token, or fewer than five, were likelier
    than the right one."""

    nats: Floats  # (documents,)
    tokens: Indices
    top1: Indices
    top5: Indices


@dataclass(frozen=True)
class _Rows:
    """Stretches of a split: tokens start to stop are fed, those from `scored` on are scored."""

    start: Indices
    stop: Indices
    scored: Indices

    @property
    def lengths(self) -> Indices:
        return self.stop - self.start

    def take(self, chosen: Indices | slice) -> Self:
        return type(self)(self.start[chosen], self.stop[chosen], self.scored[chosen])


def score_split(
    model: LanguageModel,
    split: EncodedSplit,
    scoring: Scoring,
    device: torch.device,
    label: str = "score",
) -> Scores:
    """Predict every token of the split once, in the precision of the caller's autocast."""
    scores = Scores(
        nats=np.zeros(split.documents),
        tokens=np.diff(split.offsets),
        top1=np.zeros(split.documents, dtype=np.int64),
        top5=np.zeros(split.documents, dtype=np.int64),
    )
    rows = _rows(split, scoring, recurrent=model.recurrent)
    rows = rows.take(np.argsort(-rows.lengths, kind="stable"))
    first = 0
    with evaluating(model), Progress(label, split.tokens, "tokens") as progress:
        while first < len(rows.start):
            longest = int(rows.lengths[first])
            steps = min(longest, STEPS_ABREAST) if model.recurrent else longest
            abreast = max(1, scoring.batch_tokens // max(1, steps))  # 0 where a text is empty
            batch = rows.take(slice(first, first + abreast))
            first += len(batch.start)
            for positions, hidden in _hidden_states(model, split, batch, scoring, device):
                _add(scores, model, split, positions, hidden)
                progress.advance(len(positions))
    return scores


def _rows(split: EncodedSplit, scoring: Scoring, *, recurrent: bool) -> _Rows:
    if scoring.context == "document":
        start, stop = split.offsets[:-1], split.offsets[1:]
    else:
        start, stop = np.array([0]), np.array([split.tokens])
    if recurrent:
        return _Rows(start, stop, start)
    # Window w of a span reaches w * stride into it; the last is the first that reaches its end.
    beyond_first = np.maximum(0, stop - start - scoring.window)
    windows = 1 + -(-beyond_first // scoring.stride)
    number = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    start, stop = np.repeat(start, windows), np.repeat(stop, windows)
    start = start + number * scoring.stride
    overlap = np.where(number > 0, scoring.window - scoring.stride, 0)
    return _Rows(start, np.minimum(start + scoring.window, stop), start + overlap)


def _hidden_states(
    model: LanguageModel,
    split: EncodedSplit,
    batch: _Rows,
    scoring: Scoring,
    device: torch.device,
) -> Iterator[tuple[Indices, Tensor]]:
    """Positions (N,) and the hidden states (N, E) that predict them; `batch` is longest first."""
    state, done = None, 0
    longest, live = int(batch.lengths[0]), len(batch.start)
    while done < longest:
        going_on = int(np.count_nonzero(batch.lengths > done))
        if state is not None and going_on < live:
            state = select_rows(state, torch.arange(going_on, device=device))
        live = going_on
        steps = longest - done
        if model.recurrent:
            steps = min(steps, max(1, scoring.batch_tokens // live))
        positions = batch.start[:live, None] + np.arange(done, done + steps)  # (B, T)
        inputs = torch.from_numpy(inputs_at(split, positions)).to(device)
        hidden, state = model(inputs, state)
        wanted = (positions >= batch.scored[:live, None]) & (positions < batch.stop[:live, None])
        places = torch.from_numpy(np.flatnonzero(wanted)).to(device)
        yield positions[wanted], hidden.flatten(0, 1).index_select(0, places)
        done += steps


def hidden_states_in_order(
    model: LanguageModel, split: EncodedSplit, scoring: Scoring, device: torch.device
) -> Iterator[tuple[Indices, Tensor]]:
    """The hidden states that `score_split` scores with, (N, E), at positions (N,) that follow upon
    those before, from the split's first token to its last; to be called inside `evaluating`."""
    rows = _rows(split, scoring, recurrent=model.recurrent)
    first = 0
    while first < len(rows.start):
        # Rows that fit in one go are taken together; a longer one, which may come in pieces, alone.
        longest = np.maximum.accumulate(rows.lengths[first : first + scoring.batch_tokens])
        fitting = longest * np.arange(1, len(longest) + 1) <= scoring.batch_tokens
        batch = rows.take(slice(first, first + max(1, int(np.count_nonzero(fitting)))))
        first += len(batch.start)
        batch = batch.take(np.argsort(-batch.lengths, kind="stable"))
        for positions, hidden in _hidden_states(model, split, batch, scoring, device):
            order = np.argsort(positions)
            yield positions[order], hidden[torch.from_numpy(order).to(hidden.device)]


def inputs_at(split: EncodedSplit, positions: Indices) -> Indices:
    """The token before each position; past the split's end anything, since it is not scored."""
    before = np.clip(positions - 1, 0, split.tokens - 1)
    return np.where(positions > 0, split.ids[before], split.boundary).astype(np.int64)


def _add(
    scores: Scores, model: LanguageModel, split: EncodedSplit, positions: Indices, hidden: Tensor
) -> None:
    """Score the positions a few logits at a time, and add them to their documents."""
    rows = model.head.rows_scored_at_once
    for begin in range(0, len(positions), rows):
        piece = positions[begin : begin + rows]
        targets = torch.from_numpy(split.ids[piece].astype(np.int64)).to(hidden.device)
        logits = model.head.logits(hidden[begin : begin + rows])  # (n, V)
        target = targets[:, None]  # (n, 1)
        likelier = (logits > logits.gather(1, target)).sum(1, dtype=torch.int32).cpu().numpy()
        nats = -torch.log_softmax(logits, 1, out=logits).gather(1, target).squeeze(1)
        documents = split.documents_at(piece)
        np.add.at(scores.nats, documents, nats.cpu().numpy().astype(np.float64))
        np.add.at(scores.top1, documents, (likelier < 1).astype(np.int64))
        np.add.at(scores.top5, documents, (likelier < 5).astype(np.int64))


def token_nats(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """Hidden states (N, E) and the ids (N,) they should predict -> -ln p of each, (N,) float32."""
    rows = model.head.rows_scored_at_once
    nats = torch.empty(len(targets), device=hidden.device)
    for begin in range(0, len(targets), rows):
        piece = slice(begin, begin + rows)
        logits = model.head.logits(hidden[piece])  # (n, V)
        log_p = torch.log_softmax(logits, 1, out=logits)
        nats[piece] = -log_p.gather(1, targets[piece, None]).squeeze(1)
    return nats


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """No dropout and no gradients inside; the model's mode is as before afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


@dataclass(frozen=True)
class Counts:
    """What the encode stage counted in the text of a split."""

    documents: int
    tokens: int
    bytes: int
    words: int  # between whitespace
    lines: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Summed over data/encode/<split>.parquet, a row group at a time."""
        names = ["tokens", "bytes", "words", "lines"]
        sums = dict.fromkeys(names, 0)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=names):
                for name in names:
                    sums[name] += int(numpy_of(batch[name]).sum())
            return cls(documents=file.metadata.num_rows, **sums)


Figures = dict[str, Any]
WordEnds = Literal["document", "line"]


def figures(nats: float, counts: Counts, word_ends: WordEnds) -> Figures:
    """What nats over a whole split mean, by token, byte and word.

    A perplexity above what a float holds is left out, and `omitted` says so.
    """
    if not math.isfinite(nats):
        raise PipelineError(
            f"the model gives {nats} nats for {counts.tokens:,} tokens; allowed: a finite number; "
            "train it anew with a lower train.learning_rate"
        )
    result: Figures = {
        "nats_per_token": round(nats / counts.tokens, DECIMALS),
        "bits_per_byte": round(nats / math.log(2) / counts.bytes, DECIMALS),
    }
    omitted = []
    for name, exponent in (
        ("perplexity_per_token", nats / counts.tokens),
        ("perplexity_per_word", nats / words_with_ends(counts, word_ends)),
    ):
        if exponent > LARGEST_EXPONENT:
            omitted.append(f"{name}: exp({exponent:.0f}) is above the largest number")
        else:
            result[name] = round(math.exp(exponent), DECIMALS)
    if omitted:
        result["omitted"] = "; ".join(omitted)
    return result


def words_with_ends(counts: Counts, word_ends: WordEnds) -> int:
    """Words and the ends of documents or lines, as the published results of a corpus count."""
    return counts.words + (counts.documents if word_ends == "document" else counts.lines)


def model_figures(
    model: LanguageModel, scores: Scores, counts: Counts, scoring: Scoring, word_ends: WordEnds
) -> Figures:
    """`figures`, how often the right token was the likeliest or of the five likeliest, and what all
    of it was counted over."""
    context: Figures = {"context": scoring.context}
    if not model.recurrent:
        context |= {"window": scoring.window, "stride": scoring.stride}
    return {
        **figures(float(scores.nats.sum()), counts, word_ends),
        **context,
        "top1_accuracy": round(int(scores.top1.sum()) / counts.tokens, DECIMALS),
        "top5_accuracy": round(int(scores.top5.sum()) / counts.tokens, DECIMALS),
        "documents": counts.documents,
        "tokens": counts.tokens,
        "bytes": counts.bytes,
        "words": words_with_ends(counts, word_ends),
    }
