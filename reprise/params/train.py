"""params.yaml, section train: the training algorithm."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from reprise.params.base import LARGEST_SEED, AutoOrWholeNumber, Section


class TrainParams(Section):
    seed: int = Field(ge=0, le=LARGEST_SEED)
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: AutoOrWholeNumber
    batch_size: int = Field(ge=1)
    sequence_length: int = Field(ge=1)
    max_steps: int = Field(ge=1)
    optimizer: Literal["sgd", "adam", "adamw"]
    learning_rate: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    schedule: Literal["constant", "cosine", "linear"]
    warmup_steps: int = Field(ge=0)
    final_learning_rate_fraction: float = Field(ge=0, le=1)
    clip_norm: float = Field(gt=0)
    steps_per_log: int = Field(ge=1)
    steps_per_validation: int = Field(ge=1)
    patience: int = Field(ge=1)
    steps_per_checkpoint: int = Field(ge=1)

    def broken_rules(self) -> Iterator[str]:
        if self.warmup_steps >= self.max_steps:
            yield (f"warmup_steps {self.warmup_steps} must be below max_steps {self.max_steps}")
