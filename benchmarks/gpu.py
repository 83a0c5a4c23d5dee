"""All that can be checked and measured on a machine with one GPU alone, as a Markdown table.

    python benchmarks/gpu.py [--parts rates,gpt2,determinism,textbook,memory] [--seconds 3]
                             [--device cuda] [--tiny]

rates        products of matrices, operations a second: what a share of the peak is a share of
determinism  an LSTM and a transformer, repeated and resumed to the same bits; what that costs
textbook     benchmarks/train.py's LSTM as people write it and as ours
gpt2         124 million parameters in the shape of GPT-2, context 1,024, compiled
memory       at the fullest moment, as expected and as it was

Each training is a process of its own, with time to compile and three minutes at most. What fails is
told in its place in the table, and the rest goes on. All of it takes a quarter of an hour or more,
the first three parts about half of that. `--device cpu --tiny` runs all of it anywhere, in some
minutes, for its own sake. Needs no MLflow, no DVC, no data.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from train import CASES, Case, made_up_text
from train import measure as measure_textbook

from reprise.dataset import batches_for
from reprise.distribution import fabric_for
from reprise.energy import EnergyMeter
from reprise.machine import resolve
from reprise.matrix_rate import matrix_rate
from reprise.memory_fit import in_bytes, rows_at_once, step_memory
from reprise.models import build_model
from reprise.models.size import parameter_count
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reckoning import peak_memory
from reprise.resume_proof import prove_resume
from reprise.speed import Speed
from reprise.throughput import WARM_UP_STEPS, Throughput
from reprise.training import Training
from reprise.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parent.parent
COUNTED_STEPS = 10  # at least
PROOF_STEPS = 6
TEXTBOOK_CASES = ("lstm-20x35", "lstm-64x64")
TEXTBOOK_ROUNDS = 2
TEXT_TOKENS = 400_000  # about
SECONDS_OF_A_JOB = 180

Figures = dict[str, float]
Rows = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Network:
    """Changes to params.yaml."""

    vocabulary: int
    model: dict[str, Any]
    train: dict[str, Any]

    def with_train(self, **changes: Any) -> "Network":
        return replace(self, train=self.train | changes)

    def params(self) -> tuple[ModelParams, TrainParams]:
        settings = read_yaml(ROOT / "params.yaml", "restore it")
        train = settings["train"] | {"max_steps": 10**6} | self.train
        return (
            ModelParams.model_validate(settings["model"] | self.model),
            TrainParams.model_validate(train),
        )


LSTM = Network(10_000, {"hidden_size": 1024}, {"batch_size": 64})
TRANSFORMER = Network(
    10_000,
    {
        "architecture": "transformer",
        "embedding_size": 512,
        "hidden_size": 512,
        "layers": 6,
        "heads": 8,
        "feedforward_size": 1536,
    },
    {"batch_size": 32, "sequence_length": 512, "learning_rate": 0.001},
)
GPT2 = Network(
    50_304,
    {
        "architecture": "gpt2",
        "embedding_size": 768,
        "hidden_size": 768,
        "layers": 12,
        "heads": 12,
        "feedforward_size": 3072,
        "positions": 1024,
        "tie_weights": True,
        **{f"{place}_dropout": 0.0 for place in ("input", "hidden", "output")},
    },
    {"batch_size": 32, "sequence_length": 1024, "learning_rate": 0.0006, "precision": "bf16"},
)
NETWORKS = {"lstm": LSTM, "transformer": TRANSFORMER, "gpt2": GPT2}


def network(name: str, options: argparse.Namespace) -> Network:
    full = NETWORKS[name].with_train(device=options.device)
    if not options.tiny:
        return full
    sizes = {"embedding_size": 32, "hidden_size": 32, "layers": 2, "heads": 2}
    model = full.model | sizes | {"feedforward_size": 64, "positions": 32}
    tiny = Network(100, model, full.train)
    return tiny.with_train(batch_size=4, sequence_length=16, threads=1)


def textbook_case(name: str, options: argparse.Namespace, precision: str) -> Case:
    case = CASES[name]
    case = replace(case, train=case.train | {"device": options.device, "precision": precision})
    if options.tiny:
        sizes = {"embedding_size": 16, "hidden_size": 32}
        case = replace(case, vocabulary=100, rows=4, length=16, model=case.model | sizes)
    return case


def train(network: Network, seconds: float) -> Figures:
    """In this process: the figures of speed, what memory was expected and what was taken."""
    model_params, params = network.params()
    machine = resolve(params, model_params)
    fabric = fabric_for(machine, deterministic=params.deterministic)
    memory = step_memory(model_params, network.vocabulary, params, machine)
    rows = rows_at_once(memory, params)
    torch.manual_seed(1)
    training = Training(fabric, build_model(model_params, network.vocabulary), params, rows)
    if machine.compiled:
        training.compile()
    device = fabric.device
    speed = Speed.measured(model_params, network.vocabulary, params, device, machine.precision)
    throughput = Throughput(device, EnergyMeter.of_training(params, device.type))
    # Whole batches alone: another shape would be compiled for among the steps that are timed.
    batch = params.batch_size * params.sequence_length
    split = made_up_text(network.vocabulary, max(1, TEXT_TOKENS // batch) * batch)
    batches = batches_for(params, split, recurrent=model_params.recurrent)
    end = float("inf")
    for step in throughput.timed(training.steps(batches)):
        if step.number == WARM_UP_STEPS:
            end = time.monotonic() + seconds
        if step.number >= WARM_UP_STEPS + COUNTED_STEPS and time.monotonic() > end:
            break
    pace = throughput.report()
    assert pace is not None
    return {
        "rows": rows,
        "expected_bytes": memory.peak(rows),
        "true_bytes": peak_memory(device.type),
        **{name.partition("/")[2]: value for name, value in speed.figures(pace).items()},
    }


def textbook(name: str, whose: str, precision: str, options: argparse.Namespace) -> Figures:
    case = textbook_case(name, options, precision)
    figures = measure_textbook(case, whose, options.seconds)
    return {name: figures[name] for name in ("tokens_per_second", "loss", "peak_bytes")}


def work(job: dict[str, Any], options: argparse.Namespace) -> Figures:
    """A job of `in_new_process`, in that process."""
    if "case" in job:
        return textbook(job["case"], job["whose"], job["precision"], options)
    chosen = network(job["network"], options).with_train(**job["train"])
    return train(chosen, options.seconds)


def in_new_process(options: argparse.Namespace, **job: Any) -> Figures:
    command = [sys.executable, __file__, "--job", json.dumps(job), "--device", options.device]
    command += ["--seconds", str(options.seconds), *(["--tiny"] if options.tiny else [])]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_OF_A_JOB)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took more than {SECONDS_OF_A_JOB} s") from None
    if result.returncode:
        sys.stderr.write(result.stderr)
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise RuntimeError(lines[-1])
    return json.loads(result.stdout.splitlines()[-1])


def rates(options: argparse.Namespace) -> Rows:
    device = torch.device(options.device)
    for name, precision, tf32 in (
        ("bf16", "bf16", False),
        ("fp32", "fp32", False),
        ("fp32 through TF32", "fp32", True),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        yield f"matrix products, {name}", f"{matrix_rate(device, precision) / 1e12:.2f} TFLOP/s"
    torch.backends.cuda.matmul.allow_tf32 = False


def determinism(options: argparse.Namespace) -> Rows:
    for name in ("lstm", "transformer"):
        yield from guarded(f"{name}, repeated and resumed", partial(proof_of, name, options))
        yield from guarded(f"{name}, train.deterministic", partial(cost_of, name, options))


def proof_of(name: str, options: argparse.Namespace) -> Rows:
    chosen = network(name, options).with_train(deterministic=True)
    nowhere = Path("no encoded splits: random ids")
    proof = prove_resume(*chosen.params(), nowhere, chosen.vocabulary, PROOF_STEPS)
    yield f"{name}", proof.subject
    different = [comparison.line for comparison in proof.comparisons if comparison.difference]
    verdict = "; ".join(different) or f"all bits the same, {PROOF_STEPS} steps"
    yield f"{name}, repeated and resumed", verdict


def cost_of(name: str, options: argparse.Namespace) -> Rows:
    rate = {
        repeats: in_new_process(options, network=name, train={"deterministic": repeats})[
            "tokens_per_second"
        ]
        for repeats in (True, False)
    }
    yield (
        f"{name}, train.deterministic true, false",
        f"{rate[True]:,.0f}, {rate[False]:,.0f} tokens/s: {rate[True] / rate[False]:.2f} times",
    )


def textbook_lstm(options: argparse.Namespace) -> Rows:
    for case in TEXTBOOK_CASES:
        yield from guarded(f"textbook {case}", partial(textbook_rows, case, options))


def textbook_rows(case: str, options: argparse.Namespace) -> Rows:
    kinds = {"theirs": "fp32", "ours, fp32": "fp32", "ours": "auto"}
    found: dict[str, list[Figures]] = {kind: [] for kind in kinds}
    for _ in range(1 if options.tiny else TEXTBOOK_ROUNDS):
        for kind, precision in kinds.items():
            whose = kind.partition(",")[0]
            found[kind].append(in_new_process(options, case=case, whose=whose, precision=precision))
    theirs = statistics.median(result["tokens_per_second"] for result in found["theirs"])
    for kind, results in found.items():
        rate = statistics.median(result["tokens_per_second"] for result in results)
        yield (
            f"textbook {case}, {kind}",
            f"{rate:,.0f} tokens/s, {rate / theirs:.2f} times; "
            f"{in_bytes(results[0]['peak_bytes'])}; loss {results[0]['loss']:.4f}",
        )


def gpt2(options: argparse.Namespace) -> Rows:
    chosen = network("gpt2", options)
    model_params, params = chosen.params()
    parameters = parameter_count(model_params, chosen.vocabulary)
    yield "gpt2", f"{parameters:,} parameters, {params.batch_size} x {params.sequence_length}"
    for repeats in (False, True):
        what = f"gpt2, train.deterministic {str(repeats).lower()}"
        yield from guarded(what, partial(gpt2_rows, what, repeats, options))


def gpt2_rows(what: str, repeats: bool, options: argparse.Namespace) -> Rows:
    figures = in_new_process(options, network="gpt2", train={"deterministic": repeats})
    joules = figures.get("joules_per_token")
    yield (
        what,
        f"{figures['tokens_per_second']:,.0f} tokens/s, "
        f"{figures['teraflops_per_second']:.3g} TFLOP/s, "
        f"{figures['share_of_peak']:.1%} of the measured peak; step p50 "
        f"{figures['step_seconds_p50']:.4f}, p95 {figures['step_seconds_p95']:.4f}, max "
        f"{figures['step_seconds_max']:.4f} s; {figures['rows']} rows at once, "
        f"{in_bytes(figures['true_bytes'])}" + (f"; {joules:.2g} J a token" if joules else ""),
    )


def memory(options: argparse.Namespace) -> Rows:
    for name in NETWORKS:
        for rows in (1, 4) if options.tiny else (4, 16, 32):
            what = f"memory, {name}, {rows} rows at once"
            yield from guarded(what, partial(memory_rows, what, name, rows, options))


def memory_rows(what: str, name: str, rows: int, options: argparse.Namespace) -> Rows:
    figures = in_new_process(options, network=name, train={"micro_batch_size": rows})
    expected, true = figures["expected_bytes"], figures["true_bytes"]
    yield (
        what,
        f"expected {in_bytes(expected)}, true {in_bytes(true)}, {true / expected:.2f} "
        f"times; {figures['tokens_per_second']:,.0f} tokens/s",
    )


PARTS: dict[str, Callable[[argparse.Namespace], Rows]] = {
    "rates": rates,
    "gpt2": gpt2,
    "determinism": determinism,
    "textbook": textbook_lstm,
    "memory": memory,
}
failed: list[str] = []


def guarded(what: str, rows: Callable[[], Rows]) -> Rows:
    """The same rows; whatever goes wrong is one too, and the others have their turn."""
    try:
        yield from rows()
    except (Exception, SystemExit) as error:  # the latter where a training has told what is wrong
        failed.append(what)
        yield what, f"FAILED: {type(error).__name__}: {error}"


def surroundings(device: str) -> Rows:
    yield "date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield "Python, torch", f"{platform.python_version()}, {torch.__version__}"
    if device != "cuda":
        yield "device", device
        return
    properties = torch.cuda.get_device_properties(0)
    yield "card", f"{properties.name}, {in_bytes(properties.total_memory)}"
    yield "CUDA, cuDNN", f"{torch.version.cuda}, {torch.backends.cudnn.version()}"
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader"]
        result = subprocess.run(query, capture_output=True, text=True)
        yield "driver, power limit", result.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        json.dump(work(options.job, options), sys.stdout)
        return
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--parts: found {', '.join(unknown)}; allowed: {', '.join(PARTS)}")
    failed.clear()
    click.echo("| what | found |\n|---|---|")
    every = {"surroundings": lambda options: surroundings(options.device), **PARTS}
    for part, rows_of in every.items():
        if part in ("surroundings", *parts):
            for what, found in guarded(part, partial(rows_of, options)):
                click.echo(f"| {what} | {found} |")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
