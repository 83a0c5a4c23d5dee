"""What all tests share: one thread, no pipeline of the outside world in sight, a finished run."""

import os

import pytest
from filelock import FileLock
from project import Project

# Before torch and SentencePiece start their threads: tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first; the quick ones fill the end evenly."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole pipeline, unbroken, by one worker, with its run in MLflow; not committed.

    The first process of the tests to ask for it makes it. Copy it before you change it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which they share
    place, finished = folder / "whole_run", folder / "whole_run.finished"
    with FileLock(folder / "whole_run.lock"):
        if not finished.exists():
            project = Project(place, run={"workers": 1, "tracking": True})
            assert len(project.reproduced()) == 7
            finished.touch()
    return Project.at(place)
