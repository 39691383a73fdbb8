"""The locks hold releases by their hashes, and what is deployed is what tests run with.

Who installs from a lock asks for hashes (`--require-hashes`: .ci/make-venv, locked_venv.py, the
layer's Makefile); licences are pip-licenses' business (.ci/audit-licences).
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / ".ci" / "requirements.txt"
DEPLOYED = PROJECT / "layers" / "dependencies" / "requirements.txt"
LOCKS = [DEPLOYED, *sorted((PROJECT / ".ci").glob("*requirements.txt"))]
# One version, no pre-release (of those, "post" alone is a release; calendar versions may have four
# numbers), perhaps a marker, and at least one SHA-256.
LOCKED = re.compile(
    r"[a-z0-9.-]+==\d+(\.\d+)*(\.post\d+)?( ; [^\\#@]+)?( --hash=sha256:[0-9a-f]{64})+"
)
ASKED_FOR = re.compile(r'\s*"?[A-Za-z][\w.-]*(\[[^\]]*\])?[^#"]*"?,?\s*#\s*\S+.*')


def locked(text: str) -> list[str]:
    """Return each package of a lock in one line."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_releases_by_hash(lock: Path) -> None:
    """Every line of it, so that none passes by unread."""
    packages = locked(lock.read_text())
    assert packages
    assert [line for line in packages if not LOCKED.fullmatch(line)] == []


@pytest.mark.parametrize(
    "flawed",
    [
        f"six>=1.17.0 --hash=sha256:{'0' * 64}",
        f"six==1.* --hash=sha256:{'0' * 64}",
        f"six==2.0rc1 --hash=sha256:{'0' * 64}",
        "six==1.17.0",
        "six==1.17.0 --hash=md5:d41d8cd98f00b204e9800998ecf8427e",
        f"six @ https://example.com/six.whl --hash=sha256:{'0' * 64}",
        "-e ../elsewhere",
    ],
)
def test_a_flaw_of_a_lock_is_found(flawed: str) -> None:
    """A range, a pre-release, no hash or a weak one, another place."""
    assert not LOCKED.fullmatch(flawed)


def test_what_is_deployed_is_what_tests_run_with() -> None:
    """The same versions with the same hashes."""
    assert set(locked(DEPLOYED.read_text())) <= set(locked(TOOLS.read_text()))


def test_every_package_that_is_asked_for_has_its_reason_beside_it() -> None:
    """Somebody decides one day whether it is still needed."""
    lines = (PROJECT / "pyproject.toml").read_text().splitlines()
    begin = lines.index("dev = [") + 1
    asked = lines[begin : lines.index("]", begin)]
    asked += (PROJECT / "layers" / "dependencies" / "requirements.in").read_text().splitlines()
    asked = [line for line in asked if not line.startswith("#")]
    assert len(asked) > 30
    assert [line for line in asked if not ASKED_FOR.fullmatch(line)] == []


def test_no_two_installed_packages_write_one_file() -> None:
    """Which of them wins is the installer's chance: boto3-stubs and its -lite were such a pair."""
    owners: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():  # `files` would look at each of 100,000 on the disk
        for file, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
            if not file.partition("/")[0].endswith(".dist-info") and not file.endswith(".pyc"):
                owners[file].add(distribution.name)
    assert len(owners) > 1_000
    assert {file: names for file, names in owners.items() if len(names) > 1} == {}
