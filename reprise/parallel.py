"""Work mapped over processes: results in order, bounded look-ahead, nothing left running."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config

T = TypeVar("T")
R = TypeVar("R")

ITEMS_AHEAD_PER_WORKER = 3


def worker_count(setting: int | Literal["auto"]) -> int:
    """The number of processes: `auto` is the number of cores this process may use."""
    return cpu_count() if setting == "auto" else setting


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """function(item) for each item, in the items' order whatever the number of workers.

    At most ITEMS_AHEAD_PER_WORKER * workers items are under way or wait to be taken, so memory
    does not grow with the number of items. One worker: this process itself. More: joblib's
    processes of one thread each, which end when this process ends, however it ends.
    """
    if workers == 1:
        yield from map(function, items)
        return
    window = _Window(items, ITEMS_AHEAD_PER_WORKER * workers)
    call = delayed(_call_in_worker)
    with (
        parallel_config(backend="loky", inner_max_num_threads=1),
        Parallel(
            n_jobs=workers, return_as="generator", batch_size=1, pre_dispatch="all", max_nbytes=None
        ) as pool,
    ):
        while not window.exhausted:
            for result in pool(call(function, item, os.getpid()) for item in window):
                window.taken += 1
                yield result


class _Window(Iterator[T]):
    """Items until the taker is `ahead` of them behind, then a pause; iterate again to go on.

    joblib asks for items as fast as workers finish, not as fast as results are taken; a pause
    makes it hand out what it has before it asks again.
    """

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self.items = iter(items)
        self.ahead = ahead
        self.given = self.taken = 0
        self.exhausted = False

    def __next__(self) -> T:
        if self.given - self.taken >= self.ahead:
            raise StopIteration
        try:
            item = next(self.items)
        except StopIteration:
            self.exhausted = True
            raise
        self.given += 1
        return item


_watched = False


def _call_in_worker(function: Callable[[T], R], item: T, parent: int) -> R:
    global _watched
    if not _watched:
        _watched = True
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return function(item)


def _end_with(parent: int) -> None:
    """End this process within a second of its parent, also when that was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
