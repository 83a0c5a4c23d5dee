"""Progress of long work: a bar on a terminal, a line now and then in a log; rate and time left."""

import logging
import sys
import time
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts work done against a total; `total=None` where the end is not known beforehand."""

    def __init__(self, label: str, total: float | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0.0
        self._base = 0.0
        self._started = self._told = time.monotonic()
        self._bar = None
        self._until_done = ExitStack()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=unit, unit_scale=True, desc=label, leave=False)

    def __enter__(self) -> Self:
        if self._bar is not None:
            from tqdm.contrib.logging import logging_redirect_tqdm

            self._until_done.enter_context(closing(self._bar))
            self._until_done.enter_context(logging_redirect_tqdm())  # lines stand above the bar
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._until_done.close()

    def resume_at(self, done: float) -> None:
        """Work done by an earlier process: it counts towards the total, not towards the rate."""
        self._base = self.done = done
        if self._bar is not None:
            self._bar.initial = done
            self._bar.n = done
            self._bar.refresh()

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(amount)
            return
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            log.info("%s", self._line(now - self._started, note))

    def _line(self, seconds: float, note: str) -> str:
        rate = (self.done - self._base) / seconds
        told = f"{rate:,.0f}" if rate >= 9.95 else f"{rate:.2g}"
        line = f"{self.label}: {self.done:,.0f}"
        if self.total:
            left = (self.total - self.done) / rate if rate else float("inf")
            line += f" of {self.total:,.0f} {self.unit} ({self.done / self.total:.0%})"
            line += f", {told} {self.unit}/s, {left:,.0f} s left"
        else:
            line += f" {self.unit}, {told} {self.unit}/s"
        return f"{line}, {note}" if note else line
