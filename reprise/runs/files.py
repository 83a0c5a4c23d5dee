"""The files of a run by their paths in the project, wherever the run is kept.

A commit, a branch or an experiment of DVC has them in git and in DVC's cache, or in its remote; a
run in MLflow has the small ones as artifacts, under the same paths.
"""

import io
import json
import tempfile
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

from reprise.errors import PipelineError
from reprise.runs.git import dubious_ownership
from reprise.tracking.store import any_client, shown_uri, store_failures, unusable

PARAMS = "params.yaml"
LOCK = "dvc.lock"
CURVES = "metrics/train.csv"
FIGURES = "metrics/evaluate.json"
SETTINGS = "data/train/model.json"
DOCUMENTS = "data/evaluate/documents.parquet"
WEIGHTS, TRAINED = "data/train/model.safetensors", "metrics/train.json"
VOCABULARY, COUNTS = "data/tokenize/tokenizer.model", "metrics/encode.json"
DATA_CARD = "metrics/data_card.md"


class RunFiles(Protocol):
    @property
    def name(self) -> str: ...  # as a person would call the run

    def read(self, path: str) -> bytes:
        """FileNotFoundError where the run has no such file, or its bytes are not to be had."""
        ...


class Revision:
    """The project as it was at a commit, branch, tag or experiment of DVC."""

    def __init__(self, revision: str, project: Path = Path()) -> None:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError
        from pygit2 import GitError

        self.name = revision
        try:
            self._files = DVCFileSystem(str(project.absolute()), rev=revision)
            self.commit: str = self._files.repo.get_rev()
        except (DvcException, SCMError) as error:
            raise PipelineError(
                f"{revision}: no commit, branch, tag or experiment of DVC of this name ({error})"
            ) from None
        except GitError as error:
            if "not owned by current user" in str(error):
                raise dubious_ownership(project) from None
            raise PipelineError(f"{project.absolute()}: git: {error}") from None

    def read(self, path: str) -> bytes:
        from dvc.exceptions import DvcException
        from dvc_data.index import DataIndexDirError

        try:
            content: bytes = self._files.cat_file(path)
        except (OSError, DvcException, DataIndexDirError) as error:
            raise FileNotFoundError(f"{self.name} has no {path}") from error
        return content


class Workspace:
    """The project as it lies in a folder."""

    def __init__(self, project: Path = Path()) -> None:
        self.name = "workspace"
        self._project = project

    def read(self, path: str) -> bytes:
        return (self._project / path).read_bytes()


class MlflowRun:
    """A run in MLflow by its id; PipelineError where it is not there."""

    def __init__(self, run_id: str) -> None:
        self.name = run_id
        client = any_client()
        try:
            if client is None or client.get_run(run_id).info.lifecycle_stage == "deleted":
                raise _no_such_run(run_id)
        except store_failures() as error:
            if isinstance(error, PipelineError):
                raise
            missing = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
            raise (_no_such_run(run_id) if missing else unusable(error)) from None
        self._client = client

    def read(self, path: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = self._client.download_artifacts(self.name, path, folder)
            except store_failures() as error:
                raise FileNotFoundError(f"{self.name} has no {path}") from error
            return Path(copy).read_bytes()


def _no_such_run(run_id: str) -> PipelineError:
    return PipelineError(f"{run_id}: MLflow at {shown_uri()} has no run of this id")


def read_json_of(files: RunFiles, path: str) -> Any:
    return json.loads(files.read(path))


def read_yaml_of(files: RunFiles, path: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.BytesIO(files.read(path)))  # 1.2, as DVC reads it
