"""RMSNorm with its gradient by hand against torch's own in float64."""

import pytest
import torch
from torch import Tensor, nn

from reprise.models.rms_norm import RMSNorm


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slices(values: Tensor) -> Tensor:
    """The same numbers, not next to each other in memory."""
    return torch.stack([values, values], dim=-2)[..., 0, :]


@pytest.mark.parametrize("eps", [None, 0.1])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 4, 3, 8), (4, 1, 192)])
def test_values_and_gradients_are_those_of_torch_in_float64(
    shape: tuple[int, ...], eps: float | None
) -> None:
    ours, theirs = RMSNorm(shape[-1], eps=eps), nn.RMSNorm(shape[-1], eps=eps).double()
    if eps is None:
        theirs.eps = torch.finfo(torch.float32).eps
    with torch.no_grad():
        ours.weight.copy_(drawn(shape[-1], seed=1))
        theirs.weight.copy_(ours.weight)
    values, outer = drawn(*shape, seed=2), drawn(*shape, seed=3)
    expected_in = values.double().requires_grad_()
    expected = theirs(expected_in)
    expected.backward(outer.double())
    transposed = outer.transpose(0, -1).contiguous().transpose(0, -1)
    for found_in, gradient in ((values, outer), (slices(values), transposed)):
        found_in = found_in.detach().requires_grad_()
        ours.zero_grad()
        found = ours(found_in)
        found.backward(gradient)
        for one, other in (
            (found, expected),
            (found_in.grad, expected_in.grad),
            (ours.weight.grad, theirs.weight.grad),
        ):
            torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)


def test_zeros_stay_zeros_and_their_gradient_is_finite() -> None:
    values = torch.zeros(3, 8, requires_grad=True)
    found = RMSNorm(8)(values)
    found.sum().backward()
    assert not found.any()
    assert values.grad.isfinite().all()


def test_bfloat16_is_left_to_torch() -> None:
    values = drawn(3, 8, seed=1).bfloat16()
    assert torch.equal(RMSNorm(8).bfloat16()(values), nn.RMSNorm(8).bfloat16()(values))
