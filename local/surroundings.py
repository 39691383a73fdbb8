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
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

__all__ = [
    "NoRoomError",
    "Room",
    "forget_aws_settings",
    "leave_the_person_out",
    "proxy_settings",
    "reach_loopback_directly",
    "sentence_of",
    "speak_plainly",
    "temporary_folder",
]

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")  # urllib wants the brackets, others do not
_MIB = 1024 * 1024
_LAST_BYTES = 16 * _MIB  # with less, the next part of a copy (16 MiB or more) has no room
_WATCH_SECONDS = 0.1
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


def leave_the_person_out() -> None:
    """Take what a local run has of its own out of the environment: call it before moto is imported.

    moto makes AWS clients while it is imported, and a profile that is not there ends that.
    """
    forget_aws_settings()
    reach_loopback_directly()


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


class Room:
    """The disks that a run writes to, by folders on them, and the bytes it will need in each."""

    def __init__(self, needs: Mapping[Path, int]) -> None:
        self._folders = [_existing(folder) for folder in needs]
        self._by_disk: dict[int, tuple[Path, int]] = {}
        for folder, need_bytes in zip(self._folders, needs.values(), strict=True):
            disk = folder.stat().st_dev
            first, sum_bytes = self._by_disk.get(disk, (folder, 0))
            self._by_disk[disk] = (first, sum_bytes + need_bytes)
        self._full: Path | None = None

    def check(self) -> None:
        """Raise NoRoomError unless every folder can be written and its disk has the room."""
        for folder in self._folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise NoRoomError(_forbidden(folder))
        for folder, need_bytes in self._by_disk.values():
            free_bytes = shutil.disk_usage(folder).free
            if free_bytes < need_bytes:
                raise NoRoomError(
                    f"the disk of {folder} has {free_bytes // _MIB} MiB left and this needs "
                    f"{need_bytes // _MIB} MiB: {_MAKE_ROOM}"
                )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the disks meanwhile: what fails because one was full is told as that.

        Once it is full a write fails somewhere among the run's threads and processes, and what is
        said of that looks like a fault of theirs. Raises NoRoomError.
        """
        done = Event()
        watcher = Thread(target=self._watch, args=(done,), name="room", daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            self.raise_if_full()
            raise
        finally:
            done.set()
            watcher.join()

    def raise_if_full(self) -> None:
        """Raise NoRoomError when a disk has been full since it is watched, whoever filled it."""
        if self._full is not None:
            raise NoRoomError(f"the disk of {self._full} is full: {_MAKE_ROOM}")

    def _watch(self, done: Event) -> None:
        while self._full is None and not done.wait(_WATCH_SECONDS):
            for folder, _ in self._by_disk.values():
                if shutil.disk_usage(folder).free < _LAST_BYTES:
                    self._full = folder


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
