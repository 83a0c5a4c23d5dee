"""Training steps of ours beside the same networks as people write them: speed, memory, losses.

    python benchmarks/train.py [--cases lstm-20x35,lstm-64x64,gpt-4x128,gpt-6x384,...]
                               [--rounds 3] [--seconds 15]

Each measurement is a process of its own, ours and theirs in turn, so that both meet the same noise;
medians over the rounds are compared. Each is also told as a share of the rate that products of
large matrices reach in the same process and precision, which is what any training is bound by.
Both start from the same weights and see the same batches of a made-up text; the losses of their
first steps are printed, so that one sees that they agree.

Theirs: nn.Embedding, nn.LSTM with the sequence first, nn.Linear, CrossEntropyLoss over all logits,
torch.optim.Adam, all in float32; and a GPT with LayerNorm, learned positions and GELU, AdamW, in
float32. Nothing else may run on the machine meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from reprise.dataset import Batches, EncodedSplit, batches_for
from reprise.distribution import fabric_for
from reprise.machine import resolve
from reprise.matrix_rate import matrix_rate
from reprise.models import build_model
from reprise.models.size import training_flops_per_token
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reckoning import peak_memory
from reprise.training import Training
from reprise.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parent.parent
BOUNDARY = 1
TEXT_TOKENS = 400_000
WARM_UP_STEPS = 3
COMPARED_STEPS = 20  # whose losses are printed


@dataclass(frozen=True)
class Case:
    vocabulary: int
    rows: int
    length: int
    model: dict[str, Any]
    train: dict[str, Any]


def lstm(rows: int, length: int, vocabulary: int = 10_000) -> Case:
    model = {"architecture": "lstm", "embedding_size": 300, "hidden_size": 1024, "layers": 1}
    train = {"optimizer": "adam", "learning_rate": 0.001, "beta2": 0.999}
    return Case(vocabulary, rows, length, model, train)


def gpt(layers: int, size: int, heads: int, rows: int, length: int) -> Case:
    model = {
        "architecture": "gpt2",
        "embedding_size": size,
        "hidden_size": size,
        "layers": layers,
        "heads": heads,
        "feedforward_size": 4 * size,
        "positions": length,
        "gelu_approximation": "none",
        "tie_weights": True,
    }
    train = {"optimizer": "adamw", "learning_rate": 0.001, "beta2": 0.99, "weight_decay": 0.1}
    return Case(65, rows, length, model, train)


CASES = {
    "lstm-20x35": lstm(20, 35),
    "lstm-64x64": lstm(64, 64),
    "lstm-64x64-32000": lstm(64, 64, vocabulary=32_000),
    "gpt-4x128": gpt(4, 128, 4, rows=12, length=64),
    "gpt-6x384": gpt(6, 384, 6, rows=16, length=256),
}


def params_of(case: Case) -> tuple[ModelParams, TrainParams]:
    """The settings of params.yaml, with those of the case; nothing is dropped, nothing averaged."""
    settings = read_yaml(ROOT / "params.yaml", "restore it")
    places = ("input", "hidden", "output", "embedding", "weight")
    model = settings["model"] | {f"{place}_dropout": 0.0 for place in places}
    model |= {"tie_weights": False} | case.model
    train = settings["train"] | {
        "batch_size": case.rows,
        "sequence_length": case.length,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "clip_norm": 1e9,
        "max_steps": 10**6,
        **case.train,
    }
    return ModelParams.model_validate(model), TrainParams.model_validate(train)


def made_up_text(vocabulary: int, tokens: int = TEXT_TOKENS) -> EncodedSplit:
    """Zipf's frequencies; every second token follows from the one before it."""
    random = np.random.default_rng(1)
    weights = 1 / np.arange(1, vocabulary - 1)
    drawn = 2 + random.choice(vocabulary - 2, tokens, p=weights / weights.sum())
    follows = 2 + random.permutation(vocabulary - 2)
    ids = drawn.copy()
    for place in np.flatnonzero(random.random(tokens) < 0.5):
        if place:
            ids[place] = follows[ids[place - 1] - 2]
    ids[-1] = BOUNDARY
    return EncodedSplit(ids.astype(np.uint16), np.array([0, len(ids)]), BOUNDARY)


def our_losses(training: Training, batches: Batches) -> Iterator[float]:
    for step in training.steps(batches):
        yield step.nats / step.tokens


def their_losses(case: Case, training: Training, batches: Batches) -> Iterator[float]:
    """The textbook's loop, from the same weights."""
    network = TextbookLstm(case) if case.model["architecture"] == "lstm" else PlainGpt(case)
    network.take(training.model)
    device = training.fabric.device
    network.to(device)
    kind = torch.optim.Adam if case.train["optimizer"] == "adam" else torch.optim.AdamW
    betas = (training.params.beta1, training.params.beta2)
    optimizer = kind(
        network.parameters(),
        lr=case.train["learning_rate"],
        betas=betas,
        weight_decay=case.train.get("weight_decay", 0.0),
    )
    criterion = nn.CrossEntropyLoss()
    state, number = None, 0
    while True:
        batch = batches[number]
        inputs, targets = batch.inputs.to(device), batch.targets.to(device)
        logits, state = network(inputs, None if batch.fresh else state)
        loss = criterion(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        number += 1
        yield loss.item()


class TextbookLstm(nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        size, hidden = case.model["embedding_size"], case.model["hidden_size"]
        self.embedding = nn.Embedding(case.vocabulary, size)
        self.lstm = nn.LSTM(size, hidden)
        self.head = nn.Linear(hidden, case.vocabulary)

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is not None:
            state = tuple(tensor.detach() for tensor in state)
        hidden, state = self.lstm(self.embedding(ids.t()), state)
        return self.head(hidden).transpose(0, 1), state

    @torch.no_grad()
    def take(self, ours: Any) -> None:
        layer = ours.body.layers[0]
        self.embedding.weight.copy_(ours.embedding.weight)
        self.lstm.weight_ih_l0.copy_(layer.input_weight)
        self.lstm.weight_hh_l0.copy_(layer.hidden_weight)
        self.lstm.bias_ih_l0.copy_(layer.input_bias)
        self.lstm.bias_hh_l0.copy_(layer.hidden_bias)
        self.head.weight.copy_(ours.head.weight)
        self.head.bias.copy_(ours.head.bias)


class PlainGpt(nn.Module):
    """As GPT-2 is usually written; the head is tied to the embedding and has no bias."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        size, heads = case.model["embedding_size"], case.model["heads"]
        self.embedding = nn.Embedding(case.vocabulary, size)
        self.positions = nn.Embedding(case.model["positions"], size)
        self.blocks = nn.ModuleList(PlainBlock(size, heads) for _ in range(case.model["layers"]))
        self.norm = nn.LayerNorm(size)

    def forward(self, ids: Tensor, _: Any) -> tuple[Tensor, None]:
        hidden = self.embedding(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden) @ self.embedding.weight.t(), None

    @torch.no_grad()
    def take(self, ours: Any) -> None:
        self.embedding.weight.copy_(ours.embedding.weight)
        self.positions.weight.copy_(ours.body.positions.weight)
        for mine, block in zip(self.blocks, ours.body.blocks, strict=True):
            pairs = (
                (mine.qkv, block.attention.input),
                (mine.out, block.attention.output),
                (mine.up, block.feedforward.up),
                (mine.down, block.feedforward.down),
            )
            for layer, other in pairs:
                layer.weight.copy_(other.weight)
                layer.bias.copy_(other.bias)


class PlainBlock(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, hidden: Tensor) -> Tensor:
        B, T, E = hidden.shape
        q, k, v = self.qkv(self.norm1(hidden)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(B, T, E))
        return hidden + self.down(nn.functional.gelu(self.up(self.norm2(hidden))))


def measure(case: Case, whose: str, seconds: float) -> dict[str, Any]:
    """In this process: tokens a second of whole steps, peak memory, first losses."""
    model_params, params = params_of(case)
    machine = resolve(params, model_params)
    # On a GPU kernels that repeat cost some speed, which those who write theirs do not pay.
    fabric = fabric_for(machine, deterministic=params.deterministic and whose == "ours")
    split = made_up_text(case.vocabulary)
    batches = batches_for(params, split, recurrent=model_params.recurrent)
    torch.manual_seed(1)
    training = Training(fabric, build_model(model_params, case.vocabulary), params, case.rows)
    losses = our_losses(training, batches)
    if whose == "theirs":
        losses = their_losses(case, training, batches)
    start = _resident()
    first = [next(losses) for _ in range(WARM_UP_STEPS)]
    begin, steps = time.perf_counter(), 0
    while steps < COMPARED_STEPS or time.perf_counter() - begin < seconds:
        first.append(next(losses))
        steps += 1
    took = time.perf_counter() - begin
    peak = peak_memory(fabric.device.type)  # before the products below, which take some too
    precision = machine.precision if whose == "ours" else "fp32"
    tokens_per_second = steps * case.rows * case.length / took
    flops = training_flops_per_token(model_params, case.vocabulary, case.length)
    rate = matrix_rate(fabric.device, precision)  # here, so that it meets the same noise
    return {
        "precision": precision,
        "tokens_per_second": tokens_per_second,
        "share": tokens_per_second * flops / rate,
        "peak_bytes": peak,
        "peak_megabytes": peak / 1e6 - start,
        "loss": first[COMPARED_STEPS - 1],
    }


def _resident() -> float:
    """Megabytes of this process before the first step."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, whose = options.worker
        json.dump(measure(CASES[name], whose, options.seconds), sys.stdout)
        return
    rates = (matrix_rate(torch.device("cpu"), precision) / 1e9 for precision in ("fp32", "bf16"))
    click.echo(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; matrix products of the "
        "CPU: fp32 {:.0f}, bf16 {:.0f} GFLOP/s".format(*rates)
    )
    for name in options.cases.split(","):
        found: dict[str, list[dict[str, Any]]] = {"theirs": [], "ours": []}
        for _ in range(options.rounds):
            for whose, results in found.items():
                command = [sys.executable, __file__, "--worker", name, whose]
                command += ["--seconds", str(options.seconds)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                results.append(json.loads(output))
        report(name, found)


def report(name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    def median(whose: str, figure: str) -> float:
        return statistics.median(result[figure] for result in found[whose])

    shares = [median(whose, "share") for whose in found]
    speeds = [median(whose, "tokens_per_second") for whose in found]
    memory = [median(whose, "peak_megabytes") for whose in found]
    losses = [median(whose, "loss") for whose in found]
    click.echo(
        f"{name} ({found['ours'][0]['precision']}): {speeds[0]:,.0f} -> {speeds[1]:,.0f} tokens/s, "
        f"{speeds[1] / speeds[0]:.2f} times, {shares[0]:.0%} and "
        f"{shares[1]:.0%} of the rate of matrix products; above the start {memory[0]:,.0f} -> "
        f"{memory[1]:,.0f} MB, {memory[0] / memory[1]:.1f} times less; "
        f"loss after {COMPARED_STEPS} steps {losses[0]:.4f} and {losses[1]:.4f}"
    )


if __name__ == "__main__":
    main()
