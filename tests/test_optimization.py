"""Rates by hand, and who gets weight decay."""

import pytest
import torch
from helpers import model_params, train_params

from reprise.models import build_model
from reprise.optimization import learning_rate, make_optimizer


def rates(**changes: object) -> list[float]:
    params = train_params(
        learning_rate=1.0, warmup_steps=2, max_steps=6, final_learning_rate_fraction=0.2, **changes
    )
    return [learning_rate(step, params) for step in range(6)]


def test_the_warm_up_climbs_to_the_full_rate_which_constant_keeps() -> None:
    assert rates(schedule="constant") == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_linear_falls_by_equal_steps_towards_its_floor() -> None:
    assert rates(schedule="linear") == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4])


def test_cosine_is_halfway_at_half_time() -> None:
    # Steps 2 to 6 are 0, 1/4, 1/2, 3/4 of the way; cos(pi / 4) is the root of 1/2.
    root = 0.5**0.5
    expected = [0.5, 1.0, 1.0, 0.2 + 0.4 * (1 + root), 0.6, 0.2 + 0.4 * (1 - root)]
    assert rates(schedule="cosine") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_weight_decay_reaches_matrices_only(name: str, kind: type) -> None:
    model = build_model(model_params(), 20)
    optimizer = make_optimizer(
        model, train_params(optimizer=name, weight_decay=0.3, momentum=0.7), "cpu"
    )
    assert type(optimizer) is kind
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in spared["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
        list(model.parameters())
    )
    if name == "sgd":
        assert decayed["momentum"] == 0.7
    else:
        assert decayed["betas"] == (0.9, 0.99)
