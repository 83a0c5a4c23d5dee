"""Packed bytes as what they hold, while they are read."""

import bz2
import gzip
import io
import lzma
from typing import IO, cast

import pyarrow as pa

BUFFER_BYTES = 1 << 20


def unpacking(file: IO[bytes], packing: str | None) -> io.BufferedReader:
    """The bytes that are packed in `file` by gzip, bz2, xz or zstd; the file's own without one."""
    if packing == "gzip":
        unpacked: object = gzip.GzipFile(fileobj=file)
    elif packing == "bz2":
        unpacked = bz2.BZ2File(file)
    elif packing == "xz":
        unpacked = lzma.LZMAFile(file)  # noqa: SIM115, closed by the caller
    elif packing == "zstd":
        unpacked = pa.CompressedInputStream(file, "zstd")
    else:
        unpacked = file
    return io.BufferedReader(cast(io.RawIOBase, unpacked), BUFFER_BYTES)
