"""Outputs after `dvc repro` beside those that the committed dvc.lock promises.

Where the inputs of a stage are as they were committed, its outputs must be too. What is computed in
floats may differ on another kind of machine, and there alone.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reprise.checks import Check
from reprise.files import read_json
from reprise.machine import resolve
from reprise.params.loading import load_section
from reprise.params.model import ModelParams
from reprise.params.train import TrainParams
from reprise.reruns.dvc_lock import LockedStage, differing, locked_stages
from reprise.runs.files import LOCK, PARAMS, SETTINGS, Revision, read_yaml_of
from reprise.yaml_files import read_yaml

COMPUTED_IN_FLOATS = ("train", "evaluate")
REMEDY = (
    f"its inputs are as committed: look for what is random or new here, or commit this {LOCK} if "
    "the committed hash was wrong"
)


def output_checks(project: Path) -> Iterator[Check]:
    """Of every stage, in the order of dvc.lock; PipelineError without one in the folder."""
    now = locked_stages(read_yaml(project / LOCK, "run `dvc repro` first"))
    try:
        committed = locked_stages(read_yaml_of(Revision("HEAD", project), LOCK))
    except FileNotFoundError:
        yield Check("note", LOCK, "none is committed, so the outputs are compared with nothing")
        return
    yield from compared(committed, now, lambda: another_machine(project, committed["train"]))


def compared(
    committed: Mapping[str, LockedStage],
    now: Mapping[str, LockedStage],
    other_machine: Callable[[], str],
) -> Iterator[Check]:
    """A line for each output that differs, else one for each stage. `other_machine` says why floats
    may differ here; nothing where they may not."""
    for name, stage in now.items():
        if name not in committed:
            yield Check("note", name, f"a new stage: nothing is committed in {LOCK}")
            continue
        before = committed[name]
        if changed := differing(before.inputs, stage.inputs):
            shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" * (len(changed) > 3))
            yield Check(
                "note", name, f"other inputs than committed, so outputs may differ: {shown}"
            )
            continue
        paths = differing(before.writes, stage.writes)
        excuse = other_machine() if paths and name in COMPUTED_IN_FLOATS else ""
        for path in paths:
            expected = before.writes.get(path, "nothing")
            found = stage.writes.get(path, "nothing")
            yield Check(
                "note" if excuse else "differs",
                f"{name}: {path}",
                f"expected md5 {expected}, found {found}; {excuse or REMEDY}",
            )
        if not paths:
            yield Check("same", f"{name}: {len(stage.writes)} outputs")


def another_machine(project: Path, train: LockedStage) -> str:
    """How the machine of the committed training differs from that of the one here, or from this
    machine, which evaluates; nothing where neither does."""
    recorded_path = _with_md5(project, SETTINGS, train.writes[SETTINGS])
    if recorded_path is None:
        return f"on which machine it was made is not known: its {SETTINGS} is not in the cache"
    recorded: dict[str, Any] = read_json(recorded_path)["machine"]
    params = project / PARAMS
    here = resolve(load_section(params, TrainParams), load_section(params, ModelParams)).as_dict()
    for machine in (read_json(project / SETTINGS)["machine"], here):
        other = [name for name in here if machine[name] != recorded.get(name)]
        if other:
            pairs = (f"{name} {recorded.get(name)}, here {machine[name]}" for name in other)
            return f"another machine: it was made with {'; '.join(pairs)}"
    return ""


def _with_md5(project: Path, path: str, md5: str) -> Path | None:
    """The file `path` of another time, from DVC's cache."""
    from dvc.repo import Repo

    with Repo(str(project)) as repo:
        cached = Path(repo.cache.local.oid_to_path(md5))
    return cached if cached.is_file() else None
