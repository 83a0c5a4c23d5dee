"""Averages of the weights over steps, which often do better than the last weights.

exponential: with a decay that is lower at first, as in TensorFlow's ExponentialMovingAverage:
d = min(decay, (1 + t) / (10 + t)). triggered: the plain mean from the step on at which the loss on
valid stops improving, which with sgd is NT-ASGD (Merity et al. 2018, 1708.02182, section 3): it is
above the best of those before the last `averaging_patience`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from reprise.cut_tensors import cut_like, whole
from reprise.params.train import TrainParams


@dataclass
class WeightAverage:
    """The average so far; empty before it starts."""

    model: nn.Module
    params: TrainParams
    values: list[Tensor] = field(default_factory=list)
    count: int = 0  # of the steps in it
    losses: list[float] = field(default_factory=list)  # on valid, nats a token

    def __post_init__(self) -> None:
        if self.params.averaging == "exponential":
            self._start()

    @property
    def started(self) -> bool:
        return bool(self.values)

    @torch.no_grad()
    def update(self) -> None:
        """After each step of the optimizer."""
        if not self.started:
            return
        self.count += 1
        share = 1 / self.count
        if self.params.averaging == "exponential":
            share = 1 - min(self.params.averaging_decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.values, self._weights(), share)

    def judge(self, valid_nats: float) -> None:
        """After each validation: a triggered average may start."""
        if self.params.averaging != "triggered" or self.started:
            return
        old = self.losses[: -self.params.averaging_patience]
        self.losses.append(valid_nats)
        if old and valid_nats > min(old):
            self._start()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the average for weights, once there is one."""
        if not self.count:
            yield
            return
        own = [weight.clone() for weight in self._weights()]
        self._set(self.values)
        try:
            yield
        finally:
            self._set(own)

    def state(self) -> dict[str, Any]:
        values = [whole(value) for value in self.values]
        return {"values": values, "count": self.count, "losses": self.losses}

    def restore(self, state: dict[str, Any]) -> None:
        self.count, self.losses = state["count"], state["losses"]
        pairs = zip(state["values"], self._weights(), strict=False)  # no values before it starts
        self.values = [cut_like(value.to(weight.device), weight) for value, weight in pairs]

    def _start(self) -> None:
        self.values = [weight.clone() for weight in self._weights()]

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.model.parameters()]

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.model.parameters(), values, strict=True):
            weight.copy_(value)
