"""The steps of a rerun, in their order."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from reprise.checks import Check
from reprise.errors import PipelineError
from reprise.reruns.branch_report import write_report
from reprise.reruns.dvc_process import run_dvc
from reprise.reruns.dvc_remote import restore
from reprise.reruns.output_checks import output_checks
from reprise.reruns.two_folders import repeat_checks
from reprise.runs.files import Revision, Workspace

log = logging.getLogger(__name__)


def checks_of(steps: Collection[str], project: Path, tiny: Path) -> Iterator[Check]:
    """What the chosen ones of restore, repro, outputs and twice find; PipelineError where a stage
    fails."""
    restored = "restore" in steps and restore(project)
    if "repro" in steps:
        reproduce(project, pull=restored)
    if "outputs" in steps:
        yield from output_checks(project)
    if "twice" in steps:
        yield from repeat_checks(project, tiny)


def reproduce(project: Path, *, pull: bool) -> None:
    """Run what changed; what the run cache names and the remote has is brought instead."""
    ran = run_dvc(project, "repro", *(["--pull"] if pull else []))
    if ran.returncode:
        raise PipelineError(
            f"repro: `dvc repro` ended with exit code {ran.returncode}; the lines above say why"
        )


def check_base(project: Path, base: str) -> None:
    """PipelineError where there is no such commit to compare with."""
    try:
        Revision(base, project)
    except PipelineError as error:
        raise PipelineError(f"--base: {error}") from None


def report(project: Path, base: str, path: Path, checks: Sequence[Check]) -> None:
    """Write the run in the workspace beside the one committed as `base`."""
    write_report(path, Revision(base, project), Workspace(project), checks)
