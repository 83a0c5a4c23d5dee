"""The project's folder and what git and DVC say about it."""

import os
import subprocess
from pathlib import Path

NOT_THE_PIPELINES = ("--", ":/", ":(top,exclude)dvc.lock", ":(top,exclude)metrics")
MAX_PATCH_CHARACTERS = 1_000_000


def main_checkout() -> Path:
    """The project's folder, where runs outlive the temporary folders of DVC's experiments.

    DVC sets DVC_ROOT to it in every stage; else it is the nearest folder above with a pipeline.
    """
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() or (folder / ".dvc").is_dir():
            return folder
    return here


def git_state(folder: Path) -> dict[str, str]:
    """Tags: the commit checked out, and whether files differ from it; none outside of git.

    What the pipeline itself writes into the tree (dvc.lock, metrics/) makes it no dirtier.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        dirty = bool(_git(folder, "status", "--porcelain", *NOT_THE_PIPELINES))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {
        "git.commit": commit,
        "git.dirty": "true" if dirty else "false",
        "mlflow.source.git.commit": commit,  # the name under which mlflow ui shows it
    }


def git_difference(folder: Path) -> str:
    """What `git_state` calls dirty, as a patch; new files are named. Empty outside of git."""
    try:
        patch = _git(folder, "diff", "HEAD", *NOT_THE_PIPELINES)
        new = _git(folder, "ls-files", "--others", "--exclude-standard", *NOT_THE_PIPELINES)
    except (OSError, subprocess.CalledProcessError):
        return ""
    named = "".join(f"new file, not added to git: {name}\n" for name in new.splitlines())
    return (patch + named)[:MAX_PATCH_CHARACTERS]


def experiment_tags() -> dict[str, str]:
    """Tags: the DVC experiment, the commit it varies, and the stage, as far as DVC names them."""
    variables = ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")
    return {name: os.environ[name] for name in variables if os.environ.get(name)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    # A patch has the bytes of its files, whatever they are encoded in.
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")
