"""The experiments that DVC keeps in git: each is a commit under refs/exps/, named after the commit
that it varies and itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprise.runs.git import git

REF = re.compile(r"refs/exps/(?P<baseline>[0-9a-f]{2}/[0-9a-f]{38})/(?P<name>[^/]+)")


@dataclass(frozen=True)
class Experiment:
    name: str
    ref: str
    commit: str
    baseline: str  # the commit that it varies
    seconds: int  # since 1970, when it was made


def all_experiments(folder: Path) -> list[Experiment]:
    """Of the repository, the oldest first."""
    form = "--format=%(objectname) %(creatordate:unix) %(refname)"
    found = []
    for line in git(folder, "for-each-ref", "--sort=creatordate", form, "refs/exps/").splitlines():
        commit, seconds, ref = line.split(" ", 2)
        if match := REF.fullmatch(ref):
            baseline = match["baseline"].replace("/", "")
            found.append(Experiment(match["name"], ref, commit, baseline, int(seconds)))
    return found


def experiments(folder: Path) -> Mapping[str, Experiment]:
    """By their names; of two with one name the one made later."""
    return {experiment.name: experiment for experiment in all_experiments(folder)}


def trailer(folder: Path, commit: str, name: str) -> str:
    """The value of `name: value` at the end of a commit's message; empty where there is none."""
    shown = f"--format=%(trailers:key={name},valueonly)"
    return git(folder, "log", "-1", shown, commit).strip()
