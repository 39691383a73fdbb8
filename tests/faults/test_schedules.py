"""A hundred schedules from fixed seeds; `make faults` runs ten thousand from any."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.mutants import FIRST_HUNTED_SEED, hunt
from tests.faults.scenario import Schedule

if TYPE_CHECKING:
    import time_machine

FIRST_SEED, SCHEDULES, TESTS = 20_261_123, 100, 2
HUNTED = 300  # schedules within which each breakage below is met


@pytest.mark.parametrize("part", range(TESTS))
def test_every_schedule_keeps_the_invariants(part: int, clock: time_machine.Traveller) -> None:
    """Archived exactly once and byte-exact, or set aside for a true reason, whatever goes wrong."""
    injected: Counter[str] = Counter()
    each = SCHEDULES // TESTS
    for seed in range(FIRST_SEED + part * each, FIRST_SEED + (part + 1) * each):
        schedule = Schedule(seed, clock)
        assert schedule.run() == [], f"to see it: make faults N=1 SEED={seed}"
        injected += schedule.world.chaos.injected
    assert len(injected) > 20  # kinds of faults: the schedules do meet trouble


def test_a_seed_makes_the_same_schedule_again(clock: time_machine.Traveller) -> None:
    """What a seed showed can be looked at again, step by step."""
    traces = []
    for _ in range(2):
        schedule = Schedule(FIRST_SEED + 7, clock)
        schedule.world.chaos.trace.wanted = True
        schedule.run()
        traces.append(schedule.world.chaos.trace.lines)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 10


@pytest.mark.parametrize(
    "name",
    [
        "FailedEntryCount is ignored",
        "failures are acknowledged",
        "no heartbeat",
        "waits are not clipped",
    ],
)
def test_a_deliberate_breakage_is_caught(name: str) -> None:
    """The judge bites: some schedule of a few hundred is broken by it. `make faults` tries all."""
    found = hunt(name)
    assert found.seed is not None
    assert found.seed < FIRST_HUNTED_SEED + HUNTED
