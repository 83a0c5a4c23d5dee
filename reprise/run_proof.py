"""Proof that a finished run in the workspace is what its records say.

Every hash is computed anew: the files against dvc.lock, the data and the settings against
data/train/model.json, the run key from all that decides a run, the weights against their settings,
and the tags of the run in MLflow. Paths are relative to the project's folder, the current one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from reprise.checkpoint import CheckpointFolder
from reprise.checks import Check
from reprise.dvc_hashes import dvc_md5
from reprise.errors import PipelineError
from reprise.files import read_json, sha256_of
from reprise.machine import Machine, resolve
from reprise.models import build_model
from reprise.params.loading import check_params, read_params, section_schema
from reprise.params.model import ModelParams
from reprise.params.run import RunParams
from reprise.params.train import TrainParams
from reprise.run_key import input_paths, run_key
from reprise.tracking.description import flat, settings_tags
from reprise.tracking.store import tags_of_runs
from reprise.yaml_files import read_yaml

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
WEIGHTS = Path("data/train/model.safetensors")
SETTINGS = Path("data/train/model.json")
FIGURES = Path("metrics/train.json")
ANEW = "`dvc repro` makes the run anew"
ANOTHER_VERSION = "another version of the code wrote it"
# What content of a wrong kind leads to.
BROKEN = (
    *(ArithmeticError, AttributeError, ImportError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
NEEDED = ("inputs", "settings", "run_key", "machine", "vocabulary_size", "parameters")


def run_checks() -> Iterator[Check]:
    """All that can be compared in the current folder; PipelineError without params.yaml, dvc.yaml
    or dvc.lock."""
    check_params(PARAMS)
    params = read_params(PARAMS)
    yield from _unless_broken(LOCK, _lock_checks(params))
    if not SETTINGS.is_file():
        yield Check("missing", str(SETTINGS), f"{ANEW}; what it says was not checked")
        return
    record = read_json(SETTINGS)
    if not isinstance(record, dict):
        yield Check("differs", str(SETTINGS), f"it is not what training writes; {ANEW}")
        return
    if lacking := [name for name in NEEDED if name not in record]:
        yield Check("differs", str(SETTINGS), f"it lacks {', '.join(lacking)}; {ANEW}")
        return
    for checks in (
        _input_checks(record["inputs"]),
        _settings_checks(record["settings"], params),
        _key_checks(record),
        _machine_checks(record["machine"], params),
        _weights_checks(record),
        _figures_checks(record),
        _tracking_checks(record, params),
    ):
        yield from _unless_broken(SETTINGS, checks)


def _unless_broken(path: Path, checks: Iterator[Check]) -> Iterator[Check]:
    """Content of a wrong kind is a difference too, after which the checks of it end."""
    try:
        yield from checks
    except BROKEN:
        yield Check("differs", str(path), f"some of it is not what the pipeline writes; {ANEW}")


def _compare(
    subject: str, expected: object, found: object, remedy: str = ANEW, what: str = ""
) -> Check:
    if expected == found:
        return Check("same", subject)
    return Check("differs", subject, f"expected {what}{expected}, found {found}; {remedy}")


def _lock_checks(params: Mapping[str, Any]) -> Iterator[Check]:
    """Stage by stage: settings, then what it read, its code, and what it wrote."""
    stages = read_yaml(LOCK, "run `dvc repro` first")["stages"]
    written = {entry["path"] for stage in stages.values() for entry in stage.get("outs", [])}
    md5 = cache(lambda path: dvc_md5(path, Path.cwd()))
    pipeline = read_yaml(Path("dvc.yaml"), "run from the project's folder or give --path")
    for name, stage in pipeline["stages"].items():
        if name not in stages:
            yield Check("missing", f"{name}: in {LOCK}", ANEW)
            continue
        command = f"{name}: command"
        yield _compare(command, stages[name]["cmd"], stage["cmd"], f"set it back, or {ANEW}")
        sections = stages[name].get("params", {}).get(str(PARAMS), {})
        yield from _leaf_checks(f"{name}: {PARAMS}", sections, params)
        entries = [*stages[name].get("deps", []), *stages[name].get("outs", [])]
        modules = 0
        for entry in entries:
            path = Path(entry["path"])
            subject = f"{name}: {path}"
            if not path.exists():
                yield Check("missing", subject, _remedy(path, written))
                continue
            check = _compare(subject, entry["md5"], md5(path), _remedy(path, written), "md5 ")
            if path.suffix == ".py" and not check.fails:
                modules += 1
            else:
                yield check
        if modules:
            yield Check("same", f"{name}: {modules} modules of code")


def _remedy(path: Path, written: set[str]) -> str:
    if path.as_posix() in written and path.parts[0] == "data":
        return f"`dvc checkout --force {path}` brings back what was recorded, {ANEW}"
    return f"bring back what was recorded (`git checkout`), or {ANEW}"


def _leaf_checks(
    subject: str, expected: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[Check]:
    """One line for each setting that differs, else one for each section."""
    for section, settings in expected.items():
        ours, theirs = (
            flat(json.loads(json.dumps({section: values})), ".")
            for values in (settings, found.get(section))
        )
        differing = sorted(
            name
            for name in ours.keys() | theirs.keys()
            if ours.get(name, "nothing") != theirs.get(name, "nothing")
        )
        for name in differing:
            yield _compare(
                f"{subject}: {name}",
                ours.get(name, "nothing"),
                theirs.get(name, "nothing"),
                f"set it back, or {ANEW}",
            )
        if not differing:
            yield Check("same", f"{subject}: {section}")


def _input_checks(hashes: Mapping[str, str]) -> Iterator[Check]:
    for name, path in input_paths(Path("data/encode")).items():
        subject = f"{SETTINGS}: {name}, {path}"
        if not path.is_file():
            yield Check("missing", subject, _remedy(path, {path.as_posix()}))
        else:
            remedy = _remedy(path, {path.as_posix()})
            yield _compare(subject, hashes.get(name), sha256_of(path), remedy, "sha256 ")


def _settings_checks(recorded: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Check]:
    """As the schema writes them, since model.json does."""
    found = {
        name: section_schema(name).model_validate(params[name]).model_dump() for name in recorded
    }
    yield from _leaf_checks(f"{SETTINGS}: settings", recorded, found)


def _key_checks(record: Mapping[str, Any]) -> Iterator[Check]:
    """From what model.json says and the code that is here."""
    subject = f"{SETTINGS}: run key, from its settings, inputs, machine, and the code here"
    remedy = f"bring back the code that trained (`git checkout`), or {ANEW}"
    if record["machine"].keys() != {field.name for field in fields(Machine)} | {"micro_batch_size"}:
        yield Check("differs", subject, f"{ANOTHER_VERSION}; {remedy}")
        return
    found = run_key(
        record["settings"],
        record["inputs"],
        record["machine"],
        "stages.train",
        Path.cwd(),
    )
    yield _compare(subject, record["run_key"], found, remedy)


def _machine_checks(recorded: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Check]:
    """No fault: the run was made there, and a training here would have another key."""
    try:
        here = resolve(
            TrainParams.model_validate(params["train"]), ModelParams.model_validate(params["model"])
        ).as_dict()
    except PipelineError as error:
        yield Check("note", "machine", str(error))
        return
    differing = [name for name in here if here[name] != recorded.get(name)]
    for name in differing:
        yield Check(
            "note",
            f"machine: {name}",
            f"trained with {recorded.get(name)}, here {here[name]}: a training here has another "
            "run key",
        )
    if not differing:
        yield Check("same", "machine")


def _weights_checks(record: Mapping[str, Any]) -> Iterator[Check]:
    subject = f"{WEIGHTS}: names and shapes, from {SETTINGS}"
    remedy = _remedy(WEIGHTS, {WEIGHTS.as_posix()})
    try:
        with safe_open(WEIGHTS, "pt") as file:
            names = file.keys()
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except FileNotFoundError:
        yield Check("missing", str(WEIGHTS), remedy)
        return
    except (OSError, SafetensorError) as error:
        yield Check("differs", subject, f"it cannot be read: {error}; {remedy}")
        return
    try:
        params = ModelParams.model_validate(record["settings"]["model"])
    except ValidationError:
        yield Check("differs", subject, f"{ANOTHER_VERSION}; {ANEW}")
        return
    with torch.device("meta"):  # no memory, no numbers
        model = build_model(params, record["vocabulary_size"])
    yield _compare(f"{SETTINGS}: parameters", record["parameters"], model.parameter_count())
    expected = {name: tuple(value.shape) for name, value in model.named_parameters()}
    wrong = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if wrong:
        yield _compare(
            f"{subject}: {wrong[0]}", expected.get(wrong[0]), found.get(wrong[0]), remedy
        )
    else:
        yield Check("same", subject)
    delivery = CheckpointFolder.of_run(record["run_key"], keep=1).folder / "delivered.json"
    subject = f"{WEIGHTS}: as training delivered them"
    delivered = read_json(delivery) if delivery.is_file() else None
    if isinstance(delivered, dict) and "sha256" in delivered:
        yield _compare(subject, delivered["sha256"], sha256_of(WEIGHTS), remedy, "sha256 ")
    else:
        fault = "is not there" if delivered is None else "says nothing of it"
        yield Check("note", subject, f"{delivery} {fault}, so {LOCK} alone was asked")


def _figures_checks(record: Mapping[str, Any]) -> Iterator[Check]:
    if not FIGURES.is_file():
        return  # told with the files of dvc.lock
    figures = read_json(FIGURES)
    recorded = {name: record.get(name, "nothing") for name in figures}
    yield from _leaf_checks(
        f"{FIGURES} beside {SETTINGS}", {"figures": recorded}, {"figures": figures}
    )


def _tracking_checks(record: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Check]:
    """Hashes and machine in the tags of every run with this key."""
    key = record["run_key"]
    try:
        runs = tags_of_runs(RunParams.model_validate(params["run"]).experiment, key)
    except PipelineError as error:
        yield Check("note", "MLflow", str(error))
        return
    if not runs:
        yield Check("note", "MLflow", f"no run with key {key} is recorded")
    expected = settings_tags(record)
    for run, tags in runs.items():
        found = {name: tags.get(name, "nothing") for name in expected}
        yield from _leaf_checks(f"MLflow: run {run}", {"tags": expected}, {"tags": found})
