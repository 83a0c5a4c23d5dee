"""A power law through points: y = scale * x ** -exponent + floor.

The floor is what is left for x without end (Hestness et al. 2017, 1712.00409; Hoffmann et al.
2022, 2203.15556, section 3.3); with few points it is held at 0. For a given exponent the law is
linear, so that scale and floor follow by least squares and only the exponent is searched for.

The interval is a bootstrap of residuals (Efron and Tibshirani 1993, chapter 9): the law is fitted
anew to its own values with residuals drawn with replacement, which are made larger by
sqrt(n / (n - p)) for the p numbers that were fitted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POINTS_FOR_LAW = 3  # different x; fewer tell no curve
POINTS_FOR_FLOOR = 5
RESAMPLES = 2000
SEED = 1
EXPONENTS: Floats = np.geomspace(0.01, 4.0, 1200)  # 0.5% from one to the next
DIGITS = 4  # the last digits differ between processors, a report should not


@dataclass(frozen=True)
class PowerLaw:
    scale: float
    exponent: float
    floor: float
    has_floor: bool  # whether it was fitted
    low: float  # of the exponent, 95%
    high: float
    resampled: tuple[Floats, Floats, Floats]  # scale, exponent, floor of each resample

    def at(self, x: Floats) -> Floats:
        return np.asarray(self.scale * x**-self.exponent + self.floor)

    def band(self, x: Floats) -> tuple[Floats, Floats]:
        """2.5% and 97.5% of the resampled laws at each x."""
        scale, exponent, floor = (values[:, None] for values in self.resampled)
        low, high = np.percentile(scale * x**-exponent + floor, [2.5, 97.5], axis=0)
        return low, high

    @property
    def is_told(self) -> bool:
        """Whether the points tell the exponent, or any would do."""
        return EXPONENTS[0] < self.low and self.high < EXPONENTS[-1]


def fit_power_law(x: Floats, y: Floats) -> PowerLaw | None:
    """The law of least squares; None where too few x differ, or y does not fall with x."""
    different = len(np.unique(x))
    if different < POINTS_FOR_LAW:
        return None
    has_floor = different >= POINTS_FOR_FLOOR
    middle = float(np.exp(np.log(x).mean()))  # x is counted in this unit, and numbers stay near 1
    scale, exponent, floor = (v[0] for v in _fitted(x / middle, y[None], has_floor))
    if scale <= 0:
        return None
    fitted = scale * (x / middle) ** -exponent + floor
    numbers = 3 if has_floor else 2
    residuals = (y - fitted) * np.sqrt(len(y) / (len(y) - numbers))
    draws = np.random.default_rng(SEED).integers(0, len(y), (RESAMPLES, len(y)))
    scales, exponents, floors = _fitted(x / middle, fitted + residuals[draws], has_floor)
    low, high = np.percentile(exponents, [2.5, 97.5])
    return PowerLaw(
        _rounded(scale * middle**exponent),
        _rounded(exponent),
        _rounded(floor),
        has_floor,
        _rounded(low),
        _rounded(high),
        (scales * middle**exponents, exponents, floors),
    )


def _fitted(x: Floats, y: Floats, has_floor: bool) -> tuple[Floats, Floats, Floats]:
    """Scale, exponent and floor, neither below 0, for each row of y (R, n)."""
    rows = np.arange(len(y))
    powers = x ** -EXPONENTS[:, None]  # (B, n)
    scales = y @ powers.T / (powers**2).sum(axis=1)  # (R, B)
    floors = np.zeros_like(scales)
    if has_floor:
        centred = powers - powers.mean(axis=1, keepdims=True)
        slopes = y @ centred.T / (centred**2).sum(axis=1)
        heights = y.mean(axis=1, keepdims=True) - slopes * powers.mean(axis=1)
        with_floor = heights > 0
        scales, floors = np.where(with_floor, slopes, scales), np.where(with_floor, heights, floors)
        flat = scales < 0  # y rises with x: the best that falls not at all
        scales = np.where(flat, 0.0, scales)
        floors = np.where(flat, y.mean(axis=1, keepdims=True), floors)
    # Squares of what is left, without an array of (R, B, n).
    squares = (
        (y**2).sum(axis=1, keepdims=True)
        + scales**2 * (powers**2).sum(axis=1)
        + floors**2 * len(x)
        - 2 * scales * (y @ powers.T)
        - 2 * floors * y.sum(axis=1, keepdims=True)
        + 2 * scales * floors * powers.sum(axis=1)
    )
    best = squares.argmin(axis=1)
    return scales[rows, best], EXPONENTS[best], floors[rows, best]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
