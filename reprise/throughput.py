"""Tokens a second, told truly: over the time spent in training steps, not between them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Counts tokens and seconds between two readings; `paused()` keeps other work out."""

    def __init__(self) -> None:
        self._tokens, self._paused, self._since = 0, 0.0, time.monotonic()

    def add(self, tokens: int) -> None:
        self._tokens += tokens

    @contextmanager
    def paused(self) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self._paused += time.monotonic() - begin

    def read(self) -> float:
        """Tokens a second since the last reading."""
        now = time.monotonic()
        seconds = now - self._since - self._paused
        rate = self._tokens / seconds if seconds > 0 else 0.0
        self._tokens, self._paused, self._since = 0, 0.0, now
        return rate
