"""params.yaml, section train: the training algorithm."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from reprise.errors import PipelineError
from reprise.params.base import LARGEST_SEED, AutoOrWholeNumber, Section
from reprise.params.model import ModelParams

AutoOrSwitch = Annotated[Literal["auto"] | bool, Field(description="auto, true or false")]


MOST_THREADS = 1024


class TrainParams(Section):
    seed: int = Field(ge=0, le=LARGEST_SEED)
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: AutoOrWholeNumber
    deterministic: bool
    compile: AutoOrSwitch
    devices: int = Field(ge=1, le=1_000_000)
    nodes: int = Field(ge=1, le=1_000_000)
    strategy: Literal["auto", "ddp", "fsdp"]
    batch_size: int = Field(ge=1, le=10_000_000)
    micro_batch_size: AutoOrWholeNumber
    sequence_length: int = Field(ge=1, le=100_000_000)
    variable_length: bool
    max_steps: int = Field(ge=1)
    optimizer: Literal["sgd", "adam", "adamw", "adafactor", "muon"]
    learning_rate: float = Field(gt=0)
    muon_learning_rate: float = Field(gt=0, le=1e30)
    momentum: float = Field(ge=0, lt=1)
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    schedule: Literal[
        "constant", "linear", "cosine", "inverse_square_root", "warmup_stable_decay", "plateau"
    ]
    warmup_steps: int = Field(ge=0)
    decay_fraction: float = Field(gt=0, le=1)
    plateau_patience: int = Field(ge=0)
    plateau_factor: float = Field(gt=0, lt=1)
    final_learning_rate_fraction: float = Field(ge=0, le=1)
    averaging: Literal["none", "exponential", "triggered"]
    averaging_decay: float = Field(gt=0, lt=1)
    averaging_patience: int = Field(ge=1)
    clip_norm: float = Field(gt=0)
    activation_regularization: float = Field(ge=0)
    temporal_activation_regularization: float = Field(ge=0)
    not_finite: Literal["stop", "skip", "roll_back"]
    max_skipped_steps: int = Field(ge=1)
    steps_per_log: int = Field(ge=1)
    steps_per_validation: int = Field(ge=1)
    patience: int = Field(ge=1)
    steps_per_checkpoint: int = Field(ge=1)
    kept_checkpoints: int = Field(ge=1)
    tensorboard: bool

    def broken_rules(self) -> Iterator[str]:
        if self.warmup_steps >= self.max_steps:
            yield f"warmup_steps {self.warmup_steps} must be below max_steps {self.max_steps}"
        if self.schedule == "inverse_square_root" and not self.warmup_steps:
            yield "schedule inverse_square_root needs warmup_steps of at least 1"
        if self.threads != "auto" and self.threads > MOST_THREADS:
            yield f"threads {self.threads} is above {MOST_THREADS}"
        micro = self.micro_batch_size
        if micro != "auto" and self.batch_size % (micro * self.processes):
            yield (
                f"batch_size {self.batch_size} must be a multiple of micro_batch_size {micro} "
                f"times the {self.processes} processes of devices and nodes"
            )
        if self.batch_size % self.processes:
            yield (
                f"batch_size {self.batch_size} must be a multiple of devices {self.devices} "
                f"times nodes {self.nodes}"
            )

        if self.strategy == "fsdp" and self.optimizer == "adafactor":
            yield "strategy fsdp cuts matrices, of which optimizer adafactor needs all; take ddp"

    def check_network(self, model: ModelParams) -> None:
        """PipelineError with a line for each setting that this architecture has no use for."""
        neutral = {
            "variable_length": False,
            "activation_regularization": 0.0,
            "temporal_activation_regularization": 0.0,
        }
        faults = [
            f"train.{name}: found {str(found).lower()}, which is for recurrent networks; "
            f"model.architecture is {model.architecture}; allowed: {str(none).lower()}"
            for name, none in neutral.items()
            if not model.recurrent and (found := getattr(self, name)) != none
        ]
        if faults:
            raise PipelineError(*faults)

    @property
    def processes(self) -> int:
        return self.devices * self.nodes
