"""Before the pipeline is run: what each stage will take, and what cannot work on this machine."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reprise.checkout import main_checkout
from reprise.data_forecast import data_forecasts, known_sizes, vocabulary_size
from reprise.device_memory import total_memory
from reprise.forecast import Forecast, in_time, table
from reprise.machine import Machine, resolve
from reprise.memory_fit import in_bytes
from reprise.params.download import DownloadParams
from reprise.params.evaluate import EvaluateParams
from reprise.params.loading import load_section
from reprise.params.model import ModelParams
from reprise.params.tokenize import TokenizeParams
from reprise.params.train import TrainParams
from reprise.training_forecast import training_forecasts


@dataclass(frozen=True)
class Preflight:
    machine: Machine
    device_memory: int  # bytes, where training is done
    computer_memory: int
    free_disk: int
    forecasts: list[Forecast]
    refusals: list[str]  # a line for each; empty where all stages can be run

    def text(self) -> str:
        """The table and what it was reckoned for."""
        machine = self.machine
        known = [forecast.seconds for forecast in self.forecasts if forecast.seconds is not None]
        least = "" if len(known) == len(self.forecasts) else "at least "
        return (
            f"{table(self.forecasts)}\n\n"
            f"all: {least}{in_time(sum(known))}; data stages as on 2 cores\n"
            f"{machine.device} ({machine.hardware}) in {machine.precision} with {machine.threads} "
            f"threads, {in_bytes(self.device_memory)} of memory; {in_bytes(self.free_disk)} of "
            "disk are free"
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def preflight(params_path: Path, catalog: Path, metrics: Path) -> Preflight:
    """From the settings, and what earlier stages counted in the folder `metrics`."""
    download = load_section(params_path, DownloadParams)
    tokenize = load_section(params_path, TokenizeParams)
    model = load_section(params_path, ModelParams)
    train = load_section(params_path, TrainParams)
    machine = resolve(train, model)
    sizes = known_sizes(download, catalog, metrics)
    pieces = vocabulary_size(tokenize, sizes)
    of_training, refusals = training_forecasts(
        model, train, load_section(params_path, EvaluateParams), machine, pieces, sizes
    )
    forecasts = data_forecasts(tokenize, sizes, pieces) + of_training
    free = free_disk()
    device, computer = total_memory(machine.device), total_memory("cpu")
    for forecast in forecasts:
        limit = device if forecast.stage == "train" else computer
        refusals += _too_much_memory(forecast, limit, refusals)
    refusals += _too_much_disk(forecasts, free)
    return Preflight(machine, device, computer, free, forecasts, refusals)


def free_disk() -> int:
    """Bytes, where the project lies."""
    return shutil.disk_usage(main_checkout()).free


def _too_much_memory(forecast: Forecast, limit: int, told: list[str]) -> list[str]:
    already = any(line.startswith(f"{forecast.stage}: ") for line in told)
    if already or forecast.memory is None or forecast.memory <= limit:
        return []
    remedy = {
        "train": "lower train.micro_batch_size or train.sequence_length, or take a smaller model",
        "evaluate": "lower evaluate.baseline_tokens or evaluate.batch_tokens",
    }.get(forecast.stage, "lower run.workers")
    return [
        f"{forecast.stage}: {in_bytes(forecast.memory)} of memory are needed, "
        f"{in_bytes(limit)} are there; {remedy}"
    ]


def _too_much_disk(forecasts: list[Forecast], free: int) -> list[str]:
    """What the stages leave behind lies there together."""
    sizes = {forecast.stage: forecast.disk for forecast in forecasts if forecast.disk}
    if sum(sizes.values()) <= free:
        return []
    most = max(sizes, key=lambda stage: sizes[stage])
    remedy = "lower train.kept_checkpoints" if most == "train" else "take a smaller corpus"
    return [
        f"{most}: {in_bytes(sizes[most])} of disk are needed, {in_bytes(sum(sizes.values()))} by "
        f"all stages, {in_bytes(free)} are free; free some space, or {remedy}"
    ]
