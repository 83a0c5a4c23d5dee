"""What a run left in DVC's remote, brought back before anything is run again."""

import logging
import re
from contextlib import chdir
from pathlib import Path

from reprise.errors import PipelineError
from reprise.reruns.dvc_process import run_dvc

log = logging.getLogger(__name__)


def restore(project: Path) -> bool:
    """Bring cache, run cache and outputs of dvc.lock from the remote, or else the outputs from the
    cache here; whether a remote was read. What cannot be had is told in one line and no fault."""
    remote = run_dvc(project, "config", "core.remote", capture=True).stdout.strip()
    if not remote:
        log.info(
            "restore: no remote is set (`dvc remote add --default NAME ADDRESS` does), "
            "so only what is in the cache here is taken"
        )
        _run(project, "checkout")
    restored = bool(remote) and _run(project, "pull", "--run-cache")
    enter_runs(project)
    return restored


def _run(project: Path, *command: str) -> bool:
    """Whether it went well."""
    ran = run_dvc(project, *command, "--allow-missing", capture=True)
    if ran.returncode:
        reasons = [line for line in ran.stderr.splitlines() if line.startswith("ERROR: ")]
        log.warning(
            "restore: `dvc %s` failed, and what is missing is made anew: %s",
            " ".join(command),
            reasons[0].removeprefix("ERROR: ") if reasons else f"exit code {ran.returncode}",
        )
        return False
    if missing := set(re.findall(r"^md5: (\S+)", ran.stderr, re.MULTILINE)):
        log.warning(
            "restore: %d files are not in the remote and are made anew, the first with md5 %s",
            len(missing),
            min(missing),
        )
    return True


def enter_runs(project: Path) -> None:
    """Enter every stage that is as dvc.lock says into DVC's run cache, with all its outputs.

    The remote's run cache alone restores nothing here: small outputs (`cache: false`) are in git
    and not in the remote, and stages whose curves are among them are not in the run cache.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with chdir(project), Repo() as repo, repo.lock:  # the run cache takes paths from here
            for stage in repo.index.stages:
                if not stage.changed():
                    repo.stage_cache.save(stage)
    except DvcException as error:
        raise PipelineError(f"restore: {' '.join(str(error).split())}") from None
