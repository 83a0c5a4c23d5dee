"""GPT-2 (Radford et al. 2019): learnt positions, LayerNorm, GELU, biases everywhere.

Two things are as in all networks here and not as in GPT-2: the spread of the first weights goes by
their fan-in (GPT-2's 0.02 is that of 2,500 numbers), and positions are added after the dropout of
the tokens, so that input_dropout never hides where a token stands.

B sequences, T new tokens, H size, A heads, D = H / A, F numbers inside the feedforward network.
"""

import torch
from torch import Tensor, nn

from reprise.models.blocks import Block, Blocks, Cache, attend, cached_length
from reprise.models.language_model import State
from reprise.params.model import ModelParams


class Gpt2Body(Blocks):
    def __init__(self, params: ModelParams) -> None:
        size = params.embedding_size
        blocks = (
            Block(
                nn.LayerNorm(size),
                Attention(size, params.heads, params.attention_dropout),
                nn.LayerNorm(size),
                Gelu(size, params.feedforward_size, params.gelu_approximation),
                params.hidden_dropout,
            )
            for _ in range(params.layers)
        )
        super().__init__(blocks, nn.LayerNorm(size))
        self.positions = nn.Embedding(params.positions, size)
        self.initialise()

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """As `Blocks.forward`; IndexError past the last position."""
        past = cached_length(state[0] if state else None)
        positions = torch.arange(past, past + inputs.shape[1], device=inputs.device)
        return super().forward(inputs + self.positions(positions), state)


class Attention(nn.Module):
    """The rows of `input` are queries, keys and values, each of all A heads."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.input = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)

    def forward(self, hidden: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        query, key, value = self.input(hidden).unflatten(2, (3, self.heads, -1)).unbind(2)
        mixed, cache = attend(query, key, value, cache, self.dropout if self.training else 0.0)
        return self.output(mixed), cache


class Gelu(nn.Module):
    """down(gelu(up x)), with F numbers inside; Hendrycks and Gimpel 2016 (1606.08415)."""

    def __init__(self, size: int, feedforward_size: int, approximation: str) -> None:
        super().__init__()
        self.approximation = approximation  # tanh; none: by the error function
        self.up = nn.Linear(size, feedforward_size)
        self.down = nn.Linear(feedforward_size, size)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(hidden), approximate=self.approximation))
