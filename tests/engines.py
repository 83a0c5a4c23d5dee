"""A real Dask cluster on this machine, for tests."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_TO_START = 60


@dataclass
class Cluster:
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A scheduler and worker processes of one thread each, in folders of their own."""
    file = folder / "scheduler.json"
    scheduler = _started(
        folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)
    )
    cluster = Cluster("", scheduler, [])
    try:
        _wait_for(file.exists)
        from distributed import Client

        for number in range(workers):
            place = folder / f"worker{number}"
            place.mkdir()
            cluster.workers.append(
                _started(
                    place,
                    "worker",
                    *("--scheduler-file", str(file), "--host", "127.0.0.1", "--no-nanny"),
                    *("--nthreads", "1", "--local-directory", str(place)),
                )
            )
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=SECONDS_TO_START)
            cluster.address = client.scheduler.address
        yield cluster
    finally:
        for process in (*cluster.workers, scheduler):
            process.kill()
            process.wait()


def _started(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_" + command[0],
            *command[1:],
            "--no-dashboard",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(condition) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        assert time.monotonic() < deadline, "the cluster did not start"
        time.sleep(0.1)
