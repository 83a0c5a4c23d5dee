"""What a step of training takes of memory, and how many rows at once fit.

The state (weights, gradients, optimizer, average, best weights) follows from the parameters'
shapes, so a network on torch's meta device will do. What a row keeps for the backward pass is
counted in a small forward pass of the real network. What the process itself takes, and on a CPU the
holes between blocks, are added as they were measured. The working space of single kernels is not in
the sum, which is what the share in `device_memory` leaves room for.

B rows, T tokens.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from reprise.device_memory import usable_memory
from reprise.errors import PipelineError
from reprise.machine import Machine
from reprise.models import LanguageModel, build_model
from reprise.optimizers import hidden_matrices
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.training import Objective

FLOAT = 4  # bytes: weights, gradients and all that optimizers keep are in float32

# A Python process with torch and MLflow, and what one that trains has more: Fabric, TensorBoard,
# the code of a step's kernels. Measured on Linux.
PROCESS_BYTES = 500_000_000
TRAINING_BYTES = 60_000_000
# So much more than the blocks of a step the heap takes: a freed block lies between others and, as
# all are aligned, seldom has room for one of its size; worse where lengths change. Measured with
# glibc 2.36: 0.1 to 0.5, and 0.4 to 3.
HOLES, HOLES_OF_LENGTHS = 0.3, 1.0
# What a drawn segment may be longer than train.sequence_length: five deviations.
LONGER_SEGMENT = 25  # tokens


@dataclass(frozen=True)
class State:
    """Bytes that lie in memory while training goes on, whatever the number of rows."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    best: int  # always in the computer's memory

    @property
    def saved(self) -> int:
        """Bytes of a checkpoint, but for some thousand."""
        return self.weights + self.optimizer + self.average + self.best


@dataclass(frozen=True)
class Activations:
    """Bytes that a forward pass keeps for the backward pass."""

    fixed: int  # whatever the number of rows: weights in another precision, the head's gradients
    row: int  # for each row


@dataclass(frozen=True)
class StepMemory:
    """All that one process needs on a device."""

    device: str
    state: State
    activations: Activations
    holes: float = HOLES  # on a CPU, as a share of what a step takes

    def peak(self, rows: int) -> int:
        """Bytes of the device at the fullest moment: in a step, or on a CPU while saving.

        On a CPU the process itself, the holes of its heap and the copies for a checkpoint are in
        the same memory.
        """
        state, activations = self.state, self.activations
        stays = state.weights + state.optimizer + state.average
        step = state.gradients + activations.fixed + rows * activations.row
        if self.device in ("cuda", "xpu"):
            return stays + step
        saving = state.weights + state.saved  # copies of the weights, and the file's content
        process = PROCESS_BYTES + TRAINING_BYTES
        return process + stays + state.best + max(round(step * (1 + self.holes)), saving)

    def parts(self, rows: int) -> str:
        """For people: what takes how much, the largest first."""
        sizes = {
            "weights": self.state.weights,
            "gradients": self.state.gradients,
            "optimizer": self.state.optimizer,
            "average of the weights": self.state.average,
            "best weights": self.state.best,
            f"activations of {rows} rows" if rows > 1 else "activations of one row": (
                self.activations.fixed + rows * self.activations.row
            ),
        }
        largest_first = sorted(sizes.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {in_bytes(size)}" for name, size in largest_first if size)


def network_shapes(params: ModelParams, vocabulary_size: int) -> LanguageModel:
    """The network on the meta device: shapes without numbers, however large it is."""
    with torch.device("meta"):
        return build_model(params, vocabulary_size)


def state_memory(model: LanguageModel, params: TrainParams) -> State:
    """Bytes of one process; fsdp spreads what it can over all of them."""
    parts = params.processes if params.strategy == "fsdp" else 1
    weights = sum(FLOAT * parameter.numel() for parameter in model.parameters())
    return State(
        weights=weights // parts,
        gradients=weights // parts,
        optimizer=optimizer_bytes(model, params) // parts,
        average=0 if params.averaging == "none" else weights // parts,
        best=weights,
    )


def optimizer_bytes(model: nn.Module, params: TrainParams) -> int:
    """What the optimizers remember of each parameter, the count of their steps included."""
    if params.optimizer == "sgd":
        return sum(FLOAT * p.numel() for p in model.parameters()) if params.momentum else 0
    orthogonal = set(hidden_matrices(model)) if params.optimizer == "muon" else set()
    total = 0
    for parameter in model.parameters():
        shape = tuple(parameter.shape)
        if parameter in orthogonal:  # one average of the gradient
            total += FLOAT * prod(shape)
        elif params.optimizer == "adafactor" and len(shape) > 1:  # a row and a column
            total += FLOAT * (prod(shape[:-1]) + prod(shape[:-2]) * shape[-1] + 1)
        elif params.optimizer == "adafactor":
            total += FLOAT * (prod(shape) + 1)
        else:  # Adam's two averages
            total += FLOAT * (2 * prod(shape) + 1)
    return total


class _TooMuchError(Exception):
    """A pass keeps more than it may."""


def step_memory(
    model_params: ModelParams, vocabulary_size: int, params: TrainParams, machine: Machine
) -> StepMemory:
    """What a step takes on this machine; a network that is too large by itself is not built.

    It is built for counting alone, with fsdp on the CPU, since a device might not hold it whole.
    """
    limit = usable_memory(machine.device, params.devices)
    state = state_memory(network_shapes(model_params, vocabulary_size), params)
    holes = HOLES_OF_LENGTHS if params.variable_length else HOLES
    memory = StepMemory(machine.device, state, Activations(fixed=0, row=0), holes)
    if memory.peak(0) > limit:
        return memory
    with torch.device("cpu" if params.strategy == "fsdp" else machine.device):
        model = build_model(model_params, vocabulary_size)
    left = limit - memory.peak(0)
    return replace(memory, activations=activation_memory(model, params, machine.precision, left))


def activation_memory(
    model: LanguageModel, params: TrainParams, precision: str, limit: int
) -> Activations:
    """Counted where the model is, in a pass over one row and one over two, which differ by a row.

    A pass ends as soon as it has kept more than `limit` bytes, or where the device has no more
    memory; the answer then is more than the limit. Draws random numbers for dropout.
    """
    try:
        one, two = (_kept_bytes(model, params, precision, rows, limit) for rows in (1, 2))
    except Exception as error:
        if not isinstance(error, _TooMuchError) and not is_out_of_memory(error):
            raise
        return Activations(fixed=0, row=limit + 1)
    return Activations(fixed=max(0, 2 * one - two), row=two - one)


def _kept_bytes(
    model: LanguageModel, params: TrainParams, precision: str, rows: int, limit: int
) -> int:
    """Bytes of the distinct blocks of memory that the pass keeps, its parameters aside."""
    own = {_address(parameter) for parameter in model.parameters()}
    seen: set[int] = set()
    total = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal total
        if (address := _address(tensor)) not in own and address not in seen:
            seen.add(address)
            total += tensor.untyped_storage().nbytes()
            if total > limit:
                raise _TooMuchError
        return tensor.detach()  # the tensor itself would keep its own graph alive

    device = next(model.parameters()).device
    length = params.sequence_length + (LONGER_SEGMENT if params.variable_length else 0)
    pieces = torch.linspace(0, model.embedding.num_embeddings - 1, length, device=device).long()
    ids = pieces.repeat(rows, 1)  # (B, T), from all over the vocabulary
    objective = Objective(model, params).train()
    with (
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        graph = objective(ids, ids, None)  # while it lives, no address is used again
        del graph
    return total


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def rows_at_once(memory: StepMemory, params: TrainParams) -> int:
    """What train.micro_batch_size says; auto: the largest divisor of a process's rows whose step
    fits into the memory that may be used. PipelineError where not even one row does."""
    if params.micro_batch_size != "auto":
        return params.micro_batch_size
    limit = usable_memory(memory.device, params.devices)
    of_process = params.batch_size // params.processes
    for rows in range(of_process, 0, -1):
        if of_process % rows == 0 and memory.peak(rows) <= limit:
            return rows
    raise PipelineError(
        f"train: not even one row at once fits: about {in_bytes(memory.peak(1))} are needed, "
        f"but of the {memory.device}'s memory {in_bytes(limit)} may be used: {memory.parts(1)}; "
        f"{remedies(params, 1)}; or try it all the same with train.micro_batch_size 1"
    )


def remedies(params: TrainParams, rows: int) -> str:
    """The settings that lower memory, those that help most first."""
    found = [f"lower train.micro_batch_size (now {rows})"] if rows > 1 else []
    found.append(f"lower train.sequence_length (now {params.sequence_length})")
    if params.optimizer != "adafactor":
        found.append(f"set train.optimizer (now {params.optimizer}) to adafactor")
    if params.precision != "bf16":
        found.append(f"set train.precision (now {params.precision}) to bf16")
    return ", ".join([*found, "take a smaller model"])


@contextmanager
def out_of_memory_told(memory: StepMemory, params: TrainParams, rows: int) -> Iterator[None]:
    """Inside, running out of memory is one line for a person."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise PipelineError(
            f"train: out of memory on the {memory.device}: {memory.parts(rows)}; checkpoints "
            f"saved before are kept; {remedies(params, rows)}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for GPUs; on CPUs it tells by a text, and C++ and oneDNN by others."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    texts = (
        "can't allocate memory|not enough memory|bad_alloc|Cannot allocate memory|"
        "CUDA error: out of memory|ALLOC_FAILED|could not create a (primitive|memory object)$"
    )
    return isinstance(error, RuntimeError) and re.search(texts, str(error)) is not None


def in_bytes(size: float) -> str:
    """1234567890 -> 1.23 GB"""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
