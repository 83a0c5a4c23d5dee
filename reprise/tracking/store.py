"""Where MLflow keeps the runs: MLFLOW_TRACKING_URI, else `mlflow.db` of the main checkout, with
`mlartifacts/` beside it; and what may go wrong there."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from reprise.checkout import main_checkout
from reprise.errors import PipelineError
from reprise.files import replacing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

RUN_KEY_TAG = "reprise.run_key"
SQLITE = "sqlite:///"

NO_ADDRESS = "a path with ?, or % and two digits, cannot be in the address of a database"
SECONDS_FOR_LOCK = 60.0
MAX_METRICS_PER_BATCH = 1000  # MLflow's limits
MAX_PARAMS_PER_BATCH = 100
RUNS_PER_PAGE = 1000

# An unreachable server shall cost seconds: MLflow's own limits are 120 s and 7 retries.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def tracking_uri() -> str:
    """Where the runs are kept."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{main_checkout() / 'mlflow.db'}"


def connect(experiment: str) -> tuple["MlflowClient", str]:
    """A client, and the id of the experiment, which is made where there is none."""
    client, artifacts = _open_store()
    return client, _experiment_id(client, experiment, artifacts)


def existing_store(experiment: str) -> tuple["MlflowClient", str] | None:
    """A client and the experiment's id; None where store or experiment are not there, and they are
    not made. PipelineError where the store cannot be used."""
    try:
        if (database := _database()) and not database.exists():
            return None
        client, _ = _open_store()
        found = client.get_experiment_by_name(experiment)
    except store_failures() as error:
        raise unusable(error) from None
    return (client, found.experiment_id) if found else None


def runs_page(address: str, experiment: str) -> str:
    """The page of the experiment's runs at an MLflow server; without the word at its end, MLflow
    shows a page for traces of chats."""
    try:
        _, experiment_id = connect(experiment)
    except store_failures() as error:
        raise unusable(error) from None
    return f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def runs_of(client: "MlflowClient", experiment_id: str, run_key: str) -> "list[Run]":
    """The key's, the newest first."""
    return search_runs(client, [experiment_id], f"tags.`{RUN_KEY_TAG}` = '{run_key}'")


def open_client() -> "MlflowClient":
    client, _ = _open_store()
    return client


def search_runs(
    client: "MlflowClient", experiment_ids: list[str], filter_string: str
) -> "list[Run]":
    """All that fit, the newest first."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiment_ids,
            filter_string=filter_string,
            order_by=["attributes.start_time DESC"],
            max_results=RUNS_PER_PAGE,
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            return found


def tags_of_runs(experiment: str, run_key: str) -> dict[str, dict[str, str]]:
    """The tags of all runs of the key, by their ids; PipelineError where the store cannot be used.

    A store or an experiment that is not there has no runs, and is not made.
    """
    store = existing_store(experiment)
    if store is None:
        return {}
    try:
        runs = runs_of(*store, run_key)
    except store_failures() as error:
        raise unusable(error) from None
    return {run.info.run_id: run.data.tags for run in runs}


def log_params(client: "MlflowClient", run: "Run", texts: Mapping[str, str]) -> None:
    """What the run lacks; MLflow lets no param be changed."""
    from mlflow.entities import Param

    missing = [Param(key, texts[key]) for key in sorted(texts.keys() - run.data.params.keys())]
    for batch in batches(missing, MAX_PARAMS_PER_BATCH):
        client.log_batch(run.info.run_id, params=batch)


def log_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    pairs = [RunTag(key, value) for key, value in sorted(tags.items())]
    for batch in batches(pairs, MAX_PARAMS_PER_BATCH):
        client.log_batch(run_id, tags=batch)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def store_failures() -> tuple[type[Exception], ...]:
    """What MLflow raises where a store cannot be used, over HTTP, SQL or the file system."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # PipelineError: from `replacing`, where the database cannot be written.
    # OSError: also every failed request, and a lock that is not to be had.
    # ImportError: a database or an artifact store whose driver is not installed.
    return (PipelineError, MlflowException, SQLAlchemyError, CommandError, OSError, ImportError)


def unusable(error: BaseException) -> PipelineError:
    cause, remedy = root_cause(error), "start the server"
    if cause == NO_ADDRESS:
        remedy = "move the project to another folder"
    elif tracking_uri().startswith(SQLITE) and "locked" in cause:
        remedy = "wait for the process that holds it, and run the same command again"
    elif tracking_uri().startswith(SQLITE):
        remedy = "move the file away (`reprise track sync` then publishes its finished runs anew)"
    return PipelineError(
        f"MLflow at {shown_uri()}: {cause}; {remedy}, or correct MLFLOW_TRACKING_URI"
    )


def root_cause(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return _without_password(str(error).strip().partition("\n")[0])


def is_late(error: BaseException) -> bool:
    """Whether a server took the request, and did not answer in time."""
    from urllib3.exceptions import ReadTimeoutError

    found: BaseException | None = error
    while found is not None and not isinstance(found, ReadTimeoutError):
        found = found.__cause__ or found.__context__
    return found is not None


def shown_uri() -> str:
    return _without_password(tracking_uri())


def _without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://", text)


def _open_store() -> tuple["MlflowClient", str | None]:
    """A client, and the URI of the files' place; None leaves it to the server."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):  # a failure is told once, by the tracker
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    uri, artifacts = tracking_uri(), None
    if database := _database():
        artifacts = (database.parent / "mlartifacts").as_uri()
        _make_database(database, artifacts)
    else:
        _check_address(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri), artifacts


def _database() -> Path | None:
    """The file of SQLite; None for a server. OSError where no address can name it."""
    uri = tracking_uri()
    if not uri.startswith(SQLITE):
        return None
    path = uri.removeprefix(SQLITE)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        path = unquote(path.partition("?")[0])
    if "?" in path or unquote(path) != path:
        raise OSError(NO_ADDRESS)
    return Path(path).absolute()


def _check_address(uri: str) -> None:
    """One that is none is a traceback of MLflow's, and for minutes it tries to reach a server of
    SQL that is away."""
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    try:
        engine = urlsplit(uri).scheme.partition("+")[0]
    except ValueError as error:
        raise OSError(str(error)) from None
    if engine in DATABASE_ENGINES:
        limits = {"connect_timeout": 10} if engine in ("postgresql", "mysql") else {}
        with create_engine(uri, poolclass=NullPool, connect_args=limits).connect():
            pass


def _make_database(database: Path, artifacts: str) -> None:
    """A new database, laid out aside: MLflow breaks one that several processes find empty at once,
    or whose maker is killed halfway."""
    from filelock import FileLock
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if database.exists():
        _check_database(database)
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=SECONDS_FOR_LOCK):
        if not database.exists():
            with replacing(database) as scratch:
                SqlAlchemyStore(f"{SQLITE}{scratch}", artifacts).engine.dispose()


def _check_database(database: Path) -> None:
    """MLflow would try for minutes to open what cannot be opened."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):  # MLflow waits for that
            raise OSError(str(error)) from error


def _experiment_id(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    """`artifacts` is a URI; None leaves the place to the server."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name, artifacts)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process may have been faster
        if found is None:
            raise
        return found.experiment_id


def any_client() -> "MlflowClient | None":
    """A client for all experiments; None where the store is not there, and it is not made."""
    store = existing_store("Default")  # MLflow's own, which every store has
    return store[0] if store else None
