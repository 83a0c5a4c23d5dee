"""How far a figure of a text would move with another choice of its documents.

Documents are drawn with replacement, as many as there are (Efron 1979); where several models were
scored on the same documents they are drawn for all of them at once, so that what makes a document
hard for all cancels in a difference. The interval is between percentiles of what the draws give.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 1
NUMBERS_AT_ONCE = 1 << 20  # 8 MB of each of a few arrays


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def resampled_sums(columns: Floats, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Numbers of documents (N, K) -> their sums over N documents drawn at random, (resamples, K).

    Memory is bounded by NUMBERS_AT_ONCE, or by N where it is larger.
    """
    documents, kinds = columns.shape
    random = np.random.default_rng(seed)
    rows = max(1, NUMBERS_AT_ONCE // documents)
    sums = np.empty((resamples, kinds))
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = random.integers(0, documents, (count, documents))
        drawn += np.arange(count)[:, None] * documents
        times = np.bincount(drawn.ravel(), minlength=count * documents)  # each document is drawn
        sums[first : first + count] = times.reshape(count, documents).astype(np.float64) @ columns
    return sums


def percentile_interval(values: Floats) -> Interval:
    """What lies in the middle of a statistic's values over the draws."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))
