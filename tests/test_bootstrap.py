import numpy as np
import pytest
from scipy import stats

from reprise.comparing import bootstrap
from reprise.comparing.bootstrap import percentile_interval, resampled_sums


def columns(documents: int) -> np.ndarray:
    random = np.random.default_rng(3)
    return np.stack([random.normal(1, 1, documents), random.uniform(1, 9, documents)], axis=1)


def test_sums_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    values = columns(7)
    random = np.random.default_rng(5)
    drawn = random.integers(0, 7, (20, 7))
    expected = [values[row].sum(axis=0) for row in drawn]
    np.testing.assert_allclose(resampled_sums(values, 20, seed=5), expected)


def test_blocks_change_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    values = columns(40)
    at_once = resampled_sums(values, 100)
    monkeypatch.setattr(bootstrap, "NUMBERS_AT_ONCE", 130)  # three draws at once, the last alone
    np.testing.assert_allclose(resampled_sums(values, 100), at_once)


def test_sums_spread_as_the_closed_form_says() -> None:
    values = columns(50)
    sums = resampled_sums(values)
    np.testing.assert_allclose(sums.mean(axis=0), values.sum(axis=0), rtol=0.02)
    np.testing.assert_allclose(
        sums.std(axis=0), np.sqrt(50 * values.var(axis=0)), rtol=0.03
    )  # 10,000 draws: a deviation is known to 0.7%


def test_the_interval_of_a_ratio_is_that_of_scipy() -> None:
    values = columns(80)
    sums = resampled_sums(values)
    ours = percentile_interval(sums[:, 0] / sums[:, 1])
    theirs = stats.bootstrap(
        (values[:, 0], values[:, 1]),
        lambda part, whole, axis: part.sum(axis) / whole.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(8),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)
