"""What `auto` becomes."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
import torch
from helpers import model_params, new_training, split_of, train_params
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.precision import Precision
from torch._inductor.cpp_builder import cpp_compiler_search

from reprise.distribution import fabric_for
from reprise.errors import PipelineError
from reprise.machine import (
    Machine,
    has_compiler,
    made_for_bf16,
    missing_kernel_told,
    resolve,
    scoring_device,
)


def test_auto_is_settled_and_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    params = train_params(device="cpu", precision="auto", threads="auto")
    machine = resolve(params, model_params(embedding_size=256, hidden_size=256))
    assert (machine.device, machine.precision) == ("cpu", "bf16")
    assert machine.threads == joblib.cpu_count()
    assert machine.torch == torch.__version__
    assert "AMX" in machine.hardware


def test_a_cpu_without_bf16_units_and_a_small_network_take_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = train_params(device="cpu", precision="auto")
    large = model_params(embedding_size=256, hidden_size=256)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    assert resolve(params, large).precision == "fp32"
    assert not made_for_bf16("cpu")
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    assert resolve(params, model_params(hidden_size=128)).precision == "fp32"


@pytest.mark.parametrize(
    ("maker", "precision"), [("AuthenticAMD", "bf16"), ("GenuineIntel", "fp32")]
)
def test_bf16_by_vectors_is_taken_from_amd_alone(
    maker: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("reprise.machine._maker", lambda: [maker])
    large = model_params(embedding_size=256, hidden_size=256)
    machine = resolve(train_params(device="cpu", precision="auto"), large)
    assert (machine.precision, machine.hardware.split()[0]) == (precision, maker)
    assert machine.hardware.endswith(" BF16")


def test_what_is_asked_for_is_taken() -> None:
    machine = resolve(train_params(precision="bf16", threads=3), model_params())
    assert (machine.precision, machine.threads) == ("bf16", 3)


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.xpu.is_available", lambda: False)
    with pytest.raises(PipelineError) as error:
        resolve(train_params(device="xpu"), model_params())
    assert str(error.value).startswith(
        "train.device: found xpu, which this machine does not have; here allowed: auto, "
    )


def test_what_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError) as error:
        resolve(train_params(compile=True), model_params(architecture="gru"))
    assert str(error.value) == (
        "train.compile: found true, which is for transformers; model.architecture is gru; "
        "allowed: auto, false"
    )
    monkeypatch.setenv("PATH", "/nowhere")
    cpp_compiler_search.cache_clear()
    try:
        with pytest.raises(PipelineError) as error:
            resolve(train_params(compile=True), model_params(architecture="transformer"))
    finally:
        cpp_compiler_search.cache_clear()
    assert str(error.value) == (
        "train.compile: found true, but there is no C++ compiler here; install g++, or set auto "
        "or false"
    )


def test_auto_compiles_transformers_on_cuda_where_there_is_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reprise.machine._present", lambda: ["cuda", "cpu"])
    monkeypatch.setattr("reprise.machine._hardware", lambda device: device)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for there in (True, False):
        monkeypatch.setattr("reprise.machine.has_compiler", lambda there=there: there)
        transformer, lstm = model_params(architecture="transformer"), model_params()
        wanted = {"precision": "fp32", "compile": "auto"}
        assert resolve(train_params(device="cuda", **wanted), transformer).compiled is there
        assert not resolve(train_params(device="cuda", **wanted), lstm).compiled
        assert not resolve(train_params(device="cpu", **wanted), transformer).compiled


@pytest.mark.filterwarnings("ignore")  # torch.compile meets warnings of torch itself
@pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_what_it_learns_uncompiled() -> None:
    model = model_params(architecture="transformer", layers=1, dropout=0.0)
    split = split_of([[2, 3, 4, 5, 6, 7, 8, 9] * 20])
    losses = {}
    for compiled in (False, True):
        params = train_params(compile=compiled, max_steps=5)
        training, batches = new_training(model, params, split)
        if resolve(params, model).compiled:
            training.compile()
        losses[compiled] = [step.nats / step.tokens for step in training.steps(batches)]
        losses[compiled].append(training.valid_nats(split))
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


def test_training_and_scoring_take_the_threads_they_are_told() -> None:
    before = torch.get_num_threads()
    try:
        machine = resolve(train_params(threads=1), model_params())
        assert fabric_for(machine).device.type == "cpu"
        assert torch.get_num_threads() == 1
        assert scoring_device("a device of another machine", 2).type == "cpu"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_more_devices_than_the_machine_has_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.machine._present", lambda: ["cuda", "cpu"])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(PipelineError) as error:
        resolve(train_params(device="auto", devices=4), model_params())
    assert str(error.value) == (
        "train.devices: found 4, but for training on cuda this machine has 2; here allowed: 1 to 2"
    )


def test_several_machines_are_for_cuda_and_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.machine._present", lambda: ["mps", "cpu"])
    with pytest.raises(PipelineError) as error:
        resolve(train_params(device="auto", nodes=2), model_params())
    assert str(error.value) == (
        "train.nodes: found 2, but training on mps takes one machine; here allowed: 1"
    )


def test_an_xpu_casts_for_itself() -> None:
    """Fabric knows no accelerator of this name, and would cast for the CPU."""
    for precision, kind in (("bf16", MixedPrecision), ("fp32", Precision)):
        machine = Machine("xpu", "an accelerator", precision, compiled=False, threads=1, torch="")
        fabric = fabric_for(machine)
        assert fabric.device == torch.device("xpu", 0)
        assert type(fabric.strategy.precision) is kind
        assert getattr(fabric.strategy.precision, "device", "xpu") == "xpu"


def test_a_kernel_that_does_not_repeat_is_told_where_it_must() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(PipelineError) as error, missing_kernel_told():
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert str(error.value) == (
        "train.deterministic: found true, but torch's put_ has no kernel that repeats on this "
        "device; set it to false"
    )
    with pytest.raises(RuntimeError, match="another"), missing_kernel_told():
        raise RuntimeError("another")


def test_numbers_nearest_to_zero_are_zero_in_all_threads_that_train() -> None:
    """In a process of its own: threads that are there already stay as they are."""
    code = """
import torch
from helpers import model_params, train_params
from reprise.distribution import fabric_for
from reprise.machine import resolve
tiny = torch.full((1_000_000,), 2e-38)
fabric_for(resolve(train_params(device="cpu", threads=2), model_params()))
print(int((tiny / 4 == 0).sum()))
"""
    here = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("1000000\n", "")
