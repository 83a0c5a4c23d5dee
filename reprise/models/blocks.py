"""What both transformers are made of: pre-norm blocks, and causal attention with a cache.

Vaswani et al. 2017 (1706.03762). Attention through torch's scaled_dot_product_attention, which
takes its flash kernels where there are any.

B sequences, T new tokens, P tokens in the cache, H size, A heads, D = H / A, and K heads of keys
and values: A of them or, in grouped-query attention, a divisor of it.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reprise.models.dropouts import Dropout, dropout
from reprise.models.language_model import State

QUERIES_AT_ONCE = 256  # of dense attention: what comes after the last of them is not computed
Cache = tuple[Tensor, ...]  # keys and values, (B, P, K, D) each


class Blocks(nn.Module):
    """Blocks and a last norm; the state is the cache of each block."""

    recurrent = False

    def __init__(self, blocks: Iterable["Block"], norm: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Inputs (B, T, H), cache of each block -> hidden states (B, T, H), longer caches."""
        hidden, next_state = inputs, []
        for number, block in enumerate(self.blocks):
            hidden, cache = block(hidden, state[number] if state else None)
            next_state.append(cache)
        return self.norm(hidden), next_state

    def initialise(self) -> None:
        """Draw all matrices; biases become zero.

        Sums of fan-in terms come out at size one; what is added to the residual starts smaller,
        since all layers add up: GPT-2, section 2.3.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                added = name.endswith(("attention.output.weight", "feedforward.down.weight"))
                layers = (2 * len(self.blocks)) ** 0.5 if added else 1
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5 / layers)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


class Block(nn.Module):
    """Attention, then a network for each token; both see the norm of the residual and add to it."""

    def __init__(
        self,
        attention_norm: nn.Module,
        attention: nn.Module,
        feedforward_norm: nn.Module,
        feedforward: nn.Module,
        residual_dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = attention_norm
        self.attention = attention
        self.feedforward_norm = feedforward_norm
        self.feedforward = feedforward
        self.dropout = Dropout(residual_dropout)

    def forward(self, hidden: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        change, cache = self.attention(self.attention_norm(hidden), cache)
        hidden = hidden + self.dropout(change)
        change = self.feedforward(self.feedforward_norm(hidden))
        return hidden + self.dropout(change), cache


def cached_length(cache: Cache | None) -> int:
    """P, which is also the position of the first new token."""
    return cache[0].shape[1] if cache else 0


def attend(
    query: Tensor, key: Tensor, value: Tensor, cache: Cache | None, dropout_p: float
) -> tuple[Tensor, Cache]:
    """Query (B, T, A, D), key and value (B, T, K, D) -> mixed values (B, T, H), longer cache.

    A token sees the whole cache, itself, and the new tokens before it. Heads of queries in a row
    share a head of keys and values.
    """
    T, past = query.shape[1], cached_length(cache)
    if cache:
        key, value = torch.cat([cache[0], key], 1), torch.cat([cache[1], value], 1)
    longer = key, value
    mask = None
    if past and T > 1:
        mask = torch.ones(T, past + T, dtype=torch.bool, device=query.device).tril(past)
    group = query.shape[2] // key.shape[2]
    if query.is_cpu and (dropout_p or query.dtype == torch.bfloat16):
        return _attend_densely(query, key, value, dropout_p), longer
    # On a GPU only flash attention knows groups: in float32 or with a mask, heads that are repeated
    # keep it from a kernel that holds all T x (P + T) weights.
    grouped = query.is_cpu or (mask is None and query.dtype != torch.float32)
    if group > 1 and not grouped:
        key, value = key.repeat_interleave(group, 2), value.repeat_interleave(group, 2)
    mixed = nn.functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=mask,
        dropout_p=dropout_p,
        is_causal=not past,
        enable_gqa=group > 1 and grouped,
    )  # (B, A, T, D)
    return mixed.transpose(1, 2).flatten(2), longer


def _attend_densely(query: Tensor, key: Tensor, value: Tensor, dropout_p: float) -> Tensor:
    """The same with the weights in memory, of some queries at once: for a CPU, where torch has no
    other kernel for dropout, and for bfloat16's gradient one that takes up to three times as long.
    """
    B, T, A, D = query.shape
    total, group = key.shape[1], A // key.shape[2]
    if group > 1:
        key, value = key.repeat_interleave(group, 2), value.repeat_interleave(group, 2)
    heads = query, key, value
    query, key, value = (tensor.transpose(1, 2).flatten(0, 1) for tensor in heads)  # (B A, ., D)
    mixed = []
    with torch.autocast(query.device.type, enabled=False):  # it would make float32 of the weights
        for start in range(0, T, QUERIES_AT_ONCE):
            some = query[:, start : start + QUERIES_AT_ONCE]  # n of them
            first = total - T + start  # the place of the first
            end = first + some.shape[1]
            later = query.new_full((some.shape[1], end), -torch.inf).triu(first + 1)
            scores = torch.baddbmm(
                later.expand(B * A, -1, -1), some, key[:, :end].transpose(1, 2), alpha=D**-0.5
            )
            weights = scores.softmax(-1)  # (B A, n, end)
            kept = dropout(weights, dropout_p) if dropout_p else weights
            mixed.append(kept @ value[:, :end])
    whole = torch.cat(mixed, 1) if len(mixed) > 1 else mixed[0]
    return whole.unflatten(0, (B, A)).transpose(1, 2).flatten(2)
