"""What a run left in DVC's remote, brought back before anything is run again."""

import logging
import re
from pathlib import Path

from reprise.dvc_process import run_dvc

log = logging.getLogger(__name__)


def restore(project: Path) -> bool:
    """Bring the cache, the run cache and the outputs of dvc.lock from the remote; whether that
    went well. A remote that is not there, or not whole, is told in one line and is no fault."""
    remote = run_dvc(project, "config", "core.remote", capture=True).stdout.strip()
    if not remote:
        log.warning(
            "restore: no remote is configured, so nothing is restored; "
            "`dvc remote add --default NAME ADDRESS` names one"
        )
        return False
    pulled = run_dvc(project, "pull", "--run-cache", "--allow-missing", capture=True)
    if pulled.returncode:
        reason = next(
            (line for line in pulled.stderr.splitlines() if line.startswith("ERROR: ")),
            f"ERROR: exit code {pulled.returncode}",
        )
        log.warning(
            "restore: `dvc pull` from the remote %s failed, and what is missing is made anew: %s",
            remote,
            reason.removeprefix("ERROR: "),
        )
        return False
    missing = set(re.findall(r"^md5: (\S+)", pulled.stderr, re.MULTILINE))
    rest = f"{len(missing)} files are not there and are made anew" if missing else "nothing missing"
    log.info("restore: from the remote %s; %s", remote, rest)
    enter_runs(project)
    return True


def enter_runs(project: Path) -> None:
    """Enter every stage that is as dvc.lock says into DVC's run cache, with all its outputs.

    The remote's run cache alone restores nothing here: small outputs (`cache: false`) are in git
    and not in the remote, and stages whose curves are among them are not in the run cache.
    """
    from dvc.repo import Repo

    with Repo(str(project)) as repo, repo.lock:
        for stage in repo.index.stages:
            if not stage.changed():
                stage.repo.stage_cache.save(stage)
