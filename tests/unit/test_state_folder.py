"""A state folder is one run's: whoever comes second is told whose it is, and nothing is deleted."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from local.local_run import NoLocalRunError, enter_local_run
from local.state_folder import DEMO_FOLDER, UP_FOLDER, StateFolderError, held, is_held

_ROOT = Path(__file__).resolve().parents[2]
_HOLDER = """
import sys
from pathlib import Path
from local.state_folder import held
with held(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Let another process hold the folder, until it is killed or hears the end of its input."""
    holder = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-c", _HOLDER, "up", str(folder), *more],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_run_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    """By process and command, without what its options say; and what to do."""
    with start_holder(tmp_path / "run", "--s3-secret-access-key", "a-secret") as holder:
        with pytest.raises(StateFolderError) as refused, held(tmp_path / "run"):
            pass
        holder.communicate()
    told = str(refused.value)
    assert f"process {holder.pid} (" in told
    assert sys.executable in told
    assert f"kill {holder.pid}" in told
    assert "--state-folder DIR" in told
    assert "a-secret" not in told
    assert "\n" not in told


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    """However it died; what it left in the lock is written over."""
    with start_holder(tmp_path) as holder:
        assert is_held(tmp_path)
        holder.send_signal(signal.SIGKILL)
    assert not is_held(tmp_path)
    with held(tmp_path):
        assert (tmp_path / "lock").read_text().splitlines()[0] == str(os.getpid())


def test_what_a_killed_run_left_is_not_taken_for_a_run(tmp_path: Path) -> None:
    """Its endpoints lead nowhere: the tools say so, instead of asking a port that is closed."""
    (tmp_path / "endpoints.json").write_text("{}")
    with pytest.raises(NoLocalRunError, match=r"was killed\. Start one"):
        enter_local_run(tmp_path)
    assert not is_held(tmp_path / "not there")


def test_whoever_only_looks_keeps_no_run_from_starting(tmp_path: Path) -> None:
    """The look takes the lock for an instant; a run that begins then waits for its end."""
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    looking = Timer(0.06, os.close, [descriptor])
    looking.start()
    with held(tmp_path):
        looking.join()


def test_a_run_that_has_ended_makes_room_for_the_next(tmp_path: Path) -> None:
    """In one process, too, and also where the block ended by an exception."""
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with (
        held(tmp_path),
        pytest.raises(StateFolderError, match=f"process {os.getpid()} "),
        held(tmp_path),
    ):
        pass


def test_a_folder_in_which_somebody_else_has_written_is_refused(tmp_path: Path) -> None:
    """A run would empty it: `--state-folder ~` must cost nobody an archive."""
    theirs = tmp_path / "archive" / "precious.csv"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    with pytest.raises(StateFolderError, match=r"no local run wrote \(archive\)"), held(tmp_path):
        pass
    assert theirs.read_text() == "theirs"
    assert not (tmp_path / "lock").exists()


def test_a_folder_of_an_earlier_release_is_taken(tmp_path: Path) -> None:
    """It has no lock yet, but what only a run writes."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "bootstrap.py").touch()
    with held(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """With the system's word for it, and the remedy."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(StateFolderError, match=r"cannot be written \(.+\); .*--state-folder"),
        held(tmp_path / "file" / "below"),
    ):
        pass


def test_a_file_system_without_locks_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network file systems are: nothing is taken there unlocked."""

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StateFolderError, match=r"does not lock files \(ENOLCK\)"), held(tmp_path):
        pass


def test_what_people_keep_up_and_what_the_demo_shows_do_not_meet() -> None:
    """Neither folder is, or is within, the other's."""
    assert not UP_FOLDER.is_relative_to(DEMO_FOLDER)
    assert not DEMO_FOLDER.is_relative_to(UP_FOLDER)
