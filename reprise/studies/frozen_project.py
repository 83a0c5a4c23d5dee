"""The project as it is at a moment, and a checkout of it in a folder of its own.

`dvc exp run` puts the workspace aside for a moment at the start of each experiment, and what is
edited just then, or at a kill, is lost; an edit between two experiments makes them differ in more
than their settings. So the tracked files are frozen once, as a commit that no branch names, and
checked out elsewhere: there the pipeline may run for days while the workspace is worked in.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reprise.errors import PipelineError
from reprise.runs.experiments import experiments
from reprise.runs.git import GitUnusableError, git, outer_environment
from reprise.yaml_files import read_yaml

PIPELINE = "dvc.yaml"
NOBODY = {"user.name": "reprise", "user.email": "reprise@localhost"}


class FrozenProject:
    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        try:
            self.baseline = git(project, "rev-parse", "--verify", "HEAD").strip()
        except GitUnusableError:
            raise
        except PipelineError as error:
            raise PipelineError(
                f"{error}; experiments are kept in git: make a first commit, and run it again"
            ) from None
        # The tracked files as they lie there; neither they nor what is staged are touched. The
        # times of files are looked up anew, since git stash fails where nothing else has changed.
        with suppress(PipelineError):  # it ends with 1 where there are changes
            git(project, "update-index", "-q", "--refresh")
        self.snapshot = git(project, "stash", "create").strip() or self.baseline
        self._sources = source_paths(read_yaml(project / PIPELINE, "run in the project's folder"))
        self._refuse_unknown_files()

    def state(self) -> str:
        """A hash of all that the pipeline's stages read and none of them makes, settings apart."""
        listed = git(self.project, "ls-tree", "-r", self.snapshot, "--", *self._sources)
        return hashlib.sha256(listed.encode()).hexdigest()

    @contextmanager
    def checked_out(self, folder: Path) -> Iterator["Checkout"]:
        """A checkout in `folder`, with DVC's cache of the project, removed at the end."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            top = Path(git(self.project, "rev-parse", "--show-toplevel").strip())
            git(
                self.project, "clone", "--quiet", "--shared", "--no-checkout", str(top), f"{folder}"
            )
            git(folder, "checkout", "--quiet", "--detach", self.baseline)
            for name, value in NOBODY.items():
                git(folder, "config", name, _config(self.project, name) or value)
            checkout = Checkout(self, folder, folder / self.project.relative_to(top.resolve()))
            checkout.set_up()
            yield checkout
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _refuse_unknown_files(self) -> None:
        unknown = git(
            self.project, "ls-files", "--others", "--exclude-standard", "--", *self._sources
        ).splitlines()
        if unknown:
            raise PipelineError(
                *(
                    f"{path}: the pipeline reads it, but git does not know it, and a study runs in "
                    "a folder of its own: `git add` or `dvc add` it"
                    for path in unknown[:5]
                ),
                *([f"and {len(unknown) - 5} files more"] if len(unknown) > 5 else []),
            )


class Checkout:
    """Where experiments are made, one after the other."""

    def __init__(self, frozen: FrozenProject, top: Path, folder: Path) -> None:
        self._frozen, self._top, self.folder = frozen, top, folder

    def set_up(self) -> None:
        from dvc.repo import Repo

        self.reset()
        with Repo(str(self._frozen.project)) as repo:
            cache: str = repo.cache.local_cache_dir
        own = self._frozen.project / ".dvc" / "config.local"
        if own.exists():
            shutil.copy(own, self.folder / ".dvc" / "config.local")
        for arguments in (
            ["config", "--local", "cache.dir", cache],
            ["checkout", "--quiet", "--force", "--allow-missing"],
        ):
            command = self.dvc(*arguments)
            subprocess.run(command, cwd=self.folder, capture_output=True, start_new_session=True)

    def reset(self) -> None:
        """All tracked files as they were frozen."""
        git(self._top, "read-tree", "--reset", "-u", self._frozen.snapshot)

    @staticmethod
    def dvc(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "dvc", *arguments]

    def environment(self, name: str) -> dict[str, str]:
        """For the stages of experiment `name`, as `dvc exp run` has it: checkpoints and MLflow's
        store are the project's own. This Python's programs come first."""
        return outer_environment() | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "DVC_ROOT": str(self._frozen.project),
            "DVC_EXP_NAME": name,
            "DVC_EXP_BASELINE_REV": self._frozen.baseline,
        }

    def stage_changes(self) -> None:
        """Let git know all files, so that an experiment has them."""
        git(self._top, "add", "--all")

    def hand_over(self, name: str) -> None:
        """Give the project the experiment that was saved here."""
        ref = experiments(self._top)[name].ref
        fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
        git(self._frozen.project, *fetch, str(self._top), f"+{ref}:{ref}")


def source_paths(pipeline: Mapping[str, Any]) -> list[str]:
    """The pipeline, and what its stages depend on and no stage makes."""
    stages = pipeline.get("stages", {}).values()
    made = {
        path
        for stage in stages
        for kind in ("outs", "metrics", "plots")
        for path in _paths(stage.get(kind, []))
    }
    needed = {path for stage in stages for path in _paths(stage.get("deps", []))}
    return [
        PIPELINE,
        *sorted(
            path
            for path in needed
            if not made & {path, *(folder.as_posix() for folder in Path(path).parents)}
        ),
    ]


def _paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _config(folder: Path, name: str) -> str:
    try:
        return git(folder, "config", "--get", name).strip()
    except PipelineError:  # it is not set
        return ""
