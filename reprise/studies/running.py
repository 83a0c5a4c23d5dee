"""Run the points of a study, one after the other, each as an experiment of DVC.

The pipeline runs in a checkout of its own, with DVC's cache of the project: a stage that ran before
with the same inputs, in another point or long ago, is taken from there. An experiment is named
after its study, its point and a hash of settings and code: where one of that name is, the point is
done. What goes wrong in one point keeps no other from running.
"""

import hashlib
import json
import logging
import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from reprise.errors import Interrupted, PipelineError
from reprise.files import canonical_json, readable_write_errors, write_json
from reprise.interruption import StopRequest
from reprise.runs.experiments import Experiment, experiments
from reprise.studies.frozen_project import Checkout, FrozenProject
from reprise.studies.study import Point, Study

log = logging.getLogger(__name__)

WORK = Path(".dvc") / "tmp" / "studies"  # checkouts, logs and records; safe to delete
SECONDS_TRAILER = "Reprise-Seconds"  # in the message of an experiment's commit
SECONDS_BETWEEN_LINES = 30.0
SECONDS_TO_SAVE = 60.0  # after Ctrl-C; then the point is killed
DIGITS = 6  # of the hash in an experiment's name
ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b")  # a traceback's last line


def experiment_name(study: Study, point: Point, state: str) -> str:
    """One name for one result: what only changes how the work is done (`run`) is not in it."""
    settings = {name: values for name, values in point.params.items() if name != "run"}
    key = hashlib.sha256(canonical_json([settings, state]).encode()).hexdigest()[:DIGITS]
    return f"{study.name}-{point.slug}-{key}"


@dataclass(frozen=True)
class PointState:
    """How far a point is: done, failed, or neither."""

    point: Point
    name: str  # of its experiment
    experiment: Experiment | None
    error: str | None  # the last line of why it failed
    log: Path


@dataclass
class Record:
    """What is known of a point's attempts until it is done."""

    path: Path
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            return cls(path, **json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return cls(path)

    def write(self) -> None:
        write_json(self.path, {"seconds": self.seconds, "error": self.error})


def point_states(study: Study, project: Path, frozen: FrozenProject) -> list[PointState]:
    known, state = experiments(project), frozen.state()
    states = []
    for point in study.points:
        name = experiment_name(study, point, state)
        files = project / WORK / study.name / name
        done = known.get(name)
        error = None if done else Record.read(files.with_name(f"{name}.json")).error
        states.append(PointState(point, name, done, error, files.with_name(f"{name}.log")))
    return states


def run_study(study: Study, project: Path) -> list[PointState]:
    """Run what is not done yet, and what failed; the states of all points after that."""
    frozen = FrozenProject(project)
    waiting = [state for state in point_states(study, project, frozen) if not state.experiment]
    log.info(
        "study %s: %d points, %d of them done already",
        study.name,
        len(study.points),
        len(study.points) - len(waiting),
    )
    if waiting:
        folder = project / WORK / study.name
        with alone(folder), frozen.checked_out(folder / "checkout") as checkout:
            _run_points(study, waiting, checkout)
    return point_states(study, project, frozen)


def _run_points(study: Study, waiting: list[PointState], checkout: Checkout) -> None:
    seconds: list[float] = []
    with StopRequest() as stop:
        for number, state in enumerate(waiting, start=1):
            left = "unknown time"
            if seconds:
                left = f"about {statistics.mean(seconds) * (len(waiting) - number + 1):,.0f} s"
            log.info("point %d of %d: %s; %s left", number, len(waiting), state.point.label, left)
            before = time.monotonic()
            _run_point(study, state, checkout, stop)
            seconds.append(time.monotonic() - before)


def _run_point(study: Study, state: PointState, checkout: Checkout, stop: StopRequest) -> None:
    record = Record.read(state.log.with_suffix(".json"))
    checkout.reset()
    _write_params(checkout.folder / "params.yaml", Path(study.file.base), state.point)
    before = time.monotonic()
    try:
        error = _run(Checkout.dvc("repro"), checkout, state, stop)
        record.seconds = round(record.seconds + time.monotonic() - before, 1)
        if error is None:
            checkout.stage_changes()
            message = (
                f"study {study.name}: {state.point.label}\n\n{SECONDS_TRAILER}: {record.seconds}\n"
            )
            save = Checkout.dvc("exp", "save", "--name", state.name, "--message", message)
            error = _run(save, checkout, state, stop)
    except Interrupted as interruption:
        record.seconds = round(record.seconds + time.monotonic() - before, 1)
        record.write()
        raise Interrupted(
            f"study {study.name}: stopped by {interruption} in the point {state.point.label}; the "
            "same command goes on from there"
        ) from None
    if error is None:
        checkout.hand_over(state.name)
        record.path.unlink(missing_ok=True)
    else:
        log.warning("failed: %s: %s", state.point.label, error)
        record.error = error
        record.write()


def _run(
    command: list[str], checkout: Checkout, state: PointState, stop: StopRequest
) -> str | None:
    """Run to the end; why it failed, or None. What it prints goes to the point's log."""
    state.log.parent.mkdir(parents=True, exist_ok=True)
    with state.log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=checkout.folder,
            env=checkout.environment(state.name),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it from us alone
        )
        told = time.monotonic()
        try:
            while process.poll() is None:
                if reason := stop.reason():
                    raise Interrupted(reason)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.3)
                if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                    told = time.monotonic()
                    if line := _lines(state.log)[-1:]:
                        log.info("%s: %s", state.point.label, line[0])
        finally:
            _end(process)
    return None if process.returncode == 0 else error_line(_lines(state.log), process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and all that it started to stop, as Ctrl-C does; kill what is left."""
    for number, seconds in ((signal.SIGINT, SECONDS_TO_SAVE), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)


def error_line(lines: list[str], exit_code: int) -> str:
    """The line that tells best why a pipeline failed: ours, else a traceback's last, else DVC's."""
    kinds = (
        [line for line in lines if line.startswith("error: ")],
        [line for line in lines if ERROR.match(line)],
        [line for line in lines if line.startswith("ERROR: ")],
        lines,
        ["it said nothing"],
    )
    found = next(kind[-1] for kind in kinds if kind)
    found = found.removeprefix("error: ").removeprefix("ERROR: ")
    return found if exit_code > 0 else f"{found} (ended by {signal.Signals(-exit_code).name})"


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def _write_params(path: Path, base: Path, point: Point) -> None:
    """The base's own text and comments, with the point's values."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000  # lines stay as they are
    params = yaml.load(base.read_text(encoding="utf-8"))
    for section, values in point.params.items():
        _take_over(params, section, values)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def _take_over(params: Any, name: str, value: object) -> None:
    if isinstance(value, Mapping):
        for inner, content in value.items():
            _take_over(params[name], inner, content)
    elif canonical_json(params[name]) != canonical_json(value):
        params[name] = value


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else is here meanwhile; PipelineError where somebody is."""
    lock = FileLock(folder / "lock", timeout=0)
    try:
        with readable_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        raise PipelineError(
            f"{folder}: another process runs this study; wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()
