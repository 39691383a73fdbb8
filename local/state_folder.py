"""The folder in which one local run writes: held by that run alone, for as long as it lives.

The lock is the kernel's (flock): it goes with its process, however that dies, so what a dead one
left is no obstacle. A run empties its folder when it begins, so it takes none in which somebody
else has written. This module must not know what a run writes there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import sys
import time
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEMO_FOLDER", "UP_FOLDER", "StateFolderError", "held", "is_held"]

_LOCAL = Path(__file__).resolve().parents[1] / ".local"
UP_FOLDER = _LOCAL / "up"  # of `make local`
DEMO_FOLDER = _LOCAL / "demo"  # of `make demo`
_LOCK = "lock"  # stays when a run ends: two could hold a file that is deleted and made again
_EARLIER_RELEASES = Path("runtime", "bootstrap.py")  # what these have in their folders for sure
_LONGEST_COMMAND = 120
_OPTION = " (archiver local --state-folder DIR)"
_TRIES = 4
_PAUSE_SECONDS = 0.05


class StateFolderError(Exception):
    """The folder cannot be this run's; the text says why, and what to do."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder, made if it is not there, until the end of the block.

    Raises StateFolderError where another run holds it, somebody else's files are in it, or it
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(folder)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateFolderError(
            f"{folder} cannot be written ({error.strerror}); make it so, or take another one"
            f"{_OPTION}"
        ) from error
    try:
        _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{_command()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # lets go, too


def is_held(folder: Path) -> bool:
    """Tell whether a run that lives holds the folder; what a dead one left there is nobody's."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _refuse_strangers(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    if names and _LOCK not in names and not (folder / _EARLIER_RELEASES).is_file():
        raise StateFolderError(
            f"{folder} holds what no local run wrote ({names[0]}), and a run begins by emptying "
            f"its folder; move that away, or take a new folder{_OPTION}"
        )


def _lock(descriptor: int, folder: Path) -> None:
    try:
        _lock_soon(descriptor)
    except BlockingIOError as error:
        pid, _, command = os.pread(descriptor, 4096, 0).decode(errors="replace").partition("\n")
        who = f"process {pid} ({command.strip()})" if pid else "another process"
        end = f"end that one (kill {pid})" if pid else "end that one"
        raise StateFolderError(
            f"{folder} is in use by {who}; {end}, or take a folder of your own{_OPTION}"
        ) from error
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        raise StateFolderError(
            f"{folder} is on a file system that does not lock files ({name}); take one on a local "
            f"disk{_OPTION}"
        ) from error


def _lock_soon(descriptor: int) -> None:
    """Take the lock; who only looks whether it is held (is_held) has it for an instant."""
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE_SECONDS)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _command() -> str:
    """Return this process's command line up to its first option: what follows may be a key."""
    words = takewhile(lambda word: not word.startswith("--"), sys.orig_argv)
    return " ".join(shlex.join(words).split())[:_LONGEST_COMMAND]
