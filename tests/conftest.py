"""Which tests must stay together when processes share the work; examples have no deadline.

moto keeps AWS in the process: a second cloud that starts there empties the first. The functional
tests have one for all their files, so they run in one process from the first to the last. The files
that have a cloud of their own need no more than to stay whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from local.surroundings import leave_the_person_out

TESTS = Path(__file__).resolve().parent
# A person's profile, endpoints and proxies are not for tests, and not for what they start.
leave_the_person_out()
# Named on the command line alone: `make test-s3` installs servers, `make elsewhere` takes minutes.
collect_ignore = ["s3", "elsewhere"]

# Hypothesis would fail an example that takes 200 ms, which says something of a busy machine only.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# The long ones first: at the end, one of them would leave the other processes without work.
_FIRST = ("functional", "end_to_end", "integration")


class _ByTier(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """Keeps the functional tests together, all others by file.

    xdist's own groups (loadgroup) write them into node ids, which pytest 9 does not let it do.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        return "functional" if path.startswith("functional/") else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tiers before the others; the scheduler hands out in this order."""
    rank = {tier: place for place, tier in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(TESTS).parts[0], len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByTier:  # noqa: ANN401 - xdist's
    """Let `-n` follow the groups, in the order in which they stand."""
    config.option.loadscopereorder = False  # by their number of tests, it would be
    return _ByTier(config, log)
