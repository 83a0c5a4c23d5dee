"""Processes of one training: what their variables, signals and each other tell them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.launching import ALONE, KEPT, Processes, must_start, one_voice

HERE = Path(__file__).resolve().parent
PLACE = {"LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def be_started(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """As torchrun would start this process, but for `variables`; an empty one is not there."""
    for name, value in (PLACE | variables).items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)


@pytest.mark.parametrize("moment", ["loading", "training"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("group", [True, False])
def test_a_signal_to_one_or_all_is_told_once_and_nothing_is_lost(
    tmp_path: Path, moment: str, number: signal.Signals, group: bool
) -> None:
    """Ctrl-C reaches all at once, and the processes a second time from the one that started
    them."""
    stage = subprocess.Popen(
        [sys.executable, "-m", "stopped_processes", str(tmp_path), moment],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready-*"))) < 2:
        assert stage.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (os.killpg if group else os.kill)(stage.pid, number)
    _, told = stage.communicate(timeout=60)
    how = "saved" if moment == "training" else KEPT
    assert told == f"error: stopped by {number.name}; {how}\n"
    assert stage.returncode == 1
    assert (tmp_path / "saved").exists() == (moment == "training")


@pytest.fixture
def _place(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"]
    for name in names:  # what is set below is taken back at the end
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_place")
def test_the_stage_starts_what_nobody_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not must_start(ALONE)
    assert must_start(Processes(2, 1, "ddp"))
    be_started(monkeypatch, RANK="1", WORLD_SIZE="2")
    assert not must_start(Processes(2, 1, "ddp"))
    assert not must_start(Processes(1, 2, "ddp"))
    with pytest.raises(PipelineError) as error:
        must_start(Processes(3, 2, "ddp"))
    assert str(error.value) == (
        "train.devices and train.nodes: found 3 times 2, but this process was started as one of "
        "2; start 6 or change the settings"
    )


@pytest.mark.usefixtures("_place")
def test_several_machines_need_a_starter_which_is_told() -> None:
    with pytest.raises(PipelineError) as error:
        must_start(Processes(4, 2, "ddp"))
    assert str(error.value) == (
        "train.nodes: found 2, but this process was started alone; start it on each machine by "
        "`torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint "
        "FIRST_MACHINE:29500 -m stages.train`, or once by `srun --nodes 2 --ntasks-per-node 4 "
        "python -m stages.train`; then `dvc commit train`"
    )


@pytest.mark.usefixtures("_place")
def test_a_task_of_slurm_is_one_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NODELIST": "host[7-8]",
        "SLURM_JOB_ID": "1234567",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    assert not must_start(Processes(2, 2, "ddp"))
    found = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")]
    assert found == ["3", "4", "1", "host7"]
    assert os.environ["MASTER_PORT"] == "19567"


@pytest.mark.usefixtures("_place")
def test_a_process_that_loses_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.launching.SECONDS_FOR_THE_FIRST", 0)
    with pytest.raises(PipelineError) as error, one_voice():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert str(error.value) == (
        "another process of this training is gone; what was saved is kept; the same command goes "
        "on from here"
    )
    with pytest.raises(RuntimeError, match="something else"), one_voice():
        raise RuntimeError("something else")


@pytest.mark.usefixtures("_place")
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": ""}, "LOCAL_RANK: found nothing, but"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK: found x, but"),
        ({"RANK": "1", "WORLD_SIZE": ""}, "WORLD_SIZE: found nothing, but"),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": ""}, "MASTER_ADDR: found nothing, but"),
        (
            {"RANK": "5", "WORLD_SIZE": "2"},
            "RANK: found 5, but WORLD_SIZE is 2, which allows 0 to 1",
        ),
        (
            {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "2"},
            "train.devices: found 2, but this process is number 3 on its machine",
        ),
    ],
)
def test_variables_that_do_not_fit_each_other_are_told(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    be_started(monkeypatch, **variables)
    with pytest.raises(PipelineError, match=f"^{told}"):
        must_start(Processes(2, 1, "ddp"))


@pytest.mark.usefixtures("_place")
@pytest.mark.parametrize("count", ["", "1"])
def test_the_only_process_needs_no_others_place(
    monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    nothing = dict.fromkeys(PLACE, "")
    be_started(monkeypatch, **nothing, RANK="0", WORLD_SIZE=count)
    assert not must_start(ALONE)


@pytest.mark.usefixtures("_place")
def test_a_port_that_is_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed import TCPStore

    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        be_started(monkeypatch, RANK="0", WORLD_SIZE="2", MASTER_PORT=str(port))
        with pytest.raises(PipelineError) as told, one_voice():
            TCPStore("127.0.0.1", port, 2, is_master=True, wait_for_workers=False)
    assert str(told.value) == (
        f"MASTER_PORT: found {port}, which another program on this machine uses; start again, "
        "with another one where you have chosen it"
    )
