"""Finished runs by hand: the files that a comparison reads, without any training."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from project import ROOT
from ruamel.yaml import YAML

from reprise.runs.files import Workspace
from reprise.runs.records import RunRecord, read_run

DOCUMENTS = 60
SIZES = np.arange(100, 100 + DOCUMENTS)  # bytes
NATS = SIZES * (1 + 0.3 * np.sin(np.arange(DOCUMENTS)))  # some 1.4 bits a byte
STEPS = "step,tokens,learning_rate,gradient_norm,train_nats_per_token,valid_nats_per_token\n"


def write_run(
    folder: Path,
    nats: Any = NATS,
    sizes: Any = SIZES,
    *,
    settings: dict[str, Any] | None = None,  # dotted names
    hashes: dict[str, str] | None = None,  # of data, in dvc.lock
    code: str = "c0",
    tokens_per_byte: float = 0.5,
    test: dict[str, Any] | None = None,  # more of metrics/evaluate.json
    columns: dict[str, Any] | None = None,  # more of documents.parquet
) -> Path:
    nats, sizes = np.asarray(nats, dtype=float), np.asarray(sizes)
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, value in ({"train.learning_rate": 0.01} | (settings or {})).items():
        section, _, setting = name.partition(".")
        params[section][setting] = value
    documents = {
        "name": [f"d{number}" for number in range(len(sizes))],
        "tokens": (sizes * tokens_per_byte).astype(int),
        "bytes": sizes,
        "words": sizes // 6,
        "nats": nats,
        "top1": sizes // 8,
        "top5": sizes // 4,
        **(columns or {}),
    }
    total = {name: float(np.sum(documents[name])) for name in documents if name != "name"}
    words = total["words"] + len(sizes)
    figures = {
        "bits_per_byte": round(total["nats"] / math.log(2) / total["bytes"], 6),
        "nats_per_token": round(total["nats"] / total["tokens"], 6),
        "perplexity_per_token": round(math.exp(total["nats"] / total["tokens"]), 6),
        "perplexity_per_word": round(math.exp(total["nats"] / words), 6),
        "top1_accuracy": round(total["top1"] / total["tokens"], 6),
        "top5_accuracy": round(total["top5"] / total["tokens"], 6),
        "context": "document",
        "tokens": int(total["tokens"]),
        "bytes": int(total["bytes"]),
        **(test or {}),
    }
    curves = STEPS + "10,1000,0.01,1,4.5,\n20,2000,0.01,1,4,4.2\n30,3000,0.01,1,3.5,3.75\n"
    evaluate = json.dumps({"test": figures, "valid": figures})
    model = {
        "run_key": f"key-{params['train']['seed']}",
        "name": "lstm-512x1",
        "settings": {section: params[section] for section in ("model", "train")},
        "machine": {"device": "cpu"},
        "inputs": {"vocabulary": f"v{tokens_per_byte}"},
        "vocabulary_size": 1000,
        "parameters": 1_965_288,
        "tokens": 3000,
    }
    known = {
        "data/clean/test.parquet": "text0",
        "data/clean/valid.parquet": "valid0",
        "data/tokenize/tokenizer.model": f"vocabulary{tokens_per_byte}",
    } | (hashes or {})
    lock = {
        "stages": {
            "clean": {
                "outs": [{"path": path, "md5": md5} for path, md5 in known.items()],
                "params": {"params.yaml": {n: of for n, of in params.items() if n != "run"}},
            },
            "train": {
                "deps": [{"path": "reprise/training.py", "md5": code}],
                "outs": [{"path": "metrics/train.csv", "md5": _md5(curves)}],
            },
        }
    }
    for path in ("data/train", "data/evaluate", "metrics"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    for name, content in (("params.yaml", params), ("dvc.lock", lock)):
        with (folder / name).open("w", encoding="utf-8") as file:
            YAML().dump(content, file)
    (folder / "metrics/train.csv").write_text(curves)
    (folder / "metrics/evaluate.json").write_text(evaluate)
    (folder / "data/train/model.json").write_text(json.dumps(model))
    table = pa.table({"split": ["test"] * len(sizes)} | documents)
    pq.write_table(table, folder / "data/evaluate/documents.parquet")
    return folder


def record(folder: Path, name: str = "a", *arguments: Any, **changes: Any) -> RunRecord:
    """A run of this name, in a folder of its own."""
    files = Workspace(write_run(folder / name, *arguments, **changes))
    files.name = name
    return read_run(files)


def seeds(folder: Path, name: str, figures: Sequence[float], **changes: Any) -> list[RunRecord]:
    """Runs of several seeds with so many times the nats."""
    more = changes.pop("settings", {})
    return [
        record(
            folder, f"{name}{seed}", factor * NATS, settings=more | {"train.seed": seed}, **changes
        )
        for seed, factor in enumerate(figures, start=1)
    ]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
