"""What is told before a run, what is refused, and what the log says of it afterwards."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from helpers import model_params, train_params
from project import ROOT, TINY, Project
from ruamel.yaml import YAML

from reprise.commands.__main__ import reprise
from reprise.data_forecast import START_SECONDS, data_forecasts, known_sizes, vocabulary_size
from reprise.files import write_json
from reprise.forecast import Forecast, in_time, table
from reprise.machine import resolve
from reprise.memory_fit import Activations, State, StepMemory
from reprise.params.download import DownloadParams
from reprise.params.tokenize import TokenizeParams
from reprise.preflight import preflight
from reprise.reckoning import Reckoning, checkpoint_bytes, training_seconds
from reprise.training import Step
from reprise.training_forecast import seconds_per_step

CATALOG = ROOT / "data" / "catalog.yaml"
STAGES = ["download", "clean", "tokenize", "encode", "data_card", "train", "evaluate"]


@pytest.fixture
def params_path(tmp_path: Path) -> Path:
    write_params(tmp_path, TINY)
    return tmp_path / "params.yaml"


def write_params(folder: Path, *changes: dict[str, dict[str, Any]]) -> None:
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for change in changes:
        for section, values in change.items():
            params[section].update(values)
    params["download"]["corpus"] = "docstrings"
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def told(folder: Path, *options: str) -> Result:
    place = ["--params", str(folder / "params.yaml"), "--catalog", str(CATALOG)]
    metrics = ["--metrics", str(ROOT / "metrics")]
    return CliRunner().invoke(reprise, ["preflight", *place, *metrics, *options])


def test_the_table_has_a_line_for_each_stage_in_aligned_columns(params_path: Path) -> None:
    result = told(params_path.parent)
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == STAGES
    for title in ("parameters", "memory", "disk", "time"):
        end = head.index(title) + len(title)
        assert all(line[end - 1] != " " and line[end : end + 2] in ("  ", "") for line in lines)


def test_json_has_the_same_in_bytes_and_seconds(params_path: Path) -> None:
    found = json.loads(told(params_path.parent, "--json").stdout)
    assert [forecast["stage"] for forecast in found["forecasts"]] == STAGES
    train = found["forecasts"][STAGES.index("train")]
    V, E = 350, 16
    parameters = V * E + V + 4 * E * (2 * E + 2)  # embedding, the head's bias, an LSTM
    assert train["parameters"] == parameters
    state = 4 * 4 * parameters + 4 * 6  # weights, best ones, Adam's two averages; counts of steps
    assert train["disk"] == 3 * state + 4 * parameters  # two kept, one being written, the model
    assert train["seconds"] > 0
    assert found["refusals"] == []
    assert found["machine"]["device"] == "cpu"


def test_what_is_known_of_the_data_decides_the_data_stages() -> None:
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    download = DownloadParams.model_validate(settings["download"] | {"corpus": "docstrings"})
    tokenize = TokenizeParams.model_validate(settings["tokenize"])
    sizes = known_sizes(download, CATALOG, ROOT / "metrics")
    counted = json.loads((ROOT / "metrics" / "encode.json").read_text(encoding="utf-8"))
    assert sizes.tokens == {split: counts["tokens"] for split, counts in counted.items()}
    by_stage = {forecast.stage: forecast for forecast in data_forecasts(tokenize, sizes, 1000)}
    tokens = sum(counts["tokens"] for counts in counted.values())
    assert by_stage["encode"].disk == 2 * tokens
    raw = json.loads((ROOT / "metrics" / "download.json").read_text(encoding="utf-8"))["bytes"]
    assert by_stage["clean"].seconds == pytest.approx(START_SECONDS + raw / 9.6e6)


def test_without_earlier_stages_the_catalogue_or_the_disk_tells_the_bytes(tmp_path: Path) -> None:
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tokenize = TokenizeParams.model_validate(settings["tokenize"])

    def sizes_of(corpus: str) -> Any:
        params = DownloadParams.model_validate(settings["download"] | {"corpus": corpus})
        return known_sizes(params, CATALOG, tmp_path)

    published = sizes_of("wikitext-2")
    assert published.published == published.raw == 10797148 + 1121681 + 1256449
    cut = sizes_of("tinyshakespeare-nanogpt")  # two of its pieces are the same bytes
    assert (cut.published, cut.raw) == (1115394, 1003854 + 2 * 111540)
    packed = sizes_of("wikitext-2-raw")
    assert (packed.published, packed.raw) == (4721645, None)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes(b"x" * 1000)
    assert sizes_of(str(tmp_path / "texts")).raw == 1000
    installed = {f.stage: f for f in data_forecasts(tokenize, sizes_of("docstrings"), 1000)}
    assert installed["clean"].seconds is None
    assert installed["clean"].note == "unknown until download has run"
    assert installed["encode"].note == "unknown until clean has run"


def test_a_vocabulary_that_the_text_decides_has_the_pieces_it_had() -> None:
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    download = DownloadParams.model_validate(settings["download"] | {"corpus": "docstrings"})
    sizes = known_sizes(download, CATALOG, ROOT / "metrics")
    found = {}
    for kind in ("bpe", "char"):
        changed = settings["tokenize"] | {"type": kind, "vocabulary_size": 7000}
        found[kind] = vocabulary_size(TokenizeParams.model_validate(changed), sizes)
    assert found == {"bpe": 7000, "char": sizes.pieces}


def test_a_network_that_does_not_fit_is_refused_in_a_line_for_each_reason(
    params_path: Path,
) -> None:
    write_params(params_path.parent, TINY, {"model": {"hidden_size": 2_000_000}})
    result = told(params_path.parent)
    assert result.exit_code == 1
    assert "\ntrain " in result.stdout
    memory, of_evaluate, disk = result.stderr.splitlines()
    assert memory.startswith("error: train: not even one row at once fits: about ")
    assert ", but of the cpu's memory " in memory
    assert of_evaluate.startswith("error: evaluate: ")
    assert disk.startswith("error: train: ")
    assert " TB of disk are needed, " in disk


def test_rows_of_ones_own_choice_that_do_not_fit_are_refused(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reprise.device_memory.cgroup_limits", lambda: iter([400_000_000]))
    write_params(params_path.parent, TINY, {"train": {"micro_batch_size": 4}})
    lines = told(params_path.parent).stderr.splitlines()
    assert [line.partition(",")[0].partition(" of memory")[0] for line in lines] == [
        "error: clean: 603 MB",
        "error: encode: 822 MB",
        "error: train: 560 MB",
        lines[3].partition(" of memory")[0],  # evaluate's
    ]
    assert lines[2].endswith(
        "400 MB are there; lower train.micro_batch_size or train.sequence_length, or take a "
        "smaller model"
    )


def test_a_disk_that_is_too_small_is_refused(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(params_path.parent, TINY, {"train": {"kept_checkpoints": 1000, "max_steps": 9000}})
    metrics = ROOT / "metrics"
    needed = sum(f.disk or 0 for f in preflight(params_path, CATALOG, metrics).forecasts)
    for free, refusals in ((needed, 0), (needed - 1, 1)):
        monkeypatch.setattr("reprise.preflight.free_disk", lambda free=free: free)
        found = preflight(params_path, CATALOG, metrics).refusals
        assert len(found) == refusals
    assert found[0].startswith("train: ")
    assert found[0].endswith("; free some space, or lower train.kept_checkpoints")


def test_unknown_figures_are_called_so_and_columns_stay_aligned() -> None:
    assert table(
        [
            Forecast("clean", memory=603_000_000, disk=None, seconds=None, note="until then"),
            Forecast("train", memory=1_000, disk=2_000, seconds=90_061, parameters=1_234_567),
        ]
    ).splitlines() == [
        "stage  parameters  memory     disk     time",
        "clean           -  603 MB  unknown  unknown  until then",
        "train   1,234,567    1 kB     2 kB  1 d 1 h",
    ]


def test_times_are_told_in_their_two_largest_units() -> None:
    told = [in_time(seconds) for seconds in (0.2, 59.4, 60, 271, 3600, 7384, 100_000)]
    assert told == ["1 s", "59 s", "1 min", "4 min 31 s", "1 h", "2 h 3 min", "1 d 3 h"]


def test_validations_cost_a_third_of_training_on_as_many_tokens() -> None:
    params = train_params(batch_size=4, sequence_length=10, steps_per_validation=5)
    # 12 steps of 2 s; validations after 5, 10 and 12; a token takes 2 s / 40
    assert training_seconds(params, 12, 2.0, valid_tokens=120) == pytest.approx(24 + 3 * 120 / 60)


STATE = State(weights=10, gradients=10, optimizer=20, average=0, best=10)


def test_no_more_checkpoints_are_kept_than_are_written() -> None:
    memory = StepMemory("cpu", STATE, Activations(0, 0))
    often = train_params(max_steps=12, steps_per_checkpoint=4, kept_checkpoints=2)
    once = train_params(max_steps=12, steps_per_checkpoint=12, kept_checkpoints=2)
    assert [checkpoint_bytes(memory, params) for params in (often, once)] == [80, 40]


@pytest.mark.parametrize(("steps", "expected"), [(12, 40), (13, 80), (3, 40)])
def test_the_newest_of_every_run_is_kept_beside_the_last_one(steps: int, expected: int) -> None:
    memory = StepMemory("cpu", STATE, Activations(0, 0))
    params = train_params(max_steps=steps, steps_per_checkpoint=4, kept_checkpoints=1)
    assert checkpoint_bytes(memory, params) == expected


def test_estimate_and_truth_are_of_the_steps_that_were_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("reprise.reckoning.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("reprise.reckoning.peak_memory", lambda device: 77)
    params = train_params(batch_size=4, sequence_length=10, steps_per_validation=3)
    memory = StepMemory("cuda", STATE, Activations(fixed=5, row=2))
    reckoning = Reckoning(memory, 4, params, valid_tokens=120, checkpoints=81)
    assert reckoning.tell() == {}

    def steps() -> Iterator[Step]:
        for number, seconds in enumerate((9.0, 2.0, 2.0, 2.0, 3.0)):
            clock[0] += seconds
            yield Step(number, 1.0, 40, 0.1, 1.0)

    for _ in reckoning.timed(steps()):
        clock[0] += 1.0  # the caller's work
    assert reckoning.tell() == {
        "spent/peak_memory_bytes_expected": 10 + 20 + 10 + 5 + 8,
        "spent/training_seconds_expected": pytest.approx(5 * 2.0 + 2 * 120 * 2.0 / 40 / 3),
        "spent/checkpoint_bytes_expected": 80,
        "spent/peak_memory_bytes": 77,
        "spent/training_seconds": 18.0 + 5 * 1.0,
        "spent/checkpoint_bytes": 81,
    }


def test_slow_steps_at_the_start_do_not_spoil_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("reprise.reckoning.time.monotonic", lambda: clock[0])
    params = train_params(batch_size=4, sequence_length=10)
    memory = StepMemory("cpu", STATE, Activations(fixed=5, row=2))
    reckoning = Reckoning(memory, 4, params, valid_tokens=0)

    def steps() -> Iterator[Step]:
        for number, seconds in enumerate([0.5] * 10 + [0.1] * 90):
            clock[0] += seconds
            yield Step(number, 1.0, 40, 0.1, 1.0)

    assert len(list(reckoning.timed(steps()))) == 100
    assert reckoning.figures()["spent/training_seconds_expected"] == pytest.approx(100 * 0.1)


@pytest.mark.parametrize("architecture", ["lstm", "transformer", "gpt2"])
def test_a_step_of_accumulated_rows_is_timed_for_all_rows_of_a_process(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def shortest(model: Any, params: Any, machine: Any, rows: int, deadline: float) -> float:
        taken.append(rows)
        return 0.001 * rows

    monkeypatch.setattr("reprise.training_forecast._shortest_step", shortest)
    model, params = model_params(architecture=architecture), train_params(batch_size=24, devices=2)
    machine = resolve(train_params(), model)
    assert seconds_per_step(model, params, machine, 50, rows=3) == pytest.approx(0.012)
    assert taken == [1, 3]


@pytest.mark.slow
def test_after_training_estimate_and_truth_stand_in_the_log_and_in_no_file(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for stage in ("download", "clean", "tokenize", "encode"):
        project.stage(stage)
    result = project.stage("train")
    (line,) = [line for line in result.stderr.splitlines() if "estimated and true" in line]
    size = r"([\d.]+) ([kMG]B)"
    pairs = re.fullmatch(
        rf"\S+ estimated and true: memory {size}, {size}; time of 40 steps [\d.]+ s, [\d.]+ s; "
        rf"checkpoints {size}, {size}",
        line,
    )
    assert pairs is not None, line
    words, factors = pairs.groups(), {"kB": 1e3, "MB": 1e6, "GB": 1e9}
    numbers = [float(words[at]) * factors[words[at + 1]] for at in range(0, 8, 2)]
    memory, true_memory, checkpoints, true_checkpoints = numbers
    assert memory / 3 < true_memory < 3 * memory  # libraries of the processor's kind take most
    assert checkpoints < true_checkpoints < 1.5 * checkpoints  # of a small network
    for path in [*tmp_path.glob("metrics/*"), *tmp_path.glob("data/train/*.json")]:
        text = path.read_text(encoding="utf-8")
        assert "expected" not in text
        assert "spent" not in text
    record = json.loads((tmp_path / "data/train/model.json").read_text(encoding="utf-8"))
    assert record["machine"]["micro_batch_size"] == 4


@pytest.mark.parametrize("schedule", ["inverse_square_root", "plateau"])
def test_real_steps_are_timed_whatever_the_settings_are(schedule: str) -> None:
    model = model_params()
    params = train_params(schedule=schedule, averaging="triggered", batch_size=8, devices=2)
    assert seconds_per_step(model, params, resolve(params, model), 20, rows=4) > 0


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"model": {"architecture": "gpt2", "positions": 4, "variational_dropout": False}},
            "error: train.sequence_length: found 16, allowed: up to model.positions 4; ",
        ),
        (
            {
                "model": {"architecture": "gpt2", "positions": 16, "variational_dropout": False},
                "evaluate": {"window": 32},
            },
            "error: evaluate.window: found 32, allowed: up to model.positions 16; ",
        ),
        (
            {
                "model": {"architecture": "gpt2", "variational_dropout": False},
                "train": {"activation_regularization": 2.0},
            },
            "error: train.activation_regularization: found 2.0, which is for recurrent networks; "
            "model.architecture is gpt2; allowed: 0.0",
        ),
        (
            {
                "model": {"architecture": "transformer", "variational_dropout": False},
                "train": {"variable_length": True},
            },
            "error: train.variable_length: found true, which is for recurrent networks; "
            "model.architecture is transformer; allowed: false",
        ),
        (
            {"train": {"batch_size": 9_000_000}},
            "error: train.batch_size: found 9000000, but the train split has ",
        ),
    ],
)
def test_what_training_or_scoring_would_refuse_is_refused_before(
    params_path: Path, changes: dict[str, dict[str, Any]], line: str
) -> None:
    small = {"train": {"sequence_length": 16}}
    write_params(params_path.parent, TINY, small, changes)
    result = told(params_path.parent)
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stderr.startswith(line), result.stderr


@pytest.mark.parametrize(
    ("stage", "figures"),
    [
        ("download", []),
        ("download", {"corpus": "docstrings", "bytes": "much"}),
        ("download", {"corpus": ["docstrings"], "bytes": 1}),
        ("clean", {"bytes": {"train": 10, "valid": 5}}),
        ("clean", {"bytes": {"train": 10, "valid": 5, "test": -5}}),
        ("tokenize", {"pieces": None}),
        ("encode", {"train": {"tokens": 10}, "valid": 5, "test": {}}),
    ],
)
def test_figures_that_no_stage_wrote_are_told(
    stage: str, figures: Any, params_path: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    write_json(metrics / "download.json", {"corpus": "docstrings", "bytes": 1000})
    write_json(metrics / f"{stage}.json", figures)
    place = ["--params", str(params_path), "--catalog", str(CATALOG)]
    result = CliRunner().invoke(reprise, ["preflight", *place, "--metrics", str(metrics)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"error: {metrics}/{stage}.json: not what its stage writes; run `dvc repro`, or remove it"
    ]
