"""Runs of the past into MLflow: all that git and DVC still have and that MLflow lacks.

A stage that DVC restores from its cache runs no code, and a fresh clone has no database; their runs
are made here from the files: commits, experiments of DVC, and the workspace.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reprise.checkout import git_state
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.params.loading import params_faults, read_params
from reprise.runs.experiments import all_experiments
from reprise.runs.files import (
    COUNTS,
    CURVES,
    DATA_CARD,
    DOCUMENTS,
    FIGURES,
    LOCK,
    PARAMS,
    SETTINGS,
    TRAINED,
    VOCABULARY,
    WEIGHTS,
    Revision,
    RunFiles,
    Workspace,
)
from reprise.runs.git import GitUnusableError, git
from reprise.tracking.data import data_hashes, hashes_of, is_current, output_hashes, read_lock
from reprise.tracking.description import EVENTS
from reprise.tracking.finished_run import RESULTS, publish
from reprise.tracking.store import open_client, search_runs, shown_uri, store_failures, unusable
from reprise.tracking.tracker import HASH_PREFIX

NEEDED = (PARAMS, LOCK, SETTINGS, TRAINED, CURVES, FIGURES)
OPTIONAL = (
    *(COUNTS, WEIGHTS, VOCABULARY),
    *(DOCUMENTS, "data/evaluate/quantiles.csv", "data/evaluate/samples.txt"),
)
CARD = (DATA_CARD, *(f"metrics/data_card/{name}.svg" for name in ("dropped", "lengths", "pieces")))

Results = tuple[tuple[str, str], ...]  # path and MD5 of each of RESULTS
Outcome = Literal["published", "there already", "not in the cache", "of another version"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class State:
    """A state of the project that may have a finished run."""

    revision: str | None  # None: the workspace
    name: str
    tags: Mapping[str, str]
    milliseconds: int | None  # since 1970; None: now

    def files(self) -> RunFiles:
        return Revision(self.revision) if self.revision else Workspace()

    def lock(self) -> dict[str, Any]:
        """dvc.lock; empty where there is none, or it is broken. Asked of git itself, since there
        may be many."""
        if self.revision is None:
            return read_lock()
        try:
            lock = YAML(typ="safe", pure=True).load(_git("show", f"{self.revision}:{LOCK}"))
        except YAMLError:  # with marks of a merge, say
            return {}
        return lock if isinstance(lock, dict) else {}


def sync() -> Iterator[tuple[str, Outcome]]:
    """The name of each state of the current folder's project with a finished run, and what came of
    it; the oldest commit first, each run once. PipelineError where MLflow cannot be used."""
    seen: set[Results] = set()
    recorded: set[Results] | None = None
    for state in states():
        lock = state.lock()
        hashes = output_hashes(lock)
        results = tuple((path, hashes[path]) for path in RESULTS if path in hashes)
        if len(results) < len(RESULTS) or results in seen:
            continue
        seen.add(results)
        recorded = recorded_results() if recorded is None else recorded
        there = results in recorded
        yield state.name, "there already" if there else _publish(state, lock, dict(results))


def states() -> Iterator[State]:
    """Commits that changed dvc.lock, from the oldest on; experiments; the workspace."""
    log = _git("log", "--branches", "--tags", "--remotes", "HEAD", "--reverse", "--topo-order",
               "--format=%H %ct", "--", LOCK)  # fmt: skip
    for line in log.splitlines():
        commit, seconds = line.split()
        yield State(commit, commit[:10], _commit_tags(commit), int(seconds) * 1000)
    for experiment in all_experiments(Path()) if log else ():
        tags = _commit_tags(experiment.commit) | {"DVC_EXP_NAME": experiment.name}
        tags |= {"DVC_EXP_BASELINE_REV": experiment.baseline}
        yield State(experiment.commit, experiment.name, tags, experiment.seconds * 1000)
    if Path(LOCK).exists():
        yield State(None, "workspace", git_state(Path()), None)


def _publish(state: State, lock: Mapping[str, Any], results: Mapping[str, str]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        files, copies = state.files(), Path(folder)
        try:
            paths = {path: _copy(files, path, copies) for path in NEEDED}
        except FileNotFoundError:
            return "not in the cache"
        checked = {path: paths[path] for path in (SETTINGS, TRAINED, CURVES, FIGURES)}
        if any(results[path] != md5 for path, md5 in hashes_of(checked).items()):
            return "not in the cache"  # a workspace that its dvc.lock does not tell of
        if not _is_of_this_version(paths):
            return "of another version"
        for path in (*OPTIONAL, *(CARD if is_current(lock, "data_card") else ())):
            try:
                paths[path] = _copy(files, path, copies)
            except FileNotFoundError:
                continue
        data = data_hashes(lock)
        tracker = publish(paths, data, results, tags=state.tags, start_time=state.milliseconds)
    if tracker.is_away:
        raise PipelineError(f"MLflow at {shown_uri()} went away; run `reprise track sync` again")
    return "published"


def _is_of_this_version(paths: Mapping[str, Path]) -> bool:
    """Whether the run's files hold what is shown of them; older code wrote other settings."""
    known = read_json(paths[SETTINGS]).keys() >= {"run_key", "machine", "inputs", "parameters"}
    counted = read_json(paths[TRAINED]).keys() >= {"steps", *EVENTS}
    return known and counted and not params_faults(PARAMS, read_params(paths[PARAMS]), rules=False)


def recorded_results() -> set[Results]:
    """Of all finished runs in MLflow."""
    try:
        client = open_client()
        runs = search_runs(
            client,
            [experiment.experiment_id for experiment in client.search_experiments()],
            "attributes.status = 'FINISHED'",
        )
    except store_failures() as error:
        raise unusable(error) from None
    return {
        tuple((path, tags[HASH_PREFIX + path]) for path in RESULTS)
        for tags in (run.data.tags for run in runs)
        if all(HASH_PREFIX + path in tags for path in RESULTS)
    }


def _copy(files: RunFiles, path: str, folder: Path) -> Path:
    content = files.read(path)
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def _commit_tags(commit: str) -> dict[str, str]:
    return {"git.commit": commit, "git.dirty": "false", "mlflow.source.git.commit": commit}


def _git(*arguments: str) -> str:
    """What git says; nothing outside of a repository, and before its first commit."""
    try:
        return git(Path(), *arguments)
    except GitUnusableError:
        raise
    except PipelineError:
        return ""
