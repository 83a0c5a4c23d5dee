"""Freed memory goes back to the system."""

import subprocess
import sys

SCRIPT = """
import sys
from reprise.memory import give_back_large_blocks
if sys.argv[1] == "back":
    give_back_large_blocks()

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

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
        [sys.executable, "-c", SCRIPT, "back"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 80 << 20  # 60 MB are still held
