"""What dvc.lock says of each stage: what it went in with, and what came out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reprise.tracking.description import flat


@dataclass(frozen=True)
class LockedStage:
    command: str
    settings: dict[str, str]  # JSON by dotted name
    reads: dict[str, str]  # files and folders by path, with their MD5
    writes: dict[str, str]  # likewise

    @property
    def inputs(self) -> dict[str, str]:
        """All that decides what is written."""
        return {"cmd": self.command} | self.settings | self.reads


def locked_stages(lock: Mapping[str, Any]) -> dict[str, LockedStage]:
    """By name, from the content of dvc.lock."""
    return {name: _locked_stage(entry) for name, entry in lock.get("stages", {}).items()}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names whose values differ, or that only one of them has; in the order of `one`."""
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _locked_stage(entry: Mapping[str, Any]) -> LockedStage:
    settings = {
        name: json.dumps(value)
        for params in entry.get("params", {}).values()
        for name, value in flat(params, ".").items()
    }
    return LockedStage(
        str(entry["cmd"]), settings, _hashes(entry.get("deps", [])), _hashes(entry.get("outs", []))
    )


def _hashes(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}
