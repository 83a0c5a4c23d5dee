"""A small project in a folder of its own: the real code and pipeline, tiny settings and text."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers import tiny_texts
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent

TINY: dict[str, dict[str, Any]] = {
    "download": {"corpus": "corpus", "document": "file"},
    "clean": {"min_characters": 10, "valid_fraction": 0.15, "test_fraction": 0.15},
    "tokenize": {"vocabulary_size": 350, "sample_bytes": 100_000},
    "encode": {"round_trip_documents": 5},
    "model": {
        "embedding_size": 16,
        "hidden_size": 16,
        **{f"{place}_dropout": 0.2 for place in ("input", "hidden", "output")},
    },
    "train": {
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "final_learning_rate_fraction": 0.05,
        "batch_size": 4,
        "sequence_length": 16,
        "max_steps": 40,
        "warmup_steps": 4,
        "steps_per_log": 5,
        "steps_per_validation": 10,
        "steps_per_checkpoint": 7,
    },
    "evaluate": {"sample_tokens": 10, "prompts": ["", "the "]},
    "run": {"workers": 1, "tracking": False},
}


class Project:
    """The project's files as they are now, in `folder`, under git and DVC."""

    def __init__(self, folder: Path, documents: int = 60, **changes: dict[str, Any]) -> None:
        self.folder = folder
        listed = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard")
        for name in listed.splitlines():
            kept = not name.startswith(("metrics/", "docs/", "tests/")) and name != "dvc.lock"
            if kept and (ROOT / name).is_file():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        for number, text in enumerate(tiny_texts(documents)):
            self.add_document(f"{number:03}", text)
        self.set_params(TINY)
        self.set_params(changes)
        _git(folder, "init", "--quiet")
        self.commit("start")

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """One that is there."""
        project = object.__new__(cls)
        project.folder = folder
        return project

    def copied_to(self, folder: Path, **changes: dict[str, Any]) -> "Project":
        """The same project with all that it has made, elsewhere, and with other settings."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copy = self.at(folder)
        copy.set_params(changes)
        return copy

    def cloned_to(self, folder: Path) -> "Project":
        """What is committed, elsewhere, with an empty cache."""
        _git(self.folder, "clone", "--quiet", ".", str(folder))
        return self.at(folder)

    def add_document(self, name: str, text: str) -> None:
        path = self.folder / "corpus" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def set_params(self, changes: dict[str, dict[str, Any]]) -> None:
        path, yaml = self.folder / "params.yaml", YAML()
        params = yaml.load(path.read_text(encoding="utf-8"))
        for section, values in changes.items():
            params[section].update(values)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def commit(self, message: str) -> None:
        _git(self.folder, "add", "--all")
        author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        _git(self.folder, *author, "commit", "--quiet", "--message", message)

    @property
    def environment(self) -> dict[str, str]:
        """The virtual environment's commands first, one thread, and this folder's code."""
        folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        return {
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert not check or result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return result

    def stage(self, name: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", f"stages.{name}", check=check)

    def reproduced(self, *stages: str) -> list[str]:
        """Run the pipeline, or no further than these stages; those that ran."""
        output = self.run("dvc", "repro", *stages).stdout
        prefix = "Running stage '"
        return [line[len(prefix) : -2] for line in output.splitlines() if line.startswith(prefix)]

    def mended(self) -> None:
        """As README does after a kill, remove what DVC was writing: a list of who reads what or a
        dvc.lock that it says it cannot read, and empty folders of its run cache."""
        told = self.run("dvc", "status", check=False).stderr
        if "Unable to read RWLock-file" in told:
            (self.folder / ".dvc/tmp/rwlock").unlink()
            told = self.run("dvc", "status", check=False).stderr
        if "'./dvc.lock' validation failed" in told:
            (self.folder / "dvc.lock").unlink()
        self.run("find", ".dvc/cache/runs", "-type", "d", "-empty", "-delete", check=False)

    def hashes(self) -> dict[str, str]:
        """Every hash in dvc.lock, by stage and path; the code's own are left out."""
        lock = YAML(typ="safe").load((self.folder / "dvc.lock").read_text(encoding="utf-8"))
        return {
            f"{name}: {entry['path']}": entry["md5"]
            for name, stage in lock["stages"].items()
            for entry in [*stage.get("deps", []), *stage.get("outs", [])]
        }


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
