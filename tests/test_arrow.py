"""Arrow's arrays made without pa.array, compared with what that makes."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from reprise.arrow import arrow_of, mask_of, numpy_of, strings_of


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


def test_pandas_is_not_loaded() -> None:
    script = (
        "import sys, numpy as np\n"
        "from reprise.arrow import arrow_of, mask_of, numpy_of, strings_of\n"
        "numpy_of(arrow_of(np.arange(3)).filter(mask_of(np.ones(3, bool))))\n"
        "strings_of(['a']).to_pylist()\n"
        "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
