"""A finished run, as its files tell it, into MLflow: after evaluation, or long after."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from reprise.files import read_json
from reprise.params.loading import read_params
from reprise.params.run import RunParams
from reprise.runs.files import (
    COUNTS,
    CURVES,
    DATA_CARD,
    FIGURES,
    LOCK,
    PARAMS,
    SETTINGS,
    TRAINED,
    VOCABULARY,
    WEIGHTS,
)
from reprise.tracking.data import data_hashes, data_sets, hashes_of, is_current, read_lock
from reprise.tracking.description import (
    display_name,
    event_points,
    figures_of,
    settings_tags,
    shown_params,
)
from reprise.tracking.logged_model import log_model
from reprise.tracking.tracker import Tracker

RESULTS = (WEIGHTS, SETTINGS, TRAINED, CURVES, FIGURES, "data/evaluate")
NOT_ARTIFACTS = (WEIGHTS, VOCABULARY)  # they are in the logged model

Paths = Mapping[str, Path]  # where the file lies that has this path in the project


def publish_evaluation(
    params_path: Path, model: Path, tokenizer: Path, curves: Path, metrics: Path, out: Path
) -> None:
    """Add to the run of the model's key, or make it from the files where there is none."""
    paths = {
        PARAMS: params_path,
        SETTINGS: model / "model.json",
        WEIGHTS: model / "model.safetensors",
        VOCABULARY: tokenizer,
        CURVES: curves,
        FIGURES: metrics,
        **{f"data/evaluate/{path.name}": path for path in sorted(out.iterdir())},
    }
    lock = read_lock()
    here = [LOCK, COUNTS, TRAINED]
    if is_current(lock, "data_card"):
        card = Path(DATA_CARD).with_suffix("")
        here += [DATA_CARD, *(path.as_posix() for path in sorted(card.glob("*")))]
    paths |= {name: Path(name) for name in here if Path(name).exists()}
    files = {path: paths[path] for path in RESULTS if path in paths}
    publish(paths, data_hashes(lock), hashes_of(files | {"data/evaluate": out}))


def publish(
    paths: Paths,
    data: Mapping[str, str],
    results: Mapping[str, str],
    *,
    tags: Mapping[str, str] | None = None,
    start_time: int | None = None,
) -> Tracker:
    """Publish what is lacking, and wait for it.

    `data` and `results` are MD5 by path in the project. Without `tags` this process has just
    finished the run; else they say which state of the project it is of, and `start_time`
    (milliseconds since 1970) when that was.
    """
    params, settings = read_params(paths[PARAMS]), read_json(paths[SETTINGS])
    name = (tags or {}).get("DVC_EXP_NAME") or display_name(params)
    with Tracker.start(
        RunParams.model_validate(params["run"]),
        settings["run_key"],
        name,
        shown_params(params),
        settings_tags(settings) | dict(tags or {}),
        hashes=results,
        continues=True,
        live=tags is None,
        start_time=start_time,
    ) as tracker:
        tracker.log_curves(paths[CURVES])
        if TRAINED in paths:
            trained = read_json(paths[TRAINED])
            tracker.log_metrics(event_points(trained), trained["steps"])
        tracker.log_figures(figures_of(read_json(paths[FIGURES])))
        tracker.log_artifacts({n: path for n, path in paths.items() if n not in NOT_ARTIFACTS})
        counts = read_json(paths[COUNTS]) if COUNTS in paths else {}
        tracker.log_inputs(partial(data_sets, params["download"]["corpus"], data, counts))
        if WEIGHTS in paths and VOCABULARY in paths:
            needed: dict[str, Any] = {"weights": paths[WEIGHTS], "settings": paths[SETTINGS]}
            tracker.add(partial(log_model, **needed, vocabulary=paths[VOCABULARY]))
        tracker.log_hashes(data, outputs=False)
        tracker.log_hashes(results)  # last: they say that all is there
    return tracker
