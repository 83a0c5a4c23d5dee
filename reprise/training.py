"""The training loop as a stream of steps, and all that changes while it runs.

Everything random in a step comes from (seed, step), so that validating, logging or resuming in
between changes nothing. B sequences, T tokens.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprise.dataset import NO_TARGET, Batches, EncodedSplit
from reprise.errors import PipelineError
from reprise.evaluation import Scoring, score_split
from reprise.model_files import Weights, set_weights, weights_of
from reprise.models import LanguageModel, State
from reprise.models.language_model import detach
from reprise.optimization import learning_rate, make_optimizer, set_learning_rate
from reprise.params.train import TrainParams

LogRow = dict[str, float | int | None]


@dataclass(frozen=True)
class Step:
    """What one finished step of the optimizer tells. The first has number 1."""

    number: int
    nats: float  # summed over the batch's tokens
    tokens: int
    learning_rate: float
    gradient_norm: float  # before clipping


class Objective(nn.Module):
    """Network, head and loss in one call, as Fabric wants it."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Ids and next ids (B, T) -> summed nats, next state."""
        hidden, state = self.model(inputs, state)
        return self.model.head(hidden, targets), state


@dataclass
class Training:
    """A model in training: all that a checkpoint must hold to go on as if nothing had happened."""

    fabric: Fabric
    model: LanguageModel
    params: TrainParams
    step: int = 0
    tokens: int = 0
    carried: State | None = None
    best_step: int = 0
    best_nats: float = math.inf  # a token, on valid
    best_weights: Weights = field(default_factory=dict)
    poor_validations: int = 0  # since the best
    finished: bool = False
    rows: list[LogRow] = field(default_factory=list)
    nats_since_row: float = 0.0
    tokens_since_row: int = 0

    PLAIN = (
        *("step", "tokens", "best_step", "best_nats", "best_weights", "poor_validations"),
        *("finished", "rows", "nats_since_row", "tokens_since_row"),
    )

    def __post_init__(self) -> None:
        optimizer = make_optimizer(self.model, self.params, self.fabric.device.type)
        self.objective, self.optimizer = self.fabric.setup(Objective(self.model), optimizer)

    def steps(self, batches: Batches) -> Iterator[Step]:
        """Train to the end, a step at a time; the caller may validate, save and leave between."""
        params = self.params
        while not self.finished:
            self.objective.train()
            torch.manual_seed(step_seed(params.seed, self.step))
            # 1. a batch
            batch = batches[self.step]
            inputs, targets = self.fabric.to_device((batch.inputs, batch.targets))
            tokens = int((batch.targets != NO_TARGET).sum())
            # 2. forward  3. loss
            state = None if batch.fresh or not self.model.recurrent else self.carried
            nats, state = self.objective(inputs, targets, state)
            # 4. backward
            self.fabric.backward(nats / tokens)
            # 5. clip
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), params.clip_norm)
            rate = learning_rate(self.step, params)
            self._check_finite(nats.item(), norm.item(), rate)
            # 6. update
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.carried = detach(state) if self.model.recurrent else None
            self.step += 1
            self.tokens += tokens
            self.nats_since_row += nats.item()
            self.tokens_since_row += tokens
            self.finished = self.step == params.max_steps
            # 7. now and then validate, save and report: the caller's part
            yield Step(self.step, nats.item(), tokens, rate, norm.item())

    def add_row(self, step: Step, valid_nats: float | None) -> LogRow:
        """A row of metrics/train.csv: the mean loss since the row before."""
        row: LogRow = {
            "step": step.number,
            "tokens": self.tokens,
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            "train_nats_per_token": self.nats_since_row / self.tokens_since_row,
            "valid_nats_per_token": valid_nats,
        }
        self.rows.append(row)
        self.nats_since_row, self.tokens_since_row = 0.0, 0
        return row

    def valid_nats(self, valid: EncodedSplit) -> float:
        """The loss a token on all of valid, in the precision of training, each document afresh."""
        scoring = Scoring(
            context="document",
            window=self.params.sequence_length,
            stride=self.params.sequence_length,
            batch_tokens=self.params.batch_size * self.params.sequence_length,
        )
        with self.fabric.autocast():
            scores = score_split(self.model, valid, scoring, self.fabric.device, "valid")
        return scores.nats_per_token

    def judge(self, valid_nats: float) -> None:
        """Keep the weights if they are the best so far; finish when patience is at its end."""
        if not math.isfinite(valid_nats):
            raise PipelineError(
                f"step {self.step}: the loss on valid is {valid_nats}; lower train.learning_rate"
            )
        if valid_nats < self.best_nats:
            self.best_step, self.best_nats = self.step, valid_nats
            self.best_weights = weights_of(self.model)
            self.poor_validations = 0
            return
        self.poor_validations += 1
        self.finished = self.finished or self.poor_validations >= self.params.patience

    def state(self) -> dict[str, Any]:
        """For a checkpoint. The schedule, the data's place and randomness follow from `step`.

        PipelineError where a weight is no longer finite: that is not worth keeping.
        """
        plain = {name: getattr(self, name) for name in self.PLAIN}
        weights = weights_of(self.model)
        for value in weights.values():
            largest = value.abs().max().item()
            if not math.isfinite(largest):
                rate = self.optimizer.param_groups[0]["lr"]
                raise _not_finite(self.step, "largest weight", largest, rate)
        return {
            **plain,
            "weights": weights,
            "optimizer": self.optimizer.state_dict(),
            "carried": self.carried,
        }

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.PLAIN:
            setattr(self, name, state[name])
        set_weights(self.model, state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.carried = self.fabric.to_device(state["carried"]) if state["carried"] else None

    def _check_finite(self, nats: float, norm: float, rate: float) -> None:
        for name, value in (("loss", nats), ("gradient", norm)):
            if not math.isfinite(value):
                raise _not_finite(self.step + 1, name, value, rate)


def _not_finite(step: int, name: str, value: float, rate: float) -> PipelineError:
    return PipelineError(
        f"step {step}: the {name} is {value} at learning rate {rate:g}; what was saved before is "
        "kept; lower train.learning_rate or train.clip_norm, or lengthen train.warmup_steps"
    )


def step_seed(seed: int, step: int) -> int:
    """63 bits for torch's generator, from the setting and the number of steps done."""
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def rows_as_csv(rows: list[LogRow]) -> str:
    """metrics/train.csv: six significant digits; empty where nothing was measured."""
    lines = [",".join(rows[0])]
    for row in rows:
        values = ["" if value is None else f"{value:.6g}" for value in row.values()]
        values[:2] = [str(row["step"]), str(row["tokens"])]
        lines.append(",".join(values))
    return "\n".join(lines) + "\n"
