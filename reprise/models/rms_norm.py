"""RMSNorm (Zhang and Sennrich 2019, 1910.07467), on a CPU with a gradient by hand.

torch has no kernel of it for a CPU: its many small operations take twice as long there.

N vectors of E numbers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class RMSNorm(nn.RMSNorm):
    """x / sqrt(mean of x^2 + eps) * weight, over the last dimension."""

    def forward(self, values: Tensor) -> Tensor:
        """(..., E) -> (..., E)"""
        by_hand = values.is_cpu and values.dtype == torch.float32
        if not by_hand or torch.compiler.is_compiling():
            return super().forward(values)
        eps = torch.finfo(values.dtype).eps if self.eps is None else self.eps
        normed: Tensor = _RMSNorm.apply(values, self.weight, eps)  # type: ignore[no-untyped-call]
        return normed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, weight: Tensor, eps: float) -> Tensor:
        squares = torch.linalg.vector_norm(values, dim=-1, keepdim=True).square_()
        scale = squares.div_(len(weight)).add_(eps).rsqrt_()  # (..., 1)
        ctx.save_for_backward(values, scale, weight)
        return torch.mul(values, scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None]:
        values, scale, weight = ctx.saved_tensors
        (gradient,) = outer
        size = len(weight)
        product = torch.mul(gradient, values).reshape(-1, size)  # (N, E)
        of_weight = torch.mv(product.t(), scale.view(-1))
        of_scale = torch.mv(product, weight).view(scale.shape)
        of_scale.mul_(scale.pow(2)).div_(-size)
        of_values = torch.mul(gradient, weight).addcmul_(values, of_scale).mul_(scale)
        return of_values, of_weight, None
