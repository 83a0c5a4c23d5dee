"""Penalties on large and on jumpy hidden states: Merity, McCann and Socher 2017 (1708.01009).

B sequences, T tokens, E numbers in a hidden state.
"""

from torch import Tensor


def activation_penalty(hidden: Tensor, raw: Tensor, activation: float, temporal: float) -> Tensor:
    """Hidden states (B, T, E) after dropout and before it -> a scalar to add to the loss a token.

    `activation` times the mean square of the first, `temporal` times that of the second's
    change from token to token.
    """
    penalty = activation * hidden.float().square().mean()
    if temporal and raw.shape[1] > 1:
        penalty = penalty + temporal * raw.float().diff(dim=1).square().mean()
    return penalty
