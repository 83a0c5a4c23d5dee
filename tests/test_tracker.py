"""Real stores: SQLite in a temporary folder, and `mlflow server` on loopback."""

import logging
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from http_server import free_port
from mlflow import MlflowClient
from mlflow.entities import Run

from reprise.errors import Interrupted, PipelineError
from reprise.params.run import RunParams
from reprise.tracking.process import may_live, this_process
from reprise.tracking.store import connect, existing_store, unusable
from reprise.tracking.tracker import Tracker

RUN = RunParams(
    workers="auto", engine="loky", engine_address=None, tracking=True, experiment="novels"
)
PARAMS = {"train.seed": "1", "train.learning_rate": "0.003", "evaluate.prompts": '["a", "é"]'}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out once, since that takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("database")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Tracker.start(RUN.model_copy(update={"experiment": "none"}), "k", "n", {}, {}).finish()
    return folder / "mlflow.db"


@pytest.fixture
def checkout(bare_checkout: Path, empty_database: Path) -> Path:
    """A project of its own with a database that holds none of its runs."""
    shutil.copy(empty_database, bare_checkout / "mlflow.db")
    return bare_checkout


@pytest.fixture(autouse=True)
def bare_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a name that URLs would rather not hold."""
    folder = tmp_path / "main é 100%"
    folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(folder))
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def start(key: str = "k1", **changes: Any) -> Tracker:
    """A tracker whose store has answered, or has failed to."""
    arguments = {"name": "lstm-512x1", "params": PARAMS, "tags": {"git.dirty": "false"}} | changes
    tracker = Tracker.start(arguments.pop("settings", RUN), key, **arguments)
    deadline = time.monotonic() + 30
    while not (tracker.run_id or tracker.is_away) and time.monotonic() < deadline:
        time.sleep(0.01)
    return tracker


def client_of(checkout: Path) -> MlflowClient:
    uri = f"sqlite:///{checkout / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs_in(client: MlflowClient) -> list[Run]:
    """Oldest first."""
    experiment = client.get_experiment_by_name("novels")
    assert experiment is not None
    order = ["attributes.start_time ASC"]
    return list(client.search_runs([experiment.experiment_id], order_by=order))


def points(client: MlflowClient, run: Run, name: str) -> list[tuple[int, float]]:
    return sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, name))


def test_a_run_holds_its_settings_curves_figures_and_files(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "samples.txt").write_text("Once\n")
    with start() as tracker:
        tracker.log_metrics({"train/nats_per_token": 2.5, "train/learning_rate": 0.003}, step=10)
        tracker.log_metrics({"train/nats_per_token": 2.0}, step=20)
        tracker.log_figures({"test/bits_per_byte": 1.25})
        tracker.log_artifacts({"evaluate/samples.txt": tmp_path / "samples.txt"})
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert run.info.run_id == tracker.run_id
    assert run.info.run_name == "lstm-512x1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "train.seed": "1",
        "train.learning_rate": "0.003",
        "evaluate.prompts": '["a", "é"]',
    }
    assert run.data.tags["reprise.run_key"] == "k1"
    assert run.data.tags["git.dirty"] == "false"
    assert points(client, run, "train/nats_per_token") == [(10, 2.5), (20, 2.0)]
    assert points(client, run, "train/learning_rate") == [(10, 0.003)]
    assert run.data.metrics["test/bits_per_byte"] == 1.25
    (artifact,) = (checkout / "mlartifacts" / tracker.run_id).rglob("samples.txt")
    assert artifact.parent.name == "evaluate"
    assert artifact.read_text() == "Once\n"


def test_nothing_is_written_outside_the_main_checkout(bare_checkout: Path, tmp_path: Path) -> None:
    with start():
        pass
    assert [path.name for path in tmp_path.iterdir()] == [bare_checkout.name]
    assert {path.name for path in bare_checkout.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_a_dvc_experiment_gives_the_run_its_name(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-arch")
    start().finish()
    assert runs_in(client_of(checkout))[0].info.run_name == "tidal-arch"


def test_a_run_tells_its_commit_and_its_experiment_which_evaluation_leaves_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = ["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "a commit"]
    head = ["git", "rev-parse", "HEAD"]
    monkeypatch.chdir(checkout)
    (checkout / ".gitignore").write_text("mlflow.db*\n")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "add", ".gitignore"], check=True)
    subprocess.run(commit, check=True)
    trained_at = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.setenv("DVC_STAGE", "train")
    start(tags={}).finish()
    subprocess.run(commit, check=True)
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    start(tags={"more": "1"}, continues=True).finish()
    tags = runs_in(client_of(checkout))[0].data.tags
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == trained_at
    assert (tags["git.dirty"], tags["DVC_STAGE"], tags["more"]) == ("false", "train", "1")


def test_more_points_and_settings_than_one_request_may_hold(checkout: Path) -> None:
    params = {f"many.setting{n:03}": str(n) for n in range(250)}
    with start(params=params) as tracker:
        for step in range(2500):
            tracker.log_metrics({"train/nats_per_token": step / 2}, step)
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert points(client, run, "train/nats_per_token") == [(n, n / 2) for n in range(2500)]
    assert run.data.params == params


def test_what_is_no_number_is_passed_over(checkout: Path) -> None:
    with start() as tracker:
        tracker.log_metrics({"a": float("nan"), "b": float("inf"), "c": 1.0}, step=1)
        tracker.log_figures({"d": float("-inf"), "e": 2.0})
    assert runs_in(client_of(checkout))[0].data.metrics == {"c": 1.0, "e": 2.0}


def test_points_arrive_while_the_work_goes_on(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.tracking.tracker.SECONDS_BETWEEN_SENDS", 0.05)
    tracker = start()
    tracker.log_metrics({"a": 1.0}, step=1)
    client = client_of(checkout)
    deadline = time.monotonic() + 10
    while not (metrics := runs_in(client)[0].data.metrics) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert metrics == {"a": 1.0}
    assert runs_in(client)[0].info.status == "RUNNING"
    tracker.finish()


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError(), "FAILED"), (Interrupted("stopped"), "KILLED"), (KeyboardInterrupt(), "KILLED")],
)
def test_the_status_says_how_the_work_ended(
    checkout: Path, error: BaseException, status: str
) -> None:
    tracker = start()
    tracker.log_metrics({"a": 1.0}, step=1)
    with pytest.raises(type(error)), tracker:
        raise error
    (run,) = runs_in(client_of(checkout))
    assert run.info.status == status
    assert run.data.metrics == {"a": 1.0}


@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_a_resumed_training_goes_on_with_its_run_and_doubles_no_point(
    checkout: Path, end: str
) -> None:
    first = start()
    for step in (10, 20, 30):
        first.log_metrics({"loss": 100 / step, "tokens_per_second": 7.0}, step)
    first.finish("KILLED")
    client = client_of(checkout)
    if end == "killed":  # by kill -9: nobody set a status
        client.update_run(first.run_id, status="RUNNING")
    second = start(continues=True)  # from the checkpoint of step 10
    assert runs_in(client)[0].info.status == "RUNNING"
    for step in (20, 30, 40):
        second.log_metrics({"loss": 100 / step, "tokens_per_second": 9.0}, step)
    second.finish()
    (run,) = runs_in(client)
    assert run.info.status == "FINISHED"
    assert points(client, run, "loss") == [(s, 100 / s) for s in (10, 20, 30, 40)]
    assert points(client, run, "tokens_per_second") == [(10, 7), (20, 7), (30, 7), (40, 9)]


def test_two_processes_that_send_the_same_point_leave_one(checkout: Path) -> None:
    first = start()
    second = start()
    for tracker in (first, second):
        tracker.log_metrics({"loss": 2.5}, step=10)
        time.sleep(0.005)  # the clock goes on, the point's time does not
    first.finish()
    second.finish()
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert points(client, run, "loss") == [(10, 2.5)]


def test_settings_of_a_taken_up_run_are_completed(checkout: Path) -> None:
    start(params={"a": "1"}).finish("KILLED")
    start(params={"a": "1", "b": "3"}).finish()
    (run,) = runs_in(client_of(checkout))
    assert run.data.params == {"a": "1", "b": "3"}


def test_a_run_with_something_on_is_not_taken_up_where_it_is_off(checkout: Path) -> None:
    """Settings that have no part in the result are not shown."""
    start(params={"cache": "100", "weight": "0.1"}).finish("KILLED")
    start(params={"cache": "0"}).finish()
    start(params={}).finish()
    found = [run.data.params for run in runs_in(client_of(checkout))]
    assert sorted(map(len, found)) == [0, 1, 2]


def test_work_with_another_setting_is_a_run_of_its_own(checkout: Path) -> None:
    for context in ("document", "stream", "stream"):
        with start(params={"evaluate.context": context}, continues=True) as tracker:
            tracker.log_figures({"test/bits_per_byte": len(context)})
    found = {
        run.data.params["evaluate.context"]: run.data.metrics["test/bits_per_byte"]
        for run in runs_in(client_of(checkout))
    }
    assert found == {"document": 8, "stream": 6}
    assert len(runs_in(client_of(checkout))) == 2


@pytest.mark.parametrize(("second", "runs"), [("one", 1), ("other", 2)])
def test_experiments_at_work_on_the_same_key_keep_apart(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, second: str, runs: int
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "one")
    first = start()
    monkeypatch.setenv("DVC_EXP_NAME", second)
    start().finish()
    first.finish()
    assert len(runs_in(client_of(checkout))) == runs


def test_a_finished_run_is_repeated_by_a_run_of_its_own(checkout: Path) -> None:
    ids = []
    for _ in range(3):
        with start() as tracker:
            ids.append(tracker.run_id)
            tracker.log_metrics({"loss": 2.5}, step=10)
    with start("another key"):
        pass
    runs = {run.info.run_id: run for run in runs_in(client_of(checkout))}
    assert len(runs) == 4
    repeats = [runs[run_id].data.tags.get("reprise.repeats") for run_id in ids]
    assert repeats == [None, ids[0], ids[0]]


def test_evaluation_adds_to_the_finished_run(checkout: Path) -> None:
    with start() as training:
        training.log_metrics({"loss": 2.5}, step=10)
    client = client_of(checkout)
    (before,) = runs_in(client)
    with start(continues=True) as evaluation:
        evaluation.log_figures({"test/bits_per_byte": 1.25})
    (run,) = runs_in(client)
    assert evaluation.run_id == training.run_id
    assert run.data.metrics == {"loss": 2.5, "test/bits_per_byte": 1.25}
    assert (run.info.status, run.info.end_time) == ("FINISHED", before.info.end_time)


def test_a_failed_evaluation_leaves_the_training_finished(checkout: Path) -> None:
    start().finish()
    with pytest.raises(ValueError, match="broken"), start(continues=True):
        raise ValueError("broken")
    assert [run.info.status for run in runs_in(client_of(checkout))] == ["FINISHED"]


def test_another_evaluation_gives_the_latest_figure_and_the_same_one_no_new_point(
    checkout: Path,
) -> None:
    for value in (1.25, 1.25, 1.125):
        with start(continues=True) as tracker:
            tracker.log_figures({"test/bits_per_byte": value})
        time.sleep(0.002)  # the latest of two figures is the one of a later millisecond
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert run.data.metrics == {"test/bits_per_byte": 1.125}
    assert [value for _, value in points(client, run, "test/bits_per_byte")] == [1.125, 1.25]


def test_a_fresh_clone_makes_the_run_from_the_tracked_files(checkout: Path, tmp_path: Path) -> None:
    curves = tmp_path / "train.csv"
    curves.write_text(
        "step,tokens,learning_rate,gradient_norm,train_nats_per_token,valid_nats_per_token\n"
        "20,1234567,0.001,0.5,4.5,\n"
        "40,2469134,0.002,0.25,3.5,3.75\n"
    )
    for _ in range(2):
        with start(continues=True) as tracker:
            tracker.log_curves(curves)
            tracker.log_figures({"test/bits_per_byte": 1.25})
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert run.info.status == "FINISHED"
    assert {name: points(client, run, name) for name in run.data.metrics} == {
        "train/tokens": [(20, 1234567), (40, 2469134)],
        "train/learning_rate": [(20, 0.001), (40, 0.002)],
        "train/gradient_norm": [(20, 0.5), (40, 0.25)],
        "loss/train_nats_per_token": [(20, 4.5), (40, 3.5)],
        "loss/valid_nats_per_token": [(40, 3.75)],
        "test/bits_per_byte": [(0, 1.25)],
    }


def test_a_step_that_was_trained_again_has_the_value_of_the_last_time_too(
    checkout: Path, tmp_path: Path
) -> None:
    """Back from step 30 to step 10, in one process and in two; MLflow takes no point away."""
    curves = tmp_path / "train.csv"
    curves.write_text("step,train_nats_per_token\n10,4.12346\n20,3.5\n30,3.25\n")
    name = "loss/train_nats_per_token"
    with start() as tracker:
        for step, loss in ((10, 4.123456789), (20, 5.5), (30, 6.5)):
            tracker.log_metrics({name: loss}, step)
        tracker.log_curves(curves)
    with start(continues=True) as tracker:
        tracker.log_curves(curves)
    client = client_of(checkout)
    (run,) = runs_in(client)
    assert run.data.metrics == {name: 3.25}
    history = client.get_metric_history(run.info.run_id, name)
    values = {
        step: [point.value for point in history if point.step == step] for step in (10, 20, 30)
    }
    assert values[10] == [4.123456789]
    assert [values[step][-1] for step in (20, 30)] == [3.5, 3.25]


WORKER = """
import sys
import tempfile
from reprise.params.run import RunParams
from reprise.tracking.tracker import Tracker
work = {"workers": "auto", "engine": "loky", "engine_address": None}
settings = RunParams(**work, tracking=True, experiment="novels")
with Tracker.start(settings, sys.argv[1], sys.argv[1], {"a": "1"}, {}) as tracker:
    for step in range(1500):
        tracker.log_metrics({"loss": float(step)}, step)
"""


def run_at_once(count: int, seconds: float, **environment: str) -> None:
    """Workers of the keys key0, key1, ...; each must end well and tell nothing."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, f"key{n}"],
                    stderr=subprocess.PIPE,
                    text=True,
                    env=os.environ | environment,
                )
            )
            for n in range(count)
        ]
        for worker in workers:
            stack.callback(worker.kill)
        for worker in workers:
            _, told = worker.communicate(timeout=seconds)
            assert (worker.returncode, told) == (0, "")


@pytest.mark.slow
def test_many_processes_at_once_on_a_database_that_is_not_there_yet(bare_checkout: Path) -> None:
    run_at_once(4, seconds=120)
    client = client_of(bare_checkout)
    runs = runs_in(client)
    assert sorted(run.info.run_name or "" for run in runs) == ["key0", "key1", "key2", "key3"]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert len(points(client, run, "loss")) == 1500


def test_with_tracking_off_nothing_is_imported_and_nothing_written(bare_checkout: Path) -> None:
    code = (
        WORKER.replace("tracking=True", "tracking=False") + "\nassert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, "key"], check=True)
    assert list(bare_checkout.iterdir()) == []


NOT_ALL = (
    "MLflow at {}: not all was recorded; `reprise track sync` publishes it from the files when it "
    "is back"
)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def use_and_finish(tracker: Tracker, path: Path) -> None:
    tracker.log_metrics({"a": 1.0}, step=1)
    tracker.log_figures({"b": 1.0})
    tracker.log_artifacts({"evaluate/samples.txt": path})
    tracker.finish()


def test_an_unreachable_server_is_told_once_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{host}")
    use_and_finish(start(), tmp_path / "samples.txt")
    assert warnings_of(caplog) == [
        f"MLflow at http://{host}: [Errno 111] Connection refused; "
        "the work goes on, what is missed is sent when it answers again",
        NOT_ALL.format(f"http://{host}"),
    ]


@pytest.mark.parametrize(
    ("made_by", "told"),
    [
        (lambda path: path.write_text("long enough to look like one" * 100),
         "file is not a database"),
        (Path.mkdir, "unable to open database file"),
    ],
)  # fmt: skip
def test_a_database_that_is_none_is_told_once(
    checkout: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    made_by: Callable[[Path], object],
    told: str,
) -> None:
    monkeypatch.setattr("mlflow.MlflowClient.__init__", None)  # which would try for minutes
    (checkout / "mlflow.db").unlink(missing_ok=True)
    made_by(checkout / "mlflow.db")
    use_and_finish(start(), tmp_path / "samples.txt")
    assert warnings_of(caplog) == [
        f"MLflow at sqlite:///{checkout}/mlflow.db: {told}; "
        "the work goes on, what is missed is sent when it answers again",
        NOT_ALL.format(f"sqlite:///{checkout}/mlflow.db"),
    ]


def test_a_missing_database_driver_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+oursql://me:secret@localhost/runs")
    use_and_finish(start(), tmp_path / "samples.txt")
    line, _ = warnings_of(caplog)
    assert line.startswith("MLflow at mysql+oursql://localhost/runs: ")
    assert "secret" not in line


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://[::1", "Invalid IPv6 URL"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/runs", "connection failed: "),
        (
            "sqlite:////nowhere/a%2520b/mlflow.db",
            "a path with ?, or % and two digits, cannot be in the address ",
        ),
    ],
)
def test_an_address_that_leads_nowhere_is_told_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    uri: str,
    told: str,
) -> None:
    monkeypatch.setattr("mlflow.MlflowClient.__init__", None)  # which would try for minutes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    use_and_finish(start(), tmp_path / "samples.txt")
    shown = uri.replace("me:secret@", "")
    line, last = warnings_of(caplog)
    assert line.startswith(f"MLflow at {shown}: {told}")
    assert last == NOT_ALL.format(shown)


def test_a_project_whose_path_no_address_can_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "what?"
    folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(folder))
    with pytest.raises(PipelineError) as error:
        existing_store("reprise")
    assert str(error.value) == (
        f"MLflow at sqlite:///{folder}/mlflow.db: a path with ?, or % and two digits, cannot be "
        "in the address of a database; move the project to another folder, or correct "
        "MLFLOW_TRACKING_URI"
    )
    assert not list(tmp_path.rglob("*.db"))


def test_what_stands_after_the_path_of_a_database_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/a%20b.db?timeout=5")
    assert existing_store("reprise") is None
    connect("reprise")
    assert {path.name for path in folder.iterdir()} == {"a b.db", "a b.db.lock"}
    assert existing_store("reprise") is not None


def test_a_locked_database_is_not_to_be_moved_away(bare_checkout: Path) -> None:
    error = unusable(sqlite3.OperationalError("database is locked"))
    assert str(error) == (
        f"MLflow at sqlite:///{bare_checkout}/mlflow.db: database is locked; wait for the process "
        "that holds it, and run the same command again, or correct MLFLOW_TRACKING_URI"
    )


class Server:
    """`mlflow server` with one worker, so that killing the process group kills it all."""

    def __init__(self, folder: Path, store: str = "sqlite:///server.db") -> None:
        self.port, self.folder, self.store = free_port(), folder, store
        self.uri = f"http://127.0.0.1:{self.port}"
        folder.mkdir()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1"]
        command += [f"--port={self.port}", "--workers=1", f"--backend-store-uri={self.store}"]
        command += ["--artifacts-destination=artifacts"]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.kill()
        raise AssertionError("mlflow server did not start")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.uri)
    try:
        yield found
    finally:
        found.kill()


@pytest.mark.slow
def test_a_server_that_goes_away_gets_all_when_it_is_back(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("reprise.tracking.tracker.SECONDS_BETWEEN_SENDS", 0.05)
    monkeypatch.setattr("reprise.tracking.tracker.MAX_SECONDS_BETWEEN_TRIES", 0.5)
    (tmp_path / "samples.txt").write_text("Once\n")
    tracker = start()
    tracker.log_metrics({"loss": 2.5}, step=1)
    client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
    while not (metrics := runs_in(client)[0].data.metrics):
        time.sleep(0.05)
    assert metrics == {"loss": 2.5}

    server.kill()
    tracker.log_artifacts({"evaluate/samples.txt": tmp_path / "samples.txt"})
    for step in range(2, 300):
        tracker.log_metrics({"loss": 1 / step}, step)
        time.sleep(0.01)
    (line,) = warnings_of(caplog)
    assert line.startswith(f"MLflow at {server.uri}: ")
    assert line.endswith("; the work goes on, what is missed is sent when it answers again")

    server.start()
    tracker.log_figures({"test/bits_per_byte": 1.25})
    tracker.finish()
    assert warnings_of(caplog) == [line]
    (run,) = runs_in(client)
    assert run.info.status == "FINISHED"
    assert points(client, run, "loss") == [(1, 2.5), *((n, 1 / n) for n in range(2, 300))]
    assert run.data.metrics["test/bits_per_byte"] == 1.25
    (file,) = client.list_artifacts(tracker.run_id, "evaluate")
    assert file.path == "evaluate/samples.txt"


@pytest.mark.slow
def test_a_server_that_comes_later_than_the_training_gets_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.tracking.tracker.SECONDS_BETWEEN_SENDS", 0.05)
    server = Server(tmp_path / "server")
    server.kill()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    tracker = start()
    tracker.log_metrics({"loss": 2.5}, step=1)
    server.start()
    try:
        tracker.finish()
        client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
        (run,) = runs_in(client)
        assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 2.5})
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "patience", "waits"),
    [(None, 60.0, True), (None, 0.0, False), (Interrupted("stopped"), 60.0, False)],
)
def test_a_server_that_is_slow_at_the_end_of_finished_work_is_waited_for(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Interrupted | None,
    patience: float,
    waits: bool,
) -> None:
    monkeypatch.setattr("reprise.tracking.tracker.SECONDS_BETWEEN_SENDS", 0.05)
    monkeypatch.setattr("reprise.tracking.tracker.MAX_SECONDS_FOR_SLOW_STORE", patience)
    tracker = start()
    client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
    while not tracker.run_id:
        time.sleep(0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.killpg(server.process.pid, signal.SIGSTOP)
    goes_on = threading.Timer(6, os.killpg, (server.process.pid, signal.SIGCONT))
    goes_on.start()
    try:
        tracker.log_metrics({"loss": 2.5}, step=1)
        tracker.__exit__(type(error) if error else None, error, None)
    finally:
        goes_on.join()
    late, *rest = warnings_of(caplog)
    assert "timed out; the work goes on" in late
    assert rest == ([] if waits else [NOT_ALL.format(server.uri)])
    if waits:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        (run,) = runs_in(client)
        assert run.info.status == "FINISHED"
        assert points(client, run, "loss") == [(1, 2.5)]


def test_a_run_whose_process_was_killed_is_marked_by_the_next_one(checkout: Path) -> None:
    code = WORKER.replace("    for step", "    import time\n    time.sleep(60)\n    for step")
    worker = subprocess.Popen([sys.executable, "-c", code, "key0"])
    client = client_of(checkout)
    deadline = time.monotonic() + 60
    while not client.get_experiment_by_name("novels") or not runs_in(client):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with start("key1"):  # it lives, and is left alone
        pass
    assert [run.info.status for run in runs_in(client)] == ["RUNNING", "FINISHED"]
    worker.kill()
    worker.wait()
    with start("key2"):
        pass
    assert [run.info.status for run in runs_in(client)] == ["KILLED", "FINISHED", "FINISHED"]


def test_a_process_of_another_computer_may_live() -> None:
    computer, number, began = this_process().rsplit(" ", 2)
    assert may_live(this_process())
    assert may_live(f"another-{computer} {number} {began}")
    assert may_live("")
    assert not may_live(f"{computer} {number} {float(began) - 100:.0f}")


@pytest.mark.parametrize(
    ("second", "tags"),
    [
        ({"model": "a", "curves": "b"}, {"reproduces": 0}),
        (
            {"model": "x", "curves": "b", "figures": "y"},
            {"differs_from": 0, "differing_files": "figures, model"},
        ),
    ],
)
def test_a_repeated_run_is_tagged_by_whether_its_files_have_the_same_bytes(
    checkout: Path, second: dict[str, str], tags: dict[str, Any]
) -> None:
    with start() as first:
        first.log_hashes({"model": "a", "curves": "b"})
    with start(continues=True) as evaluation:
        evaluation.log_hashes({"figures": "c"})
    with start() as tracker:
        tracker.log_hashes({name: second[name] for name in ("model", "curves")})
    with start(continues=True, hashes=second) as evaluation:
        evaluation.log_hashes({"figures": second.get("figures", "c")})
    assert evaluation.run_id == tracker.run_id
    found = client_of(checkout).get_run(tracker.run_id).data.tags
    names = ("reproduces", "differs_from", "differing_files")
    expected = {name: first.run_id if value == 0 else value for name, value in tags.items()}
    assert {name: found[name] for name in names if name in found} == expected


def test_an_uncommitted_change_is_kept_beside_the_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    (checkout / ".gitignore").write_text("mlflow.db*\nmlartifacts\n")
    for arguments in (
        ["init", "--quiet"],
        ["add", ".gitignore"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "a commit"],
    ):
        subprocess.run(["git", *arguments], check=True)
    with start(tags={}):
        pass
    with (checkout / ".gitignore").open("a") as file:
        file.write("a-change\n")
    (checkout / "new.py").write_text("1\n")
    with start("another", tags={}) as tracker:
        pass
    first, second = runs_in(client_of(checkout))
    assert first.data.tags["git.dirty"] == "false"
    assert not client_of(checkout).list_artifacts(first.info.run_id)
    assert second.data.tags["git.dirty"] == "true"
    (patch,) = (checkout / "mlartifacts" / tracker.run_id).rglob("git.diff")
    assert "+a-change\n" in patch.read_text()
    assert patch.read_text().endswith("new file, not added to git: new.py\n")


def test_a_watched_run_tells_what_the_machine_does(checkout: Path) -> None:
    for _ in range(2):
        with start(watched=True, continues=True) as tracker:
            tracker.log_metrics({"loss": 2.5}, step=10)
        client_of(checkout).update_run(tracker.run_id, status="KILLED")
    (run,) = runs_in(client_of(checkout))
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= set(
        run.data.metrics
    )
    history = points(client_of(checkout), run, "system/cpu_utilization_percentage")
    assert [step for step, _ in history] == [0, 1]


def test_a_run_tells_versions_and_command(checkout: Path) -> None:
    start().finish()
    tags = runs_in(client_of(checkout))[0].data.tags
    assert tags["version.python"] == platform.python_version()
    assert tags["version.torch"] == torch.__version__
    assert tags["version.sentencepiece"] == sentencepiece.__version__
    assert tags["command"].startswith("python ")


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of this machine's own, on loopback, with an empty database; its address."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # its user must be able to reach it
    port, programs = free_port(), POSTGRES[-1].parent
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to be run by root
    if user:
        shutil.chown(folder, "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    folders = ["--pgdata", str(folder / "data")]
    access = ["--auth=trust", "--username=reprise", "--no-sync"]
    subprocess.run(
        [programs / "initdb", *folders, *access], cwd=folder, check=True, **user, **quiet
    )
    place = ["-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    process = subprocess.Popen([programs / "postgres", *place], cwd=folder, **user, **quiet)
    address = f"postgresql://reprise@127.0.0.1:{port}/postgres"
    try:
        deadline = time.monotonic() + 60
        ready = [programs / "pg_isready", "--quiet", f"--host={folder}", f"--port={port}"]
        while subprocess.run(ready, check=False).returncode and time.monotonic() < deadline:
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(not POSTGRES, reason="no PostgreSQL in /usr/lib/postgresql")
def test_many_processes_at_once_at_a_server_with_postgresql(postgres: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", postgres)
    try:
        # A busy machine may take more than our 10 seconds for an answer; 120 are MLflow's own.
        patient = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
        run_at_once(8, seconds=240, MLFLOW_TRACKING_URI=server.uri, **patient)
        client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
        runs = runs_in(client)
        assert sorted(run.info.run_name or "" for run in runs) == [f"key{n}" for n in range(8)]
        for run in runs:
            assert run.info.status == "FINISHED"
            assert len(points(client, run, "loss")) == 1500
    finally:
        server.kill()
