"""`make audit-lock`: what can be said of the locks without asking anyone.

Every package is pinned, hashed and no pre-release; its licence is on the list; every package that
we ask for ourselves has its reason beside it; what is deployed is what the tests ran with. It
cannot know what was found out about a package since: for that there is pip-audit, with a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version

from local.supply_chain.licences import FOR_TOOLS, TO_DEPLOY, is_allowed, licence_of
from local.supply_chain.lock import Locked, read_lock

__all__ = ["DEPLOYED_LOCK", "Review", "review_locks"]

DEPLOYED_LOCK = Path("layers/dependencies/requirements.txt")
_TOOLS_LOCK = Path(".ci/requirements.txt")
# In venvs of their own, which may not be here: their licences are not read.
_APART = tuple(
    Path(f".ci/{name}-requirements.txt") for name in ("audit", "bench", "cli", "s3", "security")
)
_ASKED_FOR = (Path("pyproject.toml"), Path("layers/dependencies/requirements.in"))
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_DIRECT = re.compile(
    r'\s*"?(?P<name>[A-Za-z][A-Za-z0-9._-]*)(\[[^\]]*\])?[^#"]*"?,?\s*(#(?P<reason>.*))?'
)


@dataclass(frozen=True, slots=True)
class Review:
    """What was found (each a sentence that says what to do), what was seen, what was not."""

    findings: tuple[str, ...]
    packages: int
    licences_read: int
    unread: tuple[str, ...]  # tools for another system or Python
    apart: int  # in the locks of venvs of their own, whose licences are not read


def review_locks(root: Path) -> Review:
    """Review all locks of the project at `root`, by the packages of the venv that runs this."""
    tools, deployed = read_lock(root / _TOOLS_LOCK), read_lock(root / DEPLOYED_LOCK)
    apart = [package for path in _APART for package in read_lock(root / path)]
    findings = [
        *(f for package in [*tools, *deployed, *apart] for f in _pinned(package)),
        *_same_versions(tools, deployed),
        *(f for path in _ASKED_FOR for f in _reasons(root / path)),
    ]
    unread = []
    deployed_names = {package.name for package in deployed}
    for package in tools:
        licence = _licence(package)
        if licence is None:
            unread.append(package.name)
        elif finding := _judge(package, licence, deploys=package.name in deployed_names):
            findings.append(finding)
    findings += [
        f"{name} is deployed, but not installed here: its licence cannot be read."
        for name in sorted(deployed_names & set(unread))
    ]
    read = len(tools) - len(unread)
    return Review(tuple(findings), len(tools) + len(apart), read, tuple(unread), len(apart))


def _pinned(package: Locked) -> Iterator[str]:
    if not package.pin.startswith("==") or "*" in package.pin:
        yield f"{package.name} is not pinned: lock it again."
        return
    if not package.hashes:
        yield f"{package.name} has no hash: lock it with --generate-hashes."
    for weak in (h for h in package.hashes if not _SHA256.fullmatch(h)):
        yield f"{package.name} has a hash that is no SHA-256: {weak}."
    try:
        if Version(package.version).is_prerelease:
            yield f"{package.name} {package.version} is a pre-release: lock a release."
    except InvalidVersion:
        yield f"{package.name} has the version {package.version!r}, which is none."


def _same_versions(tools: Sequence[Locked], deployed: Sequence[Locked]) -> Iterator[str]:
    tested = {package.name: package for package in tools}
    for package in deployed:
        with_tests = tested.get(package.name)
        if with_tests is None or with_tests.version != package.version:
            yield f"{package.name} {package.version} is deployed, but not what tests run with."
        elif not set(package.hashes) <= set(with_tests.hashes):
            yield f"{package.name} has hashes in the deployed lock that the tools' lock has not."


def _licence(package: Locked) -> str | None:
    try:
        return licence_of(metadata(package.name))
    except PackageNotFoundError:  # for another system or Python
        return None


def _judge(package: Locked, licence: str, *, deploys: bool) -> str | None:
    if is_allowed(licence, TO_DEPLOY if deploys else FOR_TOOLS):
        return None
    where = "deployed packages" if deploys else "tools"
    return f"{package.name} has the licence {licence!r}, which is not on the list for {where}."


def _reasons(path: Path) -> Iterator[str]:
    for line in _requirement_lines(path):
        match = _DIRECT.fullmatch(line)
        if match is None:
            yield f"{path.name}: cannot read {line.strip()!r}."
        elif len((match["reason"] or "").strip()) < len("a use"):
            yield f"{path.name}: {match['name']} is asked for without a reason beside it."


def _requirement_lines(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    if path.suffix == ".toml":
        begin = lines.index("dev = [") + 1
        lines = lines[begin : lines.index("]", begin)]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
