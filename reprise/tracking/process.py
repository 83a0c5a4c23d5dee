"""The process that works on a run: what it is made of, and whether it still lives."""

import shlex
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROCESS_TAG = "reprise.process"
PACKAGES = ("torch", "sentencepiece", "lightning", "dvc", "mlflow")
DRIVER = Path("/proc/driver/nvidia/version")


def circumstances() -> dict[str, str]:
    """Tags: versions, the command, and the process, by which others see that it was killed."""
    command = shlex.join(["python", *sys.orig_argv[1:]])
    python = ".".join(map(str, sys.version_info[:3]))
    return {
        "version.python": python,
        **{f"version.{name}": found for name in PACKAGES if (found := _version(name))},
        **({"version.driver": driver} if (driver := _driver()) else {}),
        "command": command,
        "mlflow.source.name": command,  # under these MLflow's pages show it
        "mlflow.source.type": "LOCAL",
        PROCESS_TAG: this_process(),
    }


def this_process() -> str:
    """Computer, number, and the second of its start, which tells it from a later one."""
    import psutil

    process = psutil.Process()
    return f"{socket.gethostname()} {process.pid} {process.create_time():.0f}"


def mark_killed(client: "MlflowClient", experiment_id: str) -> None:
    """Set the status of runs that say they are running, but whose process on this computer is
    gone."""
    from reprise.tracking.store import search_runs

    for run in search_runs(client, [experiment_id], "attributes.status = 'RUNNING'"):
        if not may_live(run.data.tags.get(PROCESS_TAG, "")):
            client.set_terminated(run.info.run_id, "KILLED")


def may_live(process: str) -> bool:
    """False where a process of this computer is known to be gone."""
    import psutil

    computer, *rest = process.rsplit(" ", 2)
    if computer != socket.gethostname() or len(rest) != 2:
        return True
    number, started = int(rest[0]), float(rest[1])
    try:
        return abs(psutil.Process(number).create_time() - started) < 2
    except psutil.NoSuchProcess:
        return False


def _version(package: str) -> str | None:
    """That of the module where it is loaded: it names the build too, such as 2.11.0+cu130."""
    try:
        return getattr(sys.modules.get(package), "__version__", None) or version(package)
    except PackageNotFoundError:
        return None


def _driver() -> str | None:
    """NVIDIA's, from the line `NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1.2  <date>`."""
    if not DRIVER.exists():
        return None
    first_line = DRIVER.read_text().partition("\n")[0]
    return next((word for word in first_line.split() if word[0].isdigit() and "." in word), None)
