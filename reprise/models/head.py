"""From hidden states to the loss, in pieces: the logits of all positions are never in memory.

N positions, E numbers in a hidden state, V pieces in the vocabulary. Losses are in nats.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

LOGITS_AT_ONCE = 4_000_000  # numbers: 16 MB in float32, of the order of a processor's cache


class Head(nn.Module):
    """The last layer, logits = hidden @ weight.T + bias, and the cross-entropy after it."""

    def __init__(self, vocabulary_size: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary_size, size))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        nn.init.normal_(self.weight, std=size**-0.5)

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Hidden (..., E), targets (...) -> the sum of -log p(target), a scalar in float32.

        Negative targets count nothing.
        """
        hidden = hidden.reshape(-1, hidden.shape[-1])
        total: Tensor = _SummedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets.reshape(-1)
        )
        return total

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden (N, E) -> logits (N, V) in float32; the caller keeps N small."""
        return nn.functional.linear(hidden, self.weight, self.bias).float()

    @property
    def rows_at_once(self) -> int:
        return _rows_at_once(len(self.bias))


def _rows_at_once(vocabulary_size: int) -> int:
    return max(1, LOGITS_AT_ONCE // vocabulary_size)


class _SummedCrossEntropy(torch.autograd.Function):
    """Computes the gradients on the way forward, while each piece's logits are at hand."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> Tensor:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        rows = _rows_at_once(len(bias))
        needs_gradient = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        with torch.autocast(device, enabled=False):
            hidden_low, weight_low, bias_low = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
            total = torch.zeros((), device=hidden.device, dtype=torch.float32)
            if needs_gradient:
                hidden_gradient = torch.empty_like(hidden_low)
                weight_gradient = torch.zeros_like(weight, dtype=torch.float32)
                bias_gradient = torch.zeros_like(bias, dtype=torch.float32)
            for start in range(0, len(hidden), rows):
                piece = slice(start, start + rows)
                target = targets[piece].clamp(min=0).unsqueeze(1)  # (n, 1)
                counts = (targets[piece] >= 0).unsqueeze(1)  # (n, 1)
                logits = torch.addmm(bias_low, hidden_low[piece], weight_low.t()).float()
                log_p = torch.log_softmax(logits, dim=1)  # (n, V)
                total -= (log_p.gather(1, target) * counts).sum()
                if not needs_gradient:
                    continue
                gradient = log_p.exp_()  # of the logits: p - one at the target
                gradient.scatter_add_(1, target, torch.full_like(target, -1, dtype=logits.dtype))
                gradient *= counts
                bias_gradient += gradient.sum(0)
                low = gradient.to(dtype)
                torch.mm(low, weight_low, out=hidden_gradient[piece])
                weight_gradient += low.t() @ hidden_low[piece]
        if needs_gradient:
            ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, weight_gradient, bias_gradient = ctx.saved_tensors
        (scale,) = outer
        return (
            hidden_gradient * scale.to(hidden_gradient.dtype),
            weight_gradient * scale,
            bias_gradient * scale,
            None,
        )
