"""A few schedules of orders from fixed seeds; `make faults` runs a thousand from any."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import pytest

from archiver.orders.ledger import READINGS, Ledger
from archiver.orders.spans import Spans
from tests.faults.orders_judge import Broken, run_schedule
from tests.faults.orders_mutants import MUTANTS
from tests.faults.orders_runner import explored
from tests.faults.orders_vendor import Temper
from tests.faults.orders_world import World

# The first seed from 0 on whose schedule catches each breakage.
CAUGHT_BY = {
    "post_before_the_intent_is_written": 0,
    "adopt_without_looking": 1,
    "look_on_one_page_only": 3,
    "trust_an_empty_list_at_once": 3,
    "count_a_failed_post_as_ordered": 0,
    "ignore_the_quota": 5,
    "naive_local_time": 0,
    "two_runs_at_once": 38,
}


# In the last two a try's number was forgotten: where a later try was refused for good, and where a
# job that somebody ordered by hand failed.
@pytest.mark.parametrize("seed", [*range(22), 2493, 2507])
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


def test_ten_years_of_a_hundred_orders_cost_a_run_next_to_nothing() -> None:
    """365,000 windows that are there: three reads, two writes, and no word to the vendor."""
    orders = [
        {
            "name": f"o{number}",
            "report_type": "units",
            "output_format": "csv",
            "properties": [number + 1],
            "every": "day",
            "from": "2016-10-29",
        }
        for number in range(100)
    ]
    world = World(1, Temper(), {"orders": orders})
    items = world._items()
    for order, chunk in world.plan.chunks():
        there = Spans.between(order.first, order.last(world.now()))
        items.save(replace(Ledger(chunk.id), done=there, looked_back=order.first), chunk.id)
    world.run()
    world.table.reads = world.table.writes = 0
    tracemalloc.start()
    begun = time.process_time()
    world.run()
    seconds, (_, peak_bytes) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert world.answers[-1]["missing"] == 0
    assert (world.table.reads, world.table.writes) == (3, 2)
    assert world.vendor.posts == []
    assert seconds < 3
    assert peak_bytes < 16 << 20
