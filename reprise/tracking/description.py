"""What MLflow shows of a run: its name, settings, curves and figures, by their names there."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from reprise.params.model import RECURRENT

MAX_PARAM_CHARACTERS = 6000  # MLflow cuts longer values off without a word

# Columns of metrics/train.csv -> names in MLflow, which draws a group of charts for what stands
# before the slash, by the alphabet: loss, test, train, valid. It compares runs by the first name.
CURVES = {
    "train_nats_per_token": "loss/train_nats_per_token",
    "valid_nats_per_token": "loss/valid_nats_per_token",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "tokens": "train/tokens",
}

EVENTS = ("loss_spikes", "skipped_steps", "roll_backs")  # in metrics/train.json
HOW_TRAINED = (
    *("devices", "nodes", "strategy", "micro_batch_size"),
    *("kept_", "tensorboard", "steps_per_checkpoint", "steps_per_log"),
)
TRANSFORMER_SETTINGS = (
    *("heads", "key_value_heads", "query_key_norm", "feedforward_size", "attention_dropout"),
)

# Settings that mean something only where another has a certain value: section, beginnings of their
# names, and whether they do.
CONDITIONS: tuple[tuple[str, tuple[str, ...], Callable[[Mapping[str, Any]], bool]], ...] = (
    *(
        ("clean", (rule,), lambda clean, rule=rule: rule in clean["rules"])
        for rule in ("boilerplate", "language", "repetition", "quality", "c4", "personal_data")
    ),
    ("clean", ("unicode_form",), lambda clean: "unicode" in clean["rules"]),
    ("clean", ("shingle_", "minhash_", "near_duplicate_"), lambda c: c["near_duplicates"] != "off"),
    ("clean", ("samples_per_reason",), lambda clean: False),  # nothing is decided by it
    ("tokenize", ("model_",), lambda tokenize: tokenize["model_file"] is not None),
    ("encode", ("",), lambda encode: False),
    ("model", TRANSFORMER_SETTINGS, lambda model: model["architecture"] not in RECURRENT),
    ("model", ("positions", "gelu_"), lambda model: model["architecture"] == "gpt2"),
    (
        "model",
        ("weight_dropout", "variational_dropout"),
        lambda model: model["architecture"] in RECURRENT,
    ),
    ("model", ("adaptive_cutoffs",), lambda model: bool(model["adaptive_cutoffs"])),
    ("train", ("muon_",), lambda train: train["optimizer"] == "muon"),
    ("train", ("momentum",), lambda train: train["optimizer"] in ("sgd", "muon")),
    ("train", ("beta",), lambda train: train["optimizer"] in ("adam", "adamw", "muon")),
    ("train", ("decay_fraction",), lambda train: train["schedule"] == "warmup_stable_decay"),
    ("train", ("plateau_",), lambda train: train["schedule"] == "plateau"),
    ("train", ("averaging_decay",), lambda train: train["averaging"] == "exponential"),
    ("train", ("averaging_patience",), lambda train: train["averaging"] == "triggered"),
    ("train", ("max_skipped_steps",), lambda train: train["not_finite"] != "stop"),
    ("download", ("max_",), lambda download: False),
    ("train", HOW_TRAINED, lambda train: False),
    ("evaluate", ("batch_tokens", "baseline_tokens"), lambda evaluate: False),
    ("evaluate", ("dynamic_",), lambda evaluate: evaluate["dynamic"]),
    ("evaluate", ("cache_",), lambda evaluate: evaluate["cache_tokens"] > 0),
    ("run", ("",), lambda run: False),
)


def display_name(params: Mapping[str, Any]) -> str:
    """Tells runs apart at a glance, by the four things that decide a model: architecture,
    vocabulary, training data and algorithm."""
    model, train, tokenize = params["model"], params["train"], params["tokenize"]
    sizes = model["hidden_size"]
    size = max(sizes) if isinstance(sizes, list | tuple) else sizes
    part = params["clean"]["fraction"]
    corpus = str(params["download"]["corpus"]).rstrip("/").rpartition("/")[2]
    vocabulary = f"{tokenize['type']}-{tokenize['vocabulary_size']}"
    if tokenize["model_file"] is not None:
        vocabulary = "taken-vocabulary"
    return (
        f"{model['architecture']}-{size}x{model['layers']} {vocabulary} "
        f"{corpus}{'' if part == 1 else f'*{part:g}'} "
        f"{train['optimizer']}-{train['learning_rate']:g} seed-{train['seed']}"
    )


def shown_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Dotted names and values of the settings that have a part in the result; all of them are in
    the run's params.yaml."""
    return {
        name: _param_text(value)
        for name, value in flat(params, ".").items()
        if value is not None and _matters(name, params)
    }


def settings_tags(settings: Mapping[str, Any]) -> dict[str, str]:
    """Of what model.json says: what `auto` became, the size, and the hashes of the data."""
    return {
        **{f"machine.{name}": str(value) for name, value in settings["machine"].items()},
        **{f"{name}.sha256": digest for name, digest in settings["inputs"].items()},
        "parameters": str(settings["parameters"]),
    }


def curve_points(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of metrics/train.csv by its names in MLflow, rounded as in that file, so that a run
    made from the file is the same; what was not measured (None) is left out."""
    return {
        curve: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, curve in CURVES.items()
        if (value := row.get(name)) is not None
    }


def event_points(counts: Mapping[str, Any]) -> dict[str, float]:
    """How often something happened that a person may want to look at, where it did."""
    return {f"events/{name}": counts[name] for name in EVENTS if counts[name]}


def figures_of(data: Mapping[str, Any]) -> dict[str, float]:
    """What a chart is worth having of, in metrics/evaluate.json: the model's figures, and of each
    baseline, of dynamic evaluation and of the neural cache the one that any two runs can be
    compared by.

    {"test": {"perplexity_per_token": 9, "tokens": 80, "unigram": {"bits_per_byte": 3}}} ->
    {"test/perplexity_per_token": 9, "test/unigram_bits_per_byte": 3}
    """
    found: dict[str, float] = {}
    for split, figures in data.items():
        for name, value in figures.items() if isinstance(figures, Mapping) else ():
            if isinstance(value, Mapping):
                found[f"{split}/{name}_bits_per_byte"] = value["bits_per_byte"]
            elif isinstance(value, float):  # counts are whole numbers
                found[f"{split}/{name}"] = value
    return found


def flat(data: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """{"train": {"seed": 1}} -> {"train.seed": 1}"""
    leaves: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            inner = flat(value, separator)
            leaves |= {f"{name}{separator}{key}": leaf for key, leaf in inner.items()}
        else:
            leaves[name] = value
    return leaves


def _matters(name: str, params: Mapping[str, Any]) -> bool:
    section, _, setting = name.partition(".")
    return all(
        holds(params[section])
        for of_section, beginnings, holds in CONDITIONS
        if of_section == section and setting.startswith(beginnings)
    )


def _param_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > MAX_PARAM_CHARACTERS:
        return f"({len(text):,} characters, see params.yaml)"
    return text
