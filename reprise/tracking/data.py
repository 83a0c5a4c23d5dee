"""What a run was made from and what it made, as hashes and as MLflow's data sets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprise.dvc_hashes import dvc_md5
from reprise.yaml_files import read_yaml

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LOCK = Path("dvc.lock")
CONTEXTS = {"train": "training", "valid": "validation", "test": "testing"}
DATA = (
    "data/download",
    *(f"data/clean/{split}.parquet" for split in CONTEXTS),
    "data/tokenize/tokenizer.model",
)
MAX_DIGEST_CHARACTERS = 36  # MLflow's limit


def read_lock() -> dict[str, Any]:
    """dvc.lock of the current folder; empty before the first `dvc repro`."""
    return read_yaml(LOCK, "run `dvc repro`") if LOCK.exists() else {}


def hashes_of(outputs: Mapping[str, Path]) -> dict[str, str]:
    """Path in the project -> MD5, of files and folders that lie where the values say."""
    return {name: dvc_md5(path, Path.cwd()) for name, path in outputs.items()}


def output_hashes(lock: Mapping[str, Any]) -> dict[str, str]:
    """Path -> MD5 of all that the stages wrote, as dvc.lock has it."""
    stages = lock.get("stages", {}).values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


def data_hashes(lock: Mapping[str, Any]) -> dict[str, str]:
    """Of these, what a model is made of and scored on."""
    return {path: md5 for path, md5 in output_hashes(lock).items() if path in DATA}


def is_current(lock: Mapping[str, Any], stage: str) -> bool:
    """Whether the stage's outputs belong to what the other stages wrote last."""
    if stage not in lock.get("stages", {}):
        return False
    written = output_hashes(lock)
    read = {dep["path"]: dep["md5"] for dep in lock["stages"][stage].get("deps", ())}
    return all(written.get(path, md5) == md5 for path, md5 in read.items())


def data_sets(
    corpus: str, hashes: Mapping[str, str], counts: Mapping[str, Any]
) -> "list[DatasetInput]":
    """The splits, for those that have both a hash of data/clean/<split>.parquet and counts, which
    are metrics/encode.json's."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for split, context in CONTEXTS.items():
        path = f"data/clean/{split}.parquet"
        if path in hashes and split in counts:
            data_set = Dataset(
                name=f"{corpus} {split}",
                digest=hashes[path][:MAX_DIGEST_CHARACTERS],
                source_type="local",
                source=json.dumps({"uri": path}),
                profile=json.dumps(counts[split]),
            )
            inputs.append(DatasetInput(data_set, [InputTag("mlflow.data.context", context)]))
    return inputs
