"""A run beside that of another branch, in Markdown, to be read in a pull request."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from reprise.checks import Check
from reprise.dvc_lock import LOCK, locked_stages
from reprise.files import write_text
from reprise.loss_plot import LossCurve, draw_losses, loss_curve
from reprise.markdown import code, plain, table
from reprise.run_files import (
    CURVES,
    FIGURES,
    PARAMS,
    RunFiles,
    read_json_of,
    read_yaml_of,
)
from reprise.tracking import figures_of, flat

NOTHING = "-"
PICTURE = "losses.png"  # beside the report


def write_report(path: Path, base: RunFiles, here: RunFiles, checks: Sequence[Check]) -> None:
    """The report at `path`, and the picture beside it where a run has losses."""
    parts = [f"# The pipeline, beside {code(base.name)}", _verdict(checks)]
    parts += ["## Settings that differ", _settings(base, here)]
    parts += ["## Figures", _comparison(base, here)]
    curves = _curves(base, here)
    if curves:
        draw_losses(curves, path.parent / PICTURE)
        parts += ["## Losses", f"![Loss on train and valid]({PICTURE})"]
    write_text(path, "\n\n".join(parts) + "\n")


def _verdict(checks: Sequence[Check]) -> str:
    """What was found in the rerun: all that is not as it was, and a count of the rest."""
    failing = [check for check in checks if check.fails]
    told = [f"- {plain(check.line)}" for check in checks if check.verdict != "same"]
    same = sum(check.verdict == "same" for check in checks)
    head = f"**{len(failing)} checks fail**" if failing else "No check fails"
    if not checks:
        return "Nothing was compared with the committed hashes."
    return "\n".join([f"{head}; {same} found all hashes as they must be.", "", *told]).strip()


def _settings(base: RunFiles, here: RunFiles) -> str:
    before, now = (_leaves(files, PARAMS) for files in (base, here))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    rows = [[code(name), *(_cell(leaves.get(name)) for leaves in (before, now))] for name in names]
    return table(["setting", plain(base.name), plain(here.name)], rows) if rows else "None."


def _comparison(base: RunFiles, here: RunFiles) -> str:
    """The figures of the evaluation, and all other numbers that differ."""
    before, now = (_figures(files) for files in (base, here))
    names = ["figure", plain(base.name), plain(here.name), "difference"]
    main = table(names, _rows(before, now))
    before, now = (_counts(files) for files in (base, here))
    rest = [row for row in _rows(before, now) if row[1] != row[2]]
    if not rest:
        return f"{main}\n\nNo other number in `metrics/` differs."
    summary = f"<details><summary>{len(rest)} numbers in metrics/ differ</summary>"
    return f"{main}\n\n{summary}\n\n{table(names, rest)}\n\n</details>"


def _rows(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            code(name),
            _cell(before.get(name)),
            _cell(now.get(name)),
            _difference(before.get(name), now.get(name)),
        ]
        for name in {**before, **now}
    ]


def _difference(before: Any, now: Any) -> str:
    """2.0 -> 1.9: -0.1 (-5.0%)"""
    if not (_is_number(before) and _is_number(now)):
        return "" if before == now else NOTHING
    if before == now:
        return "0"
    share = f" ({(now - before) / abs(before):+.1%})" if before else ""
    return f"{round(now - before, 6):+,}{share}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:,}" if _is_number(value) else code(json.dumps(value, ensure_ascii=False))


def _figures(files: RunFiles) -> dict[str, float]:
    try:
        return figures_of(read_json_of(files, FIGURES))
    except FileNotFoundError:
        return {}


def _counts(files: RunFiles) -> dict[str, Any]:
    """Everything in metrics/*.json, as dvc.lock names them, by dotted names."""
    try:
        stages = locked_stages(read_yaml_of(files, LOCK))
    except FileNotFoundError:
        return {}
    paths = [PurePosixPath(path) for stage in stages.values() for path in stage.writes]
    found: dict[str, Any] = {}
    for path in paths:
        if path.parts[0] == "metrics" and path.suffix == ".json":
            leaves = _leaves(files, str(path))
            found |= {f"{path.stem}.{name}": value for name, value in leaves.items()}
    return found


def _leaves(files: RunFiles, path: str) -> dict[str, Any]:
    """A mapping in JSON, which is YAML too, or in YAML, by dotted names; none without the file."""
    try:
        return flat(read_yaml_of(files, path), ".")
    except FileNotFoundError:
        return {}


def _curves(*runs: RunFiles) -> dict[str, LossCurve]:
    found = {}
    for files in runs:
        try:
            found[files.name] = loss_curve(files.read(CURVES))
        except FileNotFoundError:
            continue
    return found
