"""metrics/train.csv: the losses by step."""

import csv
from pathlib import Path

from reprise.errors import PipelineError

LogRow = dict[str, float | int | None]


def rows_as_csv(rows: list[LogRow]) -> str:
    """Six significant digits; empty where nothing was measured."""
    lines = [",".join(rows[0])]
    for row in rows:
        values = ["" if value is None else f"{value:.6g}" for value in row.values()]
        values[:2] = [str(row["step"]), str(row["tokens"])]
        lines.append(",".join(values))
    return "\n".join(lines) + "\n"


def read_rows(path: Path) -> list[LogRow]:
    """The contrary; PipelineError where the file is not there, or is not what training writes."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[LogRow] = [
                {name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)
            ]
        if all(isinstance(row["step"], int) for row in rows):
            return rows
        fault = "a step is no whole number"
    except FileNotFoundError:
        fault = "not there"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        fault = "not the losses by step that training writes"
    raise PipelineError(f"{path}: {fault}; run `dvc repro -f train`")


def _number(text: str) -> float | int | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else float(text)
