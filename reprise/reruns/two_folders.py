"""The whole pipeline twice from nothing, in two folders, with other numbers of workers.

Neither has anything in DVC's cache, so every stage runs; every hash must be the same.
"""

import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil
from ruamel.yaml import YAML

from reprise.checks import Check
from reprise.errors import Interrupted, PipelineError
from reprise.files import readable_write_errors
from reprise.params.loading import params_faults
from reprise.reruns.dvc_lock import LockedStage, differing, locked_stages
from reprise.reruns.dvc_process import run_dvc
from reprise.runs.files import LOCK, PARAMS
from reprise.runs.git import git
from reprise.yaml_files import read_yaml

WORKERS = (1, 2)
REMEDY = "look for what depends on the folder, the order of the work, the time or chance"
LAST_LINES = 20
SECONDS_TO_END = 20

log = logging.getLogger(__name__)


def repeat_checks(project: Path, params: Path) -> Iterator[Check]:
    """Run what is in the checkout `project`, with the settings in `params`, in temporary folders;
    PipelineError where a stage fails."""
    remedy = "give a file with the settings of all stages by --tiny"
    if faults := params_faults(str(params), read_yaml(params, remedy)):
        raise PipelineError(*faults)
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="reprise-") as place:
        runs = [
            _run_from_nothing(project, params, Path(place) / f"workers-{workers}", workers)
            for workers in WORKERS
        ]
    yield from compared(*runs)


def compared(one: Mapping[str, LockedStage], other: Mapping[str, LockedStage]) -> Iterator[Check]:
    """A line for each file that differs, in the order in which the stages write or read them."""
    ours, theirs = _hashes(one), _hashes(other)
    paths = differing(ours, theirs)
    for path in paths:
        found = " and ".join(
            f"md5 {hashes.get(path, 'nothing')} with {workers} worker{'s' * (workers > 1)}"
            for hashes, workers in zip((ours, theirs), WORKERS, strict=True)
        )
        yield Check("differs", f"run twice: {path}", f"{found}; {REMEDY}")
    if not paths:
        yield Check("same", f"run twice from nothing: {len(ours)} files")


def copy_checkout(project: Path, folder: Path) -> None:
    """The files that git has or would add, as they lie in `project`, as a repository of their own;
    no cache, and nothing that was made."""
    listed = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in git(project, *listed).split("\0"):
        source, target = project / name, folder / name
        if name and name != LOCK and (source.is_file() or source.is_symlink()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    git(folder, "init", "--quiet")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """As Ctrl-C does, so that nothing is left behind."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        started = psutil.Process().children(recursive=True)
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(started, timeout=SECONDS_TO_END)[1]:
            process.kill()
        raise Interrupted(f"run twice: stopped by {signal.Signals(number).name}; nothing is left")

    numbers = (signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_from_nothing(
    project: Path, params: Path, folder: Path, workers: int
) -> dict[str, LockedStage]:
    with readable_write_errors(folder):
        copy_checkout(project, folder)
        shutil.copy(params, folder / PARAMS)
        _set_run(folder / PARAMS, workers)
    run_dvc(folder, "cache", "dir", "--local", str(folder / ".dvc" / "cache"), capture=True)
    log.info("%s from nothing, with run.workers %d, in %s", params, workers, folder)
    ran = run_dvc(folder, "repro", capture=True)
    if ran.returncode:
        log.error("\n".join(f"{ran.stdout}\n{ran.stderr}".splitlines()[-LAST_LINES:]))
        raise PipelineError(
            f"run twice: `dvc repro` with {params} ended with exit code {ran.returncode}; "
            "the lines above say why"
        )
    return locked_stages(read_yaml(folder / LOCK, "no stage ran"))


def _set_run(path: Path, workers: int) -> None:
    yaml = YAML()
    params = yaml.load(path.read_text(encoding="utf-8"))
    params["run"] |= {"workers": workers, "engine": "loky", "engine_address": None}
    params["run"]["tracking"] = False
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def _hashes(stages: Mapping[str, LockedStage]) -> dict[str, str]:
    """Of all that a stage wrote or read; what was written stands first, stage by stage."""
    written = {path: md5 for stage in stages.values() for path, md5 in stage.writes.items()}
    return written | {path: md5 for stage in stages.values() for path, md5 in stage.reads.items()}
