"""Arrow's arrays made without pa.array, compared with what that makes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprise.arrow import arrow_of, mask_of, numbers_in, numpy_of, strings_of


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("values", [[], [5], [1, 2, 60_000]])
def test_numbers_go_there_and_back(values: list[int], dtype: type) -> None:
    array = arrow_of(np.array(values, dtype))
    assert array.equals(pa.array(values, pa.from_numpy_dtype(dtype)))
    array.validate(full=True)
    assert numpy_of(array).dtype == dtype
    assert numpy_of(array).tolist() == values
    assert numpy_of(array[1:2]).tolist() == values[1:2]


@pytest.mark.parametrize("length", [0, 1, 8, 9, 100])
def test_a_mask_keeps_its_places(length: int) -> None:
    values = [place % 3 == 0 for place in range(length)]
    assert mask_of(np.array(values, bool)).equals(pa.array(values, pa.bool_()))


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "天é", "\x00"]])
def test_texts_become_strings(texts: list[str]) -> None:
    array = strings_of(texts)
    assert array.equals(pa.array(texts, pa.string()))
    array.validate(full=True)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_column_of_numbers_is_read_over_its_row_groups(tmp_path: Path, rows: int) -> None:
    path, values = tmp_path / "a.parquet", list(range(rows))
    pq.write_table(pa.table({"tokens": pa.array(values, pa.int64())}), path, row_group_size=2)
    assert numbers_in(path, "tokens").tolist() == values


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ({"words": [1]}, "{} has no column tokens"),
        ({"tokens": [1, None]}, "tokens in {} is not a column of whole numbers alone"),
        ({"tokens": ["1"]}, "tokens in {} is not a column of whole numbers alone"),
        ({"tokens": [1.5]}, "tokens in {} is not a column of whole numbers alone"),
    ],
)
def test_a_column_that_is_none_of_numbers_is_refused(
    tmp_path: Path, column: dict[str, list[object]], fault: str
) -> None:
    pq.write_table(pa.table(column), path := tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=re.escape(fault.format(path))):
        numbers_in(path, "tokens")


def test_pandas_is_not_loaded(tmp_path: Path) -> None:
    pq.write_table(pa.table({"tokens": [1]}), path := tmp_path / "a.parquet")
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from reprise.arrow import arrow_of, mask_of, numbers_in, numpy_of, strings_of\n"
        "numpy_of(arrow_of(np.arange(3)).filter(mask_of(np.ones(3, bool))))\n"
        f"numbers_in(Path({str(path)!r}), 'tokens')\n"
        "strings_of(['a']).to_pylist()\n"
        "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
