"""What the network runs on. `auto` is resolved here, once, and the answer is written down."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import cpu_count

from reprise.cores import share_cores
from reprise.errors import PipelineError
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams

# Below this size casting to bfloat16 costs a CPU more than its faster products give back:
# measured with 128 (slower) and 384 (faster) at 2 cores with AMX.
SMALLEST_BF16_SIZE_ON_CPU = 256


@dataclass(frozen=True)
class Machine:
    """All that can change the last digit of a float, beside the settings."""

    device: str  # cpu, cuda, mps, xpu
    hardware: str  # the kind of processor, as far as it chooses kernels
    precision: str  # fp32, bf16
    compiled: bool  # by torch.compile
    threads: int  # of all processes on a machine
    torch: str  # version

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def resolve(train: TrainParams, model: ModelParams) -> Machine:
    """Settle device, precision and threads; PipelineError for what is not there."""
    device = _device(train.device)
    _check_devices(device, train)
    if train.compile is True:
        _check_compile(model)
    return Machine(
        device=device,
        hardware=_hardware(device),
        precision=_precision(train.precision, device, model),
        compiled=_compiled(train, model, device),
        threads=cpu_count() if train.threads == "auto" else train.threads,
        torch=torch.__version__,
    )


def take_kernels_that_repeat() -> None:
    """With warn_only attention would take the others (attention_backward.cu)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def missing_kernel_told() -> Iterator[None]:
    """Inside, where kernels that repeat are wanted and there is none, that is one line."""
    try:
        yield
    except RuntimeError as error:
        missing, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise PipelineError(
            f"train.deterministic: found true, but torch's {missing} has no kernel that repeats on "
            "this device; set it to false"
        ) from error


def has_compiler() -> bool:
    """Whether torch.compile finds the C++ compiler that it works with, on a GPU too."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # here, for it takes a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def scoring_device(trained_on: str, threads: int) -> torch.device:
    """Where figures are computed: where training was, else the CPU; in full float32."""
    use_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # its recurrent kernels would round to TF32
    device = torch.device(trained_on if trained_on in _present() else "cpu")
    if device.type == "cuda":
        take_kernels_that_repeat()  # of dynamic evaluation
    return device


def use_threads(count: int) -> None:
    """So many, for which numbers nearest to zero (below 1e-38) are zero.

    A processor takes tens of times as long for those, and training makes many of them, such as
    Adam's averages for pieces that do not occur for a thousand steps. Threads have this from the
    one that starts them.
    """
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # it remembers them, and would warn if it looked later
    torch.set_flush_denormal(True)
    torch.set_num_threads(count)
    share_cores(count)


def _present() -> list[str]:
    checks: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "xpu": torch.xpu.is_available,
    }
    return [*(name for name, is_there in checks.items() if is_there()), "cpu"]


def _device(wanted: str) -> str:
    present = _present()
    if wanted == "auto":
        return present[0]
    if wanted not in present:
        raise PipelineError(
            f"train.device: found {wanted}, which this machine does not have; "
            f"here allowed: auto, {', '.join(present)}"
        )
    return wanted


def _check_devices(device: str, train: TrainParams) -> None:
    if device not in ("cpu", "cuda") and train.nodes > 1:
        raise PipelineError(
            f"train.nodes: found {train.nodes}, but training on {device} takes one machine; "
            "here allowed: 1"
        )
    wanted = train.devices
    there = {"cpu": wanted, "cuda": torch.cuda.device_count()}.get(device, 1)
    if wanted > there:
        raise PipelineError(
            f"train.devices: found {wanted}, but for training on {device} this machine has "
            f"{there}; here allowed: 1 to {there}"
        )


def _compiled(train: TrainParams, model: ModelParams, device: str) -> bool:
    """A recurrent network would become a long row of steps."""
    if train.compile == "auto":
        return device == "cuda" and not model.recurrent and has_compiler()
    return train.compile


def _check_compile(model: ModelParams) -> None:
    if model.recurrent:
        raise PipelineError(
            "train.compile: found true, which is for transformers; model.architecture is "
            f"{model.architecture}; allowed: auto, false"
        )
    if not has_compiler():
        raise PipelineError(
            "train.compile: found true, but there is no C++ compiler here; install g++, or set "
            "auto or false"
        )


def _hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "xpu":
        return torch.xpu.get_device_name()
    if device == "mps":
        return "Apple"
    units = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "BF16": torch.cpu._is_avx512_bf16_supported(),
    }
    there = [name for name, is_there in units.items() if is_there]
    return " ".join([*_maker(), torch.backends.cpu.get_cpu_capability(), *there])


def _maker() -> list[str]:
    """Who made the processor, where Linux tells it: GenuineIntel, AuthenticAMD."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return (
        [text.partition("vendor_id")[2].partition(":")[2].split()[0]] if "vendor_id" in text else []
    )


def _precision(wanted: str, device: str, model: ModelParams) -> str:
    if wanted != "auto":
        return wanted
    wide_enough = device != "cpu" or max(model.hidden_sizes) >= SMALLEST_BF16_SIZE_ON_CPU
    return "bf16" if wide_enough and made_for_bf16(device) else "fp32"


def made_for_bf16(device: str) -> bool:
    """Whether products are faster in bfloat16 there than in float32."""
    if device == "cpu":
        # AVX512_BF16 has twice the rate of float32 on AMD's processors and half of it on Intel's
        # (170 beside 330 GFLOP/s on a Xeon whose AMX is masked).
        by_vectors = torch.cpu._is_avx512_bf16_supported() and _maker() == ["AuthenticAMD"]
        return torch.cpu._is_amx_tile_supported() or by_vectors
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "xpu"
