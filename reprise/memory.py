"""What becomes of freed memory, under glibc.

Data stages give it back to the system, so that work on many shards stays small; training keeps it,
since each step takes the same again.
"""

import ctypes
import os

import pyarrow as pa

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


def _mallopt(option: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(option, value)
