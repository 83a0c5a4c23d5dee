"""A run in MLflow while work goes on: settings, curves, figures and files.

A run belongs to a run key (tag `reprise.run_key`): training starts it, a resumed training goes on
with it, evaluation adds to it, or makes it from the tracked files where there is none.

What cannot be recorded never stops or slows the work: a thread of its own sends what waits. Where
the store is away it tries again, less and less often, and once more at the end; finished work gives
one that is only slow a minute then. What is missed, `reprise track sync` publishes from the files.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from reprise.checkout import experiment_tags, git_difference, git_state
from reprise.errors import Interrupted
from reprise.params.run import RunParams
from reprise.tracking.description import curve_points
from reprise.tracking.process import circumstances, mark_killed
from reprise.tracking.store import (
    MAX_METRICS_PER_BATCH,
    RUN_KEY_TAG,
    batches,
    connect,
    is_late,
    log_params,
    log_tags,
    root_cause,
    runs_of,
    shown_uri,
    store_failures,
)
from reprise.tracking.system import SystemMetrics
from reprise.training_log import read_rows

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

Status = Literal["FINISHED", "FAILED", "KILLED"]
Job = Callable[["MlflowClient", str], object]  # is given the run's id; may be done twice

log = logging.getLogger(__name__)

REPEATS_TAG = "reprise.repeats"
REPRODUCES_TAG = "reproduces"
DIFFERS_TAG = "differs_from"
DIFFERING_FILES_TAG = "differing_files"
DIFFERENCE = "git.diff"  # the artifact of an uncommitted change
HASH_PREFIX = "md5/"  # of tags: the path of a file or folder that DVC tracks -> its MD5

SECONDS_BETWEEN_SENDS = 5.0
MAX_SECONDS_BETWEEN_TRIES = 60.0
MAX_SECONDS_FOR_SLOW_STORE = 60.0  # at the end
ROUNDING = 1e-5  # metrics/train.csv has six digits


class Point(NamedTuple):
    """Of a curve."""

    name: str
    value: float
    step: int
    final: bool  # as metrics/train.csv has it


@dataclass(frozen=True)
class WantedRun:
    experiment: str
    run_key: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    hashes: Mapping[str, str]
    continues: bool
    watched: bool
    start_time: int | None  # None: now


class Tracker:
    """A run in MLflow. `Tracker()` records nothing."""

    def __init__(self) -> None:
        self.run_id = ""  # from when the store has answered
        self.is_away = False  # the store does not answer
        self._is_slow = False  # the last request was taken, and not answered in time
        self._wanted: WantedRun | None = None  # None: nothing is recorded
        self._client: MlflowClient | None = None
        self._start_time = 0  # milliseconds since 1970
        self._was_finished = False
        self._status: Status = "FINISHED"
        self._recorded: dict[str, dict[int, float]] = {}  # value by name and step
        self._recorded_figures: dict[str, float] = {}
        self._points: list[Point] = []  # they wait
        self._jobs: list[Job] = []
        self._system: SystemMetrics | None = None
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._sender = threading.Thread(target=self._send, name="tracking", daemon=True)

    @classmethod
    def start(
        cls,
        settings: RunParams,
        run_key: str,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        *,
        hashes: Mapping[str, str] | None = None,
        continues: bool = False,
        live: bool = True,
        watched: bool = False,
        start_time: int | None = None,
    ) -> Self:
        """The key's run: a new one, or an unfinished one, which is taken up.

        A finished run is taken up by work that continues it: evaluation, or training from a
        checkpoint. Otherwise a new run repeats it and is tagged with the first one's id; so it is
        where other settings (of evaluate, say) or another experiment of DVC stand in the way, or
        other `hashes`, MD5 by the path of a file.

        `live`: the work is done by this process, now: what git, DVC and the machine say is added to
        `tags`. Else a run of the past is published, which began at `start_time` (milliseconds since
        1970). `watched`: processor, memory and the like are recorded as long as it goes on.
        """
        tracker = cls()
        if not settings.tracking:
            return tracker
        import mlflow.entities  # noqa: F401  here, since two threads cannot import it at once

        if live:
            tags = {**git_state(Path.cwd()), **experiment_tags(), **circumstances(), **tags}
            name = os.environ.get("DVC_EXP_NAME") or name
        tracker._wanted = WantedRun(
            settings.experiment,
            run_key,
            name,
            params,
            tags,
            hashes or {},
            continues,
            watched,
            start_time,
        )
        if live and (difference := git_difference(Path.cwd())):
            tracker.add(lambda client, run_id: client.log_text(run_id, difference, DIFFERENCE))
        tracker._sender.start()
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
        self._add_points(values, step, final=False)

    def log_curves(self, path: Path) -> None:
        """The rows of metrics/train.csv, so that a run gets what it lacks of its curves.

        Where a step was trained again, after going back, the run has the value of the first time;
        the last one's follows it.
        """
        for row in read_rows(path):
            self._add_points(curve_points(row), int(row["step"] or 0), final=True)

    def _add_points(self, values: Mapping[str, float], step: int, *, final: bool) -> None:
        if self._wanted is not None:
            with self._lock:
                self._points += [
                    Point(name, float(value), step, final)
                    for name, value in values.items()
                    if math.isfinite(value)
                ]

    def log_figures(self, values: Mapping[str, float]) -> None:
        """Figures of the run as a whole. A new value of an old figure becomes its latest one."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self.add(lambda client, run_id: self._send_figures(client, run_id, finite))

    def log_artifacts(self, paths: Mapping[str, Path]) -> None:
        """Files under the paths that they have in the project."""
        for name, path in paths.items():
            self.add(partial(_log_artifact, path=path, folder=name.rpartition("/")[0]))

    def log_inputs(self, inputs: "Callable[[], list[DatasetInput]]") -> None:
        """What `inputs` gives when the store answers."""
        self.add(lambda client, run_id: client.log_inputs(run_id, inputs()))

    def log_hashes(self, hashes: Mapping[str, str], outputs: bool = True) -> None:
        """MD5 by the path of each file or folder. Where the run repeats another and these are
        outputs, they are compared with the other's."""
        tags = {HASH_PREFIX + path: md5 for path, md5 in hashes.items()}
        self.add(lambda client, run_id: log_tags(client, run_id, tags))
        if outputs:
            self.add(lambda client, run_id: _compare_with_first(client, run_id, sorted(tags)))

    def add(self, job: Job) -> None:
        """Something to be done when the store answers, after what was added before."""
        if self._wanted is not None:
            with self._lock:
                self._jobs.append(job)

    def finish(self, status: Status = "FINISHED") -> None:
        """Send what waits and set the run's status; a run that was finished before stays so."""
        self._status = status
        self._finished.set()
        if self._sender.is_alive():
            self._sender.join()

    def _open(self, wanted: WantedRun) -> "MlflowClient":
        client, experiment_id = connect(wanted.experiment)
        mark_killed(client, experiment_id)
        runs = runs_of(client, experiment_id, wanted.run_key)
        tags = {**wanted.tags, RUN_KEY_TAG: wanted.run_key}
        fitting = [run for run in runs if _takes_up(run, wanted)]
        if fitting:
            run = fitting[0]
            self._was_finished = run.info.status == "FINISHED"
            self._recall(client, run)
            if not self._was_finished:
                client.update_run(run.info.run_id, status="RUNNING")
        else:
            same = [
                run for run in runs if run.info.status == "FINISHED" and _has_settings(run, wanted)
            ]
            if same:
                tags |= {REPEATS_TAG: same[-1].info.run_id}
            run = client.create_run(experiment_id, wanted.start_time, tags, wanted.name)
        log_params(client, run, wanted.params)
        if self._was_finished:  # they tell how it was made, not who looked at it later
            tags = {name: tags[name] for name in tags.keys() - run.data.tags.keys()}
        log_tags(client, run.info.run_id, tags)
        self.run_id, self._start_time = run.info.run_id, run.info.start_time
        if wanted.watched and not self._was_finished:
            self._system = SystemMetrics(client, self.run_id)
        return client

    def _recall(self, client: "MlflowClient", run: "Run") -> None:
        """Learn what the run holds already."""
        self._recorded_figures = dict(run.data.metrics)
        for name in run.data.metrics:
            if not name.startswith(SystemMetrics.PREFIX):
                history = client.get_metric_history(run.info.run_id, name)
                self._recorded[name] = {
                    point.step: point.value
                    for point in sorted(history, key=lambda point: point.timestamp)
                }

    def _send(self) -> None:
        seconds = 0.0
        while not self._finished.wait(seconds):
            if self._work():
                seconds = SECONDS_BETWEEN_SENDS
            else:
                seconds = min(max(2 * seconds, SECONDS_BETWEEN_SENDS), MAX_SECONDS_BETWEEN_TRIES)
        patience = MAX_SECONDS_FOR_SLOW_STORE if self._status == "FINISHED" else 0.0
        deadline = time.monotonic() + patience
        while not (arrived := self._work() and self._end()):
            if not self._is_slow or time.monotonic() > deadline:
                break
        if not arrived:
            log.warning(
                "MLflow at %s: not all was recorded; `reprise track sync` publishes it from the "
                "files when it is back",
                shown_uri(),
            )

    def _work(self) -> bool:
        """Send what waits; whether all of it arrived."""
        try:
            if self._client is None and self._wanted is not None:
                self._client = self._open(self._wanted)
            if self._client is not None:
                self._send_points(self._client)
                self._do_jobs(self._client)
                self._send_system(self._client)
        except store_failures() as error:
            self._is_slow = is_late(error)
            self._tell(error)
            return False
        if self.is_away:
            self.is_away = False
            log.info("MLflow at %s is back", shown_uri())
        return True

    def _end(self) -> bool:
        try:
            if self._client is not None and not self._was_finished:
                ended = self._wanted.start_time if self._wanted else None  # now, if not in the past
                self._client.set_terminated(self.run_id, self._status, ended)
        except store_failures() as error:
            self._is_slow = is_late(error)
            return False
        return True

    def _send_system(self, client: "MlflowClient") -> None:
        from mlflow.entities import Metric

        # After the first loss, since MLflow compares runs by what came first.
        if self._system and self._recorded and (values := self._system.read()):
            now, step = _now(), self._system.step
            points = [Metric(name, value, now, step) for name, value in values.items()]
            client.log_batch(self.run_id, metrics=points)

    def _send_points(self, client: "MlflowClient") -> None:
        from mlflow.entities import Metric

        with self._lock:
            waiting = self._points[:]
        new: dict[tuple[str, int], Metric] = {}
        for name, value, step, final in waiting:
            recorded = self._recorded.setdefault(name, {})
            earlier = new.get((name, step))
            before = earlier.value if earlier else recorded.get(step)
            if before is None or (final and not math.isclose(before, value, rel_tol=ROUNDING)):
                later = step in recorded  # by a millisecond, so that this value is the newest
                time_of_step = self._start_time + step + later
                new[name, step] = Metric(name, value, time_of_step, step)
        for batch in batches([*new.values()], MAX_METRICS_PER_BATCH):
            client.log_batch(self.run_id, metrics=batch)
            for point in batch:
                self._recorded[point.key][point.step] = point.value
        with self._lock:
            del self._points[: len(waiting)]

    def _do_jobs(self, client: "MlflowClient") -> None:
        with self._lock:
            waiting = self._jobs[:]
        for job in waiting:
            job(client, self.run_id)
            with self._lock:
                self._jobs.remove(job)

    def _send_figures(
        self, client: "MlflowClient", run_id: str, values: Mapping[str, float]
    ) -> None:
        from mlflow.entities import Metric

        new = {
            name: value
            for name, value in values.items()
            if self._recorded_figures.get(name) != value
        }
        points = [Metric(name, value, _now(), 0) for name, value in new.items()]
        for batch in batches(points, MAX_METRICS_PER_BATCH):
            client.log_batch(run_id, metrics=batch)
        self._recorded_figures |= new

    def _tell(self, error: BaseException) -> None:
        """Once for each time that the store goes away."""
        if not self.is_away:
            self.is_away = True
            log.warning(
                "MLflow at %s: %s; the work goes on, what is missed is sent when it answers again",
                shown_uri(),
                root_cause(error),
            )


def _log_artifact(client: "MlflowClient", run_id: str, path: Path, folder: str) -> None:
    client.log_artifact(run_id, str(path), folder)


def _takes_up(run: "Run", wanted: WantedRun) -> bool:
    """Whether work with these settings goes on with this run of its key.

    Not where another setting stands in it, which MLflow lets nobody change, or where a file had
    other bytes; not where another experiment of DVC is at work on it; and a finished one only to
    continue it.
    """
    if not _has_settings(run, wanted) or any(
        run.data.tags.get(HASH_PREFIX + path, md5) != md5 for path, md5 in wanted.hashes.items()
    ):
        return False
    ours, theirs = (tags.get("DVC_EXP_NAME", "") for tags in (wanted.tags, run.data.tags))
    if run.info.status == "FINISHED":
        return wanted.continues and (ours == theirs or not ours or not theirs)
    return ours == theirs or run.info.status != "RUNNING"


def _has_settings(run: "Run", wanted: WantedRun) -> bool:
    """It may lack some. One that has more had something on that is off in these."""
    return run.data.params.items() <= wanted.params.items()


def _compare_with_first(client: "MlflowClient", run_id: str, names: list[str]) -> None:
    """Tag a run that repeats another by whether its outputs have the same bytes, and say so."""
    tags = client.get_run(run_id).data.tags
    first_id = tags.get(REPEATS_TAG)
    if first_id is None:
        return
    first = client.get_run(first_id).data.tags
    before = tags.get(DIFFERING_FILES_TAG, "").split(", ") if DIFFERS_TAG in tags else []
    differing = {name.removeprefix(HASH_PREFIX) for name in names if _differs(first, tags, name)}
    differing |= {path for path in before if _differs(first, tags, HASH_PREFIX + path)}
    if differing:
        files = ", ".join(sorted(differing))
        log_tags(client, run_id, {DIFFERS_TAG: first_id, DIFFERING_FILES_TAG: files})
        if REPRODUCES_TAG in tags:
            client.delete_tag(run_id, REPRODUCES_TAG)
        log.warning("this run differs from run %s of the same key in: %s", first_id, files)
    elif any(name in first for name in names):
        log_tags(client, run_id, {REPRODUCES_TAG: first_id})
        log.info("this run reproduces run %s: the same bytes", first_id)


def _differs(first: Mapping[str, str], second: Mapping[str, str], name: str) -> bool:
    return name in first and name in second and first[name] != second[name]


def _now() -> int:
    return int(time.time() * 1000)
