import json

from reprise.tracking.description import curve_points, figures_of, flat


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
