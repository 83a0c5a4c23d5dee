"""A run in this process: what it goes back to, and what it makes of what it finds."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import model_params, train_params
from project import Project

from reprise.dataset import EncodedSplit, vocabulary_in
from reprise.errors import PipelineError
from reprise.files import read_json
from reprise.resume_proof import first_difference
from reprise.training import NotFiniteError
from reprise.training_run import TrainingRun

ROLLS_BACK = {
    "max_steps": 22,
    "not_finite": "roll_back",
    "steps_per_checkpoint": 7,
    "steps_per_validation": 100,
    "sequence_length": 16,
}
GPT2 = {"architecture": "gpt2", "positions": 16, "feedforward_size": 32}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("encoded"))
    for name in ("download", "clean", "tokenize", "encode"):
        project.stage(name)
    return project.folder / "data/encode"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Poisoned:
    """Batches of which the one before step 17 breaks a weight, at the full rate."""

    def __init__(self, run: TrainingRun) -> None:
        self.training, self.batches = run.training, run.batches

    def __getitem__(self, number: int) -> Any:
        if number == 16 and self.training.rate_factor == 1:
            self.training.model.head.bias.data.fill_(float("inf"))  # type: ignore[operator]
        return self.batches[number]

    def epochs(self, batches: int) -> float:
        return self.batches.epochs(batches)


def state_at_the_end(
    encoded: Path,
    model: dict[str, Any],
    train: dict[str, Any],
    told_to_stop: Sequence[int] = (),
    between: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Of a run that is told to stop after these steps, saves, and goes on as another process."""
    params, valid = train_params(**train), EncodedSplit.open_in(encoded, "valid")
    stops = list(told_to_stop)
    while True:
        run = TrainingRun.prepare(params, model_params(**model), encoded)
        run.batches = Poisoned(run)
        stopped = False
        for step in run.steps():
            if step.number % params.steps_per_validation == 0 or run.training.finished:
                run.judge(run.training.valid_nats(valid))
            stopped = step.number in stops[:1]
            if step.number % params.steps_per_checkpoint == 0 or run.training.finished or stopped:
                run.save()
            if stopped:
                stops.pop(0)
                break
        assert run.lock
        run.lock.release()
        if not stopped:
            return run.training.state()
        between()


@pytest.mark.parametrize("stop", [10, 15, 16])
def test_what_is_gone_back_to_does_not_depend_on_where_a_run_was_stopped(
    encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    unbroken = state_at_the_end(encoded, GPT2, ROLLS_BACK)
    assert unbroken["roll_backs"] == 1
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "another"))
    stopped = state_at_the_end(encoded, GPT2, ROLLS_BACK, told_to_stop=[stop])
    assert first_difference(unbroken, stopped) == ""


@pytest.mark.parametrize(("kept", "base"), [(2, 0), (3, 7)])
def test_a_broken_checkpoint_that_a_fault_would_lead_back_to_costs_time_alone(
    encoded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kept: int,
    base: int,
) -> None:
    train = ROLLS_BACK | {"kept_checkpoints": kept}
    unbroken = state_at_the_end(encoded, GPT2, train)
    another = tmp_path / "another"
    monkeypatch.setenv("DVC_ROOT", str(another))

    def spoil() -> None:
        (path,) = another.glob(".checkpoints/*/step-000000014.checkpoint")
        path.write_bytes(path.read_bytes()[:-9])

    stopped = state_at_the_end(encoded, GPT2, train, told_to_stop=[15], between=spoil)
    assert f"the checkpoint of step 14 is needed too: going back to step {base}" in caplog.messages
    assert stopped["roll_backs"] == 1
    assert first_difference(unbroken, stopped) == ""


def test_a_run_begins_with_how_frequent_each_piece_is_in_train(encoded: Path) -> None:
    found = {}
    for begin in ("unigram", "zeros"):
        model = model_params(initial_head_bias=begin)
        run = TrainingRun.prepare(train_params(sequence_length=16), model, encoded)
        found[begin] = run.training.model.head.bias.detach().clone()
    assert not found["zeros"].any()
    train = EncodedSplit.open_in(encoded, "train")
    counts = torch.zeros(len(found["zeros"]))
    for piece in train.ids:
        counts[int(piece)] += 1
    expected = (counts + 1).double().log() - math.log(train.tokens + len(counts))
    torch.testing.assert_close(found["unigram"], expected.float())
    adaptive = model_params(
        initial_head_bias="unigram", adaptive_cutoffs=[5, 10], tie_weights=False
    )
    run = TrainingRun.prepare(train_params(sequence_length=16), adaptive, encoded)
    said = run.training.model.head.logits(torch.zeros(1, 16))[0]
    torch.testing.assert_close(said[:5], expected[:5].float())


@pytest.mark.parametrize("stop", [3, 5])
def test_a_resumed_run_has_the_bias_that_it_learnt(
    encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    model = {"initial_head_bias": "unigram"}
    train = {"max_steps": 8, "sequence_length": 16, "steps_per_checkpoint": 4}
    unbroken = state_at_the_end(encoded, model, train)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "another"))
    stopped = state_at_the_end(encoded, model, train, told_to_stop=[stop])
    assert first_difference(unbroken, stopped) == ""


def test_a_valid_loss_that_is_no_number_is_gone_back_from(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"not_finite": "roll_back", "max_steps": 8, "sequence_length": 16}
    run = TrainingRun.prepare(train_params(**train), model_params(), encoded)
    seen = []
    for step in run.steps():
        seen.append(step.number)
        if step.number % 4 == 0:
            fails = step.number == 8 and seen.count(8) == 1
            run.judge(float("nan") if fails else 3.0)
            run.save()
    assert seen == [*range(1, 9), *range(5, 9)]
    assert (run.training.roll_backs, run.training.rate_factor) == (1, 0.5)
    assert run.training.finished


def test_without_roll_back_a_valid_loss_that_is_no_number_ends_the_run(encoded: Path) -> None:
    run = TrainingRun.prepare(train_params(sequence_length=16), model_params(), encoded)
    next(run.steps())
    with pytest.raises(NotFiniteError, match="step 1: the loss on valid is nan"):
        run.judge(float("nan"))


def end(run: TrainingRun) -> None:
    """As at the end of its process, killed or not."""
    assert run.lock
    run.lock.release()


def finish(run: TrainingRun) -> None:
    """Train to the end and save."""
    for step in run.steps():
        if run.training.finished:
            run.judge(3.0)
            run.training.add_row(step, 3.0)
    run.save()


def delivered(run: TrainingRun, place: Path) -> str:
    """Finished and delivered; what DVC would write down of it."""
    finish(run)
    run.deliver(place, place / "train.json", place / "train.csv")
    end(run)
    return str(read_json(run._delivery)["md5"])


def test_a_finished_repeat_that_was_not_delivered_is_not_trained_again(
    encoded: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def prepared() -> TrainingRun:
        return TrainingRun.prepare(train_params(sequence_length=16), model_params(), encoded)

    md5 = delivered(prepared(), place)
    (place / "dvc.lock").write_text(f"md5: {md5}\n")
    repeat = prepared()
    assert repeat.training.step == 0
    finish(repeat)
    end(repeat)  # before it was delivered
    rescued = prepared()
    assert rescued.training.finished
    assert delivered(rescued, place) == md5
    assert caplog.messages[-1].endswith("was run before: the same bytes")


def test_a_broken_record_of_the_delivery_is_told_and_made_anew(
    encoded: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = TrainingRun.prepare(train_params(sequence_length=16), model_params(), encoded)
    run._delivery.write_text("")
    md5 = delivered(run, place)
    assert read_json(run._delivery)["md5"] == md5
    assert any("delivered.json: not JSON" in message for message in caplog.messages)


@pytest.mark.parametrize("content", ["{}", "3", '{"vocabulary_size": 9, "boundary": "1"}'])
def test_a_vocabulary_that_lacks_something_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(PipelineError, match="is missing; run `dvc repro -f encode`"):
        vocabulary_in(tmp_path)


def test_what_is_for_recurrent_networks_alone_is_told_at_once(encoded: Path) -> None:
    params = train_params(variable_length=True, temporal_activation_regularization=1.0)
    with pytest.raises(PipelineError) as error:
        TrainingRun.prepare(params, model_params(**GPT2), encoded)
    assert error.value.lines == tuple(
        f"train.{setting}, which is for recurrent networks; model.architecture is gpt2; "
        f"allowed: {allowed}"
        for setting, allowed in (
            ("variable_length: found true", "false"),
            ("temporal_activation_regularization: found 1.0", "0.0"),
        )
    )


def test_each_validation_is_told_and_why_training_ends_early(
    encoded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = TrainingRun.prepare(
        train_params(sequence_length=16, max_steps=9, patience=2), model_params(), encoded
    )
    losses = iter([3.0, 2.5, 2.75, 2.5])
    for step in run.steps():
        if step.number % 2 == 0:
            run.judge(next(losses))
    assert run.training.step == 8
    assert [message for message in caplog.messages if "valid" in message] == [
        "step 2: valid 3.0000 nats/token, the best so far",
        "step 4: valid 2.5000 nats/token, the best so far",
        "step 6: valid 2.7500 nats/token, best 2.5000 after step 4",
        "step 8: valid 2.5000 nats/token, best 2.5000 after step 4; not better 2 times: training "
        "ends here",
    ]


def test_other_rows_at_once_are_told_and_a_finished_run_is_trained_anew_with_them(
    encoded: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def prepared(rows: int) -> TrainingRun:
        params = train_params(sequence_length=16, batch_size=4, micro_batch_size=rows)
        return TrainingRun.prepare(params, model_params(), encoded)

    run = prepared(4)
    next(run.steps())
    run.save()
    end(run)
    run = prepared(2)
    assert run.training.step == 1
    told = [(entry["from_step"], entry["micro_batch_size"]) for entry in run.processes]
    assert told == [(0, 4), (1, 2)]
    delivered(run, place)
    again = prepared(4)
    assert again.training.step == 0
    assert any("with other rows at once: training anew" in text for text in caplog.messages)
    delivered(again, place)
    assert caplog.messages[-1].endswith(", by other processes")
    unsent = prepared(2)
    finish(unsent)
    end(unsent)
    rescued = prepared(4)
    assert rescued.training.finished  # what nobody has yet is delivered
    assert rescued.processes[0]["micro_batch_size"] == 2
