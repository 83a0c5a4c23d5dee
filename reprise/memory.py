"""Memory that is freed goes back to the system, so that work on many shards stays small."""

import ctypes
import os

import pyarrow as pa

LARGE_BLOCK = 2 << 20  # bytes; smaller than the buffers of a shard
_M_MMAP_THRESHOLD = -3  # of glibc's mallopt


def give_back_large_blocks() -> None:
    """From now on, in this process and in those that it starts, under glibc.

    Left alone, glibc keeps freed blocks of up to 32 MB in a heap that becomes full of holes, and
    Arrow has an allocator of its own that keeps what it had: with a gigabyte of text, some 100 MB
    more a process.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(LARGE_BLOCK))
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
