"""The verbs of `reprise`."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from http_server import free_port
from project import ROOT

from reprise.commands.__main__ import reprise


def test_check_tells_sound_settings_from_others(tmp_path: Path) -> None:
    result = CliRunner().invoke(reprise, ["check", "--params", str(ROOT / "params.yaml")])
    assert result.exit_code == 0
    assert result.stdout == f"{ROOT}/params.yaml: sound\n"
    changed = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("  seed: 1 ", "  sed: 1 ")
    (tmp_path / "params.yaml").write_text(changed, encoding="utf-8")
    result = CliRunner().invoke(reprise, ["check", "--params", str(tmp_path / "params.yaml")])
    assert result.exit_code == 1
    assert result.stderr.count("did you mean seed?") == 3  # tokenize, train, evaluate


def test_deps_writes_nothing_new_into_the_committed_pipeline(tmp_path: Path) -> None:
    before = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(before.replace("      - reprise/cleaning.py\n", ""))
    result = CliRunner().invoke(reprise, ["deps", "--pipeline", str(tmp_path / "dvc.yaml")])
    assert result.exit_code == 0
    assert (tmp_path / "dvc.yaml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("deps", "dvc.yaml: no such file; run from the project's folder or give --pipeline"),
        ("track sync", "dvc.yaml: no such file; run from the project's folder"),
        ("study list", "studies: no such folder; run from the project's folder or give --studies"),
    ],
)
def test_a_command_elsewhere_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(reprise, command.split())
    assert (result.exit_code, result.stderr) == (1, f"error: {told}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_finds_no_room_on_its_way_out_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "reprise.commands", "check"],
            check=False,
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    told = "error: what this command tells cannot be written: the disk is full\n"
    assert result.stderr == told


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = ui(port)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: --port: found {port}, which cannot be used (Address already in use); give "
        "another one\n"
    )


def ui(port: int) -> Result:
    command = ["ui", "--port", str(port), "--params", str(ROOT / "params.yaml")]
    return CliRunner().invoke(reprise, command)


def test_a_broken_database_of_ones_own_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    result = ui(free_port())
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert ": unable to open database file; move the file away (`reprise track sync` then" in line


def test_a_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:secret@127.0.0.1:9")
    result = ui(port=9)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: MLflow at http://127.0.0.1:9: ")
    assert line.endswith("; start the server, or correct MLFLOW_TRACKING_URI")
