"""The same work on a Dask cluster, and on Ray where it is installed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Cluster, dask_cluster
from project import Project

from reprise.errors import PipelineError
from reprise.parallel import Engine, ordered_map

DATA_STAGES = ("download", "clean", "tokenize", "encode")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "dask").mkdir()
    with dask_cluster(tmp_path / "dask") as started:
        yield started


def square_slowly(item: tuple[int, str]) -> int:
    number, folder = item
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.1)
    return number * number


def refuse(number: int) -> int:
    raise PipelineError(f"item {number} is wrong; mend it")


def test_a_worker_that_is_killed_changes_nothing_but_time(cluster: Cluster, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    items = [(number, str(seen)) for number in range(40)]
    found = []
    for result in ordered_map(square_slowly, items, Engine("auto", "dask", cluster.address)):
        found.append(result)
        if len(found) == 10:
            cluster.workers[0].kill()
    assert found == [number**2 for number in range(40)]
    assert {path.name for path in seen.iterdir()} >= {str(w.pid) for w in cluster.workers}
    with pytest.raises(PipelineError, match="item 7 is wrong; mend it"):
        list(ordered_map(refuse, [7], Engine("auto", "dask", cluster.address)))


def test_data_stages_give_the_same_bytes_on_dask_with_a_worker_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Run by a process of its own, as a person would; one worker is killed on the way."""
    found = []
    for kind in ("loky", "dask"):
        address = cluster.address if kind == "dask" else None
        project = Project(
            tmp_path / kind,
            documents=200,
            run={"engine": kind, "engine_address": address, "workers": 2},
        )
        for stage in DATA_STAGES:
            if kind == "dask" and stage == "encode":
                cluster.workers[1].kill()
            project.stage(stage)
        files = [p for top in ("data", "metrics") for p in (project.folder / top).rglob("*.*")]
        found.append({str(p.relative_to(project.folder)): p.read_bytes() for p in files})
    assert found[0] == found[1]
    assert len(found[0]) > 15


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.parallel.SECONDS_TO_CONNECT", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(PipelineError) as caught:
        list(ordered_map(refuse, [1], Engine(2, "dask", address)))
    (line,) = caught.value.lines
    assert line.startswith(f"run.engine_address: no Dask scheduler answers at {address}: ")
    assert line.endswith("; start one with `dask scheduler`, or set run.engine to loky")


RAY = """
import json, ray, sys
from reprise.parallel import Engine, ordered_map
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
print(json.dumps(list(ordered_map(int.bit_length, range(20), Engine("auto", "ray", None)))))
"""


def test_ray_gives_the_same_in_order() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'reprise[ray]'")
    done = subprocess.run([sys.executable, "-c", RAY], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [n.bit_length() for n in range(20)]
