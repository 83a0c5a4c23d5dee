"""The processes of one training: started, told apart and looked after.

Each knows its place by the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT. On one machine the stage starts its processes itself, with these variables, and stays
beside them: it hands signals on, and when one process dies it ends the others. On several machines
torchrun or SLURM does that.
"""

import ctypes
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from reprise import STARTER
from reprise.errors import Interrupted, PipelineError
from reprise.interruption import StopRequest
from reprise.params.train import TrainParams

# What torchrun sets, beside MASTER_ADDR.
NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
SECONDS_BETWEEN_LOOKS = 0.05
SECONDS_FOR_THE_FIRST = 30.0  # to tell what happened, before another process does
SECONDS_TO_SAVE = 300.0  # once a process that was asked to stop has ended badly
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
KEPT = "what was saved is kept; the same command goes on from here"


@dataclass(frozen=True)
class Processes:
    """How many there are, and what they share."""

    devices: int = 1  # processes on each machine
    nodes: int = 1
    strategy: str = "none"  # none for a single process, ddp, fsdp

    @classmethod
    def of(cls, params: TrainParams) -> Self:
        strategy = "ddp" if params.strategy == "auto" else params.strategy
        return cls(params.devices, params.nodes, strategy if params.processes > 1 else "none")

    @property
    def count(self) -> int:
        return self.devices * self.nodes

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


ALONE = Processes()


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def must_start(wanted: Processes) -> bool:
    """Whether the processes are still to be started, here; False in each that has been.

    PipelineError where they are others than `wanted`, or cannot be started here.
    """
    _adopt_slurm()
    started = _started()
    if started == wanted.count > 1:
        _check_devices(wanted)
    if started == wanted.count or (not started and wanted.count == 1):
        return False
    if started:
        raise PipelineError(
            f"train.devices and train.nodes: found {wanted.devices} times {wanted.nodes}, but this "
            f"process was started as one of {started}; start {wanted.count} or change the settings"
        )
    if wanted.nodes > 1:
        devices, nodes = wanted.devices, wanted.nodes
        raise PipelineError(
            f"train.nodes: found {nodes}, but this process was started alone; start it on each "
            f"machine by `torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d "
            "--rdzv-endpoint FIRST_MACHINE:29500 -m stages.train`, or once by `srun --nodes "
            f"{nodes} --ntasks-per-node {devices} python -m stages.train`; then `dvc commit train`"
        )
    return True


def _started() -> int:
    """As one of how many processes this one was started; 0 where nobody has said so."""
    if "RANK" not in os.environ:
        return 0
    found = {name: os.environ.get(name, "") for name in (*NUMBERS, "MASTER_ADDR")}
    if (found["RANK"], found["WORLD_SIZE"] or "1") == ("0", "1"):
        return 1
    wrong = [name for name in NUMBERS if not found[name].isdecimal()]
    wrong += [] if found["MASTER_ADDR"] else ["MASTER_ADDR"]
    if wrong:
        told = ", ".join(f"{name}: found {found[name] or 'nothing'}" for name in wrong)
        raise PipelineError(
            f"{told}, but RANK is set to {found['RANK'] or 'nothing'}, so this should be one of "
            f"several processes, each with whole numbers in {', '.join(NUMBERS)} and the first "
            "one's machine in MASTER_ADDR; start them by torchrun, or unset RANK"
        )
    count = int(found["WORLD_SIZE"])
    if int(found["RANK"]) >= count:
        raise PipelineError(
            f"RANK: found {found['RANK']}, but WORLD_SIZE is {count}, which allows 0 to "
            f"{count - 1}; start them by torchrun, or unset RANK"
        )
    return count


def _check_devices(wanted: Processes) -> None:
    on_machine = int(os.environ["LOCAL_RANK"])  # its number, from 0
    if on_machine >= wanted.devices:
        raise PipelineError(
            f"train.devices: found {wanted.devices}, but this process is number {on_machine + 1} "
            "on its machine; set it to the processes of a machine, and train.nodes (now "
            f"{wanted.nodes}) to the number of machines"
        )


def _adopt_slurm() -> None:
    """A task of srun gets the variables that a process of torchrun has."""
    environment = os.environ
    if "RANK" in environment or int(environment.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        return
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    nodes, job = environment["SLURM_STEP_NODELIST"], environment["SLURM_JOB_ID"]
    environment.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    environment.setdefault("MASTER_PORT", str(15_000 + int(job[-4:])))  # all tasks find the same
    environment.update(
        RANK=environment["SLURM_PROCID"],
        WORLD_SIZE=environment["SLURM_STEP_NUM_TASKS"],
        LOCAL_RANK=environment["SLURM_LOCALID"],
        GROUP_RANK=environment["SLURM_NODEID"],
    )


def run_processes(
    module: str,
    arguments: Sequence[str],
    wanted: Processes,
    kept: str = KEPT,
) -> None:
    """Run `python -m module` as so many processes on this machine until all have ended well.

    PipelineError where one is killed, SystemExit where one has told itself what is wrong; none is
    left behind either way. When this process is killed they end themselves, under Linux at once, by
    what `one_voice` does. `kept`: what is told of the work that was done.
    """
    place = {"WORLD_SIZE": str(wanted.count), "MASTER_ADDR": "127.0.0.1"}
    place |= {"MASTER_PORT": str(_free_port()), "REPRISE_STARTER": str(os.getpid())}
    processes: list[subprocess.Popen[bytes]] = []
    with StopRequest() as stop:
        try:
            for number in range(wanted.count):
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    env={**os.environ, **place, "RANK": str(number), "LOCAL_RANK": str(number)},
                    stdin=subprocess.DEVNULL,
                )
                processes.append(process)
            _wait_for(processes, stop, kept)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()


def _wait_for(processes: Sequence[subprocess.Popen[bytes]], stop: StopRequest, kept: str) -> None:
    reason, give_up_at = None, math.inf
    while None in (codes := [process.poll() for process in processes]):
        if not reason and (reason := stop.reason()):
            for process in processes:
                process.send_signal(stop.received or signal.SIGTERM)
        if any(codes):
            if not reason or codes[0] is not None:
                break
            # One was not ready yet to note signals, or was killed; the first may be saving.
            give_up_at = min(give_up_at, time.monotonic() + SECONDS_TO_SAVE)
            if time.monotonic() >= give_up_at:
                break
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if any(code and code > 0 for code in codes):  # it has told why
        sys.exit(1)
    for number, code in enumerate(codes, 1):
        if code:
            if reason := reason or stop.reason():
                raise Interrupted(f"stopped by {reason}; {kept}")
            raise PipelineError(
                f"process {number} of {len(processes)} ended by signal {-code}; {kept}"
            )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def one_voice() -> Iterator[None]:
    """Of several processes the first one speaks: what it tells ends them all.

    Another one speaks only of what it alone has met, after a while in which it would have been
    ended. One that finds the others gone waits likewise: whoever looks after them knows more.
    """
    if "RANK" in os.environ:  # DDP's warnings, from each of them; torch is not imported yet
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if os.environ.pop("REPRISE_STARTER", None):
        _end_with_launcher()
    if rank():
        logging.disable(logging.WARNING)
        os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    except Interrupted:
        if not rank():
            raise
    except PipelineError:
        if rank():
            time.sleep(SECONDS_FOR_THE_FIRST)
        raise
    except RuntimeError as error:
        if "EADDRINUSE" in str(error):
            raise PipelineError(
                f"MASTER_PORT: found {os.environ.get('MASTER_PORT')}, which another program on "
                "this machine uses; start again, with another one where you have chosen it"
            ) from error
        if not _tells_of_lost_processes(error):
            raise
        time.sleep(SECONDS_FOR_THE_FIRST)
        raise PipelineError(f"another process of this training is gone; {KEPT}") from error


def _end_with_launcher() -> None:
    """Also where nobody asks for a reason to stop: while waiting for other processes to begin. Only
    Linux tells of a launcher's end by a signal."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != STARTER:  # it was gone before
        sys.exit(1)


def _tells_of_lost_processes(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error).lower()
