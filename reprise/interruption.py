"""Asked to stop: by SIGTERM, Ctrl-C or a closed terminal, or because the process that started us is
gone."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

from reprise import STARTER


class StopRequest:
    """While it is entered, signals are noted instead of killing; ask `reason()` between steps.

    Who was asked once is on the way to its end, and hears no more: a signal to all processes of a
    group reaches each of several twice, the second time from the one that looks after them.
    """

    def __enter__(self) -> Self:
        self.received: signal.Signals | None = None
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.received else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)

    def reason(self) -> str | None:
        """Why to stop, or None to go on. DVC leaves its stages behind when it is killed."""
        if os.getppid() != STARTER:  # first, since Linux may send a signal for it
            return "the end of the process that started this one"
        return None if self.received is None else self.received.name
