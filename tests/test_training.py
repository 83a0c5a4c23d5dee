"""The loop: what a step does, when it ends, and that stopping in between changes nothing."""

import io
import math
import re
from typing import Any

import pytest
import torch
from helpers import model_params, new_training, random_split, split_of, train_params
from torch import nn

from reprise.errors import PipelineError
from reprise.models import build_model
from reprise.training import NotFiniteError, Objective, step_seed

SPLIT = random_split()


def weights(training: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.model.state_dict().items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adafactor", "muon"])
@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm", "transformer", "gpt2"])
def test_stopped_after_any_step_and_resumed_equals_unbroken(
    architecture: str, optimizer: str, precision: str
) -> None:
    model = model_params(architecture=architecture, dropout=0.3)
    params = train_params(optimizer=optimizer, momentum=0.9, precision=precision)
    unbroken, batches = new_training(model, params, SPLIT)
    for step in unbroken.steps(batches):
        if step.number % 4 == 0:
            unbroken.judge(unbroken.valid_nats(SPLIT))
    saved: dict[str, Any] | None = None
    while saved is None or not saved["finished"]:
        resumed, batches = new_training(model, params, SPLIT)
        if saved is not None:
            resumed.restore(saved)
        for step in resumed.steps(batches):  # five steps in each process
            if step.number % 4 == 0:
                resumed.judge(resumed.valid_nats(SPLIT))
            if step.number % 5 == 0:
                break
        buffer = io.BytesIO()
        torch.save(resumed.state(), buffer)
        buffer.seek(0)
        saved = torch.load(buffer, weights_only=True)
    for name, value in weights(unbroken).items():
        assert value.equal(weights(resumed)[name]), name
    assert unbroken.best_nats == resumed.best_nats
    assert all(unbroken.best_weights[n].equal(w) for n, w in resumed.best_weights.items())


def test_validating_more_often_changes_nothing() -> None:
    results = []
    for every in (1, 100):
        training, batches = new_training(model_params(dropout=0.5), train_params(), SPLIT)
        for step in training.steps(batches):
            if step.number % every == 0:
                training.valid_nats(SPLIT)
        results.append(weights(training))
    assert all(results[0][name].equal(results[1][name]) for name in results[0])


def test_a_step_is_the_textbooks() -> None:
    """One step of plain SGD against the same step written out with torch's own parts."""
    params = train_params(
        optimizer="sgd", learning_rate=0.5, weight_decay=0.0, clip_norm=0.01, warmup_steps=0
    )
    training, batches = new_training(model_params(dropout=0.0), params, SPLIT)
    model, batch = training.model, batches[0]
    hidden, _ = model(batch.inputs)
    loss = nn.functional.cross_entropy(
        model.head.logits(hidden.flatten(0, 1)), batch.targets.flatten(), ignore_index=-1
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    step = next(training.steps(batches))
    assert step.nats / step.tokens == pytest.approx(float(loss.detach()), rel=1e-5)
    assert step.gradient_norm == pytest.approx(norm, rel=1e-4)
    for (name, value), gradient in zip(model.named_parameters(), gradients, strict=True):
        expected = before[name] - 0.5 * gradient * (0.01 / norm)
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-4)


def test_a_loss_that_is_no_number_stops_training_and_names_step_and_rate() -> None:
    params = train_params(
        optimizer="sgd", learning_rate=1e38, clip_norm=1e9, schedule="constant", warmup_steps=0
    )
    training, batches = new_training(model_params(architecture="rnn"), params, SPLIT)
    with pytest.raises(PipelineError) as error:
        for _ in training.steps(batches):
            pass
    assert re.fullmatch(
        rf"step {training.step + 1}: the (loss|gradient) is (nan|inf) at learning rate 1e\+38; "
        "what was saved before is kept; lower train.learning_rate or train.clip_norm, or lengthen "
        "train.warmup_steps",
        str(error.value),
    )


def test_where_muon_has_a_rate_of_its_own_it_is_named_too() -> None:
    params = train_params(
        optimizer="muon", muon_learning_rate=1e30, schedule="constant", warmup_steps=0
    )
    training, batches = new_training(model_params(), params, SPLIT)
    with pytest.raises(PipelineError) as error:
        for _ in training.steps(batches):
            pass
    assert "; lower train.learning_rate, train.muon_learning_rate or train.clip_norm, " in str(
        error.value
    )


def test_weights_that_are_no_numbers_are_not_worth_a_checkpoint() -> None:
    training, batches = new_training(model_params(), train_params(), SPLIT)
    next(training.steps(batches))
    training.state()
    with torch.no_grad():
        training.model.head.bias[3] = -math.inf
    with pytest.raises(PipelineError) as error:
        training.state()
    assert str(error.value) == (
        "step 1: the largest weight is inf at learning rate 0.005; what was saved before is kept; "
        "lower train.learning_rate or train.clip_norm, or lengthen train.warmup_steps"
    )


def test_patience_ends_training_and_the_best_weights_stay() -> None:
    training, batches = new_training(model_params(), train_params(patience=2), SPLIT)
    best = {}
    for step, nats in zip(training.steps(batches), [3.0, 2.0, 2.5, 2.0], strict=True):
        training.judge(nats)
        if step.number == 2:
            best = weights(training)
    assert training.step == 4
    assert (training.best_step, training.best_nats) == (2, 2.0)
    assert all(value.equal(best[name]) for name, value in training.best_weights.items())


def test_the_loss_of_a_row_is_the_mean_over_its_tokens() -> None:
    training, batches = new_training(model_params(), train_params(), SPLIT)
    steps = []
    for step in training.steps(batches):
        steps.append(step)
        if step.number == 3:
            row = training.add_row(step, None)
            break
    tokens = sum(step.tokens for step in steps)
    assert row["tokens"] == tokens
    assert row["train_nats_per_token"] == sum(step.nats for step in steps) / tokens


def test_a_text_without_surprises_is_learnt_to_nothing() -> None:
    split = split_of([[7, 8, 9, 10, 11]] * 20)
    training, batches = new_training(
        model_params(dropout=0.0), train_params(max_steps=300, learning_rate=0.02), split
    )
    for _ in training.steps(batches):
        pass
    assert training.valid_nats(split) < 0.05


def test_seeds_of_steps_differ() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(-1, 100)}
    assert len(seeds) == 20 * 101


AWD = {
    "dropout": 0.3,
    "embedding_dropout": 0.2,
    "weight_dropout": 0.4,
    "variational_dropout": True,
    "hidden_size": [20, 16],
}
ALGORITHMS = {
    "nt-asgd": (
        AWD,
        {
            "optimizer": "sgd",
            "learning_rate": 3.0,
            "averaging": "triggered",
            "averaging_patience": 1,
            "activation_regularization": 2.0,
            "temporal_activation_regularization": 1.0,
            "variable_length": True,
        },
    ),
    "exponential": (AWD, {"averaging": "exponential", "variable_length": True}),
    "plateau": ({}, {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.5}),
    "stable": ({}, {"schedule": "warmup_stable_decay"}),
    "root": ({}, {"schedule": "inverse_square_root"}),
    "adaptive": ({"tie_weights": False, "adaptive_cutoffs": [5, 10]}, {}),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_algorithm_goes_on_to_the_same_bits(name: str) -> None:
    model_changes, train_changes = ALGORITHMS[name]
    model, params = model_params(**model_changes), train_params(max_steps=24, **train_changes)

    def run(stops: set[int]) -> Any:
        training, batches = new_training(model, params, SPLIT)
        while not training.finished:
            for step in training.steps(batches):
                if step.number % 2 == 0:
                    training.judge(training.valid_nats(SPLIT))
                if step.number in stops:
                    break
            else:
                break
            buffer = io.BytesIO()
            torch.save(training.state(), buffer)
            buffer.seek(0)
            training, batches = new_training(model, params, SPLIT)
            training.restore(torch.load(buffer, weights_only=True))
        return training

    unbroken, resumed = run(set()), run({3, 6, 7})
    for key, value in weights(unbroken).items():
        assert value.equal(weights(resumed)[key]), key
    assert all(map(torch.equal, unbroken.average.values, resumed.average.values))
    assert unbroken.average.started == (name in ("nt-asgd", "exponential"))
    assert unbroken.rate_factor == resumed.rate_factor
    assert (unbroken.rate_factor < 1) == (name == "plateau")
    assert unbroken.best_nats == resumed.best_nats


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_micro_batches_add_up_to_one_batch(architecture: str) -> None:
    """Also where rows have ended and so count fewer tokens."""
    model = model_params(architecture=architecture, dropout=0.0)
    params = train_params(optimizer="sgd", learning_rate=1.0, batch_size=6, clip_norm=1e9)
    results = []
    for rows in (6, 3, 2, 1):
        training, batches = new_training(model, params, SPLIT, micro_batch_size=rows)
        losses = [step.nats for step in training.steps(batches)]
        results.append((losses, weights(training)))
    for losses, found in results[1:]:
        assert losses == pytest.approx(results[0][0], rel=1e-5)
        for name, value in found.items():
            torch.testing.assert_close(value, results[0][1][name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("architecture", "kept"), [("gru", 1), ("transformer", 0)])
def test_of_a_segment_only_what_is_carried_on_is_kept(architecture: str, kept: int) -> None:
    model = model_params(architecture=architecture)
    objective = Objective(build_model(model, 20), train_params())
    ids = torch.ones(2, 5, dtype=torch.long)
    _, _, state = objective(ids, ids, None)
    assert len(state) == kept * model.layers


def test_what_is_carried_on_is_not_rounded_in_bfloat16() -> None:
    training, batches = new_training(model_params(), train_params(precision="bf16"), SPLIT)
    given: list[Any] = []
    training.model.body.register_forward_pre_hook(lambda _, inputs: given.append(inputs[1]))
    steps = training.steps(batches)
    next(steps)
    carried = training.carried
    next(steps)
    assert given[0] is None
    assert carried is not None
    for (hidden, cell), (given_hidden, given_cell) in zip(carried, given[1], strict=True):
        assert torch.equal(hidden, given_hidden)
        assert torch.equal(cell, given_cell)
        assert not torch.equal(cell, cell.bfloat16())


@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({"adaptive_cutoffs": [5, 10], "tie_weights": False}, {}),
        (
            {},
            {"activation_regularization": 2.0, "temporal_activation_regularization": 1.0},
        ),
    ],
    ids=["adaptive head", "penalties"],
)
def test_micro_batches_add_up_where_some_have_nothing_to_predict(
    model: dict[str, Any], train: dict[str, Any]
) -> None:
    """At the end of an epoch the last rows have ended."""
    params = train_params(
        optimizer="sgd",
        learning_rate=0.5,
        batch_size=6,
        sequence_length=7,
        max_steps=20,
        clip_norm=1e9,
        **train,
    )
    results = []
    for rows in (6, 1):
        training, batches = new_training(
            model_params(dropout=0.0, **model), params, SPLIT, micro_batch_size=rows
        )
        numbers = range(params.max_steps)
        assert any((batches[number].targets < 0).all(1).any() for number in numbers)
        losses = [step.nats for step in training.steps(batches)]
        results.append((losses, weights(training)))
    (losses, expected), (others, found) = results
    assert others == pytest.approx(losses, rel=1e-5)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)


def test_a_plateau_never_raises_the_rate() -> None:
    params = train_params(schedule="plateau", plateau_patience=0, final_learning_rate_fraction=0.1)
    training, _ = new_training(model_params(), params, SPLIT)
    training.rate_factor = 0.5**5  # after going back five times
    training.judge(1.0)
    training.judge(2.0)
    assert training.rate_factor == 0.5**5


class Poisoned:
    """Batches of which one makes the loss infinite, by way of a weight, once or each time."""

    def __init__(self, training: Any, batches: Any, at: int, times: int) -> None:
        self.training, self.batches, self.at, self.times = training, batches, at, times

    def __getitem__(self, number: int) -> Any:
        head = self.training.model.head.bias
        if number == self.at and self.times:
            self.times -= 1
            self.kept = head.detach().clone()
            head.data.fill_(math.inf)
        elif self.times is not None and not torch.isfinite(head).all():
            head.data.copy_(self.kept)
        return self.batches[number]

    def epochs(self, batches: int) -> float:
        return float(self.batches.epochs(batches))


def test_a_step_that_is_not_finite_is_skipped_and_counted_where_that_is_set() -> None:
    params = train_params(not_finite="skip", max_steps=6)
    training, batches = new_training(model_params(), params, SPLIT)
    steps = list(training.steps(Poisoned(training, batches, at=2, times=1)))
    assert [step.skipped for step in steps] == [False, False, True, False, False, False]
    assert training.skipped == 1
    assert training.tokens == sum(step.tokens for step in steps if not step.skipped)
    assert all(torch.isfinite(value).all() for value in weights(training).values())


def test_training_goes_back_with_half_the_rate_and_gives_up_after_a_while() -> None:
    params = train_params(not_finite="roll_back", max_steps=6, max_skipped_steps=2)
    training, batches = new_training(model_params(), params, SPLIT)
    poisoned = Poisoned(training, batches, at=3, times=3)
    saved = None
    for attempt in (1, 2, 3):
        if saved is None:
            steps = training.steps(poisoned)
            next(steps)
            next(steps)
            saved = training.state()
        with pytest.raises(NotFiniteError) as fault:
            list(training.steps(poisoned))
        if attempt == 3:
            with pytest.raises(NotFiniteError):
                training.roll_back(saved, fault.value)
        else:
            training.roll_back(saved, fault.value)
            assert (training.step, training.rate_factor) == (2, 0.5**attempt)
    assert training.roll_backs == 2


def test_without_a_checkpoint_there_is_nothing_to_go_back_to() -> None:
    training, _ = new_training(model_params(), train_params(not_finite="roll_back"), SPLIT)
    with pytest.raises(NotFiniteError):
        training.roll_back(None, NotFiniteError("step 1: the loss is nan"))
