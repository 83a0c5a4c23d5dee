"""What the processes of one training share: gradients, weights, sums and decisions.

ddp: each process has the whole model and takes its rows of each batch. fsdp: weights, gradients and
the optimizer's numbers are cut along their first dimension, and a layer is put together while it is
computed (Zhao et al. 2023, 2304.11277). Either way a checkpoint holds what a single process would
have: whole tensors, the rows of all. So training goes on with other processes than it began with.

To score, and to save, each process puts the whole weights together, the latter on the CPU.

Whatever is called here is called by all processes, at the same place.
"""

import logging
import warnings
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch import Tensor, nn
from torch.distributed import all_gather, all_gather_object
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from reprise.cut_tensors import whole
from reprise.dataset import EncodedSplit
from reprise.launching import ALONE, Processes
from reprise.machine import Machine, take_kernels_that_repeat, use_threads
from reprise.memory import keep_freed_memory
from reprise.models import State

# A process that dies is noticed without it; the first may wait long, for another run to end.
TIMEOUT = timedelta(days=7)


def fabric_for(
    machine: Machine, processes: Processes = ALONE, *, deterministic: bool = True
) -> Fabric:
    """Fabric in this process, with `machine`'s precision and threads, and if wanted kernels that
    repeat (on a CPU all do)."""
    keep_freed_memory()
    use_threads(max(1, machine.threads // processes.devices))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it repeats what we tell
    if machine.device == "cuda" and deterministic:
        take_kernels_that_repeat()
    precision: Any = "bf16-mixed" if machine.precision == "bf16" else "32-true"
    if processes.count > 1:
        return _joined_fabric(processes, machine.device, precision)
    if machine.device == "xpu":  # Fabric has no accelerator of this name, and would cast for a CPU
        plugin = MixedPrecision(precision, "xpu") if machine.precision == "bf16" else None
        return Fabric(strategy=SingleDeviceStrategy(torch.device("xpu", 0)), plugins=plugin)
    return Fabric(accelerator=machine.device, devices=1, precision=precision)


def _joined_fabric(processes: Processes, accelerator: str, precision: Any) -> Fabric:
    """Fabric in a process that was started as one of `processes`, once all of them are there."""
    strategy: DDPStrategy | ModelParallelStrategy
    if processes.strategy == "fsdp":
        strategy = ModelParallelStrategy(_cut, processes.count, 1, timeout=TIMEOUT)
    else:
        # DDP puts gradients into other buckets after a process's first step, and sums of three are
        # not the same from another place of a ring: a run that goes on would end with other bytes.
        # It leaves the buckets as they are where a layer might be without a gradient.
        strategy = DDPStrategy(timeout=TIMEOUT, find_unused_parameters=processes.count > 2)
    fabric = Fabric(
        accelerator=accelerator,
        devices=processes.devices,
        num_nodes=processes.nodes,
        strategy=strategy,
        precision=precision,
        plugins=[TorchElasticEnvironment()],
    )
    fabric.launch()
    return fabric


def _cut(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Layer by layer, so that no more than a layer is whole at once; the rest is one more."""
    # Of states that are views; nobody changes them in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    for layers in module.get_submodule("model.body").modules():  # others are used by their weights
        if isinstance(layers, nn.ModuleList):
            for layer in layers:
                fully_shard(layer, mesh=mesh["data_parallel"])
    fully_shard(module, mesh=mesh["data_parallel"])
    return module


def cuts_weights(fabric: Fabric) -> bool:
    return isinstance(fabric.strategy, ModelParallelStrategy)


def clip(model: nn.Module, longest: float) -> float:
    """Shorten the gradient, of whose pieces each process may have some; its norm before."""
    parameters = list(model.parameters())
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    length = whole(norm).item()
    if length > longest:  # else all would be multiplied by one
        nn.utils.clip_grads_with_norm_(parameters, longest, norm)
    return length


def all_rows(fabric: Fabric, state: State | None) -> State | None:
    """The state of the sequences of all processes, whose rows follow each other."""
    if state is None or fabric.world_size == 1:
        return state

    def all_of(tensor: Tensor) -> Tensor:
        pieces = [torch.empty_like(tensor) for _ in range(fabric.world_size)]
        all_gather(pieces, tensor.contiguous())
        return torch.cat(pieces)

    return [tuple(map(all_of, layer)) for layer in state]


def own_rows(fabric: Fabric, state: State | None) -> State | None:
    """The contrary of `all_rows`."""
    if state is None:
        return None
    each = len(state[0][0]) // fabric.world_size
    rows = slice(fabric.global_rank * each, (fabric.global_rank + 1) * each)
    return [tuple(fabric.to_device(tensor[rows]) for tensor in layer) for layer in state]


def own_documents(fabric: Fabric, split: EncodedSplit) -> EncodedSplit:
    """The documents that this process scores: about as many tokens as each other one does."""
    if fabric.world_size == 1:
        return split
    ends = np.arange(fabric.world_size + 1) * split.tokens // fabric.world_size
    first, last = np.searchsorted(split.offsets, ends)[fabric.global_rank :][:2]
    offsets = split.offsets[first : last + 1]
    return EncodedSplit(split.ids[offsets[0] : offsets[-1]], offsets - offsets[0], split.boundary)


def summed(fabric: Fabric, *values: float) -> list[float]:
    """Each over all processes, in float64."""
    if fabric.world_size == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    total: Any = fabric.all_reduce(sums, reduce_op="sum")
    return list(total.tolist())


def first_reason(fabric: Fabric, reason: str | None) -> str | None:
    """The same in all processes: what any of them has for one, else None."""
    if fabric.world_size == 1:
        return reason
    (told,) = summed(fabric, float(reason is not None))
    if not told:
        return None
    reasons: list[str | None] = [None] * fabric.world_size
    all_gather_object(reasons, reason)
    return next(filter(None, reasons))
