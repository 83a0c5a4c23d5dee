"""Muon: momentum, and of each matrix's step the nearest with all singular values about one.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. As torch.optim.Muon, whose products
are in bfloat16 always; a CPU that is not made for it takes five times as long for these.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reprise.cut_tensors import cut_like, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic; the page above says how they were chosen
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """For matrices alone; `dtype` is that of the products. The decay is decoupled, as AdamW's."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the matrices by their gradients."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                step = matrix.grad.lerp(mean, momentum)  # Nesterov's
                direction = cut_like(orthogonal(whole(step), self.dtype), matrix)
                rows, columns = matrix.shape
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(direction, alpha=-rate * math.sqrt(max(1, rows / columns)))


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """U S V.T -> nearly U V.T, in `dtype`: singular values of 0.7 to 1.2, by products alone."""
    wide = matrix.shape[0] <= matrix.shape[1]
    found = matrix.to(dtype) if wide else matrix.to(dtype).t()
    found = found / found.norm().clamp(min=1e-7)
    found = _iterated_aside(found) if dtype == torch.float32 else _iterated(found)
    return found if wide else found.t()


def _iterated(found: Tensor) -> Tensor:
    """X -> (a + b X X.T + c (X X.T)^2) X, and so on."""
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = found @ found.t()
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found


def _iterated_aside(found: Tensor) -> Tensor:
    """The same with X left aside till the end: all factors are polynomials in X X.T, and so the
    X X.T that comes after the factor P is P X X.T P. Of matrices that are wider than high it takes
    half the operations; bfloat16 would be too coarse for it."""
    gram = found @ found.t()
    product = factor = _factor(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _factor(gram)
        product = factor @ product
    return product @ found


def _factor(gram: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor
