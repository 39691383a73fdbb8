"""In which order tests run when processes share the work; examples have no deadline.

moto keeps AWS in the process: a second cloud that starts there empties the first. The functional
tests of a process share one for all their files, so each process runs its share of them before any
file that has a cloud of its own; such a file needs no more than to stay whole (`--dist loadscope`).
"""

from __future__ import annotations

import atexit
import os
from pathlib import Path

import pytest
from hypothesis import settings

from local.surroundings import leave_the_person_out

TESTS = Path(__file__).resolve().parent
# A person's profile, endpoints and proxies are not for tests, and not for what they start.
leave_the_person_out()
# Named on the command line alone: `make test-s3` installs servers, `make check-pictures` a drawer,
# and `make elsewhere` takes minutes.
collect_ignore = ["s3", "elsewhere", "pictures"]

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
    if hasattr(config, "workerinput"):
        # A worker ends when all that it saw is told and all others' clean-up (registered later, run
        # earlier) is done. Python's own, of its modules, says nothing of a test; it takes a second,
        # and duckdb's binding prints pages about types that others still refer to.
        atexit.register(os._exit, 0)
