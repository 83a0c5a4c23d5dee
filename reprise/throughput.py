"""Tokens a second, told truly: over the time spent in training steps and in nothing else."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from reprise.energy import EnergyMeter
from reprise.training import Step

WARM_UP_STEPS = 3  # of each process: they choose and compile kernels, and do not count


@dataclass(frozen=True)
class Pace:
    """Of some steps; their times add up to more than 0."""

    tokens: int
    step_seconds: list[float]
    joules: dict[str, float]  # by EnergyCounter.kind; empty where the machine does not tell

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / sum(self.step_seconds)

    def __str__(self) -> str:
        return f"{self.tokens_per_second:,.0f} tokens/s"


class Throughput:
    """Times steps by what goes by inside of them; what is done between two of them is left out."""

    def __init__(self, device: torch.device, energy: EnergyMeter) -> None:
        self._device, self._energy = torch.get_device_module(device), energy
        self._warm_up = WARM_UP_STEPS
        self._resting = True
        self._tokens, self._step_seconds = 0, list[float]()

    def timed(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The same steps."""
        while True:
            if self._resting and not self._warm_up:
                self._device.synchronize()
                self._energy.start()
                self._resting = False
            began = time.monotonic()
            step = next(steps, None)
            if step is None:
                self.rest()
                return
            if self._warm_up:
                self._warm_up -= 1
            else:
                self._step_seconds.append(time.monotonic() - began)
                self._tokens += step.tokens
            yield step

    def rest(self) -> None:
        """Other work comes now; what the device still has to do belongs to the last step."""
        if self._resting:
            return
        began = time.monotonic()
        self._device.synchronize()
        if self._step_seconds:
            self._step_seconds[-1] += time.monotonic() - began
        self._energy.stop()
        self._resting = True

    def report(self) -> Pace | None:
        """Of the steps since the last report; None where none of them counts."""
        self.rest()
        pace = Pace(self._tokens, self._step_seconds, self._energy.take())
        self._tokens, self._step_seconds = 0, []
        return pace if sum(pace.step_seconds) > 0 else None
