"""Proof, on this machine and with these settings, that training may be stopped and repeated.

A few steps are trained three times by the same `TrainingRun` as in the stage, on as many processes:
unbroken, repeated, and stopped in the middle, saved, and gone on with. Each part has processes of
its own. What their last checkpoints hold is compared bit by bit. All files are in a temporary
folder.
"""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from reprise.checkpoint import CheckpointFolder
from reprise.dataset import EncodedSplit
from reprise.errors import PipelineError
from reprise.files import read_json, readable_write_errors, write_json
from reprise.launching import Processes, run_processes
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.scratch import save_array

log = logging.getLogger(__name__)

VALID_BATCHES = 4  # so much of valid is scored

PARTS = {  # of a checkpoint; what has no name here is REST
    "weights": "weights",
    "optimizers": "optimizer state",
    "average": "averages",
    "best_weights": "best weights",
    "carried": "carried state",
    "rows": "loss rows",
}
REST = "counts and the rest"

NOT_KEPT = "nothing of it is kept"


@dataclass(frozen=True)
class Comparison:
    """A part of another training's end beside the unbroken one's."""

    training: str
    part: str
    numbers: int  # compared
    difference: str  # the first one; empty: same bits

    @property
    def line(self) -> str:
        verdict = f"same bits ({self.numbers:,} numbers)" if self.numbers else "none"
        return f"{self.training}: {self.part}: {self.difference or verdict}"


@dataclass(frozen=True)
class ResumeProof:
    subject: str  # what was trained, on what
    comparisons: list[Comparison]
    remedy: str  # empty where all bits are the same


def prove_resume(
    model: ModelParams, train: TrainParams, encoded: Path, vocabulary_size: int, steps: int
) -> ResumeProof:
    """Train `steps` steps on the first tokens in `encoded`, or on random ids below
    `vocabulary_size` where there are none; SystemExit where that cannot be trained, which is told
    by then, PipelineError where it is ended from outside."""
    short = shortened(train, steps)
    stop = stop_of(steps)
    stopped = f"stopped after step {stop}"
    with tempfile.TemporaryDirectory(prefix="reprise-") as name:
        place = Path(name)
        with readable_write_errors(place):
            ids = _write_sample(encoded, place / "encode", short, vocabulary_size)
        params = {"model": model.model_dump(mode="json"), "train": short.model_dump(mode="json")}
        write_json(place / "params.json", params)
        parts = [("unbroken", steps), ("repeated", steps), (stopped, stop), (stopped, steps)]
        for training, until in parts:
            log.info("%s: to step %d of %d", training, until, steps)
            arguments = [str(place), training, str(until)]
            run_processes("reprise.proof_training", arguments, Processes.of(short), NOT_KEPT)
        settings = read_json(place / "unbroken.json")
        unbroken, repeated, resumed = (
            _last_state(place / training, settings["run_key"])
            for training in ("unbroken", "repeated", stopped)
        )
    of_repeat = list(_comparisons("repeated", unbroken, repeated))
    of_resume = list(_comparisons(stopped, unbroken, resumed))
    repeats = not any(comparison.difference for comparison in of_repeat)
    resumes = not any(comparison.difference for comparison in of_resume)
    remedy = ""
    if not repeats:
        remedy = remedy_for_repeats(train, settings["machine"])
    elif not resumes:
        remedy = (
            "a repeat has the same bits, so a checkpoint lacks something: a fault of Reprise; "
            "tell its makers, with the lines above and params.yaml"
        )
    return ResumeProof(_subject(model, train, settings, ids), of_repeat + of_resume, remedy)


def shortened(train: TrainParams, steps: int) -> TrainParams:
    """The same algorithm over `steps` steps on one machine; there is a validation on either side
    of the stop, and none at it, so that a row of losses reaches over it."""
    changes = {
        "max_steps": steps,
        "warmup_steps": min(train.warmup_steps, 1),
        "steps_per_validation": max(2, steps // 3),
        "patience": steps,
        "kept_checkpoints": 1,
        "tensorboard": False,
        "nodes": 1,
    }
    return TrainParams.model_validate(train.model_dump() | changes)


def stop_of(steps: int) -> int:
    """The step in the middle after which a training is stopped."""
    return steps // 2 | 1


def first_difference(one: Any, other: Any, place: str = "") -> str:
    """Where two states first differ in a bit, and by how much; empty where they do not."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _tensor_difference(one, other, place)
    ours, theirs = _children(one), _children(other)
    if ours is None or theirs is None:
        # repr: a float's has all its bits, also of -0.0 and nan.
        same = type(one) is type(other) and repr(one) == repr(other)
        return "" if same else f"{place}: {_short(one)} and {_short(other)}"
    if ours.keys() != theirs.keys():
        names = ours.keys() ^ theirs.keys()
        return f"{place}: only one of them has {', '.join(sorted(map(str, names)))}"
    inner = (
        first_difference(value, theirs[name], f"{place}.{name}" if place else str(name))
        for name, value in ours.items()
    )
    return next(filter(None, inner), "")


def remedy_for_repeats(train: TrainParams, machine: dict[str, Any]) -> str:
    """The likeliest reason that this machine gives other bits each time."""
    if not train.deterministic:
        remedy = "set train.deterministic to true"
    elif machine["device"] != "cpu":
        remedy = f"set train.device to cpu, since {machine['device']} has no kernels that repeat"
    elif machine["threads"] > 1:
        remedy = "set train.threads to 1"
    else:
        remedy = "test its memory"
    return f"this machine computes other bits each time: {remedy}, and verify again"


def _last_state(folder: Path, key: str) -> dict[str, Any]:
    state = CheckpointFolder(folder / ".checkpoints" / key, keep=1).newest()
    if state is None:
        raise PipelineError(f"{folder}: a checkpoint cannot be read back; test this disk")
    return state


def _comparisons(
    training: str, unbroken: dict[str, Any], other: dict[str, Any]
) -> Iterator[Comparison]:
    parts = [({name}, part) for name, part in PARTS.items()]
    parts.append(({*unbroken, *other} - PARTS.keys(), REST))
    for names, part in parts:
        ours, theirs = (
            {name: value for name, value in state.items() if name in names}
            for state in (unbroken, other)
        )
        yield Comparison(training, part, _numbers(ours), first_difference(ours, theirs))


def _children(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, dict):
        return value
    return dict(enumerate(value)) if isinstance(value, list | tuple) else None


def _numbers(value: Any) -> int:
    """In all tensors and beside them; 0 for an average that there is none of."""
    if isinstance(value, Tensor):
        return value.numel()
    inner = _children(value)
    if inner is None:
        return int(bool(value))
    return sum(map(_numbers, inner.values()))


def _tensor_difference(one: Tensor, other: Tensor, place: str) -> str:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        kinds = (f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (one, other))
        return f"{place}: {' and '.join(kinds)}"
    bits = [tensor.contiguous().reshape(-1, 1).view(torch.uint8) for tensor in (one, other)]
    count = int((bits[0] != bits[1]).any(1).sum())
    if not count:
        return ""
    largest = (one.double() - other.double()).abs().max().item()
    return (
        f"{place}: {count:,} of {one.numel():,} numbers differ, by at most {largest:.3g}; "
        f"the largest is {one.double().abs().max().item():.3g}"
    )


def _short(value: Any) -> str:
    return f"{type(value).__name__} {repr(value)[:40]}"


def _subject(model: ModelParams, train: TrainParams, settings: dict[str, Any], ids: str) -> str:
    machine = settings["machine"]
    dropouts = [
        f"{name.removesuffix('_dropout')} {value:g}"
        for name, value in model.model_dump().items()
        if name.endswith("_dropout") and not isinstance(value, bool) and value
    ]
    processes = ""
    if train.processes > 1:
        of_all = f" of the {train.processes}" if train.nodes > 1 else ""
        processes = f", {train.devices}{of_all} processes"
    return (
        f"{settings['name']}, {ids}, {machine['device']} ({machine['hardware']}), "
        f"{machine['precision']}, {'compiled, ' if machine['compiled'] else ''}"
        f"{machine['threads']} threads{processes}, "
        f"dropout {', '.join(dropouts) or 'off: set one of model to prove it too'}"
    )


def _write_sample(encoded: Path, sample: Path, train: TrainParams, vocabulary_size: int) -> str:
    """A small data/encode, whose epoch ends in a short batch before the last step; its name."""
    batch = train.batch_size * train.sequence_length
    tokens = {"train": batch * (train.max_steps - 1) - batch // 3, "valid": batch * VALID_BATCHES}
    there = (encoded / "vocabulary.json").exists()
    sample.mkdir()
    vocabulary = {"boundary": 0, "vocabulary_size": vocabulary_size}
    write_json(
        sample / "vocabulary.json",
        read_json(encoded / "vocabulary.json") if there else vocabulary,
    )
    for name, count in tokens.items():
        if there:
            split = _first_tokens(EncodedSplit.open_in(encoded, name), count)
        else:
            split = _random_split(count, vocabulary_size, train.seed)
        save_array(sample / f"{name}.npy", split.ids)
        lengths = pa.table({"tokens": np.diff(split.offsets)})
        pq.write_table(lengths, sample / f"{name}.parquet")
    return f"first tokens of {encoded}" if there else "random ids"


def _first_tokens(split: EncodedSplit, count: int) -> EncodedSplit:
    """Whole documents, but for the last."""
    offsets = np.unique(np.minimum(split.offsets, count))
    return EncodedSplit(split.ids[: offsets[-1]], offsets, split.boundary)


def _random_split(count: int, vocabulary_size: int, seed: int) -> EncodedSplit:
    """Documents of 1 to 100 tokens."""
    random = np.random.default_rng(seed)
    ends = np.cumsum(random.integers(1, 101, count))
    offsets = np.unique(np.minimum([0, *ends], count))
    ids = random.integers(1, vocabulary_size, count).astype(np.uint32)
    ids[offsets[1:] - 1] = 0
    return EncodedSplit(ids, offsets, 0)
