"""A run beside that of another branch, in Markdown, to be read in a pull request."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from reprise.checks import Check
from reprise.files import write_text
from reprise.markdown import code, plain, table
from reprise.reruns.dvc_lock import locked_stages
from reprise.reruns.loss_plot import Losses, draw_losses, losses_in
from reprise.runs.files import (
    CURVES,
    FIGURES,
    LOCK,
    PARAMS,
    RunFiles,
    read_json_of,
    read_yaml_of,
)
from reprise.tracking.description import figures_of, flat

NOTHING = "-"
HERE = "here"
PICTURE = "losses.png"  # beside the report


def write_report(path: Path, base: RunFiles, here: RunFiles, checks: Sequence[Check]) -> None:
    """The report at `path`, and the picture beside it where a run has losses."""
    parts = [f"# The pipeline beside {code(base.name)}", _verdict(checks)]
    parts += ["## Settings that differ", _settings(base, here)]
    parts += ["## Figures", _comparison(base, here)]
    if curves := _curves({base.name: base, HERE: here}):
        draw_losses(curves, path.parent / PICTURE)
        parts += ["## Losses", f"![Loss on train and valid]({PICTURE})"]
    write_text(path, "\n\n".join(parts) + "\n")


def _verdict(checks: Sequence[Check]) -> str:
    """What was found in the rerun: all that is not as it was."""
    if not checks:
        return "No hashes were compared."
    failing = sum(check.fails for check in checks)
    head = (
        f"**{failing} of {len(checks)} comparisons of hashes fail.**"
        if failing
        else (f"None of {len(checks)} comparisons of hashes fails.")
    )
    told = [f"- {plain(check.line)}" for check in checks if check.verdict != "same"]
    return "\n".join([head, "", *told]).strip()


def _settings(base: RunFiles, here: RunFiles) -> str:
    before, now = (_leaves(files, PARAMS) for files in (base, here))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    rows = [[code(name), _cell(before.get(name)), _cell(now.get(name))] for name in names]
    return table(["setting", plain(base.name), HERE], rows) if rows else "None."


def _comparison(base: RunFiles, here: RunFiles) -> str:
    """The figures of the evaluation, and all other numbers that differ."""
    names = ["figure", plain(base.name), HERE, "difference"]
    main = table(names, _rows(_figures(base), _figures(here)))
    rest = [row for row in _rows(_counts(base), _counts(here)) if row[1] != row[2]]
    if not rest:
        return f"{main}\n\nNo other number in `metrics/` differs."
    summary = f"<details><summary>{len(rest)} other numbers in metrics/ differ</summary>"
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
    return _number(now - before, "+") + share


def _number(value: float, sign: str = "") -> str:
    """1234567.8 -> 1,234,568; 0.1 + 0.2 -> 0.3"""
    shown = ",.8g" if isinstance(value, float) and abs(value) < 1e7 else ",.0f"
    return format(value, sign + shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    return _number(value) if _is_number(value) else code(json.dumps(value, ensure_ascii=False))


def _figures(files: RunFiles) -> dict[str, float]:
    try:
        return figures_of(read_json_of(files, FIGURES))
    except FileNotFoundError:
        return {}


def _counts(files: RunFiles) -> dict[str, Any]:
    """All else in metrics/*.json, as dvc.lock names them, by dotted names."""
    try:
        stages = locked_stages(read_yaml_of(files, LOCK))
    except FileNotFoundError:
        return {}
    found: dict[str, Any] = {}
    for path in (PurePosixPath(name) for stage in stages.values() for name in stage.writes):
        if path.match("metrics/*.json") and str(path) != FIGURES:
            leaves = _leaves(files, str(path))
            found |= {f"{path.stem}.{name}": value for name, value in leaves.items()}
    return found


def _leaves(files: RunFiles, path: str) -> dict[str, Any]:
    """A mapping in JSON, which is YAML too, or in YAML, by dotted names; none without the file."""
    try:
        return flat(read_yaml_of(files, path), ".")
    except FileNotFoundError:
        return {}


def _curves(runs: Mapping[str, RunFiles]) -> dict[str, Losses]:
    found = {}
    for name, files in runs.items():
        try:
            found[name] = losses_in(files.read(CURVES))
        except FileNotFoundError:
            continue
    return found
