"""`archiver report`: write the page, once or as long as a local run lives."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.failure import ASKED_IN_VAIN, USAGE, Failure, explain
from cli.report.document import build
from cli.report.page import render
from cli.report.reading import read_orders, read_stack, read_steps
from cli.stack import LOCAL
from local.state_folder import UP_FOLDER, is_held

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["show_report"]

_LOOK_SECONDS = 0.5  # how often a local run's logs are looked at: what happens is written there
_REST_SECONDS = 2.0  # between two pages, so that a busy run is not read all the time


@dataclass(frozen=True, slots=True)
class _Page:
    """One page to write: of which stack, with what, where to.

    `named` is what the stack was called by; JOB stands for a job's id in `commands`.
    """

    stack: str
    named: str
    state_folder: Path
    path: Path
    commands: Mapping[str, str]

    def write(self, *, follows: bool) -> None:
        """Write it; raises what boto3 raises, and Failure."""
        is_local = self.named == LOCAL
        steps = read_steps(self.state_folder / "traces.jsonl") if is_local else {}
        now = datetime.now(UTC)
        found = read_stack(self.stack, steps)
        coverage = read_orders(self.stack, found.notes, now)
        if is_local:  # AWS tools find the run by its file `env` (local/up.py)
            environment = shlex.quote(str(self.state_folder.resolve() / "env"))
            redrive = found.redrive_command.replace(
                "aws ", f'. {environment} && aws --endpoint-url "$AWS_ENDPOINT_URL" ', 1
            )
            found = replace(found, redrive_command=redrive)
        document = build(found, now, coverage)
        _replace(self.path, render(document, self.commands, follows=follows))


def show_report(
    stack: str,
    named: str,
    state_folder: Path,
    out: Path | None,
    *,
    follow: bool,
) -> int:
    """Write the page and print its path; raises what boto3 raises, and Failure.

    `follow` writes it again after each run of a function, until the local run ends.
    """
    if follow and named != LOCAL:
        raise Failure(f"--follow is for --stack {LOCAL}: run it by a schedule elsewhere", USAGE)
    path = out or _default_path(stack, named, state_folder)
    commands = _commands(named, state_folder)
    page = _Page(stack, named, state_folder, path, commands)
    if follow:
        _follow(page)
    else:
        page.write(follows=False)
        print(path)
    return 0


def _follow(page: _Page) -> None:
    seen: object = None
    while is_held(page.state_folder):
        now = _signs_of_life(page.state_folder)
        if now != seen:
            try:
                page.write(follows=True)
                seen = now
            except (*ASKED_IN_VAIN, Failure) as error:  # does not answer yet, or any more
                if is_held(page.state_folder):
                    told = error if isinstance(error, Failure) else explain(error)
                    print(f"archiver report: {told}", file=sys.stderr)
            time.sleep(_REST_SECONDS)
        time.sleep(_LOOK_SECONDS)


def _signs_of_life(state_folder: Path) -> object:
    """Return what is another when a function has run meanwhile."""
    logs = sorted((state_folder / "logs").glob("*.log"))
    return [(path.name, path.stat().st_size) for path in logs]


def _replace(path: Path, page: str) -> None:
    """Write it whole or not at all: somebody may be looking at it."""
    try:
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(page)
        Path(beside).replace(path)
    except OSError as error:
        raise Failure(f"{path} cannot be written ({error.strerror}): give --out", USAGE) from error


def _default_path(stack: str, named: str, state_folder: Path) -> Path:
    if named == LOCAL:
        return state_folder.resolve() / "report.html"
    return Path.cwd() / f"{stack}-report.html"


def _commands(named: str, state_folder: Path) -> dict[str, str]:
    """Return what a person can copy; JOB stands for a job's id."""
    where = f"--stack {shlex.quote(named)}"
    if named == LOCAL and state_folder.resolve() != UP_FOLDER:
        where += f" --state-folder {shlex.quote(str(state_folder.resolve()))}"
    return {
        "again": f"archiver report {where}",
        "status": f"archiver status JOB {where}",
        "send": f"archiver verify JOB {where}",
    }
