"""What a finished run says of itself: settings, data, figures, and its test text by document."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from reprise.errors import PipelineError
from reprise.runs.files import (
    CURVES,
    DOCUMENTS,
    FIGURES,
    LOCK,
    PARAMS,
    SETTINGS,
    VOCABULARY,
    RunFiles,
    read_json_of,
    read_yaml_of,
)
from reprise.tracking.description import flat, shown_params

TEXTS = {split: f"data/clean/{split}.parquet" for split in ("train", "valid", "test")}
DATA = {
    "corpus as downloaded": "data/download",
    **{f"{split} text": path for split, path in TEXTS.items()},
    "vocabulary": VOCABULARY,
}
RESULTS = {"train": CURVES, "evaluate": FIGURES}  # a stage's result that every run has

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class RunRecord:
    name: str
    params: Mapping[str, Any]  # params.yaml
    model: Mapping[str, Any]  # model.json
    figures: Mapping[str, Any]  # evaluate.json
    documents: Mapping[str, Column]  # of test, by the columns of documents.parquet
    curves: list[dict[str, float]]  # metrics/train.csv
    hashes: Mapping[str, str]  # MD5 of the data that the run was made from, as far as it is known
    code: Mapping[str, str]  # MD5 of the modules that trained it, likewise

    @cached_property
    def settings(self) -> dict[str, str]:
        """Dotted names and values of those that have a part in the result."""
        try:
            return shown_params(self.params)
        except (KeyError, TypeError):  # of another version of the code
            plain = {name: values for name, values in self.params.items() if name != "run"}
            return {name: json.dumps(value) for name, value in flat(plain, ".").items()}

    @property
    def test(self) -> Mapping[str, Any]:
        """The model's figures on test."""
        return self.figures["test"]

    @property
    def seed(self) -> Any:
        return self.params["train"]["seed"]


def read_run(files: RunFiles) -> RunRecord:
    """PipelineError where the run is not finished, or its files are of different runs."""
    try:
        params, model = read_yaml_of(files, PARAMS), read_json_of(files, SETTINGS)
        figures, documents = files.read(FIGURES), files.read(DOCUMENTS)
        curves = files.read(CURVES)
    except FileNotFoundError as error:
        raise PipelineError(
            f"{files.name}: no finished run, or its files are not here: {error}; `dvc repro` makes "
            "it, `dvc pull --all-commits` brings it from a remote"
        ) from None
    lock = _lock_of(files, {"train": curves, "evaluate": figures})
    _check_settings(files.name, params, lock, model)
    record = RunRecord(
        name=files.name,
        params=params,
        model=model,
        figures=json.loads(figures),
        documents=_test_documents(documents),
        curves=_rows(curves),
        hashes=_data_hashes(lock),
        code=_code_hashes(lock),
    )
    _check_documents(record)
    return record


def _lock_of(files: RunFiles, results: Mapping[str, bytes]) -> dict[str, Any]:
    """The stages in dvc.lock that belong to the run: MLflow has the file as it was before DVC took
    up the last stages, and a workspace may have gone on since."""
    try:
        stages: dict[str, Any] = read_yaml_of(files, LOCK)["stages"]
    except FileNotFoundError:
        return {}
    md5 = {
        stage: hashlib.md5(content, usedforsecurity=False).hexdigest()
        for stage, content in results.items()
    }
    written = {stage: _hashes(stages.get(stage, {}).get("outs", ())) for stage in md5}
    strangers = {stage for stage in md5 if written[stage].get(RESULTS[stage]) != md5[stage]}
    return {name: stage for name, stage in stages.items() if name not in strangers}


def _hashes(entries: Any) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}


def _data_hashes(stages: Mapping[str, Any]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for name in ("download", "clean", "tokenize", "encode"):
        hashes |= _hashes(stages.get(name, {}).get("outs", ()))
    return {path: hashes[path] for path in DATA.values() if path in hashes}


def _code_hashes(stages: Mapping[str, Any]) -> dict[str, str]:
    hashes = _hashes(stages.get("train", {}).get("deps", ()))
    return {path: md5 for path, md5 in hashes.items() if path.endswith(".py")}


def _check_settings(
    name: str, params: Mapping[str, Any], stages: Mapping[str, Any], model: Mapping[str, Any]
) -> None:
    """params.yaml must be what the stages ran with."""
    recorded: dict[str, Any] = {}
    for stage in stages.values():
        recorded |= stage.get("params", {}).get(PARAMS, {})
    recorded |= model["settings"]
    ours, theirs = (
        flat({section: json.loads(json.dumps(of.get(section))) for section in recorded}, ".")
        for of in (params, recorded)
    )
    for setting, value in theirs.items():
        if ours.get(setting) != value:
            raise PipelineError(
                f"{name}: {PARAMS} has {setting} {ours.get(setting)}, but the run that is there "
                f"was made with {value}; run `dvc repro`, or name a commit or an experiment"
            )


def _test_documents(content: bytes) -> dict[str, Column]:
    table = pq.read_table(io.BytesIO(content), filters=[("split", "==", "test")])
    return {name: table[name].to_numpy() for name in table.column_names if name != "split"}


def _check_documents(record: RunRecord) -> None:
    """Its sums must be the figures' own."""
    nats, size = record.documents["nats"].sum(), record.documents["bytes"].sum()
    found, said = float(nats / np.log(2) / size), record.test["bits_per_byte"]
    if abs(found - said) > 1e-5:
        raise PipelineError(
            f"{record.name}: {FIGURES} says {said} bits a byte on test, {DOCUMENTS} gives "
            f"{found:.6f}: they are of different runs; run `dvc repro`"
        )


def _rows(content: bytes) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(content.decode()))
    return [{name: float(text) for name, text in row.items() if text} for row in rows]
