"""How far a difference between two settings may come from the seeds of their trainings alone.

With several seeds of both settings: Welch's t test (Welch 1947), which lets the two spread
differently. With several of one, the other is taken to spread like it. With one of each, a
deviation that was measured on this project's networks stands in (docs/comparing.md).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from reprise.comparing.bootstrap import CONFIDENCE, Interval

# Of bits a byte, from seed to seed, as a part of the figure.
DEFAULT_DEVIATION = 0.0075


@dataclass(frozen=True)
class SeedNoise:
    """Of the difference between the means of two groups of runs."""

    standard_error: float
    degrees: float  # of freedom; inf for the default
    origin: str  # where the deviation is from, for reading

    @property
    def margin(self) -> float:
        """Half of the interval."""
        return self.standard_error * self._quantile

    @property
    def _quantile(self) -> float:
        return float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2, self.degrees))

    def interval(self, difference: float) -> Interval:
        return Interval(difference - self.margin, difference + self.margin)

    def p_value(self, difference: float) -> float:
        """How often seeds alone give a difference as large, if the settings do nothing."""
        if self.standard_error == 0:
            return 1.0 if difference == 0 else 0.0
        return float(2 * stats.t.sf(abs(difference) / self.standard_error, self.degrees))


def measured_noise(ours: Sequence[float], theirs: Sequence[float]) -> SeedNoise | None:
    """From the figures of two groups of seeds; None where neither group has two."""
    if len(ours) > 1 and len(theirs) > 1:
        return _welch(ours, theirs)
    several = max(ours, theirs, key=len)
    if len(several) < 2:
        return None
    error = statistics.stdev(several) * math.sqrt(1 / len(ours) + 1 / len(theirs))
    return SeedNoise(error, len(several) - 1, f"measured on the {len(several)} seeds of one side")


def default_noise(ours: float, theirs: float) -> SeedNoise:
    """For one run of each."""
    error = DEFAULT_DEVIATION * math.hypot(ours, theirs)
    return SeedNoise(error, math.inf, f"by default {DEFAULT_DEVIATION:.2%} a run")


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> SeedNoise:
    parts = [statistics.variance(group) / len(group) for group in (ours, theirs)]
    squares = sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (ours, theirs), strict=True)
    )
    degrees = sum(parts) ** 2 / squares if squares else len(ours) + len(theirs) - 2
    origin = f"measured on {len(ours)} and {len(theirs)} seeds"
    return SeedNoise(math.sqrt(sum(parts)), degrees, origin)
