"""What each of several processes does for tests/test_distribution.py: train every case, from the
state in FOLDER/<case>.start where there is one, and leave what came of it in FOLDER/<case>.done."""

import sys
from pathlib import Path
from typing import Any

import torch
from helpers import model_params, new_training, random_split, train_params

from reprise.launching import Processes, rank

SPLIT = random_split()
VALID = random_split(documents=7, seed=2)
STEPS = 12
# Of model, of train, rows at once. 6 rows can be shared out to 1, 2 or 3 processes; the 608 tokens
# of the split are 7 windows of 100, so that every second batch has a single row.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "lstm": ({}, {}, 6),
    "lstm, untied, two rows at once": ({"tie_weights": False}, {"averaging": "exponential"}, 2),
    "lstm, sgd": ({}, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.5}, 6),
    "lstm, adaptive softmax": ({"adaptive_cutoffs": [5, 10], "tie_weights": False}, {}, 6),
    "lstm, a group that every second step does not meet": (
        {"adaptive_cutoffs": [5, 19], "tie_weights": False},
        {"sequence_length": 2},
        6,
    ),
    "transformer": ({"architecture": "transformer"}, {"sequence_length": 100}, 1),
    "transformer, muon": ({"architecture": "transformer"}, {"optimizer": "muon"}, 6),
}


def train(
    case: str, processes: Processes, start: dict[str, Any] | None = None, stop: int = STEPS
) -> dict[str, Any]:
    """Losses, norms and tokens by step, the loss on valid, and the state after step `stop`."""
    model, changes, micro = CASES[case]
    params = train_params(**{"batch_size": 6, "max_steps": STEPS} | changes)
    training, batches = new_training(
        model_params(dropout=0.0, **model), params, SPLIT, 20, micro, processes
    )
    if start is not None:
        training.restore(start)
    steps = []
    if training.step < stop:
        for step in training.steps(batches):
            steps.append((step.nats / step.tokens, step.gradient_norm, step.tokens))
            if step.number == stop:
                break
    valid = training.valid_nats(VALID)
    training.judge(valid)
    return {"steps": steps, "valid": valid, "state": training.state()}


def main() -> None:
    folder, devices, strategy, stop = sys.argv[1:]
    for case in CASES:
        start = Path(folder) / f"{case}.start"
        state = torch.load(start, weights_only=True) if start.exists() else None
        done = train(case, Processes(int(devices), 1, strategy), state, int(stop))
        if rank() == 0:
            torch.save(done, Path(folder) / f"{case}.done")


if __name__ == "__main__":
    main()
