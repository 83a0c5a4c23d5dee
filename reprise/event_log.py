"""Losses and rates in TensorBoard's event files: .tensorboard/<run name> <run key>/."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reprise.checkout import main_checkout


class EventLog:
    """Takes figures by step; one without a writer takes them nowhere.

    A step that is not after the last one is one that is trained again: what was told from there on
    no longer counts.
    """

    def __init__(self, writer: Any = None, last: int = 0) -> None:
        self._writer, self._last = writer, last

    @classmethod
    @contextmanager
    def start(cls, name: str, *, wanted: bool, step: int) -> Iterator["EventLog"]:
        """What an earlier process wrote about steps after `step` no longer counts."""
        if not wanted:
            yield cls()
            return
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter  # its signature has no types
        with writer(main_checkout() / ".tensorboard" / name, purge_step=step + 1) as opened:
            yield cls(opened, step)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if self._writer is not None:
            if step <= self._last:
                self._writer.purge_step = step
                self._writer.close()  # the next figure opens a file that begins with the purge
            self._last = step
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)
