"""A decoder-only transformer: pre-norm, RMSNorm, rotary positions, SwiGLU, no biases.

Vaswani et al. 2017 (1706.03762); Zhang and Sennrich 2019 (1910.07467); Su et al. 2021 (2104.09864);
Shazeer 2020 (2002.05202). Attention through torch's scaled_dot_product_attention, which takes its
flash kernels where there are any.

B sequences, T new tokens, P tokens in the cache, H size, A heads, D = H / A.
"""

import torch
from torch import Tensor, nn

from reprise.models.language_model import State
from reprise.params.model import ModelParams

ROTARY_BASE = 10_000.0  # Su et al. 2021, section 3.2.2


class TransformerBody(nn.Module):
    """Blocks and a last norm; the state of each block is its keys and values, (B, P, A, D) each."""

    recurrent = False

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        size, layers = params.embedding_size, params.layers
        self.blocks = nn.ModuleList(
            Block(size, params.heads, params.feedforward_size, params.hidden_dropout)
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(size)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # Sums of fan-in terms come out at size one; what is added to the residual starts
                # smaller, since all layers add up: GPT-2, section 2.3.
                added = name.endswith(("attention.output.weight", "feedforward.down.weight"))
                spread = parameter.shape[1] ** -0.5 / ((2 * layers) ** 0.5 if added else 1)
                nn.init.normal_(parameter, std=spread)

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Inputs (B, T, H), cache of each block -> hidden states (B, T, H), longer caches."""
        hidden, next_state = inputs, []
        for number, block in enumerate(self.blocks):
            hidden, cache = block(hidden, state[number] if state else None)
            next_state.append(cache)
        return self.norm(hidden), next_state


class Block(nn.Module):
    def __init__(self, size: int, heads: int, feedforward_size: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(size)
        self.attention = Attention(size, heads, dropout)
        self.feedforward_norm = nn.RMSNorm(size)
        self.feedforward = SwiGLU(size, feedforward_size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Tensor, cache: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        change, cache = self.attention(self.attention_norm(hidden), cache)
        hidden = hidden + self.dropout(change)
        change = self.feedforward(self.feedforward_norm(hidden))
        return hidden + self.dropout(change), cache


class Attention(nn.Module):
    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.input = nn.Linear(size, 3 * size, bias=False)
        self.output = nn.Linear(size, size, bias=False)

    def forward(
        self, hidden: Tensor, cache: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        B, T, H = hidden.shape
        past = cache[0].shape[1] if cache else 0
        query, key, value = self.input(hidden).view(B, T, 3, self.heads, -1).unbind(2)  # (B,T,A,D)
        query, key = rotate(query, past), rotate(key, past)
        if cache:
            key, value = torch.cat([cache[0], key], 1), torch.cat([cache[1], value], 1)
        # A token sees the whole cache, itself, and the new tokens before it.
        mask = None
        if past and T > 1:
            mask = torch.ones(T, past + T, dtype=torch.bool, device=hidden.device).tril(past)
        mixed = nn.functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=not past,
        )  # (B, A, T, D)
        return self.output(mixed.transpose(1, 2).reshape(B, T, H)), (key, value)


class SwiGLU(nn.Module):
    """down(silu(gate x) * (up x)), with F numbers inside."""

    def __init__(self, size: int, feedforward_size: int) -> None:
        super().__init__()
        self.up = nn.Linear(size, 2 * feedforward_size, bias=False)
        self.down = nn.Linear(feedforward_size, size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        gate, up = self.up(hidden).chunk(2, dim=-1)  # (B, T, F) each
        return self.down(nn.functional.silu(gate) * up)


def rotate(heads: Tensor, first_position: int) -> Tensor:
    """Turn pairs of numbers of (B, T, A, D) by angles that grow with the position."""
    T, D = heads.shape[1], heads.shape[3]
    positions = torch.arange(first_position, first_position + T, device=heads.device)
    speeds = ROTARY_BASE ** (-torch.arange(0, D, 2, device=heads.device) / D)
    angles = (positions[:, None] * speeds)[None, :, None, :]  # (1, T, 1, D/2)
    cos, sin = angles.cos(), angles.sin()
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(heads.dtype)
