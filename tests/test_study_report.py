"""Reports of studies whose figures are made up, so that the answers are known."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from reprise.params.loading import read_params
from reprise.studies.figures import Figures, choices
from reprise.studies.report import write_files
from reprise.studies.running import PointState
from reprise.studies.study import Point, Study, StudyFile, set_value


def point(**overrides: Any) -> Point:
    params = read_params(ROOT / "params.yaml")
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    for name, value in named.items():
        set_value(params, name, value)
    return Point(named, {}, params)


def figures(own: Point, test: float, **changes: Any) -> Figures:
    made = Figures(own, test, test + 0.01, 9.0, 500, 1000, 3000, 5000, 700, 10**12, 60.0)
    return dataclasses.replace(made, **changes)


def report(
    folder: Path, content: Mapping[str, Any], found: Sequence[Figures], *lacking: PointState
) -> str:
    study = Study(
        "own",
        StudyFile.model_validate({"title": "A *title*", "question": "Why?", **content}),
        tuple(each.point for each in found),
    )
    return write_files(study, found, lacking, folder).read_text(encoding="utf-8")


def test_a_power_law_is_told_with_its_interval_and_drawn(tmp_path: Path) -> None:
    found = [
        figures(
            point(clean__fraction=fraction, train__seed=seed),
            30 * tokens**-0.3 + 1 + wiggle,
            train_tokens=tokens,
        )
        for fraction, tokens in ((0.1, 10**4), (0.2, 3 * 10**4), (0.4, 10**5), (0.7, 3 * 10**5),
                                 (1.0, 10**6))
        for seed, wiggle in ((1, 0.001), (2, -0.001))
    ]  # fmt: skip
    content = {
        "axis": "train_tokens",
        "fit": "power_law",
        "grid": {"clean.fraction": [0.1, 0.2, 0.4, 0.7, 1.0], "train.seed": [1, 2]},
    }
    text = report(tmp_path / "one", content, found)
    assert "# A \\*title\\*\n\nWhy?" in text
    # 30 * 1e6^-0.3 = 0.4755; half as much text: times 2^0.3 = 1.2311, twice as much: 0.8123
    assert "x^-0.3, where x is tokens of training text; 95% of the exponent: 0.2" in text
    assert "half as much costs 0.110 bits a byte, and twice as much would gain 0.089" in text
    assert "Best is `fraction=1`: 1.4755 bits a byte on test as the mean of 2 seeds." in text
    assert "more than the 0.0020 between seeds of one choice" in text
    assert "10 runs, 1e+13 FLOPs of training, 600 s, of which the longest run took 60 s" in text
    assert "| 0.1 | 1 | 700 | 10,000 | 5,000 | 1.00 |" in text
    assert "<dc:date>" not in (tmp_path / "one" / "by_train_tokens.svg").read_text()
    rows = (tmp_path / "one" / "points.csv").read_text().splitlines()
    assert rows[0].startswith("clean.fraction,train.seed,parameters,train_tokens,")
    assert rows[1].startswith("0.1,1,700,10000,3000,5000,1000000000000,")
    report(tmp_path / "two", content, found)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "by_train_tokens.svg", "points.csv", "report.md",
    ]  # fmt: skip


def test_what_is_best_is_chosen_on_valid_and_chance_is_not_ruled_out(tmp_path: Path) -> None:
    found = [
        figures(point(model__architecture="lstm"), 1.2, valid=1.5, parameters=10),
        figures(point(model__architecture="gru"), 1.3, valid=1.4, parameters=20),
    ]
    assert [choice.label for choice in choices(found)] == ["architecture=gru", "architecture=lstm"]
    content = {"axis": "model.architecture", "grid": {"model.architecture": ["lstm", "gru"]}}
    text = report(tmp_path, content, found)
    assert (
        "Best is `architecture=gru`: 1.3000 bits a byte on test. The next is `architecture=lstm` "
        "with 1.2000; with one seed each it is not known how much of that is chance."
    ) in text
    assert "power law" not in text
    assert (tmp_path / "by_model_architecture.svg").exists()
    assert (tmp_path / "by_parameters.svg").exists()


def test_a_difference_within_that_of_seeds_is_said_to_be(tmp_path: Path) -> None:
    found = [
        figures(point(model__layers=layers, train__seed=seed), test)
        for layers, seed, test in ((1, 1, 1.0), (1, 2, 1.2), (2, 1, 1.1), (2, 2, 1.2))
    ]
    content = {"axis": "model.layers", "grid": {"model.layers": [1, 2], "train.seed": [1, 2]}}
    text = report(tmp_path, content, found)
    assert "1.1500: a difference of no more than the 0.2000 between seeds of one choice." in text


def test_each_series_has_a_law_of_its_own(tmp_path: Path) -> None:
    found = [
        figures(
            point(model__architecture=kind, train__max_steps=steps), 9 * steps**-power,
            training_flops=10**9 * steps,
        )
        for kind, power in (("lstm", 0.2), ("rnn", 0.1))
        for steps in (100, 1000, 10_000)
    ]  # fmt: skip
    content = {
        "axis": "train.max_steps",
        "by": "model.architecture",
        "fit": "power_law",
        "grid": {"model.architecture": ["lstm", "rnn"], "train.max_steps": [100, 1000, 10_000]},
    }
    text = report(tmp_path, content, found)
    for kind, power in (("lstm", 0.2), ("rnn", 0.1)):
        (line,) = [line for line in text.splitlines() if line.startswith(f"- {kind}: ")]
        assert f"x^-{power}, where x is train.max_steps;" in line
        assert "with the floor held at 0 for want of points" in line
    assert (tmp_path / "by_training_flops.svg").exists()


def test_other_test_texts_lost_points_and_a_better_baseline_are_said(tmp_path: Path) -> None:
    found = [
        figures(point(train__seed=1), 2.0, baseline=1.5),
        figures(point(train__seed=2), 2.0, test_bytes=501, seconds=None),
    ]
    failed = PointState(point(train__seed=3), "", None, "the loss is *nan*", tmp_path)
    waits = PointState(point(train__seed=4), "", None, None, tmp_path)
    content = {"axis": "train.seed", "fit": "power_law", "grid": {"train.seed": [1, 2, 3, 4]}}
    text = report(tmp_path, content, found, failed, waits)
    assert "- The points were tested on different texts: their figures cannot be compared." in text
    assert "- In 1 of 2 points the network loses to Kneser-Ney n-grams of the same tokens." in text
    assert "- No power law is fitted: 2 different values of train.seed are too few." in text
    assert "- `seed=3`: failed: the loss is \\*nan\\*\n- `seed=4`: not run yet" in text
    assert "60 s, of which the longest run took 60 s (the time of 1 is not known)" in text


@pytest.mark.parametrize("rising", [1.0, 2.0])
def test_what_does_not_fall_has_no_law(tmp_path: Path, rising: float) -> None:
    steps = range(100, 700, 100)
    found = [figures(point(train__max_steps=each), 1 + rising * each / 1000) for each in steps]
    content = {
        "axis": "train.max_steps",
        "fit": "power_law",
        "grid": {"train.max_steps": list(steps)},
    }
    text = report(tmp_path, content, found)
    assert "- No power law is fitted: bits a byte do not fall with train.max_steps." in text
