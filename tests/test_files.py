"""Outputs appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from reprise.errors import PipelineError
from reprise.files import read_json, replacing, sha256_of, write_json, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as scratch:  # noqa: PT012
        scratch.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    assert (tmp_path / "deep" / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_json_has_one_spelling(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": "é"})
    assert (tmp_path / "a").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    assert read_json(tmp_path / "a") == {"a": "é", "b": 1}


def test_missing_and_broken_json_are_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        read_json(tmp_path / "a")
    assert str(error.value) == f"{tmp_path}/a: no such file; run `dvc repro` to make it"
    (tmp_path / "a").write_text("{")
    with pytest.raises(PipelineError, match=r"not JSON: .* run `dvc repro` to make it anew"):
        read_json(tmp_path / "a")


def test_a_folder_in_the_place_of_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        read_json(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: cannot be read: Is a directory; move it away and run `dvc repro`"
    )


def test_sha256_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "a") == expected


def test_a_file_that_outgrows_what_is_allowed_is_told_and_not_left(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from pathlib import Path
from reprise.errors import PipelineError
from reprise.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path({str(tmp_path)!r}) / "a", "x" * 5000)
except PipelineError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == (
        f"{tmp_path}/a: cannot be written: File too large; nothing half-written is left; "
        "raise the limit on file size (ulimit -f) and run the same command again\n"
    ), result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(PipelineError) as error:
        write_text(tmp_path / "data" / "a", "x")
    assert str(error.value).endswith("a file stands where a folder is needed: move it away")
