"""DVC as a process of its own, as a person would start it."""

import os
import subprocess
import sys
from pathlib import Path


def run_dvc(
    project: Path, *arguments: str, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """`dvc ARGUMENTS` in the folder `project`. The `python` of its stages is this one, and their
    code is that folder's, since `python -m` looks there first."""
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env={**os.environ, "PATH": os.pathsep.join(path)},
        capture_output=capture,
        text=True,
        check=False,
    )
