"""What is missing, and in which order it is asked for."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.demand import missing, wanted, wants
from archiver.orders.ledger import MOST_OPEN, Entry, Ledger
from archiver.orders.plan import Plan
from archiver.orders.spans import Spans
from archiver.orders.windows import EVERY, Every, label_of, number_of
from tests.unit.orders.plans import NOW, applied, written

DAY = timedelta(days=1)


def empty(plan: Plan) -> dict[str, Ledger]:
    """Return ledgers that know nothing."""
    return {chunk.id: Ledger(chunk.id) for _, chunk in plan.chunks()}


def proven(plan: Plan, *windows: int) -> dict[str, Ledger]:
    """Return ledgers in which these windows are archived for good."""
    return {key: replace(each, done=Spans.of(windows)) for key, each in empty(plan).items()}


def labels(plan: Plan, ledgers: Mapping[str, Ledger], now: datetime = NOW) -> list[str]:
    """Return the windows that are to be ordered, in their order."""
    return [
        f"{each.why} {label_of(each.order.every, each.window)}"
        for each in wanted(plan, ledgers, now)
    ]


def test_of_a_new_order_one_window_goes_first_and_the_others_when_it_is_there() -> None:
    """So that a wrong guess at the vendor's dates costs one job."""
    plan = applied(written(**{"from": "2026-08-01"}), written(name="b", output_format="csv"))
    ledgers = empty(plan)
    assert labels(plan, ledgers) == ["history 2026-10", "history 2026-10"]
    (_, chunk), _ = plan.chunks()
    on_its_way = Entry("id", 0, 1, "", NOW, posted_at=NOW)
    october = number_of("month", date(2026, 10, 1))
    ledgers[chunk.id] = Ledger(chunk.id, open={october: on_its_way})
    assert labels(plan, ledgers) == ["history 2026-10"], "that of the other order"
    ledgers[chunk.id] = Ledger(chunk.id, done=Spans.of([october]))
    assert labels(plan, ledgers) == [
        "history 2026-10",
        "history 2026-09",
        "history 2026-08",
    ]


def test_what_is_due_goes_before_restatements_and_these_before_history() -> None:
    """Newest first is the history's alone: what is due waits longest if it is oldest."""
    plan = applied(written(every="day", restate=2, **{"from": "2026-11-22"}))
    ((_, chunk),) = plan.chunks()
    now = NOW + 2 * DAY + timedelta(hours=6)  # the 26th and 27th have become due
    fresh = {number_of("day", date(2026, 11, 25)): number_of("day", date(2026, 11, 25))}
    ledgers = {chunk.id: Ledger(chunk.id, fresh=fresh)}
    assert labels(plan, ledgers, now) == [
        "due 2026-11-26",
        "due 2026-11-27",
        "restated 2026-11-25",
        "history 2026-11-24",
        "history 2026-11-23",
        "history 2026-11-22",
    ]


def test_a_missed_restatement_is_made_up_once() -> None:
    """After an outage of many cycles a window is ordered once more, not once a cycle."""
    plan = applied(written(every="day", restate=2))
    ((order, chunk),) = plan.chunks()
    window = order.last(NOW)
    ledger = Ledger(chunk.id, done=Spans.between(order.first, window - 1), fresh={window: window})
    later = NOW + 30 * DAY
    lacks = wants(order, chunk, ledger, later)
    assert lacks.restated == Spans.of([window])
    (restated,) = [
        each for each in wanted(plan, {chunk.id: ledger}, later) if each.why == "restated"
    ]
    assert restated.cycle == window + 2
    entry = Entry("id", restated.cycle, 1, "", later)
    again = ledger.intend(window, entry).bind(window, "job").close(window, 2, later)
    assert not wants(order, chunk, again, later).restated.runs


def test_what_is_given_up_stopped_or_full_is_not_ordered() -> None:
    """It is missing all the same."""
    plan = applied(written(**{"from": "2026-09-01"}))
    ((order, chunk),) = plan.chunks()
    given_up = Ledger(chunk.id, done=Spans.of([order.first]), failed={order.first + 1: 5})
    assert labels(plan, {chunk.id: given_up}) == []
    assert missing(plan, {chunk.id: given_up}, NOW).windows == 1
    stopped = Ledger(chunk.id, stopped="no such property")
    assert labels(plan, {chunk.id: stopped}) == []
    entry = Entry("id", 0, 1, "", NOW)
    full = replace(
        proven(plan, order.first)[chunk.id], open={-number: entry for number in range(MOST_OPEN)}
    )
    assert labels(plan, {chunk.id: full}) == []


def test_a_window_is_missing_once_and_late_from_its_completion_or_its_history_s_end() -> None:
    """History is not late on the day on which it is asked for."""
    plan = applied(written(**{"from": "2026-09-01"}), properties_per_job=1)
    ledgers = empty(plan)
    told = missing(plan, ledgers, NOW)
    assert (told.windows, told.oldest_seconds) == (2, 0.0)
    (order, chunk), _ = plan.chunks()
    overdue = chunk.history_by + timedelta(hours=2)
    assert missing(plan, ledgers, overdue).oldest_seconds == 7200
    there = proven(plan, order.first, order.first + 1)
    assert missing(plan, there, NOW).windows == 0
    december = datetime(2026, 12, 1, 18, 0, tzinfo=UTC)  # November is complete since 17:00
    told = missing(plan, there, december)
    assert (told.windows, told.oldest_seconds) == (1, 3600)


@given(st.sampled_from(EVERY), st.integers(0, 3), st.data())
def test_whatever_is_there_the_rest_is_wanted_once(
    every: Every, restate: int, data: st.DataObject
) -> None:
    """Each window is archived for good, open, given up or wanted, and wanted but once."""
    plan = applied(written(every=every, restate=restate, **{"from": "2026-06-01"}))
    ((order, chunk),) = plan.chunks()
    last = order.last(NOW)
    windows = list(range(order.first, last + 1))
    places = data.draw(
        st.lists(st.sampled_from("dofm"), min_size=len(windows), max_size=len(windows))
    )
    by_place = {
        place: [window for window, its in zip(windows, places, strict=True) if its == place]
        for place in "dofm"
    }
    entry = Entry("id", 0, 1, "", NOW)
    ledger = Ledger(
        chunk.id,
        done=Spans.of(by_place["d"]),
        open=dict.fromkeys(by_place["o"], entry),
        failed=dict.fromkeys(by_place["f"], 1),
    )
    found = [each.window for each in wanted(plan, {chunk.id: ledger}, NOW)]
    if len(ledger.open) >= MOST_OPEN:
        return
    expected = by_place["m"] if ledger.is_proven else by_place["m"][-1:] * (not ledger.open)
    assert sorted(found) == expected


@pytest.mark.parametrize("is_there", [True, False])
def test_ten_years_of_days_of_a_hundred_orders_cost_what_their_runs_cost(*, is_there: bool) -> None:
    """365,000 windows, present or missing, take well under the 3 s and 256 MB of a run."""
    orders = [
        written(name=f"o{number}", every="day", properties=[number + 1], **{"from": "2016-11-26"})
        for number in range(100)
    ]
    plan = applied(*orders)
    ledgers = {
        chunk.id: Ledger(
            chunk.id, done=Spans.between(order.first, order.last(NOW) - (not is_there))
        )
        for order, chunk in plan.chunks()
    }
    tracemalloc.start()
    begun = time.process_time()
    found = list(islice(wanted(plan, ledgers, NOW), 200))
    told = missing(plan, ledgers, NOW)
    seconds, (_, peak_bytes) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found), told.windows) == ((0, 0) if is_there else (100, 100))
    assert seconds < 1.5
    assert peak_bytes < 8 << 20
