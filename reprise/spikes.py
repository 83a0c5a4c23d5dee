"""Losses that jump: told, so that a person can look at them; nothing is done about them."""

from dataclasses import dataclass

DECAY = 0.98  # of the running mean and variance: some 50 steps
STEPS_BEFORE = 100  # so many are needed to know what is usual
DEVIATIONS = 6.0  # above the mean is a spike


@dataclass
class SpikeWatch:
    """The running mean and variance of the loss a token."""

    steps: int = 0
    mean: float = 0.0
    variance: float = 0.0
    spikes: int = 0

    def sees(self, loss: float) -> bool:
        """Whether this loss is a spike, after `STEPS_BEFORE` steps; it is then counted."""
        self.steps += 1
        if self.steps == 1:
            self.mean = loss
        difference = loss - self.mean
        spike = self.steps > STEPS_BEFORE and difference > DEVIATIONS * self.variance**0.5
        if spike:  # one wild step shall not hide the next
            self.spikes += 1
            difference = DEVIATIONS * self.variance**0.5
        self.mean += (1 - DECAY) * difference
        self.variance = DECAY * (self.variance + (1 - DECAY) * difference**2)
        return bool(spike)
