"""Which tests must stay together when two processes share the work; examples have no deadline.

moto keeps AWS in the process: a second cloud that starts there empties the first. So each tier that
starts one is a group, and a group runs in one process from its beginning to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).resolve().parent
# Named on the command line alone: its servers are installed by `make test-s3`.
collect_ignore = ["s3"]

# Hypothesis would fail an example that takes 200 ms, which says something of a busy machine only.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# The longest first, and waiting more than it computes: last, it would leave a process without work.
_FIRST = ("end_to_end", "functional", "integration")


class _ByTier(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """Keeps the tiers with a cloud together by folder, all other tests by file.

    xdist's own groups (loadgroup) write them into node ids, which pytest 9 does not let it do.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        tier = path.partition("/")[0]
        return tier if tier in _FIRST else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tiers with a cloud before the others; the scheduler hands out in this order."""
    rank = {tier: place for place, tier in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(TESTS).parts[0], len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByTier:  # noqa: ANN401 - xdist's
    """Let `-n` follow the groups, in the order in which they stand."""
    config.option.loadscopereorder = False  # by their number of tests, it would be
    return _ByTier(config, log)
