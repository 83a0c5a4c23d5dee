"""TensorBoard's own reader of event files, on files of an interrupted and of a resumed run."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reprise.event_log import EventLog

NAME = "lstm-16x1 adamw 0.01 0123456789"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".tensorboard" / NAME


def write(first: int, last: int, loss: float) -> None:
    """A process that goes on after step `first` and writes about each tenth step up to `last`."""
    with EventLog.start(NAME, wanted=True, step=first) as events:
        for step in range(first + 10, last + 1, 10):
            events.log({"loss/train": loss, "speed/tokens_per_second": 100 * loss}, step)


def points(folder: Path, tag: str = "loss/train") -> list[tuple[int, float]]:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    assert set(reader.Tags()["scalars"]) == {"loss/train", "speed/tokens_per_second"}
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def test_figures_are_in_the_event_file_by_name_and_step(folder: Path) -> None:
    write(0, 20, loss=2.5)
    assert points(folder) == [(10, 2.5), (20, 2.5)]
    assert points(folder, "speed/tokens_per_second") == [(10, 250.0), (20, 250.0)]


def test_what_was_written_after_the_last_checkpoint_gives_way_to_the_resumed_run(
    folder: Path,
) -> None:
    write(0, 50, loss=3.0)  # killed after step 50; the checkpoint is of step 30
    write(30, 60, loss=2.0)
    assert points(folder) == [
        *[(10, 3.0), (20, 3.0), (30, 3.0)],
        *[(40, 2.0), (50, 2.0), (60, 2.0)],
    ]


def test_steps_that_are_trained_again_count_as_the_last_time(folder: Path) -> None:
    with EventLog.start(NAME, wanted=True, step=0) as events:
        for loss, steps in ((3.0, (10, 20, 30)), (2.0, (20, 30, 40)), (1.0, (40, 50))):
            for step in steps:
                events.log({"loss/train": loss, "speed/tokens_per_second": 100 * loss}, step)
    assert points(folder) == [(10, 3.0), (20, 2.0), (30, 2.0), (40, 1.0), (50, 1.0)]


def test_a_run_that_begins_anew_keeps_nothing_of_the_earlier_one(folder: Path) -> None:
    write(0, 50, loss=3.0)
    write(0, 20, loss=2.0)
    assert points(folder) == [(10, 2.0), (20, 2.0)]


def test_where_it_is_not_wanted_nothing_is_written(tmp_path: Path, folder: Path) -> None:
    with EventLog.start(NAME, wanted=False, step=0) as events:
        events.log({"loss/train": 2.0}, 10)
    assert list(tmp_path.iterdir()) == []
