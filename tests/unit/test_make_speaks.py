"""The scripts with which make says that a long step goes on, and what a machine lacks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts."""
    return subprocess.run(  # noqa: S603 - our own script
        ["/bin/bash", str(PROJECT / ".ci" / script), *arguments],
        cwd=PROJECT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_long_step_says_every_other_second_that_it_goes_on() -> None:
    """From its first moment; and at the end how long it took. Its own output stays away."""
    done = run("say", "build", "the layers", "sh", "-c", "echo noise; sleep 2.5")
    first, *beats, last = done.stdout.splitlines()
    assert first == "build    the layers ..."
    assert beats
    assert last.startswith("build    the layers: done in ")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("cat Makefile > /dev/full", "The disk is full: free some"),
        ("echo 'mkdir: Read-only file system'; exit 3", "A folder cannot be written"),
        ("echo 'ERROR: No matching distribution found for uv'; exit 1", "The package registry did"),
        ("echo 'some bug'; exit 4", None),
    ],
)
def test_a_step_that_fails_shows_what_it_said_and_what_that_means(
    command: str, sentence: str | None
) -> None:
    """With its own exit code, and without saying that it is done."""
    done = run("say", "set up", "it", "sh", "-c", command)
    assert done.returncode != 0
    assert "done" not in done.stdout
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(sentence) if sentence else lines == ["some bug"]


def test_a_disk_without_room_is_told_before_a_step_begins(tmp_path: Path) -> None:
    """In a folder with a blank in its name as in any other; what is tried leaves nothing."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    assert run("need-room", str(folder), "1").returncode == 0
    done = run("need-room", str(folder), "999999999")
    assert done.returncode == 1
    assert f"The disk of {folder} has " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(folder.iterdir()) == []


def test_a_machine_without_python_is_told_in_one_sentence(tmp_path: Path) -> None:
    """Not by what make does with an interpreter that has no name."""
    for tool in ("bash", "df", "awk", "mktemp", "rm", "grep", "find", "sort", "uname"):
        found = next(p for p in ("/bin", "/usr/bin") if (Path(p) / tool).exists())
        (tmp_path / tool).symlink_to(Path(found) / tool)
    bare = tmp_path / "clone"
    bare.mkdir()
    for name in (".ci", "Makefile", "layers", "functions"):
        (bare / name).symlink_to(PROJECT / name)
    done = subprocess.run(
        ["/usr/bin/make", "--no-print-directory", "setup"],
        cwd=bare,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    told, made = done.stderr.strip().splitlines()
    assert told.startswith("No Python 3.11 or newer")
    assert made.startswith("make: ***")
