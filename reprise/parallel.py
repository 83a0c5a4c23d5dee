"""Work mapped over processes: results in order, bounded look-ahead, nothing left running.

The processes are joblib's: its own on this machine (loky), or those of a Dask or Ray cluster. What
is done with an item must not depend on where: paths in items are absolute, since workers run in
folders of their own, and on a cluster the project's folder lies on a disk that all share.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from reprise.errors import PipelineError
from reprise.params.run import RunParams

T = TypeVar("T")
R = TypeVar("R")

ITEMS_AHEAD_PER_WORKER = 3
MOST_DEATHS = 3  # of workers, without a result in between
SECONDS_TO_CONNECT = 15

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """Where work is done, and by how many processes; "auto" is all that there are."""

    workers: int | Literal["auto"]
    kind: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None  # of the cluster


Workers = int | Engine  # a number: so many processes on this machine


def workers_of(params: RunParams) -> Engine:
    return Engine(params.workers, params.engine, params.engine_address)


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: Workers) -> Iterator[R]:
    """function(item) for each item, in the items' order whatever the number of workers.

    At most ITEMS_AHEAD_PER_WORKER items a worker are under way or wait to be taken, so memory
    does not grow with the number of items. One worker: this process itself. More: processes of one
    thread each, which end when this process ends, however it ends. When the system ends one of
    them, its items are done again; PipelineError when that does not help.
    """
    engine = workers if isinstance(workers, Engine) else Engine(workers)
    if engine.kind == "dask":
        yield from _on_dask(function, items, engine)
    elif engine.kind == "ray":
        yield from _on_ray(function, items, engine)
    elif (count := cpu_count() if engine.workers == "auto" else engine.workers) == 1:
        yield from map(function, items)
    else:
        yield from _in_processes(function, items, count)


def _in_processes(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    window = _Window(items, ITEMS_AHEAD_PER_WORKER * workers)
    call = delayed(_call_in_worker)
    deaths = 0
    while window.goes_on:
        try:
            with (
                parallel_config(backend="loky", inner_max_num_threads=1),
                _pool(workers) as pool,
            ):
                while window.goes_on:
                    for result in pool(call(function, item, os.getpid()) for item in window):
                        window.take()
                        deaths = 0
                        yield result
        except TerminatedWorkerError as error:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise PipelineError(
                    f"a worker process was ended by the system {deaths} times in a row; most "
                    "likely memory ran out: lower run.workers, or end other programs, and run "
                    "the same command again"
                ) from error
            log.warning("a worker process was ended by the system; its work is done again")
            window.start_again()


def _pool(workers: int) -> Any:
    return Parallel(
        n_jobs=workers, return_as="generator", batch_size=1, pre_dispatch="all", max_nbytes=None
    )


def _on_dask(function: Callable[[T], R], items: Iterable[T], engine: Engine) -> Iterator[R]:
    """Dask itself does again what a lost worker had in hand."""
    client = _dask_client(str(engine.address))
    cores = sum(client.ncores().values())
    if not cores:
        raise PipelineError(
            f"run.engine_address: the Dask scheduler at {engine.address} has no workers; start "
            "some with `dask worker ADDRESS`"
        )
    workers = cores if engine.workers == "auto" else engine.workers
    window = _Window(items, ITEMS_AHEAD_PER_WORKER * workers)
    # In a tuple, an item is sent with its task. joblib would place large ones on a worker
    # beforehand, and they would be lost with it.
    call = delayed(_call_on_cluster)
    with parallel_config(backend="dask", client=client), _pool(workers) as pool:
        while window.goes_on:
            for result in pool(call((function, item)) for item in window):
                window.take()
                yield result


@lru_cache(maxsize=1)
def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise _not_installed("dask") from None
    try:
        client: Any = Client  # its signature has no types
        return client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PipelineError(
            f"run.engine_address: no Dask scheduler answers at {address}: {reason}; start one "
            "with `dask scheduler`, or set run.engine to loky"
        ) from None


def _on_ray(function: Callable[[T], R], items: Iterable[T], engine: Engine) -> Iterator[R]:
    """A window of items at a time: joblib's backend for Ray gives lists alone."""
    cores = _ray_cores(engine.address)
    workers = cores if engine.workers == "auto" else engine.workers
    call = delayed(_call_on_cluster)
    window = _Window(items, ITEMS_AHEAD_PER_WORKER * workers)
    with parallel_config(backend="ray"), Parallel(n_jobs=workers, batch_size=1) as pool:
        while window.goes_on:
            for result in pool([call((function, item)) for item in window]):
                window.take()
                yield result


@lru_cache(maxsize=1)
def _ray_cores(address: str | None) -> int:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ModuleNotFoundError:
        raise _not_installed("ray") from None
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise PipelineError(
            f"run.engine_address: no Ray cluster answers at {address}: {reason}; start one with "
            "`ray start --head`, or set run.engine to loky"
        ) from None
    register_ray()
    return int(ray.cluster_resources().get("CPU", 1))


def _not_installed(engine: str) -> PipelineError:
    return PipelineError(
        f"run.engine: {engine} is not installed; `pip install 'reprise[{engine}]'`, or set "
        "run.engine to loky"
    )


class _Window(Iterator[T]):
    """Items until the taker is `ahead` of them behind, then a pause; iterate again to go on.

    joblib asks for items as fast as workers finish, not as fast as results are taken; a pause
    makes it hand out what it has before it asks again.
    """

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self.items = iter(items)
        self.ahead = ahead
        self.given: deque[T] = deque()  # and not taken
        self.again: deque[T] = deque()  # to be given once more
        self.exhausted = False

    @property
    def goes_on(self) -> bool:
        return not self.exhausted or bool(self.again)

    def take(self) -> None:
        """The result of the item that was given longest ago has arrived."""
        self.given.popleft()

    def start_again(self) -> None:
        """Give what was given and not taken once more, in order."""
        self.again.extendleft(reversed(self.given))
        self.given.clear()

    def __next__(self) -> T:
        if len(self.given) >= self.ahead:
            raise StopIteration
        try:
            item = self.again.popleft() if self.again else next(self.items)
        except StopIteration:
            self.exhausted = True
            raise
        self.given.append(item)
        return item


_watched = False


def _call_in_worker(function: Callable[[T], R], item: T, parent: int) -> R:
    global _watched
    if not _watched:
        _watched = True
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return function(item)


def _call_on_cluster(work: tuple[Callable[[T], R], T]) -> R:
    function, item = work
    return function(item)


def _end_with(parent: int) -> None:
    """End this process within a second of its parent, also when that was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
