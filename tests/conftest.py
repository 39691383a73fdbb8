"""Which tests must stay together when two processes share the work; examples have no deadline.

moto keeps AWS in the process: a second cloud that starts there empties the first. So each tier that
starts one is a group, and a group runs in one process from its beginning to its end.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).resolve().parent
# Named on the command line alone: its servers are installed by `make test-s3`.
collect_ignore = ["s3"]

# Hypothesis would fail an example that takes 200 ms, which says something of a busy machine only.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tiers with a cloud by folder, all other tests by file."""
    for item in items:
        path = item.path.relative_to(TESTS)
        together = path.parts[0] in {"functional", "end_to_end", "integration"}
        group = path.parts[0] if together else str(path)
        item.add_marker(pytest.mark.xdist_group(group))
