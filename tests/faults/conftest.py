"""The simulated clock: one for a test, and real time again after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import time_machine

from tests.faults.scheduler import START


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Stop Python's clock; the scheduler moves it on."""
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller
