"""The same work on a Dask cluster, and on Ray where it is installed."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from engines import ROOT, Cluster, dask_cluster
from project import Project

from reprise import parallel
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


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_what_a_cluster_cannot_do_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    monkeypatch.setattr(parallel, "SECONDS_TO_CONNECT", 1)
    monkeypatch.setattr(parallel, "SECONDS_WITHOUT_WORKERS", 1)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("only_here", "older_there"):
        (tmp_path / f"{module}.py").write_text("def same(number):\n    return number\n")
    only_here, older_there = map(importlib.import_module, ("only_here", "older_there"))
    not_there = "run.engine: a worker of the cluster cannot load the work: "
    advice = "; install the same version of the project, with what it needs, where the workers run"

    with dask_cluster(tmp_path) as cluster:
        engine = Engine("auto", "dask", cluster.address)
        assert _line(refuse, engine) == "item 1 is wrong; mend it"
        for number in range(2):
            (tmp_path / f"worker{number}" / "older_there.py").touch()
        line = _line(only_here.same, engine)
        assert line == f"{not_there}No module named 'only_here'{advice}"
        line = _line(older_there.same, engine)
        assert line.startswith(f"{not_there}Can't get attribute 'same' on <module 'older_there'")
        assert line.endswith(advice)
        assert _line(die, engine) == (
            "the Dask workers that had the same piece of work all ended; most likely memory ran "
            "out: give them more, or start fewer on a machine, and run the same command again"
        )
        assert _line(refuse, engine) == (
            f"run.engine_address: the Dask scheduler at {cluster.address} has had no workers for 1 "
            f"seconds; start some with `dask worker {cluster.address} --nthreads 1`, and run the "
            "same command again"
        )
        assert caplog.messages == [
            f"the Dask scheduler at {cluster.address} has no workers; waiting for one"
        ]


def _line(function: Callable[[int], int], engine: Engine) -> str:
    with pytest.raises(PipelineError) as caught:
        list(ordered_map(function, [1], engine))
    (line,) = caught.value.lines
    return line


def test_a_scheduler_that_goes_away_is_told(cluster: Cluster, tmp_path: Path) -> None:
    items = [(number, str(tmp_path)) for number in range(40)]
    results = ordered_map(square_slowly, items, Engine("auto", "dask", cluster.address))
    assert [next(results), next(results)] == [0, 1]
    cluster.scheduler.kill()
    with pytest.raises(PipelineError) as caught:
        list(results)
    assert str(caught.value) == (
        f"run.engine_address: the Dask scheduler at {cluster.address} went away; start it again "
        "with its workers, and run the same command again"
    )


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SECONDS_TO_CONNECT", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    line = _line(refuse, Engine(2, "dask", address))
    assert line.startswith(f"run.engine_address: no Dask scheduler answers at {address}: ")
    assert line.endswith("; start one with `dask scheduler`, or set run.engine to loky")


@pytest.mark.parametrize(("engine", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_told(
    engine: Literal["dask", "ray"], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert _line(refuse, Engine(2, engine, "auto")) == (
        f"run.engine: {engine} is not installed; `pip install 'reprise[{engine}]'`, or set "
        "run.engine to loky"
    )


RAY = """
import json, pathlib, sys
import numpy, ray
from reprise.errors import PipelineError
from reprise.parallel import Engine, ordered_map
from tests.test_engines import die, refuse
from tests.test_parallel import die_once, square_later

def line(function, items):
    try:
        list(ordered_map(function, items, engine))
    except PipelineError as error:
        return str(error)

engine = Engine("auto", "ray", "auto")
unreachable = line(refuse, [1])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[2])
folder = pathlib.Path(sys.argv[1])
deaths = [(number, str(folder / "died")) for number in range(12)]
found = json.dumps({
    "unreachable": unreachable,
    "squares": list(ordered_map(square_later, range(20), engine)),
    "after a death": list(ordered_map(die_once, deaths, engine)),
    "writable": [a.flags.writeable for a in ordered_map(numpy.ones, [5, 300_000], engine)],
    "refused": line(refuse, [7]),
    "died": line(die, [1]),
})
(folder / "found.json").write_text(found)
"""


def test_ray_does_the_same(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'reprise[ray]'")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with TemporaryDirectory(prefix="ray-") as short:  # for names of sockets
        subprocess.run(
            [sys.executable, "-c", RAY, str(tmp_path), short],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths, "HOME": str(tmp_path)},  # it keeps a token there
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )
    found = json.loads((tmp_path / "found.json").read_text())
    assert found.pop("unreachable").startswith("run.engine_address: no Ray cluster answers at auto")
    assert found == {
        "squares": [n**2 for n in range(20)],
        "after a death": [n**2 for n in range(12)],
        "writable": [True, True],
        "refused": "item 7 is wrong; mend it",
        "died": "the Ray workers that had the same piece of work all ended; most likely memory ran "
        "out: give them more, or start fewer on a machine, and run the same command again",
    }
    assert (tmp_path / "died").exists()
