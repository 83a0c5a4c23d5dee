"""What is not training in a training: loading data, logging, checkpoints and progress.

    python benchmarks/overhead.py [--params params.yaml] [--encoded data/encode] [--rounds 3]
                                  [--steps 300]

The train stage's own loop, with tracking on, beside `for step in run.steps(): pass`, in turn, each
in a process of its own. Validation is in neither, nor
are the first steps of a process. Loading a batch is a part of a step, so that it is measured by
itself too. Nothing else may run on the machine meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from reprise.params.loading import load_section
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.throughput import WARM_UP_STEPS
from reprise.training import Step, Training
from reprise.training_run import TrainingRun

WHOSE = ("bare", "everything")


class Observer:
    """Milliseconds, after the first steps: of the whole loop, in steps, in validations."""

    def __init__(self) -> None:
        self.steps, self.loop, self.inside, self.validating = 0, 0.0, 0.0, 0.0

    def observe(self, steps: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
        def observed(run: TrainingRun) -> Iterator[Step]:
            stream = steps(run)
            for _ in range(WARM_UP_STEPS):
                yield next(stream)
            began = _milliseconds()
            while True:
                before = _milliseconds()
                step = next(stream, None)
                self.loop = _milliseconds() - began
                if step is None:
                    return
                self.inside += _milliseconds() - before
                self.steps += 1
                yield step

        return observed

    def leave_out(self, validate: Callable[..., float]) -> Callable[..., float]:
        def timed(*arguments: Any) -> float:
            began = _milliseconds()
            nats = validate(*arguments)
            self.validating += _milliseconds() - began
            return nats

        return timed


def measure(whose: str, params: Path, encoded: Path, folder: Path) -> dict[str, float]:
    """In this process, milliseconds a step: the loop, between its steps, loading a batch."""
    from stages.train import train

    observer = Observer()
    patched: Any = TrainingRun
    patched.steps = observer.observe(TrainingRun.steps)
    patched = Training
    patched.valid_nats = observer.leave_out(Training.valid_nats)
    loading = 0.0
    if whose == "everything":
        train(params, encoded, folder / "model", folder / "train.json", folder / "train.csv")
    else:
        train_params = load_section(params, TrainParams)
        run = TrainingRun.prepare(train_params, load_section(params, ModelParams), encoded)
        for _ in run.steps():
            pass
        began = _milliseconds()
        for number in range(observer.steps):
            run.batches[WARM_UP_STEPS + number]
        loading = _milliseconds() - began
    loop = observer.loop - observer.validating
    sums = {"loop": loop, "between": loop - observer.inside, "loading": loading}
    return {name: value / observer.steps for name, value in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--encoded", type=Path, default=Path("data/encode"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        whose, folder = options.worker
        json.dump(measure(whose, options.params, options.encoded, Path(folder)), sys.stdout)
        return
    found: dict[str, list[dict[str, float]]] = {whose: [] for whose in WHOSE}
    for _ in range(options.rounds):
        for whose, results in found.items():
            results.append(measured_apart(whose, options))
    report(found, options.steps)


def measured_apart(whose: str, options: argparse.Namespace) -> dict[str, float]:
    """In a new process, whose checkpoints and MLflow database are in a new folder."""
    yaml = YAML()
    settings = yaml.load(options.params.read_text(encoding="utf-8"))
    settings["train"]["max_steps"] = options.steps
    settings["run"]["tracking"] = True
    with tempfile.TemporaryDirectory(prefix="reprise-") as name:
        params = Path(name) / "params.yaml"
        with params.open("w", encoding="utf-8") as file:
            yaml.dump(settings, file)
        command = [sys.executable, __file__, "--worker", whose, name, "--params", str(params)]
        command += ["--encoded", str(options.encoded)]
        environment = {**os.environ, "DVC_ROOT": name}
        environment.pop("MLFLOW_TRACKING_URI", None)
        output = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        ).stdout
    return json.loads(output)


def report(found: dict[str, list[dict[str, float]]], steps: int) -> None:
    """The fastest round stands beside the median, since neighbours only ever slow one down."""

    def of_rounds(summary: Callable[[Iterator[float]], float]) -> dict[str, float]:
        bare, everything, between, loading = (
            summary(result[figure] for result in found[whose])
            for whose, figure in (
                *((whose, "loop") for whose in WHOSE),
                ("everything", "between"),
                ("bare", "loading"),
            )
        )
        return {
            "bare loop": bare,
            "in it: loading a batch": loading,
            "between the steps: logging, checkpoints, progress": between,
            "loading and between": loading + between,
            "everything on, less bare": everything - bare,
        }

    medians, fastest = of_rounds(statistics.median), of_rounds(min)
    click.echo(f"{steps} steps, {len(found['bare'])} rounds; ms a step, share of the bare loop\n")
    click.echo("| | median | | fastest | |\n|---|---|---|---|---|")
    for name in medians:
        cells = (
            f"{figures[name]:.2f} | {figures[name] / figures['bare loop']:.2%}"
            for figures in (medians, fastest)
        )
        click.echo(f"| {name} | {' | '.join(cells)} |")


def _milliseconds() -> float:
    return time.perf_counter() * 1e3


if __name__ == "__main__":
    main()
