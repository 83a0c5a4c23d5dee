"""Rates by hand."""

import pytest
from helpers import train_params

from reprise.schedules import rate_fraction


def rates(**changes: object) -> list[float]:
    params = train_params(
        **{"warmup_steps": 2, "max_steps": 6, "final_learning_rate_fraction": 0.2} | changes
    )
    return [rate_fraction(step, params) for step in range(params.max_steps)]


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_the_warm_up_climbs_to_the_full_rate_which_stays(schedule: str) -> None:
    assert rates(schedule=schedule) == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_linear_falls_by_equal_steps_towards_its_floor() -> None:
    assert rates(schedule="linear") == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4])


def test_cosine_is_halfway_at_half_time() -> None:
    # Steps 2 to 6 are 0, 1/4, 1/2, 3/4 of the way; cos(pi / 4) is the root of 1/2.
    root = 0.5**0.5
    expected = [0.5, 1.0, 1.0, 0.2 + 0.4 * (1 + root), 0.6, 0.2 + 0.4 * (1 - root)]
    assert rates(schedule="cosine") == pytest.approx(expected)


def test_inverse_square_root_is_half_at_four_times_the_warm_up() -> None:
    found = rates(schedule="inverse_square_root", max_steps=8)
    assert found[:2] == [0.5, 1.0]
    assert found[7] == 0.5  # the eighth step, after a warm-up of two


def test_warm_up_stable_decay_stays_and_then_falls_to_its_floor() -> None:
    found = rates(schedule="warmup_stable_decay", max_steps=10, decay_fraction=0.4)
    # Four steps of decay: steps 6 to 9 have 4, 3, 2 and 1 quarters of the way from 1 to 0.2 left.
    assert found == pytest.approx([0.5, *[1.0] * 6, 0.8, 0.6, 0.4])
