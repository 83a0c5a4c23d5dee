"""Small settings and small splits for tests of training."""

from typing import Any

import numpy as np
import torch

from reprise.dataset import Batches, EncodedSplit, batches_for
from reprise.distribution import fabric_for
from reprise.launching import ALONE, Processes
from reprise.machine import Machine
from reprise.models import build_model
from reprise.params.model import RECURRENT, ModelParams
from reprise.params.train import TrainParams
from reprise.training import Training

BOUNDARY = 1


def model_params(**changes: Any) -> ModelParams:
    settings = {
        "architecture": "lstm",
        "embedding_size": 16,
        "hidden_size": 16,
        "layers": 2,
        "heads": 2,
        "key_value_heads": "auto",
        "feedforward_size": 24,
        "positions": 64,
        "gelu_approximation": "tanh",
        "query_key_norm": False,
        "logit_soft_cap": 0.0,
        "tie_weights": True,
        "adaptive_cutoffs": [],
        "initial_head_bias": "zeros",
        "input_dropout": 0.2,
        "hidden_dropout": 0.2,
        "attention_dropout": 0.0 if changes.get("architecture", "lstm") in RECURRENT else 0.2,
        "output_dropout": 0.2,
        "embedding_dropout": 0.0,
        "weight_dropout": 0.0,
        "variational_dropout": False,
    }
    if "dropout" in changes:
        dropout = changes.pop("dropout")
        changes |= {f"{place}_dropout": dropout for place in ("input", "hidden", "output")}
        if settings["attention_dropout"]:
            changes["attention_dropout"] = dropout
    return ModelParams.model_validate(settings | changes)


def train_params(**changes: Any) -> TrainParams:
    settings = {
        "seed": 1,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "deterministic": True,
        "compile": "auto",
        "devices": 1,
        "nodes": 1,
        "strategy": "auto",
        "batch_size": 4,
        "micro_batch_size": "auto",
        "sequence_length": 8,
        "variable_length": False,
        "max_steps": 12,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "muon_learning_rate": 0.02,
        "momentum": 0.0,
        "beta1": 0.9,
        "beta2": 0.99,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup_steps": 2,
        "decay_fraction": 0.2,
        "plateau_patience": 1,
        "plateau_factor": 0.5,
        "final_learning_rate_fraction": 0.1,
        "averaging": "none",
        "averaging_decay": 0.9,
        "averaging_patience": 2,
        "clip_norm": 1.0,
        "activation_regularization": 0.0,
        "temporal_activation_regularization": 0.0,
        "not_finite": "stop",
        "max_skipped_steps": 3,
        "steps_per_log": 2,
        "steps_per_validation": 4,
        "patience": 3,
        "steps_per_checkpoint": 4,
        "kept_checkpoints": 2,
        "tensorboard": False,
    }
    return TrainParams.model_validate(settings | changes)


def split_of(documents: list[list[int]]) -> EncodedSplit:
    """Documents of ids from 2 on; each gets its boundary."""
    ids = [token for document in documents for token in [*document, BOUNDARY]]
    lengths = [len(document) + 1 for document in documents]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return EncodedSplit(np.array(ids, dtype=np.uint16), offsets, BOUNDARY)


def random_split(documents: int = 30, pieces: int = 20, seed: int = 1) -> EncodedSplit:
    random = np.random.default_rng(seed)
    return split_of(
        [random.integers(2, pieces, random.integers(1, 40)).tolist() for _ in range(documents)]
    )


def new_training(
    model: ModelParams,
    train: TrainParams,
    split: EncodedSplit,
    pieces: int = 20,
    micro_batch_size: int = 0,  # 0: all rows at once
    processes: Processes = ALONE,
) -> tuple[Training, Batches]:
    machine = Machine("cpu", "any", train.precision, False, 1, torch.__version__)
    fabric = fabric_for(machine, processes)
    torch.manual_seed(train.seed)
    training = Training(
        fabric, build_model(model, pieces), train, micro_batch_size or train.batch_size
    )
    return training, batches_for(train, split, recurrent=training.model.recurrent)


SUBJECTS = ["the array", "a matrix", "this function", "the sample", "each column", "一个数组"]
VERBS = ["returns", "holds", "copies", "sorts", "ignores", "counts"]
OBJECTS = ["every value", "the first axis", "nothing", "its own index", "NaN 🙂", "all rows"]


def tiny_texts(documents: int, seed: int = 0) -> list[str]:
    """Documents of a few simple sentences, some of them Chinese in part, all different."""
    random = np.random.default_rng(seed)
    texts = []
    for number in range(documents):
        sentences = [
            f"{random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(OBJECTS)}."
            for _ in range(random.integers(3, 12))
        ]
        texts.append(f"Note {number}\n\n    " + "\n    ".join(sentences))
    return texts
