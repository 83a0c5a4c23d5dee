"""Penalties on large and on jumpy hidden states: Merity, McCann and Socher 2017 (1708.01009).

B sequences, T tokens, E numbers in a hidden state.
"""

import torch
from torch import Tensor


def activation_penalty(hidden: Tensor, raw: Tensor, activation: float, temporal: float) -> Tensor:
    """Hidden states (B, T, E) after dropout and before it -> a scalar to add to the loss a token.

    `activation` times the mean square of the first, `temporal` times that of the second's
    change from token to token.
    """
    penalty = activation * _mean_square(hidden.float())
    if temporal and raw.shape[1] > 1:
        penalty = penalty + temporal * _mean_square(raw.float().diff(dim=1))
    return penalty


def _mean_square(values: Tensor) -> Tensor:
    """By way of the norm, whose gradient is one product."""
    return torch.linalg.vector_norm(values).square() / values.numel()
