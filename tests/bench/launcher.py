"""Runs one program on one core and tells what it took: `launcher.py REPORT CORE PROGRAM …`.

A process of its own, because the kernel hands a parent's peak memory down to the child that it
becomes: a child of the benchmark itself would look as large as the benchmark. It must stay small:
no import that is not needed.
"""

import os
import sys
import time

__all__: list[str] = []


def _run(report: str, core: int, command: list[str]) -> int:
    if core >= 0:
        os.sched_setaffinity(0, {core})
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - begun
    with open(report, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be an import
        file.write(f"{seconds} {used.ru_utime} {used.ru_stime} {used.ru_maxrss}")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(abs(_run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
