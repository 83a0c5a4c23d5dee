"""From hidden states to the loss, in pieces: the logits of all positions are never in memory.

N positions, E numbers in a hidden state, V pieces in the vocabulary. Losses are in nats.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from reprise.models.transposing import transposed, turn_product

# Numbers. With fewer the weights' gradient is a sum of more products, each of few rows and slow. On
# GPUs and in bfloat16 each product is written and added up apart, so more logits are better there.
LOGITS_AT_ONCE = 16_000_000  # in float32 on a CPU: 64 MB
MORE_LOGITS_AT_ONCE = 64_000_000
# Scoring has no such product; what a processor's cache holds is three times as fast there.
SCORED_AT_ONCE = 4_000_000
LOGITS_IN_CACHE = 1_000_000  # between the products of training, on a CPU: 4 MB


class Head(nn.Module):
    """The last layer, logits = hidden @ weight.T + bias, and the cross-entropy after it.

    With a soft cap c, c tanh(logits / c) stands for the logits: Gemma 2, 2408.00118, section 2.
    """

    def __init__(self, vocabulary_size: int, size: int, soft_cap: float = 0.0) -> None:
        super().__init__()
        self.soft_cap = soft_cap  # 0: none
        self.weight = nn.Parameter(torch.empty(vocabulary_size, size))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        nn.init.normal_(self.weight, std=size**-0.5)

    @torch.no_grad()
    def begin_with(self, nats: Tensor) -> None:
        """As first bias -log p of each piece, (V,): what is the same at all places, such as how
        frequent a piece is, need not be learnt through hidden states, which drives them to their
        bounds. Meister et al. 2023, 2212.09686.
        """
        logits = -nats
        if self.soft_cap:  # so that they are these when capped; none comes nearer to the cap
            logits = self.soft_cap * (logits / self.soft_cap).clamp(min=-0.99).atanh()
        self.bias.copy_(logits)

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Hidden (..., E), targets (...) -> the sum of -log p(target), a scalar in float32.

        Negative targets count nothing.
        """
        hidden = hidden.reshape(-1, hidden.shape[-1])
        total: Tensor = _SummedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets.reshape(-1), self.soft_cap
        )
        return total

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden (N, E) -> logits (N, V) in float32; the caller keeps N small."""
        logits = nn.functional.linear(hidden, self.weight, self.bias).float()
        return cap_(logits, self.soft_cap) if self.soft_cap else logits

    @property
    def rows_scored_at_once(self) -> int:
        return rows_scored_at_once(len(self.bias))


def rows_at_once(vocabulary_size: int, hidden: Tensor) -> int:
    """Positions whose logits are in memory together; hidden states are of the products' type."""
    adds_apart = not hidden.is_cpu or hidden.dtype != torch.float32
    numbers = MORE_LOGITS_AT_ONCE if adds_apart else LOGITS_AT_ONCE
    return max(1, numbers // vocabulary_size)


def rows_scored_at_once(vocabulary_size: int) -> int:
    """The same without gradients."""
    return max(1, SCORED_AT_ONCE // vocabulary_size)


def rows_in_cache(vocabulary_size: int) -> int:
    """The same between the products of training, on a CPU."""
    return max(1, LOGITS_IN_CACHE // vocabulary_size)


def cap_(logits: Tensor, soft_cap: float) -> Tensor:
    """In place: near 0 as they are, never beyond the cap."""
    return logits.div_(soft_cap).tanh_().mul_(soft_cap)


class _SummedCrossEntropy(torch.autograd.Function):
    """Computes the gradients on the way forward, while each piece's logits are at hand."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        soft_cap: float,
    ) -> Tensor:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        needs_gradient = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        all_count = bool((targets >= 0).all())  # asked once: a GPU must be waited for
        with torch.autocast(device, enabled=False):
            hidden_low, weight_low, bias_low = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
            rows = min(rows_at_once(len(bias), hidden_low), len(hidden))
            total = torch.zeros((), device=hidden.device, dtype=torch.float32)
            buffer = hidden_low.new_empty(rows, len(bias))
            if needs_gradient:
                hidden_gradient = torch.empty_like(hidden_low)
                turned = turn_product(weight_low)
                shape = weight.shape[::-1] if turned else weight.shape
                products = torch.empty(shape, device=weight.device, dtype=torch.float32)
                bias_gradient = torch.zeros_like(bias, dtype=torch.float32)
            few = rows_in_cache(len(bias)) if hidden.is_cpu else rows
            for start in range(0, len(hidden), rows):
                piece = slice(start, start + rows)
                seen = hidden_low[piece]  # (n, E)
                low = torch.addmm(bias_low, seen, weight_low.t(), out=buffer[: len(seen)])  # (n, V)
                for some_low, wanted in zip(low.split(few), targets[piece].split(few), strict=True):
                    logits = some_low.float()  # in float32 that is `some_low` itself
                    slope = _cap_and_slope_(logits, soft_cap) if soft_cap else None
                    target = wanted.clamp(min=0).unsqueeze(1)  # (n, 1)
                    log_p = torch.log_softmax(logits, dim=1, out=logits)  # (n, V)
                    of_target = log_p.gather(1, target)
                    counted = None if all_count else (wanted >= 0).unsqueeze(1)
                    total -= (of_target if counted is None else of_target * counted).sum()
                    if not needs_gradient:
                        continue
                    gradient = log_p.exp_()  # of the logits: p - one at the target
                    minus = torch.full_like(target, -1, dtype=gradient.dtype)
                    gradient.scatter_add_(1, target, minus)
                    if counted is not None:
                        gradient *= counted
                    if slope is not None:
                        gradient *= slope
                    bias_gradient += gradient.sum(0)
                    some_low.copy_(gradient)
                if not needs_gradient:
                    continue
                torch.mm(low, weight_low, out=hidden_gradient[piece])
                left, right = (seen, low) if turned else (low, seen)
                if dtype == torch.float32:
                    beta = 1.0 if start else 0.0  # at first what is there counts nothing
                    products.addmm_(left.t(), right, beta=beta)
                elif start:
                    _add_(products, left.t() @ right)
                else:
                    products.copy_(left.t() @ right)
        if needs_gradient:
            weight_gradient = transposed(products) if turned else products
            ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, weight_gradient, bias_gradient = ctx.saved_tensors
        (scale,) = outer
        return (
            hidden_gradient.mul_(scale),  # nobody else has them
            weight_gradient.mul_(scale),
            bias_gradient.mul_(scale),
            None,
            None,
        )


def _add_(sums: Tensor, product: Tensor) -> None:
    """(N, M) each, of another type. On a CPU torch would first copy all of the product into the
    sums' type; some rows at a time their copy stays in the cache: three times as fast."""
    rows = rows_in_cache(sums.shape[1]) if sums.is_cpu else len(sums)
    for some, more in zip(sums.split(rows), product.split(rows), strict=True):
        some += more


def _cap_and_slope_(logits: Tensor, soft_cap: float) -> Tensor:
    """Caps the logits in place; the derivative of the capped by the free ones, 1 - tanh^2."""
    squashed = logits.div_(soft_cap).tanh_()
    slope = torch.addcmul(squashed.new_ones(()), squashed, squashed, value=-1)
    logits.mul_(soft_cap)
    return slope
