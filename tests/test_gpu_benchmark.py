"""benchmarks/gpu.py where there is no GPU: it shall not fail on the day that there is one."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from project import ROOT


@pytest.mark.slow
def test_a_tiny_run_on_a_cpu_fills_the_table() -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--tiny"]
    command += ["--seconds", "0.1", "--parts", "rates,gpt2"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["| what | found |", "|---|---|"]
    found = dict(line.strip("| ").split(" | ") for line in lines[2:])
    assert {"date", "matrix products, bf16", "gpt2, train.deterministic true"} <= found.keys()
    assert found["gpt2"].endswith(" parameters, 4 x 16")
    assert "FAILED" not in result.stdout


def test_a_part_that_fails_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    def broken(_: object) -> Iterator[tuple[str, str]]:
        yield "first", "found"
        raise ValueError("no such kernel")

    monkeypatch.setattr(gpu, "PARTS", {"a": broken, "b": lambda _: [("second", "found")]})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--parts", "a,b"])
    with pytest.raises(SystemExit, match="failed: a"):
        gpu.main()
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "| first | found |",
        "| a | FAILED: ValueError: no such kernel |",
        "| second | found |",
    ]
