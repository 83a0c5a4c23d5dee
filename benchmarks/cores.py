"""Tokens a second of a training alone, of two on the same cores, and beside a busy program.

    python benchmarks/cores.py [--params params.yaml] [--encoded data/encode] [--rounds 3]
                               [--seconds 20]

For each way that OpenMP's threads can wait for each other, in turn; medians of the rounds. Two
trainings begin together, and each counts its steps over the same seconds. Nothing else may run on
the machine meanwhile.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from reprise.cores import TURNS_WHERE_NOT_TOLD
from reprise.params.loading import load_section
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.training_run import TrainingRun

WAYS = {
    "OpenMP's own": {"GOMP_SPINCOUNT": "300000"},
    f"look {TURNS_WHERE_NOT_TOLD} times, then sleep": {"GOMP_SPINCOUNT": TURNS_WHERE_NOT_TOLD},
    "as the commands have it": {},
}
STEPS_BEFORE = 5  # they choose kernels; and others are noticed within the first of the seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--encoded", type=Path, default=Path("data/encode"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        train(options)
        return
    found = defaultdict[str, list[list[float]]](list)
    for _ in range(options.rounds):
        for way, environment in WAYS.items():
            alone = statistics.mean(together(1, environment, options))
            of_two = statistics.mean(together(2, environment, options))
            with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
                try:
                    beside = statistics.mean(together(1, environment, options))
                finally:
                    busy.kill()
            found[way].append([alone, of_two, beside])
    report(found)


def together(count: int, environment: dict[str, str], options: argparse.Namespace) -> list[float]:
    """Tokens a second of each of so many trainings."""
    command = [sys.executable, __file__, "--worker", "--seconds", str(options.seconds)]
    command += ["--params", str(options.params), "--encoded", str(options.encoded)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        workers = []
        for _ in range(count):
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="reprise-"))
            variables = {**os.environ, **environment, "DVC_ROOT": root}  # for its checkpoints
            workers.append(subprocess.Popen(command, env=variables, **pipes))
        if not all(worker.stdout.readline() for worker in workers):
            sys.exit("a training has failed, as it says above")
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return [float(worker.communicate()[0]) for worker in workers]


def train(options: argparse.Namespace) -> None:
    """In this process: ready after some steps, then waits for the word, then measures."""
    params = load_section(options.params, TrainParams)
    run = TrainingRun.prepare(params, load_section(options.params, ModelParams), options.encoded)
    steps = run.steps()
    for _ in range(STEPS_BEFORE):
        next(steps)
    click.echo("ready")
    sys.stdin.readline()
    tokens, began = 0, time.monotonic()
    while time.monotonic() - began < options.seconds:
        tokens += next(steps).tokens
    click.echo(tokens / (time.monotonic() - began))


def report(found: dict[str, list[list[float]]]) -> None:
    medians = {
        way: [statistics.median(each) for each in zip(*rounds, strict=True)]
        for way, rounds in found.items()
    }
    best = medians[next(iter(WAYS))][0]
    click.echo("| waiting threads | alone, tokens/s | each of two | beside a busy program |")
    click.echo("|---|---|---|---|")
    for way, figures in medians.items():
        cells = (f"{figure:,.0f} ({figure / best:.0%})" for figure in figures)
        click.echo(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
