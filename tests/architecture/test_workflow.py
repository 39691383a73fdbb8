"""GitHub's workflow and .ci/run are one list: what passes here passes there."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
# What the workflow runs beyond .ci/run: it asks databases on the internet.
BEYOND = {("make", "audit-known")}
PINNED = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def workflow() -> dict[str, Any]:
    """Return the workflow as YAML has it."""
    parsed: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return parsed


def commands_of_the_workflow() -> list[tuple[str, ...]]:
    """Return every command that a job runs, a matrix's each by itself."""
    found: list[str] = []
    for job in workflow()["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job["steps"]:
            if "run" in step:
                of_matrix = step["run"] == "${{ matrix.command }}"
                found += matrix["command"] if of_matrix else [step["run"]]
    return [tuple(shlex.split(command)) for command in found]


def commands_of_ci_run() -> list[tuple[str, ...]]:
    """Return every make command of .ci/run, without make's own options."""
    lines = (PROJECT / ".ci" / "run").read_text().splitlines()
    made = [shlex.split(line, comments=True) for line in lines if line.startswith("make ")]
    return [tuple(word for word in words if not word.startswith("--")) for words in made]


def test_both_run_the_same_commands() -> None:
    """Target for target and seed for seed; only what needs the internet comes on top."""
    ours = commands_of_ci_run()
    theirs = commands_of_the_workflow()
    assert len(ours) > 5
    assert sorted(theirs) == sorted([*ours, *BEYOND])


def test_nothing_else_is_in_ci_run() -> None:
    """A command that is no make target would run in one place only."""
    lines = (PROJECT / ".ci" / "run").read_text().splitlines()
    rest = [line for line in lines if line and not line.startswith(("#", "make "))]
    assert rest == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."']


@pytest.mark.parametrize("target", sorted({command[1] for command in commands_of_the_workflow()}))
def test_every_target_is_there(target: str) -> None:
    """The Makefile knows it."""
    assert re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)


def test_every_action_is_pinned_by_its_commit() -> None:
    """A tag can be moved to other code; the version beside the commit is for people."""
    lines = WORKFLOW.read_text().splitlines()
    uses = [line.partition("uses: ")[2] for line in lines if "uses:" in line]
    assert uses
    assert [one for one in uses if not PINNED.fullmatch(one)] == []


def test_jobs_may_read_and_no_more_and_end() -> None:
    """No job has a token that writes, keeps one on disk, or hangs for GitHub's six hours."""
    parsed = workflow()
    assert parsed["permissions"] == {"contents": "read"}
    for job in parsed["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 60
        checkout = job["steps"][0]
        assert checkout["uses"].startswith("actions/checkout@")
        assert checkout["with"] == {"persist-credentials": False}
    assert "secrets." not in WORKFLOW.read_text()


def test_the_interpreter_can_be_chosen(tmp_path: Path) -> None:
    """VENV_PYTHON comes first where it is good, and is passed over where it is not."""
    for chosen, expected in (("ours", "/chosen"), ("nowhere", "/usual")):
        folder = tmp_path / chosen
        folder.mkdir()
        for name, answer in (("ours", "/chosen"), ("python3.13", "/usual")):
            (folder / name).write_text(f"#!/bin/sh\necho {answer}\n")
            (folder / name).chmod(0o755)
        done = subprocess.run(  # noqa: S603 - our own script
            ["/bin/bash", PROJECT / ".ci" / "find-python"],
            env={"PATH": f"{folder}:/usr/bin:/bin", "VENV_PYTHON": chosen, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
