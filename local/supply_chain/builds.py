"""What `sam build` made, as bytes that two machines can compare.

A part of a build (a function or a layer) is compared as the zip that holds its files in order,
without their times: `sam deploy` writes no times either, so that two builds with the same zips here
upload the same content.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

__all__ = ["BuildError", "build_copy", "differences", "parts_of", "zip_of"]

_TIMELESS = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_IGNORED = shutil.ignore_patterns(
    ".git", ".venv", ".aws-sam", ".cache", ".local", "__pycache__", ".*_cache"
)


class BuildError(Exception):
    """A build that failed or is not there; the text holds what was said."""


def parts_of(build_folder: Path) -> dict[str, Path]:
    """Return the folders of a build by their logical ids."""
    parts = {path.name: path for path in sorted(build_folder.iterdir()) if path.is_dir()}
    if not parts:
        raise BuildError(f"{build_folder} holds no build: run `make build` first")
    return parts


def zip_of(folder: Path) -> bytes:
    """Return a folder's files as a zip that depends on their names, modes and bytes alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            if path.is_file():
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _TIMELESS)
                executable = path.stat().st_mode & 0o100
                info.external_attr = (0o755 if executable else 0o644) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def differences(one: Path, other: Path) -> list[str]:
    """Return what differs between two builds, part by part and file by file; empty if nothing."""
    parts, others = parts_of(one), parts_of(other)
    found = [f"{name} is in one build only" for name in sorted(parts.keys() ^ others.keys())]
    for name in sorted(parts.keys() & others.keys()):
        if zip_of(parts[name]) == zip_of(others[name]):
            continue
        files, other_files = _digests(parts[name]), _digests(others[name])
        changed = sorted(
            path
            for path in files.keys() | other_files.keys()
            if files.get(path) != other_files.get(path)
        )
        found += [f"{name}/{path} differs" for path in changed]
    return found


def build_copy(root: Path, folder: Path, *, architecture: str, venv: Path) -> Path:
    """Copy the source to a new folder and build it there with nothing kept; returns the build."""
    shutil.copytree(root, folder, ignore=_IGNORED, symlinks=True)
    (folder / ".venv").symlink_to(venv)  # make cannot be told of a folder with a blank in its name
    environment = {
        **os.environ,
        "MAKEFLAGS": "",  # the flags of the make that called are not meant for this one
    }
    done = subprocess.run(
        ["make", "--no-print-directory", "build", f"ARCHITECTURE={architecture}"],  # noqa: S607 - the make that people have
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(
            f"the build in {folder} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return folder / ".aws-sam" / "build"


def _digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mode & 0o100,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
