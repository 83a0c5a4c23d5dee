"""What counts as a spike."""

import math

from reprise.spikes import STEPS_BEFORE, SpikeWatch


def loss(step: int) -> float:
    """Falls slowly, with a noise of about 0.07."""
    return 4.0 - step / 1000 + 0.1 * math.sin(step * 12.9898)


def test_noise_is_no_spike_and_a_jump_is_one() -> None:
    watch = SpikeWatch()
    assert not any(watch.sees(loss(step)) for step in range(500))
    assert watch.sees(loss(500) + 1.0)
    assert not watch.sees(loss(501))
    assert watch.spikes == 1


def test_nothing_is_told_before_it_is_known_what_is_usual() -> None:
    watch = SpikeWatch()
    assert not any(watch.sees(loss(step) + 3.0 * (step == 50)) for step in range(STEPS_BEFORE))
