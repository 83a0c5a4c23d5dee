"""Find a run by what a person calls it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reprise.errors import PipelineError
from reprise.params.loading import check_params, read_params
from reprise.runs.files import (
    LOCK,
    PARAMS,
    MlflowRun,
    Revision,
    RunFiles,
    Workspace,
    read_yaml_of,
)
from reprise.tracking.description import shown_params
from reprise.tracking.store import existing_store, search_runs, store_failures, unusable
from reprise.tracking.sync import states

WORKSPACE = "workspace"
MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
SCORED = "metrics.`test/bits_per_byte` > 0"  # evaluation came to its end


def find_run(name: str) -> RunFiles:
    """The run of the current folder's project with this name; PipelineError where there is none."""
    if not name.strip():  # DVC would take it for the workspace
        raise PipelineError(
            f"found {name!r} for the name of a run; a side has a name, or several with a comma "
            "between each two"
        )
    if name == WORKSPACE:
        return Workspace()
    if MLFLOW_ID.fullmatch(name):
        return MlflowRun(name)
    try:
        return Revision(name)
    except PipelineError:
        if Path(name).is_file():
            return run_with_settings(Path(name))
    raise PipelineError(
        f"{name}: no run of this name; tried: the id of a run in MLflow (it has 32 hexadecimal "
        f"digits), {WORKSPACE}, a commit, branch, tag or experiment of DVC, the path of a file of "
        "settings"
    )


def run_with_settings(path: Path) -> RunFiles:
    """The newest finished run with all settings of the file that have a part in the result: of
    MLflow's, else of experiments and commits."""
    check_params(path)
    params = read_params(path)
    wanted = shown_params(params)
    found = _tracked(params["run"]["experiment"], wanted)
    if found is not None:
        return found
    looked_at = 0
    for files in _committed():
        looked_at += 1
        if _is_finished_with(files, wanted):
            return files
    raise PipelineError(
        f"{path}: no finished run has these settings; tried: the runs of MLflow's experiment "
        f"{params['run']['experiment']}, {looked_at} commits and experiments of DVC; copy it to "
        f"{PARAMS} and run `dvc repro` to make one"
    )


def _tracked(experiment: str, wanted: dict[str, str]) -> MlflowRun | None:
    store = existing_store(experiment)
    if store is None:
        return None
    client, experiment_id = store
    try:
        runs = search_runs(client, [experiment_id], f"attributes.status = 'FINISHED' and {SCORED}")
    except store_failures() as error:
        raise unusable(error) from None
    for run in runs:
        if wanted == run.data.params:
            return MlflowRun(run.info.run_id)
    return None


def _committed() -> Iterator[Revision]:
    """The newest first; experiments are newer than the commits that they vary."""
    for state in reversed(list(states())):
        if state.revision is not None:
            files = Revision(state.revision)
            files.name = state.name
            yield files


def _is_finished_with(files: RunFiles, wanted: dict[str, str]) -> bool:
    """Whether the stages ran to the last with these settings, which params.yaml alone need not
    mean."""
    try:
        if _shown(read_yaml_of(files, PARAMS)) != wanted:
            return False
        return _shown(recorded_params(read_yaml_of(files, LOCK))) == wanted
    except FileNotFoundError:
        return False


def _shown(params: dict[str, Any]) -> dict[str, str]:
    try:
        return shown_params(json.loads(json.dumps(params)))
    except (KeyError, TypeError):  # settings of another version of the code
        return {}


def recorded_params(lock: dict[str, Any]) -> dict[str, Any]:
    """The sections of params.yaml with which the stages ran, as dvc.lock has them."""
    return {
        section: values
        for stage in lock["stages"].values()
        for section, values in stage.get("params", {}).get(PARAMS, {}).items()
    }
