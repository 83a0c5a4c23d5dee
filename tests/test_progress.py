"""A bar on a terminal; without one, a line now and then with rate and time left."""

import logging
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from reprise.progress import Progress


class Clock:
    now = 0.0


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time passes when the test says so."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


def test_a_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with Progress("train", 1000, "steps") as progress:
        for _ in range(40):
            clock.now += 1.0
            progress.advance(10, note="2.5 nats/token")
    assert caplog.messages == [
        "train: 150 of 1,000 steps (15%), 10 steps/s, 85 s left, 2.5 nats/token",
        "train: 300 of 1,000 steps (30%), 10 steps/s, 70 s left, 2.5 nats/token",
    ]


def test_work_of_an_earlier_process_counts_for_the_end_and_not_for_the_rate(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    with Progress("train", 1000, "steps") as progress:
        progress.resume_at(500)
        clock.now += 20.0
        progress.advance(100)
    assert caplog.messages == ["train: 600 of 1,000 steps (60%), 5 steps/s, 80 s left"]


def test_a_slow_rate_is_told_with_decimals(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with Progress("train", 100, "steps") as progress:
        clock.now += 16.0
        progress.advance(14)
    assert caplog.messages == ["train: 14 of 100 steps (14%), 0.88 steps/s, 98 s left"]


BAR_AND_LINES = """
import logging
from reprise.cli import set_up_logging
from reprise.progress import Progress

set_up_logging()
with Progress("train", 100, "steps") as bar:
    bar.advance(10)
    logging.info("first")
    with Progress("valid", 100, "tokens") as inner:
        inner.advance(50)
        logging.info("second")
    logging.info("third")
logging.info("fourth")
"""


def test_on_a_terminal_lines_stand_above_the_bar() -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (25, 80))
    with subprocess.Popen([sys.executable, "-c", BAR_AND_LINES], stderr=slave) as process:
        os.close(slave)
        told = b""
        with suppress(OSError):  # how Linux tells that the terminal's other side is closed
            while part := os.read(master, 4096):
                told += part
    os.close(master)
    assert process.returncode == 0
    assert b"train:  10%" in told
    for line in (b"first", b"second", b"third", b"fourth"):  # each at the beginning of a free line
        assert re.search(rb"(^|[\r\n]|\x1b\[A)\d\d:\d\d:\d\d " + line + rb"\r\n", told), told
