"""Ordered maps over processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.parallel import ITEMS_AHEAD_PER_WORKER, ordered_map, worker_count


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


def test_a_number_of_workers_is_taken_as_it_is_and_auto_is_the_cores_at_hand() -> None:
    assert worker_count(3) == 3
    assert worker_count("auto") == len(os.sched_getaffinity(0))


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
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=Path(__file__).parents[1]
    )
    try:
        _wait(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    _wait(lambda: not any(_alive(worker) for worker in workers))


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
