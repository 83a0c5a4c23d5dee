"""Freed memory goes back to the system, at once or after a while."""

import subprocess
import sys

RESIDENT = """
def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
"""

SCRIPT = f"""
from reprise.memory import give_back_large_blocks
give_back_large_blocks()
{RESIDENT}

bytes(8 << 20)  # freed at once: from here on glibc would take blocks of 8 MB from its heap
start = resident()
blocks = [bytes(b"x") * (4 << 20) for _ in range(30)]
holes = [bytes(b"x") * 100_000 for _ in range(30)]
kept = blocks[1::2]
del blocks
print(resident() - start)
"""


def test_large_blocks_go_back_when_they_are_freed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 80 << 20  # 60 MB are still held


# Blocks of 4 MB, every second of which is freed; what is left of the freed ones after some looks.
KEPT_FOR_A_WHILE = f"""
import time
from reprise.memory import SECONDS_KEPT, holes_given_back, keep_freed_memory
{RESIDENT}
keep_freed_memory()
start, now = resident(), 0.0
blocks = [bytes(b"x") * (4 << 20) for _ in range(30)]
kept = blocks[1::2]
del blocks
time.monotonic = lambda: now
for _ in holes_given_back(iter(range(3))):
    print(resident() - start)
    now += SECONDS_KEPT / 2
"""


def test_training_keeps_what_it_frees_for_a_while() -> None:
    command = [sys.executable, "-c", KEPT_FOR_A_WHILE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    at_once, soon, later = map(int, done.stdout.split())
    assert min(at_once, soon) > 110 << 20
    assert later < 80 << 20  # 60 MB are still held
