"""Signals are noted, not obeyed at once."""

import os
import signal
from collections.abc import Iterator

import pytest

from reprise.interruption import StopRequest


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Those of the tests are back afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_a_reason_to_stop(number: signal.Signals) -> None:
    with StopRequest() as stop:
        assert stop.reason() is None
        os.kill(os.getpid(), number)
        assert stop.reason() == number.name


def test_the_first_signal_is_the_reason_and_after_it_none_is_heard() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason() == "SIGINT"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # each would end the tests
        os.kill(os.getpid(), number)


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_under_nohup_a_closed_terminal_is_no_reason() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.reason() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_parent_that_went_before_anybody_asked_is_a_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reprise.interruption.STARTER", os.getppid() + 1)
    with StopRequest() as stop:
        assert stop.reason() == "the end of the process that started this one"


def test_the_end_of_the_parent_is_a_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopRequest() as stop:
        monkeypatch.setattr("os.getppid", lambda: 1)
        assert stop.reason() == "the end of the process that started this one"
