"""What training puts into MLflow."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from reprise.files import read_json
from reprise.params.loading import read_params
from reprise.params.run import RunParams
from reprise.tracking.data import data_hashes, data_sets, hashes_of, read_lock
from reprise.tracking.description import display_name, settings_tags, shown_params
from reprise.tracking.tracker import Tracker

COUNTS = Path("metrics/encode.json")


def start_of_training(
    params_path: Path, settings: Mapping[str, Any], *, continues: bool
) -> Tracker:
    """`settings` is what model.json will say."""
    params = read_params(params_path)
    tracker = Tracker.start(
        RunParams.model_validate(params["run"]),
        settings["run_key"],
        display_name(params),
        shown_params(params),
        settings_tags(settings),
        continues=continues,
        watched=True,
    )
    hashes = data_hashes(read_lock())
    counts = read_json(COUNTS) if COUNTS.exists() else {}
    tracker.log_hashes(hashes, outputs=False)
    tracker.log_inputs(partial(data_sets, params["download"]["corpus"], hashes, counts))
    return tracker


def end_of_training(
    tracker: Tracker, params_path: Path, model: Path, metrics: Path, curves: Path
) -> None:
    outputs = {
        "data/train/model.safetensors": model / "model.safetensors",
        "data/train/model.json": model / "model.json",
        "metrics/train.json": metrics,
        "metrics/train.csv": curves,
    }
    tracker.log_curves(curves)
    small = {name: path for name, path in outputs.items() if path.suffix != ".safetensors"}
    tracker.log_artifacts({"params.yaml": params_path, **small})
    tracker.log_hashes(hashes_of(outputs))
