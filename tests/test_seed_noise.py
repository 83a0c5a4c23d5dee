import math

import pytest
from scipy import stats

from reprise.comparing.seed_noise import default_noise, measured_noise

OURS, THEIRS = [1.30, 1.31, 1.285, 1.305], [1.26, 1.29, 1.27]


def test_groups_of_seeds_give_welchs_test_as_scipy_has_it() -> None:
    noise = measured_noise(OURS, THEIRS)
    assert noise is not None
    difference = sum(THEIRS) / 3 - sum(OURS) / 4
    expected = stats.ttest_ind(THEIRS, OURS, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert noise.degrees == pytest.approx(expected.df)
    assert noise.p_value(difference) == pytest.approx(expected.pvalue)
    found = noise.interval(difference)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_a_single_run_is_taken_to_spread_like_the_group_it_is_compared_with() -> None:
    noise = measured_noise([2.0, 2.2], [2.5])
    assert noise is not None
    # The deviation of 2.0 and 2.2 is 0.2 / sqrt(2); t with one degree of freedom is 12.706.
    assert noise.standard_error == pytest.approx(0.1 * math.sqrt(2) * math.sqrt(1 / 2 + 1))
    assert noise.margin == pytest.approx(12.7062 * noise.standard_error, rel=1e-5)


def test_single_runs_have_the_default_deviation() -> None:
    assert measured_noise([2.0], [2.1]) is None
    noise = default_noise(2.0, 2.0)
    assert noise.margin == pytest.approx(1.959964 * math.sqrt(2) * 0.0075 * 2.0)


def test_seeds_that_all_give_the_same_leave_no_doubt() -> None:
    noise = measured_noise([2.0, 2.0], [2.0, 2.0])
    assert noise is not None
    assert (noise.margin, noise.p_value(0.0), noise.p_value(0.1)) == (0.0, 1.0, 0.0)
