import json
from pathlib import Path
from typing import Any

import pytest

from reprise.params.loading import read_params
from reprise.tracking.description import (
    curve_points,
    display_name,
    event_points,
    figures_of,
    flat,
    shown_params,
)

ROOT = Path(__file__).parent.parent


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    params = read_params(ROOT / "params.yaml")
    return {name: {**values, **sections.get(name, {})} for name, values in params.items()}


def test_a_name_tells_architecture_vocabulary_data_and_algorithm() -> None:
    params = changed(
        model={"architecture": "gru", "hidden_size": [128, 256], "layers": 2},
        tokenize={"type": "unigram", "vocabulary_size": 8000},
        download={"corpus": "my/novels/"},
        clean={"fraction": 0.25},
        train={"optimizer": "muon", "learning_rate": 0.0003, "seed": 7},
    )
    assert display_name(params) == "gru-256x2 unigram-8000 novels*0.25 muon-0.0003 seed-7"
    params["tokenize"]["model_file"] = "taken.model"
    assert display_name(params) == "gru-256x2 taken-vocabulary novels*0.25 muon-0.0003 seed-7"


def test_shown_settings_are_those_that_have_a_part_in_the_result() -> None:
    shown = shown_params(changed(train={"learning_rate": 0.0003}))
    assert shown["train.learning_rate"] == "0.0003"
    assert shown["evaluate.prompts"].startswith('["", "Return the ')
    assert not [name for name in shown if name.startswith(("run.", "clean.repetition.", "encode."))]
    assert len(shown) < 90 < len(flat(changed(), "."))
    adaptive = shown_params(changed(model={"adaptive_cutoffs": [10], "tie_weights": False}))
    assert adaptive["model.initial_head_bias"] == shown["model.initial_head_bias"] == "unigram"


@pytest.mark.parametrize(
    ("section", "change", "setting"),
    [
        ("clean", {"rules": ["repetition"]}, "clean.repetition.max_top_2_gram_fraction"),
        ("train", {"optimizer": "muon"}, "train.muon_learning_rate"),
        ("train", {"optimizer": "sgd"}, "train.momentum"),
        ("train", {"schedule": "plateau"}, "train.plateau_factor"),
        ("train", {"averaging": "exponential"}, "train.averaging_decay"),
        ("model", {"architecture": "transformer"}, "model.heads"),
        ("evaluate", {"dynamic": True}, "evaluate.dynamic_decay"),
        ("evaluate", {"cache_tokens": 100}, "evaluate.cache_weight"),
        ("tokenize", {"model_file": "taken.model"}, "tokenize.model_file"),
    ],
)
def test_a_setting_is_shown_where_another_gives_it_a_part(
    section: str, change: dict[str, Any], setting: str
) -> None:
    assert setting not in shown_params(changed())
    assert setting in shown_params(changed(**{section: change}))


def test_a_value_too_long_for_mlflow_is_told_by_its_length() -> None:
    shown = shown_params(changed(evaluate={"prompts": ["x" * 5000, "x" * 5000]}))
    assert shown["evaluate.prompts"] == "(10,008 characters, see params.yaml)"


def test_only_what_happened_is_an_event() -> None:
    counts = {"loss_spikes": 2, "skipped_steps": 0, "roll_backs": 1, "steps": 40}
    assert event_points(counts) == {"events/loss_spikes": 2, "events/roll_backs": 1}


def test_a_row_of_the_training_log_is_sent_as_its_file_rounds_it() -> None:
    row = {"step": 3, "tokens": 1234567, "train_nats_per_token": 1.23456789, "learning_rate": 0.1}
    assert curve_points({**row, "valid_nats_per_token": None}) == {
        "train/tokens": 1234567,
        "loss/train_nats_per_token": 1.23457,
        "train/learning_rate": 0.1,
    }


def test_nested_settings_become_dotted_names() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": "x"}
    assert flat(nested, ".") == {"a.b.c": 1, "a.d": [1, 2], "e": "x"}


def test_figures_are_the_models_and_one_of_each_other_in_a_group_for_each_split() -> None:
    text = """{"device": "cpu",
               "valid": {"bits_per_byte": 2.0,
                         "dynamic_evaluation": {"bits_per_byte": 1.8, "decay": 0.02},
                         "neural_cache": {"bits_per_byte": 1.9, "weight": 0.1}},
               "test": {"unigram": {"bits_per_byte": 2.5, "order": 1}, "words": 3, "best": "model",
                        "bits_per_byte": 1.5, "context": "stream"}}"""
    expected = {
        "test/bits_per_byte": 1.5,
        "test/unigram_bits_per_byte": 2.5,
        "valid/bits_per_byte": 2.0,
        "valid/dynamic_evaluation_bits_per_byte": 1.8,
        "valid/neural_cache_bits_per_byte": 1.9,
    }
    assert figures_of(json.loads(text)) == expected
