"""Tensors that are cut over the processes of a training, and whole ones, which checkpoints hold.

Where nothing is cut, these functions hand on what they are given. All processes call them together.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this process may have a piece."""
    return tensor.full_tensor() if _is_cut(tensor) else tensor


def cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor what this process has of `like`."""
    if not _is_cut(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def _is_cut(tensor: Tensor) -> "TypeGuard[DTensor]":
    """To import the class takes a second, in which a network that is not in training is scored."""
    if type(tensor) in (Tensor, nn.Parameter):
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """As state_dict of an optimizer whose parameters are whole."""
    return _mapped(optimizer.state_dict(), lambda number, tensor: whole(tensor))


def set_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def cut(number: int, tensor: Tensor) -> Tensor:
        like = parameters[number]
        return cut_like(tensor, like) if tensor.shape == like.shape else tensor

    optimizer.load_state_dict(_mapped(state, cut))


def _mapped(state: dict[str, Any], change: Callable[[int, Tensor], Tensor]) -> dict[str, Any]:
    """An optimizer's state with its tensors changed, by the numbers of their parameters."""
    of_parameters = {
        number: {
            name: change(number, value) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": of_parameters}
