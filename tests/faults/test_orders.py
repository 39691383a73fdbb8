"""A few schedules of orders from fixed seeds; `make faults` runs ten thousand from any."""

from __future__ import annotations

import pytest

from archiver.orders.ledger import READINGS
from tests.faults.orders_judge import Broken, run_schedule
from tests.faults.orders_mutants import MUTANTS
from tests.faults.orders_runner import explored

# The first seed from 0 on whose schedule catches each breakage.
CAUGHT_BY = {
    "post_before_the_intent_is_written": 0,
    "adopt_without_looking": 1,
    "look_on_one_page_only": 3,
    "trust_an_empty_list_at_once": 3,
}


@pytest.mark.parametrize("seed", range(22))
def test_every_schedule_keeps_the_promises_of_orders(seed: int) -> None:
    """No window is ordered twice, none is missing at the end, and no limit is exceeded."""
    run_schedule(seed)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_breakage_is_caught(name: str) -> None:
    """The judge would notice, were the reason of a promise taken away."""
    with pytest.raises(Broken):
        run_schedule(CAUGHT_BY[name], MUTANTS[name])


@pytest.mark.parametrize("what", ["dies", "fails", "another run"])
def test_no_single_step_is_one_at_which_a_run_may_not_end(what: str) -> None:
    """Every fifth step of the small scenario here; `make explore` tries them all."""
    steps, told = explored([], echoes=True)
    assert told == ""
    assert READINGS == 2  # what the schedules wait for
    for step in range(1, steps + 1, max(1, steps // 12)):
        assert explored([(step, what)], echoes=False)[1] == ""
