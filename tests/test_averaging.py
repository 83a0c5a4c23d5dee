"""Averages of weights against sums by hand."""

import torch
from helpers import train_params
from torch import nn

from reprise.averaging import WeightAverage


def model_with(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def averaged(average: WeightAverage, model: nn.Linear) -> float:
    with average.in_place():
        return model.weight.item()


def test_the_exponential_average_forgets_the_first_weights_fast() -> None:
    model = model_with(0.0)
    average = WeightAverage(model, train_params(averaging="exponential", averaging_decay=0.5))
    expected = 0.0
    for step, value in enumerate([1.0, 5.0, -2.0, 4.0, 7.0, 1.0, 3.0, 2.0, 8.0], 1):
        nn.init.constant_(model.weight, value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert abs(averaged(average, model) - expected) < 1e-6
    assert model.weight.item() == 8.0


def test_a_triggered_average_is_the_mean_since_valid_stopped_improving() -> None:
    model = model_with(1.0)
    average = WeightAverage(model, train_params(averaging="triggered", averaging_patience=2))
    for loss in (5.0, 4.0, 4.5):
        average.update()
        average.judge(loss)
    assert averaged(average, model) == 1.0
    average.judge(4.2)  # below 5.0, all that was known two validations before the last
    assert not average.started
    average.judge(4.3)  # above 4.0
    assert average.started
    for value in (2.0, 4.0, 9.0):
        nn.init.constant_(model.weight, value)
        average.update()
    assert averaged(average, model) == 5.0
    assert model.weight.item() == 9.0


def test_a_falling_loss_triggers_nothing() -> None:
    average = WeightAverage(
        model_with(1.0), train_params(averaging="triggered", averaging_patience=1)
    )
    for loss in (5.0, 4.0, 3.0, 2.0):
        average.judge(loss)
    assert not average.started


def test_an_average_goes_on_from_its_state() -> None:
    model = model_with(1.0)
    params = train_params(averaging="exponential")
    one = WeightAverage(model, params)
    nn.init.constant_(model.weight, 3.0)
    one.update()
    other = WeightAverage(model, params)
    other.restore(one.state())
    nn.init.constant_(model.weight, 2.0)
    one.update()
    other.update()
    assert all(map(torch.equal, one.values, other.values))


def test_without_averaging_nothing_is_kept() -> None:
    average = WeightAverage(model_with(1.0), train_params())
    average.update()
    average.judge(1.0)
    assert not average.started
