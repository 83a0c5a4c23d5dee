"""The record of a run in MLflow: settings, curves, figures and files. Nothing depends on it.

A run belongs to a run key (tag `reprise.run_key`): training starts it, a resumed training goes on
with it, evaluation adds to it, or makes it from the tracked files where there is none. It lives at
MLFLOW_TRACKING_URI, else in `mlflow.db`, with `mlartifacts/` beside it, of the main checkout.

What cannot be recorded never stops or slows the work: points are sent by a thread of their own, and
the first failure is told on one line and ends the tracking of this process.
"""

import csv
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

from reprise.checkout import experiment_tags, git_state, main_checkout
from reprise.errors import Interrupted, PipelineError
from reprise.files import replacing
from reprise.params.run import RunParams

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

P = ParamSpec("P")
T = TypeVar("T")
Status = Literal["FINISHED", "FAILED", "KILLED"]

log = logging.getLogger(__name__)

RUN_KEY_TAG = "reprise.run_key"
REPEATS_TAG = "reprise.repeats"

SECONDS_BETWEEN_SENDS = 5.0
SECONDS_FOR_LOCK = 60.0
MAX_METRICS_PER_BATCH = 1000  # MLflow's limits
MAX_PARAMS_PER_BATCH = 100
MAX_PARAM_CHARACTERS = 6000  # MLflow cuts longer values off without a word

# An unreachable server shall cost seconds: MLflow's own limits are 120 s and 7 retries.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

# Columns of metrics/train.csv -> names in MLflow, which draws a group of charts for what stands
# before the slash, by the alphabet: loss, test, train, valid. It compares runs by the first name.
CURVES = {
    "train_nats_per_token": "loss/train_nats_per_token",
    "valid_nats_per_token": "loss/valid_nats_per_token",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "tokens": "train/tokens",
}


class Tracker:
    """A run in MLflow. `Tracker()` records nothing, as does any other from its first failure on."""

    def __init__(self) -> None:
        self.run_id = ""
        self._client: MlflowClient | None = None
        self._start_time = 0  # milliseconds since 1970
        self._was_finished = False
        self._recorded_steps: dict[str, set[int]] = {}
        self._recorded_figures: dict[str, float] = {}
        self._waiting: list[Metric] = []
        self._gave_up = False
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._sender = threading.Thread(target=self._send, name="tracking", daemon=True)
        self._status: Status = "FINISHED"

    @classmethod
    def start(
        cls,
        settings: RunParams,
        run_key: str,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        *,
        continues: bool = False,
    ) -> Self:
        """The key's run: a new one, or an unfinished one, which is taken up.

        A finished run is taken up by work that continues it: evaluation, or training from a
        checkpoint. Otherwise a new run repeats it and is tagged with the first one's id; so it is
        where other settings (of evaluate, say) or another experiment of DVC stand in the way.
        `name` gives way to the DVC experiment's; what git and DVC say is added to `tags`.
        """
        tracker = cls()
        if settings.tracking:
            tracker._attempt(tracker._open, settings, run_key, name, params, tags, continues)
        return tracker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish("FINISHED")
        else:
            killed = isinstance(error, Interrupted | KeyboardInterrupt)
            self.finish("KILLED" if killed else "FAILED")

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves. A point that the run has already is passed over, as are NaN and inf.

        The time of a point is the run's start plus a millisecond a step: whoever sends it again
        sends the same point, which the store keeps once.
        """
        for name, value in values.items():
            steps = self._recorded_steps.setdefault(name, set())
            if step not in steps and math.isfinite(value):
                steps.add(step)
                self._enqueue(name, value, self._start_time + step, step)

    def log_curves(self, path: Path) -> None:
        """The rows of metrics/train.csv, so that a run gets what it lacks of its curves."""
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                numbers = {name: _number(text) for name, text in row.items() if text}
                self.log_metrics(curve_points(numbers), int(row["step"]))

    def log_figures(self, values: Mapping[str, float]) -> None:
        """Figures of the run as a whole. A new value of an old figure becomes its latest one."""
        for name, value in values.items():
            if math.isfinite(value) and self._recorded_figures.get(name) != value:
                self._recorded_figures[name] = value
                self._enqueue(name, value, _now(), step=0)

    def log_artifacts(self, paths: Iterable[Path], folder: str) -> None:
        for path in paths:
            if self._client is not None:
                self._attempt(self._client.log_artifact, self.run_id, str(path), folder)

    def finish(self, status: Status = "FINISHED") -> None:
        """Send what waits and set the run's status; a run that was finished before stays so."""
        self._status = status
        self._finished.set()
        if self._sender.is_alive():
            self._sender.join()

    def _open(
        self,
        settings: RunParams,
        run_key: str,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        continues: bool,
    ) -> None:
        client, experiment_id = _connect(settings.experiment)
        runs = _runs_of(client, experiment_id, run_key)
        texts = _param_texts(params)
        fitting = [run for run in runs if _takes_up(run, texts, continues)]
        if fitting:
            run = fitting[0]
            self._was_finished = run.info.status == "FINISHED"
            self._recall(client, run)
            if not self._was_finished:
                client.update_run(run.info.run_id, status="RUNNING")
        else:
            finished = [run for run in runs if run.info.status == "FINISHED"]
            run = client.create_run(
                experiment_id,
                run_name=os.environ.get("DVC_EXP_NAME") or name,
                tags={REPEATS_TAG: finished[-1].info.run_id} if finished else None,
            )
        self.run_id, self._start_time = run.info.run_id, run.info.start_time
        _log_params(client, run, texts)
        tags = {**git_state(Path.cwd()), **experiment_tags(), **tags, RUN_KEY_TAG: run_key}
        if self._was_finished:  # they tell how it was made, not who looked at it later
            tags = {name: tags[name] for name in tags.keys() - run.data.tags.keys()}
        _log_tags(client, run, tags)
        self._client = client
        self._sender.start()

    def _recall(self, client: "MlflowClient", run: "Run") -> None:
        """Learn what the run holds already."""
        self._recorded_figures = dict(run.data.metrics)
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            self._recorded_steps[name] = {point.step for point in history}

    def _enqueue(self, name: str, value: float, timestamp: int, step: int) -> None:
        if self._client is None:
            return
        from mlflow.entities import Metric

        with self._lock:
            self._waiting.append(Metric(name, float(value), timestamp, step))

    def _send(self) -> None:
        while not self._finished.wait(SECONDS_BETWEEN_SENDS):
            self._send_waiting()
        self._send_waiting()
        if self._client is not None and not self._was_finished:
            self._attempt(self._client.set_terminated, self.run_id, self._status)

    def _send_waiting(self) -> None:
        with self._lock:
            points, self._waiting = self._waiting, []
        for batch in _batches(points, MAX_METRICS_PER_BATCH):
            if self._client is not None:
                self._attempt(self._client.log_batch, self.run_id, metrics=batch)

    def _attempt(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except _store_failures() as error:
            self._give_up(_root_cause(error))

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._client = None
            self._waiting = []
            told, self._gave_up = self._gave_up, True
        if not told:
            log.warning(
                "MLflow at %s: %s; the work goes on without it, its figures are in metrics/",
                _without_password(tracking_uri()),
                reason,
            )


def curve_points(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of metrics/train.csv by its names in MLflow, rounded as in that file, so that a run
    made from the file is the same; what was not measured (None) is left out."""
    return {
        curve: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, curve in CURVES.items()
        if (value := row.get(name)) is not None
    }


def settings_tags(settings: Mapping[str, Any]) -> dict[str, str]:
    """Of what model.json says: what `auto` became, the size, and the hashes of the data."""
    return {
        **{f"machine.{name}": str(value) for name, value in settings["machine"].items()},
        **{f"{name}.sha256": digest for name, digest in settings["inputs"].items()},
        "parameters": str(settings["parameters"]),
    }


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


def tracking_uri() -> str:
    """Where the runs are kept."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{main_checkout() / 'mlflow.db'}"


def runs_page(address: str, experiment: str) -> str:
    """The page of the experiment's runs at an MLflow server; without the word at its end, MLflow
    shows a page for traces of chats."""
    try:
        _, experiment_id = _connect(experiment)
    except _store_failures() as error:
        raise _unusable(error) from None
    return f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def tags_of_runs(experiment: str, run_key: str) -> dict[str, dict[str, str]]:
    """The tags of all runs of the key, by their ids; PipelineError where the store cannot be used.

    A store or an experiment that is not there has no runs, and is not made.
    """
    uri = tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return {}
    try:
        client, _ = _open_store()
        found = client.get_experiment_by_name(experiment)
        runs = _runs_of(client, found.experiment_id, run_key) if found else []
    except _store_failures() as error:
        raise _unusable(error) from None
    return {run.info.run_id: run.data.tags for run in runs}


def _unusable(error: BaseException) -> PipelineError:
    return PipelineError(
        f"MLflow at {_without_password(tracking_uri())}: {_root_cause(error)}; start the "
        "server, or correct MLFLOW_TRACKING_URI"
    )


def _runs_of(client: "MlflowClient", experiment_id: str, run_key: str) -> "list[Run]":
    """The newest first."""
    return client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{RUN_KEY_TAG}` = '{run_key}'",
        order_by=["attributes.start_time DESC"],
    )


def _connect(experiment: str) -> tuple["MlflowClient", str]:
    """A client, and the id of the experiment, which is made where there is none."""
    client, artifacts = _open_store()
    return client, _experiment_id(client, experiment, artifacts)


def _open_store() -> tuple["MlflowClient", str | None]:
    """A client, and the URI of the files' place; None leaves it to the server."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):  # a failure is told once, by the tracker
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    uri, artifacts = tracking_uri(), None
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        artifacts = (database.parent / "mlartifacts").as_uri()
        _make_database(database, artifacts)
    return MlflowClient(tracking_uri=uri, registry_uri=uri), artifacts


def _make_database(database: Path, artifacts: str) -> None:
    """A new database, laid out aside: MLflow breaks one that several processes find empty at once,
    or whose maker is killed halfway."""
    from filelock import FileLock
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=SECONDS_FOR_LOCK):
        if not database.exists():
            with replacing(database) as scratch:
                SqlAlchemyStore(f"sqlite:///{scratch}", artifacts).engine.dispose()


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


def _takes_up(run: "Run", texts: Mapping[str, str], continues: bool) -> bool:
    """Whether work with these settings goes on with this run of its key.

    Not where another setting stands in it, which MLflow lets nobody change; not where another
    experiment of DVC is at work on it; and a finished one only to continue it.
    """
    if any(
        run.data.params.get(name, text) != text
        for name, text in texts.items()
        if not name.startswith("run.")
    ):
        return False
    ours, theirs = os.environ.get("DVC_EXP_NAME", ""), run.data.tags.get("DVC_EXP_NAME", "")
    if run.info.status == "FINISHED":
        return continues and (ours == theirs or not ours or not theirs)
    return ours == theirs or run.info.status != "RUNNING"


def _param_texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: _param_text(value) for name, value in flat(params, ".").items()}


def _log_params(client: "MlflowClient", run: "Run", texts: Mapping[str, str]) -> None:
    """What the run lacks; MLflow lets no param be changed."""
    from mlflow.entities import Param

    missing = [Param(key, texts[key]) for key in sorted(texts.keys() - run.data.params.keys())]
    for batch in _batches(missing, MAX_PARAMS_PER_BATCH):
        client.log_batch(run.info.run_id, params=batch)


def _log_tags(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    pairs = [RunTag(key, value) for key, value in sorted(tags.items())]
    for batch in _batches(pairs, MAX_PARAMS_PER_BATCH):
        client.log_batch(run.info.run_id, tags=batch)


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def _param_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > MAX_PARAM_CHARACTERS:
        return f"({len(text):,} characters, see params.yaml)"
    return text


def _store_failures() -> tuple[type[Exception], ...]:
    """What MLflow raises where a store cannot be used, over HTTP, SQL or the file system."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # PipelineError: from `replacing`, where the database cannot be written.
    # OSError: also every failed request, and a lock that is not to be had.
    # ImportError: a database or an artifact store whose driver is not installed.
    return (PipelineError, MlflowException, SQLAlchemyError, CommandError, OSError, ImportError)


def _root_cause(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return _without_password(str(error).strip().partition("\n")[0])


def _without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://", text)


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _now() -> int:
    return int(time.time() * 1000)
