"""The report beside another branch, from two runs that are made up."""

import json
from pathlib import Path

import pytest

from reprise.checks import Check
from reprise.reruns.branch_report import write_report
from reprise.reruns.loss_plot import losses_in

CURVES = b"step,train_nats_per_token,valid_nats_per_token\n5,3.5,\n10,3.25,3.0\n"


class Files:
    """A run whose files are given."""

    def __init__(self, name: str, rate: float, bits: float, documents: int, steps: bytes) -> None:
        self.name = name
        self.files = {
            "params.yaml": f"train:\n  learning_rate: {rate}\n  seed: 1\n".encode(),
            "dvc.lock": json.dumps(
                {
                    "stages": {
                        "clean": {
                            "cmd": "x",
                            "outs": [{"path": "metrics/clean.json", "md5": "a"}],
                        },
                    }
                }
            ).encode(),
            "metrics/clean.json": json.dumps({"documents": {"kept": documents}}).encode(),
            "metrics/evaluate.json": json.dumps({"test": {"bits_per_byte": bits}}).encode(),
            "metrics/train.csv": steps,
        }

    def read(self, path: str) -> bytes:
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None


def written(folder: Path, base: Files, here: Files, *checks: Check) -> str:
    path = folder / "out" / "report.md"
    write_report(path, base, here, checks)
    return path.read_text(encoding="utf-8")


BASE = Files("main", 0.01, 2.0, 1_234_000, CURVES)


def test_settings_and_figures_stand_side_by_side_with_their_difference(tmp_path: Path) -> None:
    here = Files("workspace", 0.02, 1.9, 1_234_567, CURVES)
    checks = [
        Check("same", "clean: 1 outputs"),
        Check("differs", "train: data/x", "expected md5 a, found b"),
        Check("note", "evaluate", "other inputs"),
    ]
    assert written(tmp_path, BASE, here, *checks) == (
        "# The pipeline beside `main`\n\n"
        "**1 of 3 comparisons of hashes fail.**\n\n"
        "- differs train: data/x: expected md5 a, found b\n"
        "- note evaluate: other inputs\n\n"
        "## Settings that differ\n\n"
        "| setting | main | here |\n| --- | ---: | ---: |\n"
        "| `train.learning_rate` | 0.01 | 0.02 |\n\n"
        "## Figures\n\n"
        "| figure | main | here | difference |\n| --- | ---: | ---: | ---: |\n"
        "| `test/bits_per_byte` | 2 | 1.9 | -0.1 (-5.0%) |\n\n"
        "<details><summary>1 other numbers in metrics/ differ</summary>\n\n"
        "| figure | main | here | difference |\n| --- | ---: | ---: | --- |\n"
        "| `clean.documents.kept` | 1,234,000 | 1,234,567 | +567 (+0.0%) |\n\n"
        "</details>\n\n"
        "## Losses\n\n![Loss on train and valid](losses.png)\n"
    )
    picture = (tmp_path / "out" / "losses.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")


def test_two_equal_runs_differ_in_nothing(tmp_path: Path) -> None:
    report = written(tmp_path, BASE, BASE, Check("same", "clean: 1 outputs"))
    assert "None of 1 comparisons of hashes fails.\n\n## Settings that differ\n\nNone.\n" in report
    assert "| `test/bits_per_byte` | 2 | 2 | 0 |" in report
    assert "No other number in `metrics/` differs." in report


def test_a_base_that_never_ran_has_no_figures_and_no_curve(tmp_path: Path) -> None:
    base = Files("old", 0.01, 2.0, 1, CURVES)
    base.files = {"params.yaml": base.files["params.yaml"]}
    here = Files("workspace", 0.01, 1.9, 5, CURVES)
    report = written(tmp_path, base, here)
    assert "No hashes were compared." in report
    assert "| `test/bits_per_byte` | - | 1.9 | - |" in report
    here.files.pop("metrics/train.csv")
    (tmp_path / "out" / "losses.png").unlink()
    assert "## Losses" not in written(tmp_path, base, here)
    assert not (tmp_path / "out" / "losses.png").exists()


def test_a_curve_has_a_point_where_there_is_a_loss() -> None:
    curve = losses_in(CURVES)
    assert curve.train == [(5, pytest.approx(3.5)), (10, pytest.approx(3.25))]
    assert curve.valid == [(10, pytest.approx(3.0))]
