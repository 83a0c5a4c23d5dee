"""Joules that processors and GPUs took, where the machine tells it; else nothing, without a word.

Processors tell it through RAPL (https://docs.kernel.org/power/powercap/powercap.html), with the
memory beside them, on most systems to root alone; NVIDIA's GPUs through NVML
(nvmlDeviceGetTotalEnergyConsumption), if its Python package is installed. Either counts all that
runs there, not only this process.
"""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from reprise.params.train import TrainParams

POWERCAP = Path("/sys/class/powercap")


class Reading(Protocol):
    def __call__(self) -> int:
        """Units so far; OSError where it cannot be read."""


@dataclass(frozen=True)
class EnergyCounter:
    """Counts up, and begins anew at 0 when it has counted `range` units."""

    kind: str  # cpu, gpu
    read: Reading
    joules: float  # a unit
    range: int


class EnergyMeter:
    """Sums joules over the times between `start` and `stop`; none of them may outlast a counter's
    range, which takes a processor of 100 W three quarters of an hour."""

    def __init__(self, counters: Iterable[EnergyCounter] = ()) -> None:
        self._counters = [counter for counter in counters if _is_readable(counter)]
        self._before: list[int] = []
        self._joules: dict[str, float] = {}

    @classmethod
    def of_training(cls, train: TrainParams, device: str) -> Self:
        """Nothing where other machines take part, of which this one knows nothing."""
        if train.nodes > 1:
            return cls()
        gpus = gpu_counters(train.devices) if device == "cuda" else ()
        return cls([*processor_counters(), *gpus])

    def start(self) -> None:
        self._before = self._read()

    def stop(self) -> None:
        now = self._read()
        if len(now) != len(self._before):  # one of them cannot be read any more
            self._joules = {}
            return
        for counter, before, after in zip(self._counters, self._before, now, strict=True):
            joules = (after - before) % counter.range * counter.joules
            self._joules[counter.kind] = self._joules.get(counter.kind, 0.0) + joules

    def take(self) -> dict[str, float]:
        """Joules by kind since they were last taken."""
        joules, self._joules = self._joules, {}
        return joules

    def _read(self) -> list[int]:
        try:
            return [counter.read() for counter in self._counters]
        except OSError:
            self._counters = []  # a part of the energy would be no figure
            return []


def processor_counters(folder: Path = POWERCAP) -> Iterator[EnergyCounter]:
    """Of packages and their memory. Other zones are parts of a package, or hold one (psys)."""
    for zone in sorted(folder.glob("intel-rapl:*")):  # so called on AMD's processors too
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            limit = _number_in(zone / "max_energy_range_uj")
        except (OSError, ValueError):
            continue
        if name.startswith("package") or name == "dram":
            yield EnergyCounter("cpu", partial(_number_in, zone / "energy_uj"), 1e-6, limit)


def gpu_counters(devices: int) -> Iterator[EnergyCounter]:
    """Of the first `devices` that torch sees."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return
    try:
        nvml.nvmlInit()
        for number in range(devices):
            uuid = torch.cuda.get_device_properties(number).uuid
            handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            yield EnergyCounter("gpu", partial(_millijoules, nvml, handle), 1e-3, 2**64)
    except nvml.NVMLError:
        return


def _is_readable(counter: EnergyCounter) -> bool:
    try:
        counter.read()
    except OSError:
        return False
    return True


def _number_in(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))


def _millijoules(nvml: Any, handle: Any) -> int:
    try:
        return nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        raise OSError(str(error)) from error
