"""Processor, memory, disk, network and GPU while a run goes on, by MLflow's own monitors."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECONDS_BETWEEN_READINGS = 10.0


class SystemMetrics:
    """Readings by step 0, 1, ..., going on after those that a run has already."""

    PREFIX = "system/"  # MLflow shows these on a page of their own

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu()]
        self._last = 0.0
        recorded = client.get_metric_history(run_id, f"{self.PREFIX}cpu_utilization_percentage")
        self.step = max((point.step for point in recorded), default=-1)

    def read(self) -> dict[str, float]:
        """A reading, where it is time for one; else nothing."""
        if time.monotonic() - self._last < SECONDS_BETWEEN_READINGS:
            return {}
        self._last = time.monotonic()
        self.step += 1
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        return {f"{self.PREFIX}{name}": float(value) for name, value in values.items()}


def _gpu() -> list[Any]:
    from mlflow.exceptions import MlflowException
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [GPUMonitor()]
    except (ImportError, RuntimeError, MlflowException):
        return []  # no NVIDIA GPU, or no nvidia-ml-py
