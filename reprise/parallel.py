"""Work mapped over processes: results in order, bounded look-ahead, nothing left running.

The processes are joblib's on this machine (loky), or the workers of a Dask or Ray cluster. What is
done with an item must not depend on where. So functions are those of modules that the workers can
import too, the project in the same version is installed there, paths in items are absolute, since
workers run in folders of their own, and the project's folder lies on a disk that all share. Work on
a cluster may be done twice: when a worker is lost, and it changes nothing but what it returns and
files of its own. A Dask worker needs one thread (`--nthreads 1`).
"""

import atexit
import errno
import logging
import os
import pickle
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Any, Literal, TypeVar

import psutil
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from reprise.errors import PipelineError
from reprise.files import readable_write_errors
from reprise.params.run import RunParams

T = TypeVar("T")
R = TypeVar("R")

ITEMS_AHEAD_PER_WORKER = 3
MOST_BYTES_IN_A_PIPE = 2048  # at once (4096) with what joblib adds
MOST_DEATHS = 3  # of workers, without a result in between
NO_MORE_PROCESSES = (
    "the system gives no more processes or threads; lower run.workers, or raise the limit "
    "(ulimit -u), and run the same command again"
)
SECONDS_TO_CONNECT = 15
SECONDS_WITHOUT_WORKERS = 120

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """Where work is done, and by how many processes; "auto" is as many as there are cores.

    On a cluster, which has the workers it has, the number bounds the look-ahead alone.
    """

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
                _exhaustion_told(),
                parallel_config(backend="loky", inner_max_num_threads=1),
                Parallel(
                    n_jobs=workers,
                    return_as="generator",
                    batch_size=1,
                    pre_dispatch="all",
                    max_nbytes=None,
                ) as pool,
            ):
                while window.goes_on:
                    for result in pool(
                        call(function, item, os.getpid(), _folder()) for item in window
                    ):
                        window.take()
                        deaths = 0
                        yield _taken_over(result)
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


@contextmanager
def _exhaustion_told() -> Iterator[None]:
    """PipelineError where the system gives no more processes, threads or shared memory.

    Where it is a thread of the pool that gets none, the pool would wait for it without end, with
    locks that clearing away waits for too: the process ends at once, with the same line.
    """
    before = threading.excepthook

    def end(of_thread: threading.ExceptHookArgs, /) -> None:
        if not _is_of_exhaustion(of_thread.exc_value):
            before(of_thread)
            return
        _kill_workers()
        sys.stderr.write(f"error: {NO_MORE_PROCESSES}\n")
        sys.stderr.flush()
        os._exit(1)

    threading.excepthook = end
    try:
        yield
    except (RuntimeError, OSError) as error:
        if _is_of_exhaustion(error):
            _kill_workers()
            raise PipelineError(NO_MORE_PROCESSES) from None
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            raise PipelineError(
                "/dev/shm is full, which processes share; free some of it, or set run.workers to 1"
            ) from None
        raise
    finally:
        threading.excepthook = before


def _kill_workers() -> None:
    """Those who have just begun would tell at length that nobody waits for them."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # who has ended by itself
            if any("popen_loky" in word for word in child.cmdline()):
                child.kill()


def _is_of_exhaustion(error: BaseException | None) -> bool:
    """Or led to it: what joblib leaves behind cannot be cleared away without more threads."""
    while error is not None:
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return True
        if isinstance(error, BlockingIOError):  # of fork
            return True
        error = error.__cause__ or error.__context__
    return False


def _on_dask(function: Callable[[T], R], items: Iterable[T], engine: Engine) -> Iterator[R]:
    """By Client.submit: what Dask gives up, joblib's backend for Dask waits for without end.

    Dask itself does again what a lost worker had in hand.
    """
    address = str(engine.address)
    with _dask_client(address) as client:
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            _wait_for_a_dask_worker(client, address)
            workers = sum(client.ncores().values()) if engine.workers == "auto" else engine.workers
            submit = partial(client.submit, pickle.loads, pure=False)
            result = partial(_dask_result, client, address)
            yield from _on_cluster(function, items, workers, submit, result)
        except KilledWorker as error:
            raise _died_on_cluster("Dask") from error
        except (CancelledError, CommClosedError) as error:
            raise _went_away(address) from error


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise _not_installed("dask") from None
    # Its tracebacks tell once more what is told here in a line.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client: Any = Client  # its signature has no types
        return client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _no_answer("Dask scheduler", address, "dask scheduler", error) from None


def _wait_for_a_dask_worker(client: Any, address: str) -> None:
    if client.ncores():
        return
    log.warning("the Dask scheduler at %s has no workers; waiting for one", address)
    try:
        client.wait_for_workers(1, timeout=SECONDS_WITHOUT_WORKERS)
    except TimeoutError:
        raise PipelineError(
            f"run.engine_address: the Dask scheduler at {address} has had no workers for "
            f"{SECONDS_WITHOUT_WORKERS} seconds; start some with `dask worker {address} "
            "--nthreads 1`, and run the same command again"
        ) from None
    except OSError as error:
        raise _went_away(address) from error


def _went_away(address: str) -> PipelineError:
    return PipelineError(
        f"run.engine_address: the Dask scheduler at {address} went away; start it again with its "
        "workers, and run the same command again"
    )


def _dask_result(client: Any, address: str, task: Any) -> bytes:
    while not task.done():
        try:
            task.exception(timeout=SECONDS_TO_CONNECT)
        except TimeoutError:
            _wait_for_a_dask_worker(client, address)
    return task.result()


def _on_ray(function: Callable[[T], R], items: Iterable[T], engine: Engine) -> Iterator[R]:
    """By tasks: joblib's backend for Ray gives whole lists alone."""
    ray = _connected_ray(str(engine.address))
    cores = int(ray.cluster_resources().get("CPU", 1))
    workers = cores if engine.workers == "auto" else engine.workers

    def load(packed: bytes) -> bytes:  # local, so Ray sends what it is, not its name
        return pickle.loads(packed)

    submit = ray.remote(max_retries=MOST_DEATHS)(load).remote
    yield from _on_cluster(function, items, workers, submit, partial(_ray_result, ray))


def _connected_ray(address: str) -> Any:
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # of 40 s each, not 20
    try:
        import ray
    except ModuleNotFoundError:
        raise _not_installed("ray") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, ValueError, RuntimeError) as error:
            raise _no_answer("Ray cluster", address, "ray start --head", error) from None
    return ray


def _ray_result(ray: Any, task: Any) -> bytes:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:  # raised by the work itself
        if isinstance(error.cause, ImportError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise _died_on_cluster("Ray") from error


def _on_cluster(
    function: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    submit: Callable[[bytes], Any],
    result: Callable[[Any], bytes],
) -> Iterator[R]:
    """submit begins pickle.loads of what it is given; result waits for what that returned."""
    tasks: deque[Any] = deque()

    def taken() -> R:
        try:
            found = pickle.loads(result(tasks.popleft()))
        except ImportError as error:
            raise _not_there(error) from error
        if isinstance(found, PipelineError):
            raise found
        return found[0]

    for item in items:
        tasks.append(submit(pickle.dumps(_Call(pickle.dumps((function, item))))))
        if len(tasks) == ITEMS_AHEAD_PER_WORKER * workers:
            yield taken()
    while tasks:
        yield taken()


@dataclass(frozen=True)
class _Call:
    """Its pickle is loaded by calling _work, where the project is installed.

    A Dask worker ends when it cannot import a task's function; pickle.loads is found everywhere.
    """

    packed: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return _work, (self.packed,)


def _work(packed: bytes) -> bytes:
    """What a worker does. Clusters pass bytes on as they are; arrays would come back read-only."""
    try:
        function, item = pickle.loads(packed)
    except AttributeError as error:  # an ImportError goes the way of all others
        return pickle.dumps(_not_there(error))
    try:
        return pickle.dumps((function(item),))
    except PipelineError as error:
        return pickle.dumps(error)


def _not_there(error: Exception) -> PipelineError:
    return PipelineError(
        f"run.engine: a worker of the cluster cannot load the work: {error}; install the same "
        "version of the project, with what it needs, where the workers run"
    )


def _died_on_cluster(name: str) -> PipelineError:
    return PipelineError(
        f"the {name} workers that had the same piece of work all ended; most likely memory ran "
        "out: give them more, or start fewer on a machine, and run the same command again"
    )


def _no_answer(what: str, address: str, start: str, error: Exception) -> PipelineError:
    reason = " ".join(str(error).split())
    return PipelineError(
        f"run.engine_address: no {what} answers at {address}: {reason}; start one with `{start}`, "
        "or set run.engine to loky"
    )


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


def _call_in_worker(function: Callable[[T], R], item: T, parent: int, folder: Path) -> bytes | Path:
    global _watched
    if not _watched:
        _watched = True
        threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()
    return _handed_over(function(item), folder)


def _end_with(parent: int, folder: Path) -> None:
    """End this process within a second of its parent, also when that was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _handed_over(result: object, folder: Path) -> bytes | Path:
    """The result's pickle, in a file when it is large.

    Workers share a pipe, which takes a small one whole or not at all. When one is killed in the
    middle of a large one, joblib waits for the rest without end.
    """
    packed = pickle.dumps(result)
    if len(packed) <= MOST_BYTES_IN_A_PIPE:
        return packed
    with readable_write_errors(folder), NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(packed)
    return Path(file.name)


def _taken_over(handed: bytes | Path) -> Any:
    if isinstance(handed, bytes):
        return pickle.loads(handed)
    with handed.open("rb") as file:
        handed.unlink()
        return pickle.load(file)


@cache
def _folder() -> Path:
    """For large results on their way; one a process, gone when that ends."""
    folder = Path(mkdtemp(prefix="reprise-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
