"""In which order tests run when processes share the work; examples have no deadline.

moto keeps AWS in the process: a second cloud that starts there empties the first. The functional
tests of a process share one for all their files, so each process runs its share of them before any
file that has a cloud of its own; such a file needs no more than to stay whole (`--dist loadscope`).
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from local.surroundings import leave_the_person_out

TESTS = Path(__file__).resolve().parent
# A person's profile, endpoints and proxies are not for tests, and not for what they start.
leave_the_person_out()
# Named on the command line alone: `make test-s3` installs servers, `make check-pictures` a drawer,
# `make test-page` a browser, and `make elsewhere` takes minutes.
collect_ignore = ["s3", "elsewhere", "page", "pictures"]

# Hypothesis would fail an example that takes 200 ms, which says something of a busy machine only.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# The functional tests before whatever starts a cloud of its own in the same process, and then the
# long ones: at the end, one of them would leave the other processes without work.
_FIRST = ("functional", "end_to_end", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tiers before the others; xdist hands out files in this order."""
    rank = {tier: place for place, tier in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(TESTS).parts[0], len(rank)))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let `-n` hand files out in the order in which they stand, not by their number of tests."""
    if hasattr(config.option, "loadscopereorder"):  # xdist is there
        config.option.loadscopereorder = False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let this process, a worker or the one that waits for them, end with its modules whole.

    Clean-ups that are registered later, by tests and fixtures, are run before. What Python would do
    after them says nothing of a test, takes a worker a second, and lets duckdb's binding print
    pages of types that others still hold.
    """
    atexit.register(_end, session)


def _end(session: pytest.Session) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(session.exitstatus)
