"""Tokens a second, told truly: over the time spent in training steps, not between them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Counts tokens and seconds between two readings; `paused()` keeps other work out."""

    def __init__(self) -> None:
        self._tokens, self._seconds = 0, 0.0
        self._since: float | None = time.monotonic()  # None while paused

    def add(self, tokens: int) -> None:
        self._tokens += tokens

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._stop()
        yield
        self._since = time.monotonic()

    def read(self) -> float:
        """Tokens a second since the last reading."""
        was_paused = self._since is None
        self._stop()
        rate = self._tokens / self._seconds if self._seconds > 0 else 0.0
        self._tokens, self._seconds = 0, 0.0
        self._since = None if was_paused else time.monotonic()
        return rate

    def _stop(self) -> None:
        if self._since is not None:
            self._seconds += time.monotonic() - self._since
            self._since = None
