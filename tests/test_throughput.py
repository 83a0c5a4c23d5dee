"""Tokens a second, with a clock of our own."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from project import Project

from reprise.energy import EnergyCounter, EnergyMeter
from reprise.files import read_json
from reprise.throughput import WARM_UP_STEPS, Pace, Throughput
from reprise.training import Step, Training
from reprise.training_run import TrainingRun


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def steps(clock: Clock, seconds: list[float]) -> Iterator[Step]:
    """Steps of 10 tokens that take so long, after a slow warm-up."""
    for number, taken in enumerate([1000.0] * WARM_UP_STEPS + seconds):
        clock.now += taken
        yield Step(number + 1, nats=20.0, tokens=10, learning_rate=0.1, gradient_norm=1.0)


def cpu_throughput(*counters: EnergyCounter) -> Throughput:
    return Throughput(torch.device("cpu"), EnergyMeter(counters))


def test_warm_up_and_what_is_done_between_steps_are_left_out(clock: Clock) -> None:
    throughput = cpu_throughput()
    paces = []
    for step in throughput.timed(steps(clock, [2.0, 1.0, 3.0, 0.5])):
        clock.now += 50  # a bar, a log
        if step.number % 2:
            throughput.rest()
            clock.now += 500  # a validation
            paces.append(throughput.report())
            clock.now += 500
    assert paces == [
        None,  # after steps 1 and 3: warm-up alone
        None,
        Pace(20, [2.0, 1.0], {}),
        Pace(20, [3.0, 0.5], {}),
    ]
    assert paces[2] is not None
    assert paces[2].tokens_per_second == 20 / 3
    assert str(paces[2]) == "7 tokens/s"
    assert throughput.report() is None


def test_what_the_device_still_had_to_do_belongs_to_the_last_step(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    throughput = cpu_throughput()
    stream = throughput.timed(steps(clock, [2.0, 2.0]))
    for _ in range(WARM_UP_STEPS + 2):
        next(stream)

    def synchronize() -> None:
        clock.now += 0.25

    monkeypatch.setattr("torch.cpu.synchronize", synchronize)
    throughput.rest()
    throughput.rest()
    assert throughput.report() == Pace(20, [2.0, 2.25], {})


def test_energy_is_that_of_the_counted_steps(clock: Clock) -> None:
    at_12_watt = EnergyCounter("cpu", lambda: int(clock.now * 12_000), 0.001, 2**64)
    throughput = cpu_throughput(at_12_watt)
    for step in throughput.timed(steps(clock, [2.0, 1.0, 3.0, 0.5])):
        if step.number == WARM_UP_STEPS + 2:
            throughput.rest()
            clock.now += 500
    pace = throughput.report()
    assert pace is not None
    assert pace.step_seconds == [2.0, 1.0, 3.0, 0.5]
    assert pace.joules == {"cpu": pytest.approx(12 * 6.5)}


def test_no_time_is_no_pace(clock: Clock) -> None:
    throughput = cpu_throughput()
    assert throughput.report() is None
    for _ in throughput.timed(steps(clock, [0.0])):
        pass
    assert throughput.report() is None


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("encoded"), train={"device": "cpu"})
    for name in ("download", "clean", "tokenize", "encode"):
        project.stage(name)
    return project


@pytest.mark.slow
def test_the_tokens_a_second_that_are_told_are_tokens_over_an_outside_clock(
    encoded: Project,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The train stage, whose work takes the time that we say. `outside` is what an observer
    counts: tokens, and the seconds in which steps are done, from one report to the next."""
    from stages.train import train

    monkeypatch.chdir(encoded.folder)
    caplog.set_level(logging.INFO)
    outside: list[tuple[int, float]] = []  # of each step

    def taking(seconds: float, method: object) -> object:
        def slow(*arguments: object) -> object:
            clock.now += seconds
            return method(*arguments)  # type: ignore[operator]

        return slow

    def observed_steps(self: Training, batches: object) -> Iterator[Step]:
        stream = original_steps(self, batches)  # type: ignore[arg-type]
        while not self.finished:
            began = clock.now
            step = next(stream)
            clock.now += 300 if step.number <= WARM_UP_STEPS else 0.01 * (step.number % 7)
            outside.append((step.tokens, clock.now - began))
            yield step

    original_steps = Training.steps
    monkeypatch.setattr(Training, "_accumulate", taking(0.02, Training._accumulate))
    monkeypatch.setattr(Training, "steps", observed_steps)
    monkeypatch.setattr(Training, "valid_nats", taking(40, Training.valid_nats))
    monkeypatch.setattr(Training, "add_row", taking(16, Training.add_row))
    monkeypatch.setattr(TrainingRun, "save", taking(70, TrainingRun.save))
    for name, text in (("DVC_ROOT", str(encoded.folder)), ("COLUMNS", "200")):
        monkeypatch.setenv(name, text)
    train(*map(Path, ("params.yaml", "data/encode", "data/train", "train.json", "train.csv")))

    lines = [record.getMessage() for record in caplog.records]
    told = {
        int(match[1]): float(match[2].replace(",", ""))
        for line in lines
        if (match := re.match(r"train: (\d+) of 40 steps .* nats/token, (.*) tokens/s$", line))
    }
    assert set(range(5, 41, 5)) <= told.keys()
    for step, rate in told.items():
        last = step - step % 5  # a report each 5 steps
        counted = outside[max(last - 5, WARM_UP_STEPS) : last]
        tokens, seconds = (sum(column) for column in zip(*counted, strict=True))
        assert rate == pytest.approx(tokens / seconds, rel=0.02)
    assert read_json(Path("train.json"))["steps"] == 40
