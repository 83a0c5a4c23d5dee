"""What train and evaluate will take here: the memory counted, a few real steps timed.

The steps are those of the real network on ids drawn at random, with as many rows as the time
allows; a step of the real batch takes as much longer as it has more rows.
"""

import time
from collections.abc import Callable

import numpy as np

from reprise.data_forecast import DataSizes
from reprise.dataset import EncodedSplit, batches_for, check_sizes
from reprise.distribution import fabric_for
from reprise.errors import PipelineError
from reprise.evaluation import Scoring, score_split
from reprise.forecast import Forecast
from reprise.machine import Machine, missing_kernel_told, scoring_device
from reprise.memory_fit import FLOAT, PROCESS_BYTES, rows_at_once, step_memory
from reprise.models import LanguageModel, build_model
from reprise.models.head import SCORED_AT_ONCE
from reprise.models.size import parameter_count, training_flops_per_token
from reprise.params.evaluate import EvaluateParams
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reckoning import FORWARD_SHARE, checkpoint_bytes, training_seconds
from reprise.training import Training

TIMED_STEPS = 3
SECONDS_FOR_TIMING = 9.0  # of training, and a third of it of scoring
# Of the baseline's table for each token counted and each order: 100 MB with 631,114 and order 3.
KNESER_NEY_BYTES = 54
DOCUMENT_BYTES = 100  # of its row in data/evaluate/documents.parquet, at most


def training_forecasts(
    model: ModelParams,
    train: TrainParams,
    evaluate: EvaluateParams,
    machine: Machine,
    pieces: int,
    sizes: DataSizes,
) -> tuple[list[Forecast], list[str]]:
    """train and evaluate, and a line for each reason why they cannot be run."""
    misfits = _misfits(model, train, evaluate, sizes)
    if misfits:
        none = Forecast("train", None, None, None, note="cannot be run so")
        return [none, Forecast("evaluate", None, None, None, note="not without train")], misfits
    memory = step_memory(model, pieces, train, machine)
    parameters = parameter_count(model, pieces)
    refusals = []
    step = scoring = None
    try:
        rows = rows_at_once(memory, train)
    except PipelineError as error:
        rows, refusals = 1, list(error.lines)
    else:
        step = seconds_per_step(model, train, machine, pieces, rows)
        of_token = step / (train.batch_size * train.sequence_length)
        how = Scoring(
            "document", *evaluate.window_and_stride(train.sequence_length), evaluate.batch_tokens
        )
        scoring = seconds_per_scored_token(model, machine, pieces, how, of_token)
    notes = [
        f"{rows} rows at once",
        f"{training_flops_per_token(model, pieces, train.sequence_length):.3g} FLOP a token",
    ]
    if step is not None:
        notes.append(f"{train.batch_size * train.sequence_length / step:,.0f} tokens/s")
    if sizes.tokens:
        seen = train.max_steps * train.batch_size * train.sequence_length
        notes.append(f"{seen / sizes.tokens['train']:.3g} epochs")
    else:
        notes.append("epochs are unknown until encode has run")
    valid = sizes.tokens["valid"] if sizes.tokens else 0
    writing = memory.state.saved  # one more than is kept, for a moment
    forecast = Forecast(
        "train",
        memory=memory.peak(rows),
        disk=checkpoint_bytes(memory, train) + writing + memory.state.best,
        seconds=training_seconds(train, train.max_steps, step, valid) if step else None,
        parameters=parameters,
        note=", ".join(notes),
    )
    return [
        forecast,
        _evaluate(model, train, evaluate, parameters, sizes, scoring),
    ], refusals


def _misfits(
    model: ModelParams, train: TrainParams, evaluate: EvaluateParams, sizes: DataSizes
) -> list[str]:
    """A line for each setting that does not fit the network or the text."""
    checks: list[Callable[[], None]] = [
        lambda: train.check_network(model),
        lambda: model.check_window("train.sequence_length", train.sequence_length),
        lambda: model.check_window(
            "evaluate.window", evaluate.window_and_stride(train.sequence_length)[0]
        ),
    ]
    if sizes.tokens:
        tokens = sizes.tokens["train"]
        checks.append(lambda: check_sizes(tokens, train.batch_size, train.sequence_length))
    found: list[str] = []
    for check in checks:
        try:
            check()
        except PipelineError as error:
            found += error.lines
    return found


def _evaluate(
    model: ModelParams,
    train: TrainParams,
    params: EvaluateParams,
    parameters: int,
    sizes: DataSizes,
    scoring: float | None,  # seconds a token
) -> Forecast:
    if sizes.tokens is None:
        return Forecast("evaluate", None, None, None, parameters, "unknown until encode has run")
    window, stride = params.window_and_stride(train.sequence_length)
    looks = 1.0 if model.recurrent else window / stride  # at each token, at most
    scored = sizes.tokens["valid"] + sizes.tokens["test"]
    counted = min(sizes.tokens["train"], params.baseline_tokens)
    widest = max(model.hidden_sizes) * 8 + (0 if model.recurrent else 2 * model.feedforward_size)
    return Forecast(
        "evaluate",
        memory=PROCESS_BYTES
        + FLOAT * (parameters + params.batch_tokens * widest + 3 * SCORED_AT_ONCE)
        + KNESER_NEY_BYTES * params.baseline_order * counted,
        disk=DOCUMENT_BYTES * sizes.documents_scored,
        seconds=None if scoring is None else scoring * scored * looks,
        parameters=parameters,
        note="time: scoring alone",
    )


def seconds_per_step(
    model_params: ModelParams, params: TrainParams, machine: Machine, pieces: int, rows: int
) -> float:
    """Of the optimizer, over all rows of one process; timed for about SECONDS_FOR_TIMING."""
    deadline = time.monotonic() + SECONDS_FOR_TIMING
    model = build_model(model_params, pieces)
    of_row = _shortest_step(model, params, machine, 1, deadline)
    left = deadline - time.monotonic()
    tried = max(1, min(rows, int(left / ((1 + TIMED_STEPS) * of_row))))
    of_tried = _shortest_step(model, params, machine, tried, deadline) if tried > 1 else of_row
    return of_tried * (params.batch_size // params.processes) / tried


def _shortest_step(
    model: LanguageModel, params: TrainParams, machine: Machine, rows: int, deadline: float
) -> float:
    """Of some steps over so many rows; the first, which prepares kernels, only where time is up."""
    alone = {"devices": 1, "nodes": 1, "strategy": "auto", "batch_size": rows, "averaging": "none"}
    params = params.model_copy(
        update=alone | {"max_steps": 1 + TIMED_STEPS, "schedule": "constant"}
    )
    training = Training(
        fabric_for(machine, deterministic=params.deterministic), model, params, rows
    )
    length = rows * params.sequence_length * (1 + TIMED_STEPS)
    split = _random_split(length, length, model.embedding.num_embeddings)
    batches = batches_for(params, split, recurrent=model.recurrent)
    seconds, before = [], time.monotonic()
    with missing_kernel_told():
        for _ in training.steps(batches):
            seconds.append(time.monotonic() - before)
            before = time.monotonic()
            if before > deadline:
                break
    return min(seconds[1:] or seconds)


def seconds_per_scored_token(
    model_params: ModelParams,
    machine: Machine,
    pieces: int,
    scoring: Scoring,
    of_trained: float,
) -> float:
    """In full float32 without gradients; `of_trained` seconds were needed to train on a token."""
    expected = of_trained * (2 if machine.precision == "bf16" else 1) * FORWARD_SHARE
    tokens = int(SECONDS_FOR_TIMING / 6 / expected)
    tokens = max(1, min(tokens, scoring.batch_tokens))
    if not model_params.recurrent:
        tokens = max(scoring.window, tokens)
    model = build_model(model_params, pieces)
    device = scoring_device(machine.device, machine.threads)
    split = _random_split(tokens, scoring.window, pieces)
    seconds = []
    for _ in range(2):  # the first prepares kernels
        before = time.monotonic()
        score_split(model.to(device), split, scoring, device)
        seconds.append(time.monotonic() - before)
    return min(seconds) / tokens


def _random_split(tokens: int, length: int, pieces: int) -> EncodedSplit:
    """Documents of so many tokens."""
    ids = np.random.default_rng(0).integers(0, pieces, tokens)
    offsets = np.unique([*range(0, tokens, length), tokens])
    return EncodedSplit(ids, offsets, 0)
