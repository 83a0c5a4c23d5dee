"""OpenMP's waiting threads, on cores of their own and on shared ones."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from reprise import cores
from reprise.cores import IdleThreads, Line, choose_turns

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads how Linux shares its cores")

# Wants one core for a while and then none, and tells in its log what the watch makes of it.
# Python's clocks stand still for it meanwhile, as other tests make them.
ONE_CORE = """
import logging, os, sys, threading, time
from time import monotonic
os.sched_setaffinity(0, {int(sys.argv[1])})
import torch
from reprise import cores
logging.basicConfig(level=logging.DEBUG, format="%(message)s", stream=sys.stdout)
torch.set_num_threads(2)
cores.share_cores(int(sys.argv[2]))
print([thread.name for thread in threading.enumerate()], flush=True)
told = threading.Event()
class Ends(logging.Handler):
    def emit(self, record): told.set()
logging.getLogger("reprise.cores").addHandler(Ends())
until = monotonic() + float(sys.argv[3])
time.monotonic = time.perf_counter = lambda: 0.0
while monotonic() < until and not told.is_set():
    sum(range(10_000))
told.clear()
told.wait(max(0, until - monotonic()))
"""


# How many threads more there are in each of some comings and goings, given time to come and go.
COMINGS_AND_GOINGS = """
import pathlib, time
import torch
from reprise.cores import IdleThreads, _openmp
def count():
    return len(list(pathlib.Path("/proc/self/task").iterdir()))
def more(than, expected):
    until = time.monotonic() + 60
    while count() - than != expected and time.monotonic() < until:
        time.sleep(0.05)
    return count() - than
time.sleep(1)
before = count()
for _ in range(3):
    idle = IdleThreads(_openmp(), 5)
    print(more(before, 5))
    idle.go()
    print(more(before, 0))
"""


def test_others_are_noticed_soon_and_believed_gone_after_a_while() -> None:
    line = Line()
    alone = [line.look(share) for share in (0.01, 0.09, 0.3, 0.02, 0.5)]  # never two in a row
    crowded = [line.look(share) for share in (0.1, 0.3, 0.06)]
    # Where they sleep soon threads stand in line less; one such look must not end it, nor many
    # with a crowd between them.
    calm = [line.look(0.02) for _ in range(cores.LOOKS_BEFORE_ALONE - 1)]
    again = line.look(0.05)
    gone = [line.look(0.0) for _ in range(cores.LOOKS_BEFORE_ALONE)]
    assert not any(alone)
    assert all([*crowded, *calm, again, *gone[:-1]])
    assert gone[-1] is False


@linux
def test_a_process_with_the_core_to_itself_and_with_another_on_it() -> None:
    core = min(os.sched_getaffinity(0))
    with _busy_on(core):
        told = _on_one_core(core, threads=2, seconds=60)
    assert "cores" in told[0]
    assert told[1:] == [
        "others want these cores: waiting threads sleep soon",
        "the cores are ours: waiting threads stay awake",
    ]


@linux
@pytest.mark.parametrize(
    ("threads", "chosen"),
    [(1, {}), (2, {"GOMP_SPINCOUNT": "7"}), (2, {"OMP_WAIT_POLICY": "active"})],
)
def test_one_thread_and_a_choice_in_the_environment_are_left_alone(
    threads: int, chosen: dict[str, str]
) -> None:
    told = _on_one_core(min(os.sched_getaffinity(0)), threads=threads, seconds=0, chosen=chosen)
    assert told == ["['MainThread']"]


@linux
def test_the_idle_threads_are_there_and_go() -> None:
    counts = [int(line) for line in _told([sys.executable, "-c", COMINGS_AND_GOINGS])]
    assert counts == [5, 0] * 3


@linux
def test_torch_computes_the_same_beside_idle_threads() -> None:
    openmp = cores._openmp()
    assert openmp is not None
    threads = torch.get_num_threads()
    numbers = torch.randn(300, 300, generator=torch.Generator().manual_seed(1))
    alone = numbers @ numbers
    idle = IdleThreads(openmp, 3)
    beside = numbers @ numbers
    idle.go()
    assert torch.equal(alone, beside)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("statistics", "before", "after"),
    [
        ("123 45 6\n", None, None),
        ("0 0 0\n", None, "1000"),  # a kernel without them
        (None, None, "1000"),
        (None, "7", "7"),
    ],
)
def test_where_waiting_is_not_told_threads_always_sleep_soon(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    statistics: str | None,
    before: str | None,
    after: str | None,
) -> None:
    if statistics:
        (tmp_path / "schedstat").write_text(statistics, encoding="ascii")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", before or "")
    if before is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    choose_turns(tmp_path / "schedstat")
    assert os.environ.get("GOMP_SPINCOUNT") == after


def _on_one_core(
    core: int, *, threads: int, seconds: float, chosen: dict[str, str] | None = None
) -> list[str]:
    return _told(
        [sys.executable, "-c", ONE_CORE, str(core), str(threads), str(seconds)], chosen or {}
    )


def _told(command: list[str], chosen: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in cores._CHOSEN_BY}
    environment = {**kept, **chosen}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


@contextmanager
def _busy_on(core: int) -> Iterator[None]:
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()
