"""The review of the locks finds what it says it finds, and nothing in the locks that are here."""

from __future__ import annotations

import csv
import re
import shutil
from collections import defaultdict
from email.message import Message
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path
from typing import cast

import pytest

from local.supply_chain.__main__ import ROOT
from local.supply_chain.licences import FOR_TOOLS, TO_DEPLOY, is_allowed, licence_of
from local.supply_chain.lock import LockError, read_lock
from local.supply_chain.review import review_locks

TOOLS = ".ci/requirements.txt"
DEPLOYED = "layers/dependencies/requirements.txt"
REVIEWED = (
    TOOLS,
    DEPLOYED,
    ".ci/audit-requirements.txt",
    ".ci/bench-requirements.txt",
    ".ci/cli-requirements.txt",
    ".ci/s3-requirements.txt",
    ".ci/security-requirements.txt",
    "layers/dependencies/requirements.in",
    "pyproject.toml",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy what is reviewed, so that it can be spoiled."""
    for name in REVIEWED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def change(path: Path, pattern: str, new: str) -> None:
    """Replace the one place that matches."""
    text, count = re.subn(pattern, new, path.read_text(), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def test_the_locks_that_are_here_pass() -> None:
    """Nothing to find, and almost every tool's licence was read."""
    review = review_locks(ROOT)
    assert review.findings == ()
    assert review.licences_read > 100
    assert len(review.unread) < 10


@pytest.mark.parametrize(
    ("lock", "pattern", "new", "finding"),
    [
        (TOOLS, r"^ruff==[0-9.]+", "ruff>=0.1", "ruff is not pinned: lock it again."),
        (TOOLS, r"^ruff==[0-9.]+", "ruff==0.*", "ruff is not pinned: lock it again."),
        (TOOLS, r"^ruff==[0-9.]+", "ruff==9.0rc1", "ruff 9.0rc1 is a pre-release: lock a release."),
        (TOOLS, r"^ruff==[0-9.]+", "ruff==new", "ruff has the version 'new', which is none."),
        (
            TOOLS,
            r"^colorama==(.*\\\n)(    --hash=.*\n)+",
            r"colorama==\1",
            "colorama has no hash: lock it with --generate-hashes.",
        ),
        (
            ".ci/bench-requirements.txt",
            r"^(smart-open==.*\\\n    --hash=)sha256:[0-9a-f]{64}",
            r"\1md5:0",
            "smart-open has a hash that is no SHA-256: md5:0.",
        ),
        (
            DEPLOYED,
            r"^six==[0-9.]+",
            "six==1.0.0",
            "six 1.0.0 is deployed, but not what tests run with.",
        ),
        (
            DEPLOYED,
            r"^(six==.*\\\n    --hash=sha256:)[0-9a-f]{64}",
            r"\g<1>" + "0" * 64,
            "six has hashes in the deployed lock that the tools' lock has not.",
        ),
        (
            "pyproject.toml",
            r'^  "mypy",.*$',
            '  "mypy",',
            "pyproject.toml: mypy is asked for without a reason beside it.",
        ),
        (
            "layers/dependencies/requirements.in",
            r"^awscrt .*$",
            "awscrt",
            "requirements.in: awscrt is asked for without a reason beside it.",
        ),
    ],
)
def test_each_flaw_of_a_lock_is_found(
    project: Path, lock: str, pattern: str, new: str, finding: str
) -> None:
    """One flaw, one sentence that names the package and what to do."""
    change(project / lock, pattern, new)
    assert review_locks(project).findings == (finding,)


def test_a_deployed_package_that_nobody_installed_is_found(project: Path) -> None:
    """Its licence cannot be read, and that is not passed over."""
    for lock in (TOOLS, DEPLOYED):
        path = project / lock
        path.write_text(path.read_text() + f"nobody-knows==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert review_locks(project).findings == (
        "nobody-knows is deployed, but not installed here: its licence cannot be read.",
    )


def test_every_lock_of_the_project_is_reviewed() -> None:
    """A lock that is added is reviewed, too."""
    locks = {path.relative_to(ROOT).as_posix() for path in (ROOT / ".ci").glob("*requirements.txt")}
    assert locks == {name for name in REVIEWED if name.startswith(".ci/")}


def test_no_two_installed_packages_write_one_file() -> None:
    """Which of them wins is the installer's chance: boto3-stubs and its -lite were such a pair."""
    owners: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():  # `files` would look at each of 100,000 on the disk
        for file, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
            if not file.partition("/")[0].endswith(".dist-info") and not file.endswith(".pyc"):
                owners[file].add(distribution.name)
    assert len(owners) > 1_000
    assert {file: names for file, names in owners.items() if len(names) > 1} == {}


def test_a_line_that_is_no_requirement_is_not_passed_over(tmp_path: Path) -> None:
    """A lock that asks for something in another way is refused, with the line."""
    lock = tmp_path / "lock.txt"
    lock.write_text("# by uv\nsix==1.17.0 \\\n    --hash=sha256:00\n-e ../elsewhere\n")
    with pytest.raises(LockError, match=r"lock\.txt, line 4"):
        read_lock(lock)


def metadata(**fields: str | list[str]) -> PackageMetadata:
    """Return a package's metadata."""
    message = Message()
    message["Name"] = "package"
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return cast("PackageMetadata", message)


@pytest.mark.parametrize(
    ("told", "licence"),
    [
        (metadata(License_Expression="MIT OR Apache-2.0"), "MIT OR Apache-2.0"),
        (metadata(License="Apache License 2.0"), "Apache-2.0"),
        (metadata(License="bsd-3-clause"), "BSD-3-Clause"),
        (metadata(Classifier=["License :: OSI Approved :: MIT License"]), "MIT"),
        (
            metadata(
                License="Dual License",
                Classifier=[
                    "License :: OSI Approved :: BSD License",
                    "License :: OSI Approved :: Apache Software License",
                ],
            ),
            "BSD-3-Clause OR Apache-2.0",
        ),
        (metadata(License="Ask me"), "Ask me"),
        (metadata(), "none told"),
    ],
)
def test_a_licence_is_read_wherever_it_is_told(told: PackageMetadata, licence: str) -> None:
    """As an expression, as free text, or as classifiers."""
    assert licence_of(told) == licence


@pytest.mark.parametrize(
    ("licence", "deployable", "as_tool"),
    [
        ("MIT", True, True),
        ("GPL-3.0-only OR MIT", True, True),
        ("MIT AND GPL-3.0-only", False, False),
        ("MPL-2.0", False, True),
        ("Apache-2.0 AND CNRI-Python", False, True),
        ("GPL-3.0-only", False, False),
        ("none told", False, False),
        ("(MIT OR GPL-3.0-only) AND MIT", False, False),  # is read by a person
    ],
)
def test_only_listed_licences_are_allowed(licence: str, deployable: bool, as_tool: bool) -> None:  # noqa: FBT001 - a table
    """A choice needs one that is listed, a combination all; what is unknown is not."""
    assert is_allowed(licence, TO_DEPLOY) is deployable
    assert is_allowed(licence, FOR_TOOLS) is as_tool
