"""Venvs for programs that must not come near our own packages: benchmark peers, S3 servers.

    python -m tests.locked_venv FOLDER LOCK

Each is made from a lock with hashes, once, and made anew when the lock changes. What is in them is
run as processes; nothing here may be imported from them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["make_locked_venv"]


def make_locked_venv(folder: Path, lock: Path) -> str | None:
    """Make the venv for the interpreter that runs this, unless it was made from this very lock.

    Returns why it cannot be made, or None.
    """
    stamp, made_from = folder / "made-from.txt", f"{sys.version}\n{lock.read_text()}"
    if stamp.is_file() and stamp.read_text() == made_from:
        return None
    uv = str(Path(sys.executable).with_name("uv"))
    into = ["--python", str(folder / "bin" / "python")]
    what = ["--quiet", "--require-hashes", "-r", str(lock)]
    problem = (
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        # As in the Makefile: pip may be set up for a registry that uv cannot reach.
        or (
            _run(uv, "pip", "install", "--compile-bytecode", "--system-certs", *into, *what)
            and _run(sys.executable, "-m", "pip", *into, "install", *what)
        )
    )
    if problem is None:
        stamp.write_text(made_from)
    return problem


def _run(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603 - ours
    return f"not installed: {done.stderr.strip()[-300:]}" if done.returncode else None


if __name__ == "__main__":
    sys.exit(make_locked_venv(Path(sys.argv[1]), Path(sys.argv[2])))
