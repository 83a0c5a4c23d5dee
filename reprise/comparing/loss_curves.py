"""The losses of a training by what it had used up: tokens, time, operations.

Time is not in metrics/train.csv, which holds no durations; it is put together from the speeds that
MLflow has of the run, and covers the steps alone, without validations and checkpoints.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from reprise.models.size import training_flops_per_token
from reprise.params.model import ModelParams
from reprise.runs.records import RunRecord
from reprise.tracking.store import existing_store, runs_of, store_failures

SPEED = "speed/tokens_per_second"


@dataclass(frozen=True)
class LossCurve:
    """A value for each row of metrics/train.csv."""

    tokens: list[float]
    train: list[float | None]  # nats a token, of the steps since the row before
    valid: list[float | None]  # nats a token, where it was validated
    seconds: list[float] | None  # None: not known
    operations: list[float] | None  # floating-point operations of training, likewise


def loss_curve(run: RunRecord) -> LossCurve:
    tokens = [row["tokens"] for row in run.curves]
    cost = _operations_per_token(run)
    return LossCurve(
        tokens=tokens,
        train=[row.get("train_nats_per_token") for row in run.curves],
        valid=[row.get("valid_nats_per_token") for row in run.curves],
        seconds=seconds_at(run, _speeds(run)),
        operations=None if cost is None else [cost * count for count in tokens],
    )


def seconds_at(run: RunRecord, speeds: dict[int, float]) -> list[float] | None:
    """Seconds of training up to each row, from tokens a second by step; None where one lacks."""
    seconds, before, total = [], 0.0, 0.0
    for row in run.curves:
        speed = speeds.get(int(row["step"]), 0.0)
        if speed <= 0:
            return None
        total += (row["tokens"] - before) / speed
        before = row["tokens"]
        seconds.append(total)
    return seconds


def _speeds(run: RunRecord) -> dict[int, float]:
    """Tokens a second by step, from the key's newest run in MLflow that has them."""
    try:
        store = existing_store(run.params["run"]["experiment"])
        if store is None:
            return {}
        client, _ = store
        for tracked in runs_of(*store, run.model["run_key"]):
            if SPEED in tracked.data.metrics:
                history = client.get_metric_history(tracked.info.run_id, SPEED)
                return {point.step: point.value for point in history}
    except store_failures():
        return {}  # the page says that it lacks a chart of time
    return {}


def _operations_per_token(run: RunRecord) -> float | None:
    settings = run.model["settings"]
    try:
        params = ModelParams.model_validate(settings["model"])
    except ValidationError:  # of another version of the code
        return None
    context = settings["train"]["sequence_length"]
    return float(training_flops_per_token(params, run.model["vocabulary_size"], context))
