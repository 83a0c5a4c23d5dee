"""What a training was expected to take, and what it took: memory, time, disk, side by side.

They go to the log and to MLflow, never into a file that is compared: no two trainings are alike in
them.
"""

import logging
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from reprise.memory_fit import StepMemory, in_bytes
from reprise.params.train import TrainParams
from reprise.training import Step

log = logging.getLogger(__name__)

# The steps that the time is reckoned from; the very first prepares kernels and does not count. In
# the first seconds the process that tracks the run starts beside them.
FIRST_STEPS = 4  # at least
FIRST_SECONDS = 10.0  # at least
FORMS = ("spent/{}_expected", "spent/{}")  # in MLflow, which draws charts by the alphabet
FORWARD_SHARE = 1 / 3  # of a step: the backward pass has two products for each


def training_seconds(
    params: TrainParams, steps: int, seconds_per_step: float, valid_tokens: int
) -> float:
    """Of so many steps and the validations between them."""
    seconds_per_token = seconds_per_step / (params.batch_size * params.sequence_length)
    validation = valid_tokens * seconds_per_token * FORWARD_SHARE
    return steps * seconds_per_step + -(-steps // params.steps_per_validation) * validation


def checkpoint_bytes(memory: StepMemory, params: TrainParams) -> int:
    """Of all that are kept; the newest that each run makes is among them, and the last one."""
    written = -(-params.max_steps // params.steps_per_checkpoint)
    kept = params.kept_checkpoints
    if params.max_steps % params.steps_per_checkpoint:
        kept = max(2, kept)
    return min(kept, written) * memory.state.saved


@dataclass
class Reckoning:
    """Of the steps that this process does; those before it was resumed are not in it."""

    memory: StepMemory
    rows: int  # at once
    params: TrainParams
    valid_tokens: int
    checkpoints: int = 0  # bytes, at most so far
    step_seconds: list[float] = field(default_factory=list)  # of the first steps
    steps: int = 0
    seconds: float = 0.0

    def timed(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The same steps; what the caller does between them counts as training too."""
        started = before = time.monotonic()
        already = self.seconds
        for step in steps:
            now = time.monotonic()
            if len(self.step_seconds) < FIRST_STEPS or sum(self.step_seconds) < FIRST_SECONDS:
                self.step_seconds.append(now - before)
            self.steps += 1
            yield step
            before = time.monotonic()
            self.seconds = already + before - started

    def figures(self) -> dict[str, float]:
        """For MLflow; empty where no step was done."""
        if not self.steps:
            return {}
        step = statistics.median(self.step_seconds[1:] or self.step_seconds)
        estimate = {
            "peak_memory_bytes": self.memory.peak(self.rows),
            "training_seconds": training_seconds(self.params, self.steps, step, self.valid_tokens),
            "checkpoint_bytes": checkpoint_bytes(self.memory, self.params),
        }
        truth = {
            "peak_memory_bytes": peak_memory(self.memory.device),
            "training_seconds": self.seconds,
            "checkpoint_bytes": self.checkpoints,
        }
        return {
            form.format(name): value
            for form, values in zip(FORMS, (estimate, truth), strict=True)
            for name, value in values.items()
        }

    def tell(self) -> dict[str, float]:
        """A line in the log; the same figures for MLflow."""
        if figures := self.figures():
            log.info(
                "estimated and true: memory %s, %s; time of %d steps %.1f s, %.1f s; "
                "checkpoints %s, %s",
                *(in_bytes(figures[form.format("peak_memory_bytes")]) for form in FORMS),
                self.steps,
                *(figures[form.format("training_seconds")] for form in FORMS),
                *(in_bytes(figures[form.format("checkpoint_bytes")]) for form in FORMS),
            )
        return figures


def peak_memory(device: str) -> int:
    """Bytes that this process had at its fullest: of a GPU's memory by its tensors, else of the
    computer's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if device == "xpu":
        return torch.xpu.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
