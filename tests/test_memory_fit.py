"""What a step takes: against counts by hand, real optimizers, and real processes."""

import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import model_params, new_training, random_split, train_params
from project import Project
from torch import Tensor, nn

from reprise.device_memory import cgroup_limits, total_memory, usable_memory
from reprise.errors import PipelineError
from reprise.machine import resolve
from reprise.memory_fit import (
    Activations,
    State,
    StepMemory,
    activation_memory,
    in_bytes,
    network_shapes,
    optimizer_bytes,
    out_of_memory_told,
    rows_at_once,
    state_memory,
    step_memory,
)
from reprise.models import LanguageModel, build_model

LIMIT = 10**9
FLOAT = 4


class LinearBody(nn.Module):
    recurrent = False

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.linear(inputs), []


def test_activations_are_those_that_one_counts_by_hand() -> None:
    V, E, T = 50, 12, 7
    params = model_params(architecture="transformer", embedding_size=E, hidden_size=E, dropout=0.0)
    model = LanguageModel(LinearBody(E), params, V)
    found = activation_memory(model, train_params(sequence_length=T), "fp32", LIMIT)
    ids = 8 * T  # int64, for the embedding's gradient
    to_linear = FLOAT * T * E  # for the gradient of its weight
    to_head = FLOAT * T * E  # the gradient of what it is given
    head_gradients = FLOAT * (V * E + V)
    assert found == Activations(fixed=head_gradients, row=ids + to_linear + to_head)


def test_dropout_keeps_its_mask_and_bf16_its_copies() -> None:
    V, E, T = 50, 12, 7
    params = model_params(architecture="transformer", embedding_size=E, hidden_size=E, dropout=0.0)
    model = LanguageModel(LinearBody(E), params, V)
    train = train_params(sequence_length=T)
    plain = activation_memory(model, train, "fp32", LIMIT)
    low = activation_memory(model, train, "bf16", LIMIT)
    assert low.fixed == plain.fixed + 2 * E * E  # the linear layer's weight in bfloat16
    assert low.row == 8 * T + 2 * T * E + 2 * T * E
    model.input_dropout = nn.Dropout(0.5)
    with_dropout = activation_memory(model, train, "fp32", LIMIT)
    assert with_dropout.row == plain.row + FLOAT * T * E  # on a CPU the mask has floats


def test_a_pass_that_keeps_too_much_is_broken_off() -> None:
    model = build_model(model_params(), 50)
    params = train_params(sequence_length=10)
    whole = activation_memory(model, params, "fp32", LIMIT)
    limit = whole.fixed + 2 * whole.row  # what the pass over two rows keeps
    assert activation_memory(model, params, "fp32", limit) == whole
    assert activation_memory(model, params, "fp32", limit - 1).row == limit


OPTIMIZERS = [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0), ("adamw", 0.0), ("adafactor", 0.0)]


@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer", "gpt2"])
@pytest.mark.parametrize(("optimizer", "momentum"), [*OPTIMIZERS, ("muon", 0.9)])
def test_the_optimizers_bytes_are_those_of_its_state_after_a_step(
    architecture: str, optimizer: str, momentum: float
) -> None:
    model = model_params(architecture=architecture, tie_weights=False)
    params = train_params(optimizer=optimizer, momentum=momentum)
    training, batches = new_training(model, params, random_split())
    next(training.steps(batches))
    tensors = [
        tensor
        for of_one in training.optimizers
        for of_parameter in of_one.state_dict()["state"].values()
        for tensor in of_parameter.values()
        if isinstance(tensor, Tensor)
    ]
    expected = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert optimizer_bytes(network_shapes(model, 20), params) == expected


def test_the_state_is_all_that_a_checkpoint_holds() -> None:
    model, params = model_params(), train_params(averaging="exponential")
    training, batches = new_training(model, params, random_split())
    next(training.steps(batches))
    training.judge(1.0)
    state = state_memory(network_shapes(model, 20), params)
    floats = 4 * training.model.parameter_count()
    assert (state.weights, state.gradients, state.average, state.best) == (floats,) * 4
    saved = training.state()
    parts = [saved["weights"].values(), saved["best_weights"].values(), saved["average"]["values"]]
    tensors = [tensor for part in parts for tensor in part]
    assert state.saved - state.optimizer == sum(4 * tensor.numel() for tensor in tensors)


def test_fsdp_spreads_weights_gradients_and_optimizer() -> None:
    shapes = network_shapes(model_params(), 20)
    alone = state_memory(shapes, train_params())
    spread = state_memory(shapes, train_params(strategy="fsdp", devices=4))
    assert spread.weights == alone.weights // 4
    assert spread.gradients == alone.gradients // 4
    assert spread.optimizer == alone.optimizer // 4
    assert spread.best == alone.best


SMALL = State(weights=100, gradients=100, optimizer=200, average=0, best=100)
ON_GPU = StepMemory("cuda", SMALL, Activations(fixed=50, row=10))


def test_a_gpu_holds_all_but_the_best_weights() -> None:
    assert ON_GPU.peak(rows=3) == 100 + 200 + 100 + 50 + 3 * 10


def test_a_cpu_holds_the_process_and_what_is_saved_too() -> None:
    on_cpu = replace(ON_GPU, device="cpu", holes=0.0)
    process = on_cpu.peak(0) - (100 + 200 + 100) - (100 + 400)  # its copies outweigh the step
    assert process > 10**8
    assert on_cpu.peak(35) == on_cpu.peak(0)  # 100 + 50 + 35 * 10 are as much
    assert on_cpu.peak(36) == on_cpu.peak(0) + 10
    with_holes = replace(on_cpu, holes=0.5)
    assert with_holes.peak(136) == with_holes.peak(36) + 100 * 10 * 1.5


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr("reprise.memory_fit.usable_memory", lambda device, processes: limit)


def test_fewer_rows_at_once_where_the_limit_is_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    params = train_params(batch_size=24)
    found = {}
    for limit in (690, 689, 570, 569, 520, 490, 480, 470, 460):
        limited(monkeypatch, limit)
        found[limit] = rows_at_once(ON_GPU, params)
    # 450 bytes and 10 a row; divisors of 24: 24 12 8 6 4 3 2 1
    assert found == {
        690: 24, 689: 12, 570: 12, 569: 8, 520: 6, 490: 4, 480: 3, 470: 2, 460: 1,
    }  # fmt: skip
    assert rows_at_once(ON_GPU, train_params(batch_size=24, micro_batch_size=2)) == 2


def test_each_process_has_its_part_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, LIMIT)
    assert rows_at_once(ON_GPU, train_params(batch_size=24, devices=2, nodes=2)) == 6


def test_where_not_one_row_fits_the_line_says_what_takes_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch, 459)
    with pytest.raises(PipelineError) as error:
        rows_at_once(ON_GPU, train_params(sequence_length=64))
    assert str(error.value) == (
        "train: not even one row at once fits: about 460 bytes are needed, but of the cuda's "
        "memory 459 bytes may be used: optimizer 200 bytes, weights 100 bytes, gradients 100 "
        "bytes, best weights 100 bytes, activations of one row 60 bytes; lower "
        "train.sequence_length (now 64), set train.optimizer (now adamw) to adafactor, set "
        "train.precision (now fp32) to bf16, take a smaller model; or try it all the same with "
        "train.micro_batch_size 1"
    )


def test_a_network_beyond_all_memory_is_refused_without_being_built() -> None:
    params = train_params()
    huge = model_params(embedding_size=2**20, hidden_size=2**20)  # 70 TB of weights
    memory = step_memory(huge, 50_000, params, resolve(params, huge))
    with pytest.raises(PipelineError, match=r"about [\d.e+]+ TB are needed"):
        rows_at_once(memory, params)


def test_the_same_machine_decides_the_same_again() -> None:
    params, model = train_params(), model_params()
    first, second = (step_memory(model, 50, params, resolve(params, model)) for _ in range(2))
    assert first == second


def test_a_process_may_use_half_of_what_its_group_or_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reprise.device_memory.cgroup_limits", lambda: iter([7_000_000]))
    assert total_memory("cpu") == 7_000_000
    assert usable_memory("cpu") == 3_500_000
    assert usable_memory("cpu", processes=2) == 1_750_000
    monkeypatch.setattr("reprise.device_memory.cgroup_limits", lambda: iter([2**63]))
    page, pages = resource.getpagesize(), Path("/proc/meminfo").read_text().split()[1]
    assert total_memory("cpu") // page == int(pages) * 1024 // page


def test_limits_of_control_groups_of_both_versions_and_of_those_above(tmp_path: Path) -> None:
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text("5000\n")
    old = tmp_path / "memory" / "c"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("6000\n")
    (tmp_path / "membership").write_text("4:memory:/c\n3:cpuset:/c\n0::/a/b\n")
    assert sorted(cgroup_limits(tmp_path / "membership", tmp_path)) == [5000, 6000]
    assert list(cgroup_limits(tmp_path / "missing", tmp_path)) == []


def test_sizes_are_told_in_units_for_people() -> None:
    told = [in_bytes(size) for size in (0, 999, 1234, 35_474_976, 1_594_956_152, 7e16)]
    assert told == ["0 bytes", "999 bytes", "1.23 kB", "35.5 MB", "1.59 GB", "7e+04 TB"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate "
                     "memory: you tried to allocate 4096 bytes. Error code 12"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),  # oneDNN
    ],
)  # fmt: skip
def test_out_of_memory_becomes_one_line(error: BaseException) -> None:
    params = train_params(optimizer="adafactor", precision="bf16")
    with pytest.raises(PipelineError) as told, out_of_memory_told(ON_GPU, params, 4):
        raise error
    assert str(told.value) == (
        "train: out of memory on the cuda: optimizer 200 bytes, weights 100 bytes, gradients 100 "
        "bytes, best weights 100 bytes, activations of 4 rows 90 bytes; checkpoints saved before "
        "are kept; lower train.micro_batch_size (now 4), lower train.sequence_length (now 8), "
        "take a smaller model"
    )


@pytest.mark.parametrize(
    "text", ["sizes do not match", "could not create a primitive descriptor for a matmul primitive"]
)
def test_other_errors_stay_what_they_are(text: str) -> None:
    with pytest.raises(RuntimeError, match=text), out_of_memory_told(ON_GPU, train_params(), 4):
        raise RuntimeError(text)


PEAK = """
import resource, sys
import mlflow.store.tracking.sqlalchemy_store, torch.utils.tensorboard  # as a run has them
sys.path.insert(0, {tests!r})
from helpers import model_params, new_training, random_split, train_params
from reprise.memory_fit import step_memory, rows_at_once
from reprise.machine import resolve
model = model_params(**{model!r})
params = train_params(**{train!r})
split = random_split(documents=600, pieces=3000)
training, batches = new_training(model, params, split, pieces=3000)
for step in training.steps(batches):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
memory = step_memory(model, 3000, params, resolve(params, model))
print(memory.peak(rows_at_once(memory, params)), memory.peak(0))
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_the_estimate_is_within_half_of_a_real_process(architecture: str) -> None:
    script = PEAK.format(
        tests=str(Path(__file__).parent),
        model={
            "architecture": architecture,
            "embedding_size": 256,
            "hidden_size": 256,
            "feedforward_size": 512,
            "layers": 3,
        },
        train={"batch_size": 64, "sequence_length": 128, "max_steps": 5, "warmup_steps": 1},
    )
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    real, estimate, without_rows = map(int, output.split())
    assert estimate > 1.4 * without_rows  # so the rows count
    assert real / 1.5 < estimate < 1.5 * real


STARVED = """
import resource
from pathlib import Path
import torch
from reprise.training_run import TrainingRun

save = TrainingRun.save
def save_and_starve(run):
    save(run)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000,) * 2)
    taken = []  # also what the process has freed and not given back
    try:
        while True:
            taken.append(torch.empty(1 << 20, dtype=torch.uint8))
    except RuntimeError:
        run.taken = taken[4:]
TrainingRun.save = save_and_starve

from stages.train import main
main()
"""


@pytest.mark.slow
def test_a_training_that_runs_out_of_memory_says_what_took_it_and_keeps_its_checkpoints(
    tmp_path: Path,
) -> None:
    train = {
        "batch_size": 64,
        "sequence_length": 100,
        "max_steps": 20,
        "steps_per_checkpoint": 2,
        "warmup_steps": 1,
    }
    model = {"embedding_size": 128, "hidden_size": 128, "layers": 3}
    project = Project(tmp_path, train=train, model=model)
    for stage in ("download", "clean", "tokenize", "encode"):
        project.stage(stage)
    result = project.run(sys.executable, "-c", STARVED, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    size = r"\d[\d.]* [kMG]B"
    assert re.fullmatch(
        rf"error: train: out of memory on the cpu: activations of 64 rows {size}, optimizer {size},"
        rf" weights {size}, gradients {size}, best weights {size}; checkpoints saved before are "
        r"kept; lower train.micro_batch_size \(now 64\), lower train.sequence_length \(now 100\), "
        r"set train.optimizer \(now adamw\) to adafactor, set train.precision \(now fp32\) to "
        r"bf16, take a smaller model",
        last,
    ), last
    assert [path.name for path in tmp_path.glob(".checkpoints/*/step-*")] == [
        "step-000000002.checkpoint"
    ]
