"""The experiments that DVC keeps in git: each is a commit under refs/exps/, named after the commit
that it varies and itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprise.runs.git import git

REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>[^/]+)")


@dataclass(frozen=True)
class Experiment:
    name: str
    ref: str
    commit: str


def experiments(folder: Path) -> Mapping[str, Experiment]:
    """All of the repository, by their names; of two with one name the one made later."""
    pattern = ["--sort=creatordate", "--format=%(objectname) %(refname)", "refs/exps/"]
    found = {}
    for line in git(folder, "for-each-ref", *pattern).splitlines():
        commit, ref = line.split(" ", 1)
        if match := REF.fullmatch(ref):
            found[match["name"]] = Experiment(match["name"], ref, commit)
    return found


def trailer(folder: Path, commit: str, name: str) -> str:
    """The value of `name: value` at the end of a commit's message; empty where there is none."""
    shown = f"--format=%(trailers:key={name},valueonly)"
    return git(folder, "log", "-1", shown, commit).strip()
