"""The losses by step, written and read."""

from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.training_log import read_rows, rows_as_csv


def test_the_log_has_six_digits_and_empty_cells(tmp_path: Path) -> None:
    row = {"step": 20, "tokens": 1234567, "learning_rate": 0.1 + 0.2, "valid": None}
    text = rows_as_csv([row])
    assert text == "step,tokens,learning_rate,valid\n20,1234567,0.3,\n"
    (tmp_path / "train.csv").write_text(text)
    assert read_rows(tmp_path / "train.csv") == [row | {"learning_rate": 0.3}]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "not there"),
        (b"step,tok\xcb\n1,2\n", "not the losses by step that training writes"),
        (b"tokens\n1\n", "not the losses by step that training writes"),
        (b"step,tokens\n1,many\n", "not the losses by step that training writes"),
        (b"step,tokens\n1,2,3\n", "not the losses by step that training writes"),
        (b"step,tokens\n1.5,2\n", "a step is no whole number"),
        (b"step,tokens\n,2\n", "a step is no whole number"),
    ],
)
def test_another_file_is_told(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "train.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError) as told:
        read_rows(path)
    assert str(told.value) == f"{path}: {fault}; run `dvc repro -f train`"
