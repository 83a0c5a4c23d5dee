"""The figures of speed beside hand calculations and numpy, and the rate they are a share of."""

import numpy as np
import pytest
import torch
from helpers import model_params, train_params

from reprise import matrix_rate
from reprise.speed import Speed
from reprise.throughput import Pace


def test_figures_of_speed() -> None:
    seconds = np.random.default_rng(1).exponential(0.1, 23)
    pace = Pace(4600, seconds.tolist(), {"cpu": 920.0, "gpu": 92.0})
    figures = Speed("cpu", flops_per_token=3_000_000, peak_flops=2e12).figures(pace)
    rate = 4600 / seconds.sum()
    memory = figures.pop("speed/peak_memory_bytes")
    assert figures == {
        "speed/tokens_per_second": pytest.approx(rate),
        "speed/teraflops_per_second": pytest.approx(rate * 3e-6),
        "speed/share_of_peak": pytest.approx(rate * 1.5e-6),
        "speed/step_seconds_p50": pytest.approx(np.percentile(seconds, 50)),
        "speed/step_seconds_p95": pytest.approx(np.percentile(seconds, 95)),
        "speed/step_seconds_max": seconds.max(),
        "speed/cpu_joules_per_token": pytest.approx(0.2),
        "speed/gpu_joules_per_token": pytest.approx(0.02),
        "speed/joules_per_token": pytest.approx(0.22),
    }
    assert 50e6 < memory < 50e9  # torch alone is more than the one


def test_where_no_energy_is_told_there_is_no_figure_of_it() -> None:
    figures = Speed("cpu", 1, 1.0).figures(Pace(1, [1.0], {}))
    assert not [name for name in figures if "joules" in name]


def test_the_peak_is_that_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.speed.matrix_rate", lambda device, precision: 7.0)
    params = train_params(devices=2, sequence_length=8)
    speed = Speed.measured(model_params(layers=1), 20, params, torch.device("cpu"), "fp32")
    # An LSTM of 16 units on 16 numbers, a head of 20 pieces; forward, and twice that backward.
    assert speed == Speed("cpu", 3 * 2 * (4 * 16 * (16 + 16) + 16 * 20), 14.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_best_product_counts_and_the_random_state_stays(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    # A product takes a tick of a millisecond, whatever its size, so that the largest is the best.
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) * 1e-3)
    monkeypatch.setattr(matrix_rate, "SIZES", (16, 64))
    before = torch.get_rng_state()
    rate = matrix_rate.matrix_rate(torch.device("cpu"), precision)
    assert rate == pytest.approx(2 * 64**3 / 1e-3)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_product_is_begun_for_which_the_time_is_too_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) * 0.05)
    monkeypatch.setattr(matrix_rate, "SIZES", (16, 10**9))
    rate = matrix_rate.matrix_rate(torch.device("cpu"), "fp32")
    assert rate == pytest.approx(2 * 16**3 / 0.05)
