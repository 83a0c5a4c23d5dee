"""The figures of a training's speed, for MLflow and TensorBoard: group `speed`.

They never go into a file that is compared: no two trainings are alike in them.
"""

from dataclasses import dataclass
from typing import Self

import torch

from reprise.matrix_rate import matrix_rate
from reprise.models.size import training_flops_per_token
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reckoning import peak_memory
from reprise.throughput import Pace


@dataclass(frozen=True)
class Speed:
    """Turns a pace into figures."""

    device: str
    flops_per_token: int  # of the network: forward and backward
    peak_flops: float  # a second, of all processes' matrix products

    @classmethod
    def measured(
        cls,
        model: ModelParams,
        vocabulary_size: int,
        train: TrainParams,
        device: torch.device,
        precision: str,
    ) -> Self:
        """Takes half a second: the peak is that of this process, times the number of them."""
        return cls(
            device.type,
            training_flops_per_token(model, vocabulary_size, train.sequence_length),
            matrix_rate(device, precision) * train.processes,
        )

    def figures(self, pace: Pace) -> dict[str, float]:
        """By their names in MLflow; seconds of a step, bytes, joules of all that tells them."""
        flops = pace.tokens_per_second * self.flops_per_token
        seconds = torch.tensor(pace.step_seconds, dtype=torch.float64)
        joules = {f"{kind}_joules": value for kind, value in pace.joules.items()}
        if joules:
            joules["joules"] = sum(pace.joules.values())
        figures = {
            "tokens_per_second": pace.tokens_per_second,
            "teraflops_per_second": flops / 1e12,
            "share_of_peak": flops / self.peak_flops,
            "step_seconds_p50": seconds.quantile(0.5).item(),
            "step_seconds_p95": seconds.quantile(0.95).item(),
            "step_seconds_max": seconds.max().item(),
            "peak_memory_bytes": peak_memory(self.device),
            **{f"{name}_per_token": value / pace.tokens for name, value in joules.items()},
        }
        return {f"speed/{name}": value for name, value in figures.items()}
