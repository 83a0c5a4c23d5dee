"""The files of studies: their points, and what is told of wrong ones."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from project import ROOT
from ruamel.yaml import YAML

from reprise.errors import PipelineError
from reprise.models.size import parameter_count
from reprise.params.loading import read_params
from reprise.params.model import ModelParams
from reprise.studies.study import Study, load_study, names_of_studies

BASE = str(ROOT / "params.yaml")


def study(folder: Path, **content: Any) -> Study:
    with (folder / "own.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(
            {"title": "t", "question": "q", "axis": "parameters", "base": BASE, **content}, file
        )
    return load_study(folder, "own")


def faults(folder: Path, **content: Any) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        study(folder, **content)
    prefix = f"{folder / 'own.yaml'}: "
    return [line.removeprefix(prefix) for line in caught.value.lines]


def test_a_grid_gives_all_combinations_over_settings_and_base(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        settings={"train.max_steps": 77},
        grid={"train.seed": [1, 2], "clean.language.min_score": [0.5, 0.9]},
    )
    assert [point.label for point in found.points] == [
        "seed=1 min_score=0.5",
        "seed=1 min_score=0.9",
        "seed=2 min_score=0.5",
        "seed=2 min_score=0.9",
    ]
    last, base = found.points[-1].params, read_params(ROOT / "params.yaml")
    assert (last["train"]["seed"], last["train"]["max_steps"]) == (2, 77)
    assert last["clean"]["language"]["min_score"] == 0.9
    assert last["model"] == base["model"]
    assert base["train"]["max_steps"] != 77


def test_grids_and_points_follow_each_other(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        grid=[
            {"train.optimizer": ["sgd"], "train.learning_rate": [1.0, 2.0]},
            {"train.optimizer": ["adamw"]},
        ],
        points=[{"train.optimizer": "muon", "model.hidden_size": [512]}],
    )
    assert [point.label for point in found.points] == [
        "optimizer=sgd learning_rate=1",
        "optimizer=sgd learning_rate=2",
        "optimizer=adamw",
        "optimizer=muon hidden_size=[512]",
    ]
    assert found.points[-1].slug == "optimizer-muon-hidden-size-512"
    assert found.shown == ["train.optimizer", "train.learning_rate", "model.hidden_size"]


def test_sizes_are_solved_in_each_point(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        settings={"model.heads": 4},
        grid={"model.architecture": ["lstm", "transformer"]},
        solve=[
            {
                "setting": "model.hidden_size",
                "also": {"model.embedding_size": 1, "model.feedforward_size": 4},
                "multiple_of": 8,
                "parameters": 800_000,
            },
            {"setting": "train.max_steps", "training_flops": 1e12},
        ],
    )
    for point in found.points:
        network = ModelParams.model_validate(point.params["model"])
        assert parameter_count(network, 1000) == pytest.approx(800_000, rel=0.05)
        assert point.solved["model.hidden_size"] == network.embedding_size
        assert point.solved["train.max_steps"] == point.params["train"]["max_steps"] > 50
    assert found.shown[-1] == "train.max_steps"


def test_wrong_names_are_all_told_at_once_with_the_nearest(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        settings={"train.max_stps": 5},
        grid={"modle.hidden_size": [1], "train.seed": [1, 2]},
        points=[{"train": 3}],
        solve=[{"setting": "model.hiden_size", "parameters": 7}],
        axis="train_token",
        by="clean.fraction",
    ) == [
        "study.settings: train.max_stps: no such setting; did you mean train.max_steps?",
        "study.grid: modle.hidden_size: no such setting; did you mean model.hidden_size?",
        "study.points: train: no such setting; did you mean train.seed?",
        "study.solve: model.hiden_size: no such setting; did you mean model.hidden_size?",
        "study.axis: found 'train_token'; allowed: train_tokens, train_bytes, tokens_read, "
        "parameters, training_flops, or the name of a setting; did you mean train_tokens?",
        "study.by: clean.fraction is the same in all points; name one that varies",
    ]


def test_wrong_values_are_told_as_those_of_params_yaml_and_once(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        settings={"train.batch_size": 0},
        grid={"train.optimizer": ["adam", "adamm"], "train.max_steps": [10, 2400]},
    ) == [
        "point optimizer=adam max_steps=10: train.batch_size: found 0; input should be greater "
        "than or equal to 1",
        "point optimizer=adamm max_steps=10: train.optimizer: found 'adamm'; input should be "
        "'sgd', 'adam', 'adamw', 'adafactor' or 'muon'; did you mean adam?",
    ]
    assert faults(tmp_path, grid={"train.max_steps": [10, 2400]}) == [
        "point max_steps=10: train: warmup_steps 50 must be below max_steps 10"
    ]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("train.learning_rate", math.nan, "point learning_rate=nan: train.learning_rate: "),
        ("download.corpus", date(2026, 1, 5), "point corpus=2026-01-05: download.corpus: "),
    ],
)
def test_values_that_no_setting_takes_are_told(
    tmp_path: Path, name: str, value: object, told: str
) -> None:
    (line,) = faults(tmp_path, grid={name: [value]})
    assert line.startswith(told)


def test_a_base_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        study(tmp_path, base="recipes/no.yaml", grid={"train.seed": [1]})
    path = tmp_path / "own.yaml"
    assert str(caught.value) == f"recipes/no.yaml: no such file; study.base in {path} names it"


@pytest.mark.parametrize("name", ["my study", "a..b", "a.", "-a", "a~1", "a:b"])
def test_a_name_that_git_does_not_take_is_refused_before_anything_runs(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.yaml").touch()
    with pytest.raises(PipelineError, match="cannot be a part of a name in git"):
        load_study(tmp_path, name)


def test_a_wrong_study_is_told_key_by_key(tmp_path: Path) -> None:
    assert faults(tmp_path, titel="x", figure="bits_a_byte", grid={"train.seed": 1}) == [
        "study.grid: found 1; allowed: a mapping of dotted names to lists of values, or a list of "
        "such mappings",
        "study.figure: found 'bits_a_byte'; input should be 'bits_per_byte', 'nats_per_token', "
        "'perplexity_per_token' or 'perplexity_per_word'; did you mean bits_per_byte?",
        "study.titel: no such setting; allowed: title, question, base, settings, grid, points, "
        "solve, axis, by, fit, figure; did you mean title?",
    ]
    assert faults(tmp_path) == ["study: grid and points are empty; a study needs one of them"]
    assert faults(tmp_path, grid={"train.seed": [1]}, solve=[{"seting": "a.b"}])[-1] == (
        "study.solve.0.seting: no such setting; allowed: setting, also, multiple_of, parameters, "
        "training_flops; did you mean setting?"
    )


def test_figures_a_token_are_refused_where_vocabularies_differ(tmp_path: Path) -> None:
    (line,) = faults(
        tmp_path,
        grid={"tokenize.vocabulary_size": [500, 1000]},
        figure="perplexity_per_token",
    )
    assert line == (
        "study: figure perplexity_per_token cannot be compared between vocabularies, and "
        "tokenize.vocabulary_size varies; take bits_per_byte or perplexity_per_word"
    )


def test_a_point_that_stands_there_twice_is_told(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, grid={"train.seed": [2]}, points=[{"train.seed": 2}])
    assert line == "study: the point seed=2 stands there twice"


def test_an_unknown_study_is_told_with_the_nearest() -> None:
    with pytest.raises(PipelineError, match=r"no study 'dat'; there are: .*; did you mean data\?"):
        load_study(ROOT / "studies", "dat")


@pytest.mark.parametrize("name", names_of_studies(ROOT / "studies"))
def test_the_studies_of_the_project_are_sound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert len(load_study(ROOT / "studies", name).points) >= 8
