"""The best run's model under a name and an alias, by which others load it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprise.errors import PipelineError
from reprise.tracking.store import (
    existing_store,
    search_runs,
    store_failures,
    tracking_uri,
    unusable,
)
from reprise.tracking.tracker import HASH_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FIGURE = "valid/bits_per_byte"  # test is for telling how good it is, not for choosing
TEXT_TAG = f"{HASH_PREFIX}data/clean/valid.parquet"


@dataclass(frozen=True)
class Registration:
    run_id: str
    run_name: str
    figure: float  # bits a byte on valid
    version: str
    uri: str  # for MLflow
    passed_over: int  # runs that were scored on another valid text


def register(experiment: str, name: str, alias: str, run_id: str | None) -> Registration:
    """Give the model of a run, or of the best one, the alias; PipelineError where there is none."""
    store = existing_store(experiment)
    if store is None:
        raise PipelineError(f"MLflow has no experiment {experiment}; run `dvc repro` first")
    client, experiment_id = store
    try:
        runs = search_runs(client, [experiment_id], "attributes.status = 'FINISHED'")
        finished = [run for run in runs if _model_id(run) and FIGURE in run.data.metrics]
        if run_id is not None:
            finished = [run for run in finished if run.info.run_id == run_id]
        if not finished:
            wanted = f"run {run_id} is not" if run_id else "no run is"
            raise PipelineError(
                f"{wanted} finished with a model and {FIGURE} in experiment {experiment}; "
                "`reprise track sync` publishes what git and DVC have"
            )
        text = finished[0].data.tags.get(TEXT_TAG)  # the newest run's
        comparable = [run for run in finished if run.data.tags.get(TEXT_TAG) == text]
        best = min(comparable, key=lambda run: run.data.metrics[FIGURE])
        version = _version(client, best, name)
        client.set_registered_model_alias(name, alias, version)
    except store_failures() as error:
        if isinstance(error, PipelineError):
            raise
        raise unusable(error) from None
    return Registration(
        best.info.run_id,
        best.info.run_name or "",
        best.data.metrics[FIGURE],
        version,
        f"models:/{name}@{alias}",
        len(finished) - len(comparable),
    )


def _model_id(run: "Run") -> str | None:
    models = run.outputs.model_outputs if run.outputs else []
    return models[0].model_id if models else None


def _version(client: "MlflowClient", run: "Run", name: str) -> str:
    """Of the registered model: the one that the run has already, or a new one."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run.info.run_id:
            return str(version.version)
    mlflow.set_tracking_uri(tracking_uri())
    model_id = _model_id(run)
    made = client.create_model_version(
        name, f"models:/{model_id}", run.info.run_id, model_id=model_id
    )
    return str(made.version)
