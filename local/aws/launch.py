"""Starts one program that dies with us: `launch.py PARENT_PID PROGRAM ARGUMENT...`.

It asks the kernel for SIGKILL at its parent's death and becomes the program. A process of its own
does this because code between fork and exec is not safe in a parent with threads. It imports
nothing of ours, and must not: it runs in the function's empty environment.
"""

import ctypes
import os
import signal
import sys

__all__: list[str] = []

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _become(parent_pid: int, command: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before the kernel was asked
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
