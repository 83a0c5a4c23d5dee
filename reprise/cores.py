"""Threads that wait for each other: wide awake on cores of our own, soon asleep on shared ones.

A waiting thread of OpenMP looks for some milliseconds whether it may go on, and only then sleeps:
the fastest way where it has a core to itself, and the slowest where it takes that core from the
very thread that it waits for. GNU's OpenMP, which torch's packages for Linux carry, looks just a
hundred times once a process has more OpenMP threads than there are cores (`do_spin` in libgomp's
config/linux/wait.h). So a thread here reads how long this process stood in line for a core, and
while that is long keeps as many more OpenMP threads, all asleep, as tip that balance.
"""

import ctypes
import logging
import os
import threading
import time
from importlib.util import find_spec
from pathlib import Path

STATISTICS = Path("/proc/self/schedstat")  # of the main thread
TASKS = Path("/proc/self/task")
LOOK_SECONDS = 0.25
# Seconds in line by second of the clock, of the thread with the most, since all wait for it.
# Measured with two threads on two cores: under 0.01 with the cores to itself, beside another
# program 0.4 to 0.6, and 0.3 where waiting threads sleep soon.
SHARED_FROM, LOOKS_BEFORE_SHARED = 0.1, 2
ALONE_BELOW, LOOKS_BEFORE_ALONE = 0.05, 8
# Where standing in line is not told, waiting threads look this often, always: two trainings on
# the same cores keep about half of their speed each, and one alone loses a tenth.
TURNS_WHERE_NOT_TOLD = "1000"
WATCH = "cores"  # the name of the thread
_CHOSEN_BY = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

log = logging.getLogger(__name__)
_watching = threading.Lock()


def choose_turns(statistics: Path = STATISTICS) -> None:
    """For this process and those that it starts, before torch is loaded; what a person chose in
    the environment stays."""
    if not _tells_waiting(statistics) and not _chosen():
        os.environ["GOMP_SPINCOUNT"] = TURNS_WHERE_NOT_TOLD


def share_cores(threads: int) -> None:
    """From now on: `threads` of this process work together, and may not be alone on their cores.

    Does nothing where there is nothing to be done: one thread, another OpenMP, a choice made in
    the environment, a system that does not tell how long threads stand in line.
    """
    if threads < 2 or _chosen() or not _tells_waiting(STATISTICS):
        return
    openmp = _openmp()
    if openmp is None or not _watching.acquire(blocking=False):
        return
    more = max(2, len(os.sched_getaffinity(0)) - threads + 2)
    threading.Thread(target=_watch, args=(openmp, more), name=WATCH, daemon=True).start()


class Line:
    """Says from the time in line whether somebody else wants these cores."""

    def __init__(self) -> None:
        self.shared = False
        self._looks = 0  # in a row that speak against it

    def look(self, share: float) -> bool:
        """`share`: of the time since the last look, in line."""
        against = share < ALONE_BELOW if self.shared else share >= SHARED_FROM
        self._looks = self._looks + 1 if against else 0
        if self._looks == (LOOKS_BEFORE_ALONE if self.shared else LOOKS_BEFORE_SHARED):
            self.shared, self._looks = not self.shared, 0
        return self.shared


class IdleThreads:
    """More threads of OpenMP in this process, which do nothing but be there."""

    def __init__(self, openmp: ctypes.CDLL, count: int) -> None:
        self._openmp, self._count = openmp, count
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._stay, daemon=True)
        self._thread.start()

    def _stay(self) -> None:
        # A team belongs to the thread that made it and ends with it; each of it frees nothing.
        nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
        self._openmp.GOMP_parallel(nothing, None, ctypes.c_uint(self._count), ctypes.c_uint(0))
        self._leave.wait()

    def go(self) -> None:
        self._leave.set()
        self._thread.join()


def _watch(openmp: ctypes.CDLL, more: int) -> None:
    # The system's clock: Python's others may be replaced for all threads, as tests do.
    line, idle = Line(), None
    before, then = _waited(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    while True:
        time.sleep(LOOK_SECONDS)
        waited, now = _waited(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        longest = max(waited[task] - before[task] for task in waited.keys() & before.keys())
        shared = line.look(longest / (now - then))
        before, then = waited, now
        if shared and idle is None:
            idle = IdleThreads(openmp, more)
            log.debug("others want these cores: waiting threads sleep soon")
        elif idle is not None and not shared:
            idle.go()
            idle = None
            log.debug("the cores are ours: waiting threads stay awake")


def _waited() -> dict[str, int]:
    """Nanoseconds that each thread of this process was ready to run and had no core."""
    waited = {}
    for task in TASKS.iterdir():
        try:
            waited[task.name] = int((task / "schedstat").read_bytes().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return waited


def _tells_waiting(statistics: Path) -> bool:
    """Kernels without these statistics have no such file, or zeros in it."""
    try:
        return int(statistics.read_bytes().split()[2]) > 0
    except OSError:
        return False


def _chosen() -> bool:
    return any(name in os.environ for name in _CHOSEN_BY)


def _openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP that torch has loaded; None where it uses another one."""
    torch = find_spec("torch")
    assert torch is not None
    beside = (Path(str(torch.origin)).parent / "lib").glob("libgomp*.so*")
    for name in (*map(str, sorted(beside)), "libgomp.so.1"):
        try:
            return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        except OSError:
            continue  # not there, or not loaded
    return None
