"""A decoder-only transformer as in Llama: RMSNorm, rotary positions, SwiGLU, no biases.

Zhang and Sennrich 2019 (1910.07467); Su et al. 2021 (2104.09864); Shazeer 2020 (2002.05202);
grouped-query attention: Ainslie et al. 2023 (2305.13245). Norms of queries and keys: Henry et al.
2020 (2010.04245), with RMSNorm and before the rotation, as in Qwen3.

B sequences, T new tokens, H size, A heads, D = H / A, K heads of keys and values.
"""

import torch
from torch import Tensor, nn

from reprise.models.blocks import Block, Blocks, Cache, attend, cached_length
from reprise.models.rms_norm import RMSNorm
from reprise.params.model import ModelParams

ROTARY_BASE = 10_000.0  # Su et al. 2021, section 3.2.2


class TransformerBody(Blocks):
    def __init__(self, params: ModelParams) -> None:
        size = params.embedding_size
        blocks = (
            Block(
                RMSNorm(size),
                Attention(params),
                RMSNorm(size),
                SwiGLU(size, params.feedforward_size),
                params.hidden_dropout,
            )
            for _ in range(params.layers)
        )
        super().__init__(blocks, RMSNorm(size))
        self.initialise()


class Attention(nn.Module):
    """The rows of `input` are the queries of all A heads, then the K keys, then the K values."""

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        size, heads, groups = params.embedding_size, params.heads, params.groups
        self.head_size = size // heads
        self.heads = [heads, groups, groups]
        self.dropout = params.attention_dropout
        self.input = nn.Linear(size, sum(self.heads) * self.head_size, bias=False)
        self.output = nn.Linear(size, size, bias=False)
        normed = params.query_key_norm
        self.query_norm = RMSNorm(self.head_size) if normed else nn.Identity()
        self.key_norm = RMSNorm(self.head_size) if normed else nn.Identity()

    def forward(self, hidden: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        all_heads = self.input(hidden).unflatten(2, (-1, self.head_size))  # (B, T, A + 2K, D)
        query, key, value = all_heads.split(self.heads, dim=2)
        past = cached_length(cache)
        query = rotate(self.query_norm(query.float()), past).to(value.dtype)
        key = rotate(self.key_norm(key.float()), past).to(value.dtype)
        mixed, cache = attend(query, key, value, cache, self.dropout if self.training else 0.0)
        return self.output(mixed), cache


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
    angles = (positions[:, None] * speeds)[:, None, :]  # (T, 1, D/2)
    cos, sin = angles.cos(), angles.sin()
    cos, sin = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)
    return torch.addcmul(heads * cos, heads.roll(D // 2, dims=-1), sin)
