"""The lock files as they are written: names, versions, markers, hashes.

It reads what uv wrote and judges nothing; a line that it does not understand is an error, so that
no requirement can pass by unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LockError", "Locked", "read_lock"]

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?P<pin>[^;\\\s]*)\s*(;(?P<marker>[^\\]*))?\\?"
)
_HASH = re.compile(r"\s+--hash=(?P<hash>\S+)\s*\\?")


class LockError(Exception):
    """A lock file that cannot be read; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked package."""

    name: str  # in lower case, words joined by hyphens
    pin: str  # "==1.2.3" if all is well
    marker: str
    hashes: tuple[str, ...]

    @property
    def version(self) -> str:
        """Return the version without the operator."""
        return self.pin.removeprefix("==")


def read_lock(path: Path) -> list[Locked]:
    """Return every package of a lock file, in its order."""
    packages: list[Locked] = []
    hashes: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if hashed := _HASH.fullmatch(line):
            hashes.append(hashed["hash"])
            packages[-1] = _with_hashes(packages[-1], hashes)
        elif required := _REQUIREMENT.fullmatch(line):
            hashes = []
            name = re.sub(r"[-_.]+", "-", required["name"]).lower()
            marker = (required["marker"] or "").strip()
            packages.append(Locked(name, required["pin"], marker, ()))
        else:
            raise LockError(f"{path.name}, line {number}: neither a requirement nor a hash")
    return packages


def _with_hashes(package: Locked, hashes: list[str]) -> Locked:
    return Locked(package.name, package.pin, package.marker, tuple(hashes))
