"""NumPy's arrays and texts as Arrow's, and back.

pa.array, to_numpy and read_table do it too, but load pandas where that is installed: up to 0.5 s in
every process.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


def arrow_of(values: npt.NDArray[Any]) -> pa.Array:
    """Numbers, without a copy."""
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def mask_of(values: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def strings_of(texts: Sequence[str]) -> pa.StringArray:
    """UnicodeEncodeError where a text has half of a character; of up to 2 GB."""
    contents = [text.encode("utf-8") for text in texts]
    starts = np.fromiter(accumulate(map(len, contents), initial=0), np.int32, len(contents) + 1)
    return pa.StringArray.from_buffers(
        len(contents), pa.py_buffer(starts), pa.py_buffer(b"".join(contents))
    )


def numpy_of(numbers: pa.Array) -> npt.NDArray[Any]:
    """Whole numbers without nulls, without a copy."""
    _, content = numbers.buffers()
    dtype = np.dtype(str(numbers.type))  # "int32" and the like are names to both
    found = np.frombuffer(content or b"", dtype)
    return found[numbers.offset : numbers.offset + len(numbers)]


def numbers_in(path: Path, column: str) -> npt.NDArray[Any]:
    """A column of a Parquet file; ValueError where it is not one of whole numbers without nulls,
    OSError or ValueError where the file cannot be read."""
    with pq.ParquetFile(path) as file:
        table = file.read(columns=[column])
    if column not in table.column_names:
        raise ValueError(f"{path} has no column {column}")
    values = table[column].combine_chunks()
    if not pa.types.is_integer(values.type) or values.null_count:
        raise ValueError(f"{column} in {path} is not a column of whole numbers alone")
    return numpy_of(values)
