"""Ordered maps over processes."""

import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprise import parallel
from reprise.errors import PipelineError
from reprise.parallel import ITEMS_AHEAD_PER_WORKER, Engine, ordered_map, workers_of
from reprise.params.run import RunParams


def square_later(number: int) -> int:
    time.sleep(0.02 * (number % 3))  # so that workers finish in another order
    return number * number


def refuse(number: int) -> int:
    raise PipelineError(f"item {number} is wrong; mend it", "and look at the others")


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(ordered_map(square_later, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_gives_nothing(workers: int) -> None:
    assert list(ordered_map(square_later, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_not_taken_far_ahead_of_results(workers: int) -> None:
    given = []

    def items() -> Iterator[int]:
        for number in range(60):
            given.append(number)
            yield number

    for taken, _ in enumerate(ordered_map(square_later, items(), workers)):
        time.sleep(0.005)
        assert len(given) - taken <= ITEMS_AHEAD_PER_WORKER * workers
    assert len(given) == 60


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_for_people_comes_through_with_its_lines(workers: int) -> None:
    with pytest.raises(PipelineError) as caught:
        list(ordered_map(refuse, [7], workers))
    assert caught.value.lines == ("item 7 is wrong; mend it", "and look at the others")


def run_params(**changed: object) -> RunParams:
    settings = {"workers": 2, "engine": "loky", "engine_address": None, "tracking": False}
    return RunParams.model_validate(settings | {"experiment": "tests"} | changed)


def test_the_engine_is_what_the_settings_say() -> None:
    assert workers_of(run_params()) == Engine(2, "loky", None)
    found = workers_of(run_params(workers="auto", engine="dask", engine_address="tcp://a:1"))
    assert found == Engine("auto", "dask", "tcp://a:1")


def test_auto_takes_the_cores_at_hand() -> None:
    assert list(ordered_map(square_later, range(4), Engine("auto"))) == [0, 1, 4, 9]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"engine_address": "auto"},
            "engine_address is 'auto', but engine loky works on this machine; set engine to dask "
            "or ray, or engine_address to null",
        ),
        (
            {"engine": "dask"},
            "engine_address is null, but engine dask needs one such as tcp://127.0.0.1:8786",
        ),
        (
            {"engine": "dask", "engine_address": "tcp://host"},
            "engine_address is 'tcp://host', but engine dask needs one such as "
            "tcp://127.0.0.1:8786",
        ),
        (
            {"engine": "ray", "engine_address": "tcp://host:6379"},
            "engine_address is 'tcp://host:6379', but engine ray needs auto (the cluster this "
            "machine is part of) or ray://HOST:10001",
        ),
    ],
)
def test_an_engine_and_an_address_belong_together(changed: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        run_params(**changed)


@pytest.mark.parametrize(
    ("engine", "address"),
    [
        ("dask", "tls://scheduler.example:8786"),
        ("dask", "tcp://[::1]:8786"),
        ("ray", "auto"),
        ("ray", "ray://head:10001"),
    ],
)
def test_addresses_of_clusters(engine: str, address: str) -> None:
    assert run_params(engine=engine, engine_address=address).engine_address == address


def die_once(item: tuple[int, str]) -> int:
    number, flag = item
    if number == 5 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_what_a_killed_worker_had_in_hand_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [(number, str(tmp_path / "died")) for number in range(30)]
    assert list(ordered_map(die_once, items, 2)) == [number**2 for number in range(30)]
    assert (tmp_path / "died").exists()
    assert caplog.messages == ["a worker process was ended by the system; its work is done again"]


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_workers_that_are_killed_again_and_again_are_told() -> None:
    with pytest.raises(PipelineError) as caught:
        list(ordered_map(die, range(4), 2))
    assert str(caught.value) == (
        "a worker process was ended by the system 3 times in a row; most likely memory ran out: "
        "lower run.workers, or end other programs, and run the same command again"
    )


def repeat(times: int) -> bytes:
    return b"x" * times


def test_a_large_result_comes_in_a_file_which_is_gone_afterwards() -> None:
    """A worker that is killed while it sends something large would be waited for without end."""
    sizes = [10, 100_000, 3_000_000]
    assert [len(result) for result in ordered_map(repeat, sizes, 2)] == sizes
    folder = parallel._folder()
    assert list(folder.iterdir()) == []
    (small, large) = (parallel._handed_over(repeat(size), folder) for size in (10, 100_000))
    assert isinstance(small, bytes)
    assert list(folder.iterdir()) == [large]
    assert len(pickle.dumps([small])) < 4096 > len(pickle.dumps([large]))
    assert parallel._taken_over(large) == repeat(100_000)
    assert list(folder.iterdir()) == []


def test_no_room_for_a_large_result_is_told(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        with pytest.raises(PipelineError, match=re.escape(f"{tmp_path}: cannot be written: File")):
            parallel._handed_over(repeat(100_000), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


PARENT = """
import os, sys, time
from reprise.parallel import ordered_map
from tests.test_parallel import tell_and_sleep
list(ordered_map(tell_and_sleep, [sys.argv[1]] * 2, 2))
"""


def tell_and_sleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    seen, temporary = tmp_path / "seen", tmp_path / "temporary"
    seen.mkdir()
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(seen)],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    try:
        _wait(lambda: len(list(seen.iterdir())) == 2)
        assert len(list(temporary.glob("reprise-*"))) == 1
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in seen.iterdir()]
    _wait(lambda: not any(_alive(worker) for worker in workers))
    assert list(temporary.glob("reprise-*")) == []


THREADS_RUN_OUT = """
import math, sys, threading
from reprise.errors import PipelineError
from reprise.parallel import ordered_map
left, start = int(sys.argv[1]), threading.Thread.start
def counted(thread):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = counted
try:
    print(list(ordered_map(math.sqrt, [1.0, 4.0, 9.0], 2)))
except PipelineError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize("threads", [0, 1, 2, 9])
def test_where_threads_run_out_that_is_told(threads: int) -> None:
    """With one, it is a thread of joblib that gets no more, and joblib would wait without end."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS_RUN_OUT, str(threads)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if threads > 1:
        assert (done.returncode, done.stdout) == (0, "[1.0, 2.0, 3.0]\n")
        return
    assert (done.returncode, done.stdout) == (1, "")
    told = (
        "error: the system gives no more processes or threads; lower run.workers, or raise the "
        "limit (ulimit -u), and run the same command again"
    )
    assert told in done.stderr.splitlines()  # and what is left of joblib's, in the second case


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait(condition) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)
