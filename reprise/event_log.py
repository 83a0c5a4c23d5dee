"""Losses and rates in TensorBoard's event files: .tensorboard/<run name> <run key>/."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reprise.checkout import main_checkout


class EventLog:
    """Takes figures by step; one without a writer takes them nowhere."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

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
            yield cls(opened)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)
