"""The training loop as a stream of steps, and all that changes while it runs.

Everything random in a step comes from (seed, step), so that validating, logging or resuming in
between changes nothing. B sequences, T tokens.
"""

import copy
import hashlib
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reprise.activation_penalty import activation_penalty
from reprise.averaging import WeightAverage
from reprise.cut_tensors import set_optimizer_state, whole_optimizer_state
from reprise.dataset import Batch, Batches, EncodedSplit
from reprise.distribution import (
    all_rows,
    clip,
    cuts_weights,
    own_documents,
    own_rows,
    summed,
)
from reprise.errors import PipelineError
from reprise.evaluation import Scoring, score_split
from reprise.model_files import Weights, set_weights, weights_of
from reprise.models import LanguageModel, State
from reprise.models.language_model import detach
from reprise.optimizers import make_optimizers, set_rate
from reprise.params.train import TrainParams
from reprise.schedules import rate_fraction
from reprise.spikes import SpikeWatch
from reprise.training_log import LogRow

log = logging.getLogger(__name__)


class NotFiniteError(PipelineError):
    """A loss, gradient or weight is infinite or no number."""


@dataclass(frozen=True)
class Step:
    """What one finished step of the optimizer tells. The first has number 1."""

    number: int
    nats: float  # summed over the batch's tokens
    tokens: int
    learning_rate: float
    gradient_norm: float  # before clipping
    skipped: bool = False  # loss or gradient were not finite, so no weight was changed


class Carried:
    """A state on its way into the network. Fabric does not look inside; it would round what it
    finds to bfloat16, for each segment anew."""

    def __init__(self, state: State) -> None:
        self.state = state


class Objective(nn.Module):
    """Network, head and loss in one call, as Fabric wants it."""

    def __init__(self, model: LanguageModel, params: TrainParams) -> None:
        super().__init__()
        self.model = model
        self.activation = params.activation_regularization
        self.temporal = params.temporal_activation_regularization

    def forward(
        self, inputs: Tensor, targets: Tensor, carried: Carried | None
    ) -> tuple[Tensor, Tensor | float, State]:
        """Ids and next ids (B, T) -> summed nats, the penalty on activations, what is carried."""
        hidden, raw, state = self.model.regularized(inputs, carried.state if carried else None)
        penalty: Tensor | float = 0.0
        if self.activation or self.temporal:
            penalty = activation_penalty(hidden, raw, self.activation, self.temporal)
        # Keys and values of a window are of no use after it, and large.
        return self.model.head(hidden, targets), penalty, state if self.model.recurrent else []


@dataclass
class Training:
    """A model in training: all that a checkpoint must hold to go on as if nothing had happened."""

    fabric: Fabric
    model: LanguageModel
    params: TrainParams
    micro_batch_size: int  # rows at once in this process
    step: int = 0
    tokens: int = 0
    carried: State | None = None
    best_step: int = 0
    best_nats: float = math.inf  # a token, on valid
    best_weights: Weights = field(default_factory=dict)
    poor_validations: int = 0  # since the best
    validations_at_rate: int = 0  # poor ones since the plateau's last lowering
    rate_factor: float = 1.0  # by plateaus and by going back
    roll_backs: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    finished: bool = False
    rows: list[LogRow] = field(default_factory=list)
    nats_since_row: float = 0.0
    tokens_since_row: int = 0
    spikes: SpikeWatch = field(default_factory=SpikeWatch)
    compiled: bool = False

    PLAIN = (
        *("step", "tokens", "best_step", "best_nats", "best_weights", "poor_validations"),
        *("validations_at_rate", "rate_factor", "roll_backs", "skipped", "skipped_in_a_row"),
        *("finished", "rows", "nats_since_row", "tokens_since_row"),
    )

    def __post_init__(self) -> None:
        self.scored = copy.deepcopy(self.model) if cuts_weights(self.fabric) else self.model
        self.objective = self.fabric.setup_module(Objective(self.model, self.params))
        optimizers = make_optimizers(self.model, self.params, self.fabric.device.type)
        self.optimizers: list[Any] = [*map(self.fabric.setup_optimizers, optimizers)]
        self.average = WeightAverage(self.model, self.params)

    def compile(self) -> None:
        """The network's body in place, once for each shape of a batch: with shapes left open, the
        kernels of a step would depend on those before it. Validation has too many shapes."""
        self.model.body.compile(dynamic=False)
        self.compiled = True

    def steps(self, batches: Batches) -> Iterator[Step]:
        """Train to the end, a step at a time; the caller may validate, save and leave between."""
        params = self.params
        while not self.finished:
            self.objective.train()
            torch.manual_seed(step_seed(params.seed, self.step, self.fabric.global_rank))
            # 1. a batch, of which each process takes its share of the rows
            batch = batches[self.step]
            tokens = batch.tokens
            # 2. forward  3. loss  4. backward, some rows at a time
            nats = self._accumulate(batch, tokens)
            # 5. clip
            norm = clip(self.model, params.clip_norm)
            fraction = self._rate_fraction(batch)
            skip = not self._is_finite(nats, norm, fraction)
            # 6. update
            if not skip:
                set_rate(self.optimizers, fraction)
                for optimizer in self.optimizers:
                    optimizer.step()
                self.average.update()
                self.tokens += tokens
                self.nats_since_row += nats
                self.tokens_since_row += tokens
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            self.step += 1
            self.finished = self.step == params.max_steps
            if not skip and self.spikes.sees(nats / tokens):  # far above what it was of late
                log.warning("step %d: the loss jumps to %.3f", self.step, nats / tokens)
            # 7. now and then validate, save and report: the caller's part
            rate = params.learning_rate * fraction
            yield Step(self.step, nats, tokens, rate, norm, skipped=skip)

    def _accumulate(self, batch: Batch, tokens: int) -> float:
        """Add the gradients of the loss a token, over `tokens` of all processes; nats summed over
        them all. The state at the batch's end is carried on."""
        keeps = self.model.recurrent and not batch.fresh
        carried = self.carried if keeps else None
        nats, states = torch.zeros((), device=self.fabric.device), []
        each = -(-len(batch.inputs) // self.fabric.world_size)  # rows of a process
        own = self.fabric.global_rank * each
        starts = range(0, each, self.micro_batch_size)
        for start in starts:
            rows = slice(start, min(start + self.micro_batch_size, each))
            part = batch.rows(slice(own + rows.start, own + rows.stop))
            inputs, targets = self.fabric.to_device((part.inputs, part.targets))
            of_rows = [tuple(t[rows] for t in layer) for layer in carried or ()]
            with self.fabric.no_backward_sync(self.objective, enabled=start != starts[-1]):
                before = Carried(of_rows) if of_rows else None
                loss, penalty, state = self.objective(inputs, targets, before)
                own_end = min(own + rows.stop, len(batch.inputs))
                share = max(0, own_end - own - rows.start) / len(batch.inputs)
                # Processes' gradients are averaged, so that each counts as often as there are some.
                self.fabric.backward((loss / tokens + penalty * share) * self.fabric.world_size)
            nats += loss.detach()
            states.append(detach(state))
        if self.model.recurrent:
            layers = zip(*states, strict=True)
            self.carried = [
                tuple(torch.cat(tensors) for tensors in zip(*layer, strict=True))
                for layer in layers
            ]
        total: Any = self.fabric.all_reduce(nats, reduce_op="sum")
        return float(total)

    def _rate_fraction(self, batch: Batch) -> float:
        """Of the highest rate; shorter segments get less (Merity et al. 2018, section 4.1)."""
        fraction = rate_fraction(self.step, self.params) * self.rate_factor
        if self.params.variable_length:
            fraction *= batch.inputs.shape[1] / self.params.sequence_length
        return fraction

    def _is_finite(self, nats: float, norm: float, fraction: float) -> bool:
        """Whether the step may be taken; NotFiniteError where that ends the training."""
        faults = {
            name: value
            for name, value in (("loss", nats), ("gradient", norm))
            if not math.isfinite(value)
        }
        if not faults:
            self.skipped_in_a_row = 0
            return True
        self.skipped += 1
        self.skipped_in_a_row += 1
        self.carried = None
        name, value = next(iter(faults.items()))
        fault = self._not_finite(self.step + 1, name, value, fraction * self.params.learning_rate)
        if (
            self.params.not_finite != "skip"
            or self.skipped_in_a_row > self.params.max_skipped_steps
        ):
            raise fault
        log.warning("step %d: the %s is %s; the step is skipped", self.step + 1, name, value)
        return False

    def _not_finite(self, step: int, name: str, value: float, rate: float) -> NotFiniteError:
        rates = ["train.learning_rate", "train.muon_learning_rate"]
        lower = ", ".join(rates[: 1 + (self.params.optimizer == "muon")])
        return NotFiniteError(
            f"step {step}: the {name} is {value} at learning rate {rate:g}; what was saved before "
            f"is kept; lower {lower} or train.clip_norm, or lengthen train.warmup_steps"
        )

    def add_row(self, step: Step, valid_nats: float | None) -> LogRow:
        """A row of metrics/train.csv: the mean loss since the row before."""
        train = self.nats_since_row / self.tokens_since_row if self.tokens_since_row else None
        row: LogRow = {
            "step": step.number,
            "tokens": self.tokens,
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            "train_nats_per_token": train,
            "valid_nats_per_token": valid_nats,
        }
        self.rows.append(row)
        self.nats_since_row, self.tokens_since_row = 0.0, 0
        return row

    def events(self) -> dict[str, int]:
        """How often something happened that a person may want to look at."""
        return {
            "loss_spikes": self.spikes.spikes,
            "skipped_steps": self.skipped,
            "roll_backs": self.roll_backs,
        }

    def valid_nats(self, valid: EncodedSplit) -> float:
        """The loss a token on all of valid, in the precision of training, each document afresh."""
        scoring = Scoring(
            context="document",
            window=self.params.sequence_length,
            stride=self.params.sequence_length,
            batch_tokens=self.params.batch_size * self.params.sequence_length,
        )
        own, device = own_documents(self.fabric, valid), self.fabric.device
        eager = torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()
        with eager, self.fabric.autocast(), self._whole_model() as model:
            scores = score_split(model, own, scoring, device, "valid")
        nats, tokens = summed(self.fabric, float(scores.nats.sum()), own.tokens)
        return nats / tokens

    @contextmanager
    def _whole_model(self) -> Iterator[LanguageModel]:
        """What is judged: with the average for weights, and whole, if need be in a copy."""
        with self.average.in_place():
            if self.scored is not self.model:
                set_weights(self.scored, weights_of(self.model))
            yield self.scored.to(self.fabric.device)
        if self.scored is not self.model:
            self.scored.cpu()

    def judge(self, valid_nats: float) -> None:
        """Keep the weights if they are the best so far; finish when patience is at its end."""
        if not math.isfinite(valid_nats):
            raise NotFiniteError(
                f"step {self.step}: the loss on valid is {valid_nats}; lower train.learning_rate"
            )
        if valid_nats < self.best_nats:
            self.best_step, self.best_nats = self.step, valid_nats
            with self.average.in_place():
                self.best_weights = weights_of(self.model)
            self.poor_validations = self.validations_at_rate = 0
        else:
            self.poor_validations += 1
            self.validations_at_rate += 1
            self.finished = self.finished or self.poor_validations >= self.params.patience
        self.average.judge(valid_nats)
        if (
            self.params.schedule == "plateau"
            and self.validations_at_rate > self.params.plateau_patience
        ):
            lowest = self.params.final_learning_rate_fraction
            lower = max(self.rate_factor * self.params.plateau_factor, lowest)
            self.rate_factor = min(self.rate_factor, lower)
            self.validations_at_rate = 0

    def state(self) -> dict[str, Any]:
        """For a checkpoint. The schedule, the data's place and randomness follow from `step`.

        NotFiniteError where a weight is no longer finite: that is not worth keeping.
        """
        plain = {name: getattr(self, name) for name in self.PLAIN}
        weights = weights_of(self.model)
        for value in weights.values():
            largest = value.abs().max().item()
            if not math.isfinite(largest):
                rate = self.optimizers[0].param_groups[0]["lr"]
                raise self._not_finite(self.step, "largest weight", largest, rate)
        return {
            **plain,
            "weights": weights,
            "optimizers": [whole_optimizer_state(optimizer) for optimizer in self.optimizers],
            "average": self.average.state(),
            "carried": all_rows(self.fabric, self.carried),
            "spikes": asdict(self.spikes),
        }

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.PLAIN:
            setattr(self, name, state[name])
        set_weights(self.model, state["weights"])
        for optimizer, of_optimizer in zip(self.optimizers, state["optimizers"], strict=True):
            set_optimizer_state(optimizer, of_optimizer)
            optimizer.zero_grad()  # of a step that failed
        self.average.restore(state["average"])
        self.carried = own_rows(self.fabric, state["carried"])
        self.spikes = SpikeWatch(**state["spikes"])

    def roll_back(self, state: dict[str, Any] | None, fault: NotFiniteError) -> None:
        """Go on from a checkpoint's state with half the rate; `fault` where that may not be."""
        roll_backs, rate_factor = self.roll_backs + 1, self.rate_factor / 2
        if (
            state is None
            or self.params.not_finite != "roll_back"
            or roll_backs > self.params.max_skipped_steps
        ):
            raise fault
        log.warning(
            "%s; going back to step %d, with the learning rate times %g",
            str(fault).partition(";")[0],
            state["step"],
            rate_factor,
        )
        self.restore(state)
        self.roll_backs, self.rate_factor, self.finished = roll_backs, rate_factor, False


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """63 bits for torch's generator, from the setting, the steps done and the process's number."""
    text = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
