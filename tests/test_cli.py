"""What all commands share."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reprise.cli import StageReport, command
from reprise.errors import PipelineError


def test_what_a_person_can_fix_is_plain_lines_and_exit_code_one() -> None:
    @command
    def main() -> None:
        """Fail.

        More about it.
        """
        raise PipelineError("one: found 1; allowed: 2", "two: missing")

    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert result.stderr == "error: one: found 1; allowed: 2\nerror: two: missing\n"
    assert "More about it" not in CliRunner().invoke(main, ["--help"]).output


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0>&- 1>&- 2>&-"])
def test_what_libraries_print_to_a_closed_stream_gets_into_no_file(
    closed: str, tmp_path: Path
) -> None:
    code = """
import os, sys, click
from reprise.cli import command
from reprise.progress import Progress
@command
@click.argument("path")
def main(path):
    with Progress("work", 1, "it") as progress, open(path, "wb") as file:
        os.write(2, b"a library's warning")
        file.write(b"data")
main()
"""
    path = tmp_path / "data"
    line = f'"{sys.executable}" -c "$CODE" "{path}" {closed}'
    done = subprocess.run(["bash", "-c", line], env={**os.environ, "CODE": code}, check=False)
    assert done.returncode == 0
    assert path.read_bytes() == b"data"


def test_anything_else_keeps_its_traceback() -> None:
    @command
    def main() -> None:
        """Fail."""
        raise KeyError("a bug")

    assert isinstance(CliRunner().invoke(main).exception, KeyError)


def test_a_stage_closes_with_what_went_in_and_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 5.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    report = StageReport("clean")
    now += 2.04
    with caplog.at_level(logging.INFO):
        report.close(read="3 documents", wrote="2 documents", dropped="1 empty")
    assert caplog.messages == ["clean: in 3 documents; out 2 documents; dropped 1 empty; 2.0 s"]
