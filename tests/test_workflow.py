"""The workflow of GitHub Actions: it does what the Makefile does. Its script runs on a fake."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from project import ROOT
from ruamel.yaml import YAML

PATH = ROOT / ".github" / "workflows" / "pipeline.yml"
WORKFLOW: dict[str, Any] = YAML(typ="safe").load(PATH.read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]

# Answers every call with the number of calls so far, and writes the calls down.
FAKE = """
const calls = []
const call = name => async given => {
  calls.push([name, given])
  return {data: {sha: `sha${calls.length}`}}
}
const rest = {
  git: {
    createBlob: call('createBlob'),
    createTree: call('createTree'),
    createCommit: call('createCommit'),
    createRef: call('createRef'),
  },
  issues: {listComments: 'list', updateComment: call('update'), createComment: call('create')},
}
const github = {rest, paginate: async () => OLD}
const context = {repo: {owner: 'o', repo: 'r'}, issue: {number: 7}, serverUrl: 'https://git.example'}
const run = async () => { SCRIPT }
run().then(() => console.log(JSON.stringify(calls)))
"""


def test_every_command_is_a_target_of_the_makefile_and_ci_and_test_are_among_them() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    commands = [step["run"] for step in STEPS if "run" in step]
    assert {"make ci", "make test"} <= set(commands)
    for command in commands:
        assert re.fullmatch(r"make [a-z]+", command), command
        assert command.removeprefix("make ") in targets


def test_only_the_job_that_runs_no_code_of_the_project_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    jobs = WORKFLOW["jobs"]
    assert [name for name in jobs if "permissions" in jobs[name]] == ["comment"]
    used = [step["uses"].partition("@")[0] for step in jobs["comment"]["steps"]]
    assert used == ["actions/download-artifact", "actions/github-script"]
    assert all(not step.get("run") for step in jobs["comment"]["steps"])


def test_actions_are_those_of_github_by_their_major_version() -> None:
    for step in STEPS:
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("old", [[], [{"id": 3, "body": "<!-- pipeline -->\nold"}]])
def test_the_comment_has_the_report_and_the_picture_and_replaces_its_elder(
    tmp_path: Path, old: list[dict[str, Any]]
) -> None:
    (tmp_path / "rerun").mkdir()
    (tmp_path / "rerun" / "report.md").write_text("# Report\n\n![Loss](losses.png)\n")
    (tmp_path / "rerun" / "losses.png").write_bytes(b"png")
    (script,) = (
        step["with"]["script"] for step in STEPS if "github-script" in step.get("uses", "")
    )
    program = FAKE.replace("OLD", json.dumps(old)).replace("SCRIPT", script)
    (tmp_path / "run.js").write_text(program, encoding="utf-8")
    ran = subprocess.run(
        ["node", "run.js"],
        cwd=tmp_path,
        env={**os.environ, "ARTIFACT": "https://git.example/artifact"},
        capture_output=True,
        text=True,
        check=True,
    )
    *pictured, (name, comment) = json.loads(ran.stdout)
    assert [call for call, _ in pictured] == [
        "createBlob",
        "createTree",
        "createCommit",
        "createRef",
    ]
    assert pictured[0][1]["content"] == "cG5n"  # png
    assert pictured[3][1]["sha"] == "sha3"  # the commit
    assert comment["body"] == (
        "<!-- pipeline -->\n# Report\n\n![Loss](https://git.example/o/r/raw/sha3/losses.png)\n\n"
        "[Report and picture](https://git.example/artifact)\n"
    )
    assert (name, comment.get("comment_id")) == (("update", 3) if old else ("create", None))
