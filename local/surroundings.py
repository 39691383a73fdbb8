"""What a person's machine brings along that a local run must not stumble over.

Proxies that cannot reach this machine's loopback, the person's own AWS settings, a terminal that
cannot show every character, a disk without room. Entry points call it first; children inherit what
it leaves in the environment. It must not decide what a run does.
"""

from __future__ import annotations

import codecs
import errno
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

__all__ = [
    "NoRoomError",
    "Room",
    "forget_aws_settings",
    "proxy_settings",
    "reach_loopback_directly",
    "sentence_of",
    "speak_plainly",
]

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")  # urllib wants the brackets, others do not
_MIB = 1024 * 1024
_LAST_BYTES = 16 * _MIB  # with less, the next part of a copy (16 MiB or more) has no room
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_PLAIN = {
    "…": "...",
    "✓": "+",
    "✗": "x",
    "━": "=",
    "╸": "=",
    "╺": "-",
    "—": "-",
    "→": "->",
}
_ERRORS = "as-plain-text"


# --- proxies ---


def reach_loopback_directly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the loopback to NO_PROXY, beside what is there, for this process and its children.

    Both spellings are set, because urllib (and so botocore) prefers the small one, while Go and
    curl have preferences of their own. A lone `*` (no proxy at all) is left alone: urllib knows it
    only when nothing stands beside it.
    Source: urllib.request.getproxies_environment, proxy_bypass_environment in CPython.
    """
    given = f"{environment.get('no_proxy', '')},{environment.get('NO_PROXY', '')}"
    hosts = list(dict.fromkeys(host.strip() for host in given.split(",") if host.strip()))
    if "*" in hosts:
        merged = "*"
    else:
        merged = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    environment["NO_PROXY"] = environment["no_proxy"] = merged


def proxy_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the person's proxies, with NO_PROXY, for a child that is given nothing else."""
    return {name: value for name, value in environment.items() if name.lower().endswith("_proxy")}


# --- AWS ---


def forget_aws_settings(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take profile, keys, endpoints and files of AWS away: a local run has its own of all of them.

    By their common prefix, because SDKs learn new ones (a service's own AWS_ENDPOINT_URL_SQS goes
    over AWS_ENDPOINT_URL; a profile that is not in the files ends any client).
    Source: botocore.configprovider, BOTOCORE_DEFAUT_SESSION_VARIABLES.
    """
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    environment["AWS_CONFIG_FILE"] = environment["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


# --- the terminal's characters ---


def speak_plainly() -> None:
    """Let no character end a run: what an output's encoding cannot show is written in ASCII.

    Where the encoding is UTF-8 nothing changes.
    """
    codecs.register_error(_ERRORS, _as_plain_text)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _as_plain_text(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in text), error.end


# --- disks ---


class NoRoomError(Exception):
    """A disk is full, or will be; or a folder cannot be written: the text says what to do."""


@dataclass(slots=True)
class Room:
    """The disks that a run writes to, by a folder on each, and the bytes it will need there."""

    needs: Mapping[Path, int]
    _by_disk: dict[int, tuple[Path, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for folder, need_bytes in self.needs.items():
            at = _existing(folder)
            path, sum_bytes = self._by_disk.get(at.stat().st_dev, (at, 0))
            self._by_disk[at.stat().st_dev] = (path, sum_bytes + need_bytes)

    def check(self) -> None:
        """Raise NoRoomError unless every folder can be written and its disk has the room."""
        for folder in self.needs:
            at = _existing(folder)
            if not os.access(at, os.W_OK | os.X_OK):
                raise NoRoomError(_forbidden(at))
        for folder, need_bytes in self._by_disk.values():
            free_bytes = shutil.disk_usage(folder).free
            if free_bytes < need_bytes:
                raise NoRoomError(
                    f"the disk of {folder} has {free_bytes // _MIB} MiB left and this needs "
                    f"{need_bytes // _MIB} MiB: {_MAKE_ROOM}"
                )

    def watch(self) -> None:
        """Raise NoRoomError when a disk has become full, whoever filled it."""
        for folder, _ in self._by_disk.values():
            if shutil.disk_usage(folder).free < _LAST_BYTES:
                raise NoRoomError(f"the disk of {folder} is full: {_MAKE_ROOM}")


_MAKE_ROOM = "free some, or set TMPDIR to a folder on a larger disk"


def temporary_folder() -> Path:
    """Return where temporary files go; raises NoRoomError where there is no such place."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise NoRoomError(
            "no folder for temporary files can be written: set TMPDIR to one that can"
        ) from error


def sentence_of(error: OSError) -> str | None:
    """Return what a person can do about an error of the machine's; None where it is another's."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in _FULL:
        return f"the disk is full{where}: {_MAKE_ROOM}"
    if error.errno in _FORBIDDEN:
        return _forbidden(Path(error.filename)) if error.filename else None
    if error.errno == errno.EADDRINUSE:
        return f"an address is in use already: end what listens there, or name another ({error})"
    return None


def _forbidden(path: Path) -> str:
    return f"{path} cannot be written: make it yours (chown, chmod), or work in another folder"


def _existing(folder: Path) -> Path:
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    return path
