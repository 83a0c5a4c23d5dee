"""Git, asked and told by its own program."""

import os
import subprocess
from pathlib import Path

from reprise.errors import PipelineError


class GitUnusableError(PipelineError):
    """Git can be asked nothing here."""


def git(folder: Path, *arguments: str) -> str:
    """What git prints in `folder`; PipelineError with its last word where it fails."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=outer_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # names are bytes
            start_new_session=True,  # Ctrl-C is for us: git ends what it does
        )
    except FileNotFoundError:
        raise GitUnusableError(
            "git: no program of this name is in PATH; install it and run the same command again"
        ) from None
    if "dubious ownership" in result.stderr:
        raise dubious_ownership(folder)
    if result.returncode:
        words = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise PipelineError(f"{folder.absolute()}: git {arguments[0]}: {words[-1]}")
    return result.stdout


def dubious_ownership(folder: Path) -> GitUnusableError:
    place = folder.absolute()
    return GitUnusableError(
        f"{place}: belongs to another user, so git does not read it; if you trust it, run "
        f"`git config --global --add safe.directory {place}`"
    )


def outer_environment() -> dict[str, str]:
    """This process's variables without those by which git's hooks name another repository."""
    hooks = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    return {name: value for name, value in os.environ.items() if name not in hooks}
