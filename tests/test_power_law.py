"""Power laws against points of which the law is known, and against SciPy."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import curve_fit

from reprise.studies.power_law import fit_power_law

Floats = npt.NDArray[np.float64]
TOKENS: Floats = np.repeat(np.geomspace(4e4, 6.4e5, 5), 2)


def law(x: Floats, scale: float, exponent: float, floor: float) -> Floats:
    return np.asarray(scale * x**-exponent + floor)


@pytest.mark.parametrize(
    ("scale", "exponent", "floor"), [(30, 0.3, 1.0), (4e6, 1.5, 1.7), (9, 0.08, 0)]
)
def test_points_on_a_law_give_it_back(scale: float, exponent: float, floor: float) -> None:
    fit = fit_power_law(TOKENS, law(TOKENS, scale, exponent, floor))
    assert fit is not None
    assert fit.has_floor
    assert fit.exponent == pytest.approx(exponent, rel=0.02)
    assert fit.floor == pytest.approx(floor, abs=0.1)
    np.testing.assert_allclose(fit.at(TOKENS), law(TOKENS, scale, exponent, floor), rtol=0.002)


def test_points_beside_a_law_give_what_scipy_gives() -> None:
    noise = np.random.default_rng(3).normal(0, 0.01, len(TOKENS))
    losses = law(TOKENS, 30, 0.3, 1.0) + noise
    fit = fit_power_law(TOKENS, losses)
    assert fit is not None
    (_, exponent, floor), _ = curve_fit(
        lambda x, a, b, c: a * (x / 1e5) ** -b + c, TOKENS, losses, p0=(1, 0.3, 1)
    )
    assert fit.exponent == pytest.approx(exponent, rel=0.01)
    assert fit.floor == pytest.approx(floor, rel=0.01)


def test_the_interval_holds_the_true_exponent_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    held, widths = 0, []
    for _ in range(40):
        losses = law(TOKENS, 30, 0.3, 1.0) + random.normal(0, 0.01, len(TOKENS))
        fit = fit_power_law(TOKENS, losses)
        assert fit is not None
        held += fit.low <= 0.3 <= fit.high
        widths.append(fit.high - fit.low)
    assert held >= 34  # 38 are expected
    assert np.mean(widths) < 0.15  # four times SciPy's standard error is 0.12


def test_the_band_holds_the_law_and_is_wider_where_there_are_no_points() -> None:
    losses = law(TOKENS, 30, 0.3, 1.0) + np.random.default_rng(2).normal(0, 0.01, len(TOKENS))
    fit = fit_power_law(TOKENS, losses)
    assert fit is not None
    low, high = fit.band(np.array([1e4, 2e5]))
    assert (low < law(np.array([1e4, 2e5]), 30, 0.3, 1.0)).all()
    assert (high > law(np.array([1e4, 2e5]), 30, 0.3, 1.0)).all()
    assert (high - low)[0] > 3 * (high - low)[1]


def test_the_same_points_give_the_same_law() -> None:
    losses = law(TOKENS, 30, 0.3, 1.0) + np.random.default_rng(2).normal(0, 0.01, len(TOKENS))
    one, two = fit_power_law(TOKENS, losses), fit_power_law(TOKENS, losses)
    assert one is not None
    assert two is not None
    assert (one.scale, one.exponent, one.floor, one.low, one.high) == (
        two.scale, two.exponent, two.floor, two.low, two.high,
    )  # fmt: skip


def test_few_points_have_no_floor_and_two_no_law() -> None:
    x = np.array([1e3, 1e4, 1e5])
    fit = fit_power_law(x, law(x, 8, 0.1, 0))
    assert fit is not None
    assert (fit.has_floor, fit.floor) == (False, 0)
    assert fit.exponent == pytest.approx(0.1, rel=0.01)
    assert fit_power_law(x[:2], law(x[:2], 8, 0.1, 0)) is None
    assert fit_power_law(np.repeat(x[:2], 5), np.arange(10.0)) is None


def test_what_rises_has_no_law() -> None:
    assert fit_power_law(TOKENS, 1 + TOKENS / 1e6) is None


def test_an_exponent_that_points_do_not_tell_is_said_not_to_be_told() -> None:
    random = np.random.default_rng(5)
    fit = fit_power_law(TOKENS, law(TOKENS, 30, 0.3, 1.0) + random.normal(0, 0.3, len(TOKENS)))
    assert fit is None or not fit.is_told
    clear = fit_power_law(TOKENS, law(TOKENS, 30, 0.3, 1.0) + random.normal(0, 0.01, len(TOKENS)))
    assert clear is not None
    assert clear.is_told
