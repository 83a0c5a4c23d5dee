"""Asked to stop: by SIGTERM or Ctrl-C, or because the process that started us is gone."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self


class StopRequest:
    """While it is entered, signals are noted instead of killing; ask `reason()` between steps."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, parent: int | None = None) -> None:
        """`parent`: the id of the process that started this one; None: the present one's."""
        self._parent = os.getppid() if parent is None else parent

    def __enter__(self) -> Self:
        self.received: signal.Signals | None = None
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)

    def reason(self) -> str | None:
        """Why to stop, or None to go on. DVC leaves its stages behind when it is killed."""
        if self.received is not None:
            return self.received.name
        if os.getppid() != self._parent:
            return "the end of the process that started this one"
        return None
