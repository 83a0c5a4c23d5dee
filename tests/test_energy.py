"""RAPL's counters in a folder of our own, and NVML's in a module of our own."""

import sys
import types
from pathlib import Path

import pytest
import torch
from helpers import train_params

from reprise.energy import EnergyMeter, gpu_counters, processor_counters


def add_zone(folder: Path, zone: str, name: str, microjoules: int, limit: int = 10**12) -> Path:
    path = folder / zone
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path / "energy_uj"


def test_packages_and_their_memory_are_summed_and_other_zones_left_out(tmp_path: Path) -> None:
    counters = [
        add_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000),
        add_zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000),
        add_zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000),
        add_zone(tmp_path, "intel-rapl:1", "package-1", 1_000_000),
        add_zone(tmp_path, "intel-rapl:2", "psys", 1_000_000),
        add_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000),
    ]
    (tmp_path / "intel-rapl").mkdir()
    meter = EnergyMeter(processor_counters(tmp_path))
    meter.start()
    for place, path in enumerate(counters):
        path.write_text(f"{1_000_000 + 10**place * 1_000_000}\n")
    meter.stop()
    assert meter.take() == {"cpu": pytest.approx(1 + 100 + 1000)}
    assert meter.take() == {}


def test_a_counter_that_begins_anew_has_counted_to_its_range(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 7_000_000, limit=9_000_000)
    meter = EnergyMeter(processor_counters(tmp_path))
    meter.start()
    counter.write_text("1500000\n")
    meter.stop()
    counter.write_text("4000000\n")  # between stop and start
    meter.start()
    counter.write_text("4500000\n")
    meter.stop()
    assert meter.take() == {"cpu": pytest.approx(3.5 + 0.5)}


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 0).unlink()  # as for all but root
    add_zone(tmp_path, "intel-rapl:1", "package-1", 0)
    (tmp_path / "intel-rapl:1" / "max_energy_range_uj").unlink()
    for folder in (tmp_path, tmp_path / "nowhere"):
        meter = EnergyMeter(processor_counters(folder))
        meter.start()
        meter.stop()
        assert meter.take() == {}


def test_a_counter_that_is_lost_ends_the_measuring(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    lost = add_zone(tmp_path, "intel-rapl:1", "package-1", 0)
    meter = EnergyMeter(processor_counters(tmp_path))
    meter.start()
    meter.stop()
    meter.start()
    counter.write_text("1000000\n")
    lost.unlink()
    meter.stop()
    assert meter.take() == {}
    meter.start()
    meter.stop()
    assert meter.take() == {}


class NvmlError(Exception):
    pass


def fake_nvml(millijoules: dict[str, int]) -> types.ModuleType:
    module = types.ModuleType("pynvml")

    def energy(uuid: str) -> int:
        if uuid not in millijoules:
            raise NvmlError("Not Supported")
        return millijoules[uuid]

    module.NVMLError = NvmlError  # type: ignore[attr-defined]
    module.nvmlInit = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid  # type: ignore[attr-defined]
    module.nvmlDeviceGetTotalEnergyConsumption = energy  # type: ignore[attr-defined]
    return module


def test_gpus_are_those_that_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    millijoules = {"GPU-a0": 5_000, "GPU-a1": 6_000}
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(millijoules))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: types.SimpleNamespace(uuid=f"a{number}")
    )
    meter = EnergyMeter(gpu_counters(2))
    meter.start()
    millijoules |= {"GPU-a0": 7_000, "GPU-a1": 6_500}
    meter.stop()
    assert meter.take() == {"gpu": pytest.approx(2.5)}

    old = EnergyMeter(gpu_counters(3))  # the third cannot tell
    old.start()
    millijoules |= {"GPU-a0": 8_000}
    old.stop()
    assert old.take() == {"gpu": pytest.approx(1.0)}


def test_without_the_package_of_nvml_gpus_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert list(gpu_counters(1)) == []


def test_of_several_machines_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr(
        "reprise.energy.processor_counters", lambda: list(processor_counters(tmp_path))
    )
    found = []
    for nodes in (1, 2):
        meter = EnergyMeter.of_training(train_params(nodes=nodes), "cpu")
        meter.start()
        meter.stop()
        found.append(meter.take())
    assert found == [{"cpu": 0.0}, {}]
