"""Tokens a second, with a clock of our own."""

import pytest

from reprise.throughput import Throughput


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_pauses_do_not_count_whether_it_is_read_in_one_or_after_it(clock: Clock) -> None:
    throughput = Throughput()
    clock.now += 2
    throughput.add(100)
    with throughput.paused():
        clock.now += 50
        assert throughput.read() == 50.0
        clock.now += 50
    clock.now += 4
    throughput.add(100)
    with throughput.paused():
        clock.now += 50
    clock.now += 1
    throughput.add(100)
    assert throughput.read() == 40.0


def test_no_time_is_no_rate(clock: Clock) -> None:
    assert Throughput().read() == 0.0
