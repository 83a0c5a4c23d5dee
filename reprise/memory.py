"""What becomes of freed memory, under glibc.

Data stages give it back to the system, so that work on many shards stays small; training keeps it
for a while, since each step takes the same again.
"""

import ctypes
import os
import time
from collections.abc import Iterator
from typing import TypeVar

import pyarrow as pa

T = TypeVar("T")

SECONDS_KEPT = 20.0
LARGE_BLOCK = 2 << 20  # bytes; smaller than the buffers of a shard
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt


def give_back_large_blocks() -> None:
    """From now on, in this process and in those that it starts.

    Left alone, glibc keeps freed blocks of up to 32 MB in a heap that becomes full of holes, and
    Arrow has an allocator of its own that keeps what it had: with a gigabyte of text, some 100 MB
    more a process.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(LARGE_BLOCK))
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    pa.set_memory_pool(pa.system_memory_pool())
    _mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def keep_freed_memory() -> None:
    """From now on, in this process. New memory is zeroed by the system page by page, which took a
    tenth of a step of training and more."""
    _mallopt(_M_MMAP_MAX, 0)
    _mallopt(_M_TRIM_THRESHOLD, -1)


def holes_given_back(work: Iterator[T]) -> Iterator[T]:
    """The same pieces of work; every `SECONDS_KEPT` the pages between blocks in use go back.

    Steps of changing length leave holes that the next ones do not fit into: the heap of one small
    network was full of them after some thousand steps, and twice as large as at the start.
    """
    told = time.monotonic()
    for piece in work:
        yield piece
        if time.monotonic() - told >= SECONDS_KEPT:
            _glibc("malloc_trim", 0)
            told = time.monotonic()


def _mallopt(option: int, value: int) -> None:
    _glibc("mallopt", option, value)


def _glibc(name: str, *numbers: int) -> None:
    """Nothing where there is no such function, as on other systems."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*numbers)
