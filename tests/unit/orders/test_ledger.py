"""A chunk's windows: each stands in one place, whatever is done with it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.ledger import Entry, Ledger
from archiver.orders.spans import Spans
from tests.unit.orders.plans import NOW

WINDOWS = range(100, 106)


def entry(window: int, attempt: int = 1, *, cycle: int | None = None) -> Entry:
    """Return an intent that is about to be posted."""
    known_as = f"units.2026-10.2026-11-02.{attempt}.{window:024x}"
    return Entry(
        known_as, cycle or window, attempt, "f" * 24, NOW, posted_at=NOW, posts=1, before=("job 1",)
    )


def test_a_window_goes_its_way_to_the_archive() -> None:
    """Intended, ordered, archived; while it is to be restated, its cycle is remembered."""
    ledger = Ledger("c").intend(100, entry(100))
    assert ledger.open[100].state == "posted"
    ledger = ledger.bind(100, "job 2")
    assert ledger.open[100].state == "ordered"
    closed = ledger.close(100, restate=2, now=NOW)
    assert (closed.open, closed.fresh, closed.done) == ({}, {100: 100}, Spans())
    again = closed.intend(100, entry(100, cycle=102)).bind(100, "job 3").close(100, 2, NOW)
    assert (again.fresh, again.done) == ({}, Spans.of([100]))


def test_a_refusal_for_certain_ends_the_doubt_unless_an_earlier_post_is_in_doubt() -> None:
    """What was asked twice may have been taken the first time."""
    once = Ledger("c").intend(100, entry(100))
    assert once.refused(100).open[100].state == "intended"
    twice = once.post_again(100, entry(100))
    assert twice.open[100].posts == 2
    assert twice.refused(100).open[100].state == "posted"
    assert 100 in twice.stop(100, "no such property").open
    assert 100 not in once.stop(100, "no such property").open


def test_a_job_that_failed_is_tried_again_after_growing_pauses_and_then_given_up() -> None:
    """Each pause is longer than the one before; after the last try nothing is open."""
    ledger, pauses = Ledger("c"), []
    for attempt in range(1, 8):
        ledger = ledger.drop(100).intend(100, entry(100, attempt)).bind(100, f"job {attempt}")
        ledger = ledger.fail(100, NOW, "out of memory", tries=7)
        if 100 in ledger.open:
            assert ledger.open[100].state == "pausing"
            pauses.append((ledger.open[100].next_at or NOW) - NOW)
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(minutes=15)
    assert pauses[-1] == timedelta(days=1)
    assert (ledger.open, ledger.failed) == ({}, {100: 7})
    resumed = ledger.resumed()
    assert (resumed.failed, resumed.tries_before(100)) == ({}, 7)
    anew = resumed.intend(100, entry(100, 8)).bind(100, "job 8").fail(100, NOW, "", tries=2)
    assert anew.open[100].state == "pausing", "it has its tries again"
    assert anew.drop(100).intend(100, entry(100, 9)).fail(100, NOW, "", tries=2).failed == {100: 9}


def test_a_restatement_that_fails_leaves_what_is_archived() -> None:
    """The window is not missing; the next cycle asks for a newer export."""
    ledger = replace(Ledger("c"), fresh={100: 100}).intend(100, entry(100, cycle=101))
    given_up = ledger.fail(100, NOW, "", tries=1)
    assert (given_up.fresh, given_up.failed) == ({100: 101}, {})


def test_a_job_in_doubt_is_remembered_after_its_end() -> None:
    """So that a second one can be told for what it is; one that was answered at once is not."""
    sure = Ledger("c").intend(100, entry(100)).bind(100, "job 2").close(100, 0, NOW)
    assert sure.doubted == ()
    doubt = Ledger("c").intend(100, entry(100)).post_again(100, entry(100)).bind(100, "job 2")
    closed = doubt.close(100, 0, NOW)
    (known,) = closed.doubted
    assert (known.order_id, known.job_id) == (entry(100).order_id, "job 2")
    week_on = NOW + timedelta(days=8)
    assert closed.intend(101, entry(101)).bind(101, "job 3").close(101, 0, week_on).doubted == ()


_MOVES = ("intend", "refused", "again", "bind", "ended", "fail", "drop", "close", "resume", "stop")


@given(st.lists(st.tuples(st.sampled_from(_MOVES), st.sampled_from(WINDOWS)), max_size=40))
def test_a_window_stands_in_one_place_and_what_is_archived_stays(
    moves: list[tuple[str, int]],
) -> None:
    """Whatever happens in whatever order, and through the table."""
    ledger, archived = Ledger("c"), Spans()
    for move, window in moves:
        ledger = _moved(ledger, move, window, NOW)
        assert len(archived - ledger.archived) == 0, "what is archived stays so"
        archived = ledger.archived
        places = [Spans.of(ledger.open), Spans.of(ledger.failed)]
        assert len(places[0] | places[1]) == sum(map(len, places))
        assert len(ledger.done - Spans.of(ledger.fresh)) == len(ledger.done)
        stored = json.loads(json.dumps(ledger.to_fields()))
        assert Ledger.from_fields("c", 0, stored) == ledger


@given(st.lists(st.sampled_from([move for move in _MOVES if move != "close"]), max_size=60))
def test_no_try_has_the_number_of_one_that_may_have_a_job(moves: list[str]) -> None:
    """Its id would be that of a job which failed, and be taken for it; until it is archived."""
    ledger, made = Ledger("c"), 0
    for move in moves:
        before = ledger.open.get(100)
        if before is not None and (before.job_id or before.next_at or before.posts > 1):
            made = max(made, before.attempt)
        ledger = _moved(ledger, move, 100, NOW)
        if before is None and 100 in ledger.open:
            assert ledger.open[100].attempt > made


def test_what_is_stopped_or_by_hand_is_no_try_and_forgets_none() -> None:
    """A third try that is refused for certain, and a job by hand that fails: the third is next."""
    failed = Ledger("c").intend(100, entry(100, 2)).bind(100, "job 2")
    failed = failed.fail(100, NOW, "out of memory", tries=5)
    stopped = failed.drop(100).intend(100, entry(100, 3)).stop(100, "no such property")
    by_hand = replace(entry(100, 3), by_hand=True, job_id="job 3")
    assert [
        ledger.tries_before(100)
        for ledger in (stopped, stopped.resumed(), failed.drop(100).intend(100, by_hand).drop(100))
    ] == [2, 2, 2]


def _moved(ledger: Ledger, move: str, window: int, now: datetime) -> Ledger:
    if move == "resume":
        return ledger.resumed()
    if move == "intend":
        taken = window in ledger.open or window in ledger.failed or window in ledger.done
        attempt = ledger.tries_before(window) + 1
        return ledger if taken else ledger.intend(window, entry(window, attempt))
    if window not in ledger.open:
        return ledger
    was = ledger.open[window]
    if was.job_id is not None and move in {"again", "refused", "stop"}:
        return ledger  # what has its job is not asked for again
    attempt = was.attempt if was.next_at is None else was.tries_made + 1
    moves: dict[str, Any] = {
        "refused": lambda: ledger.refused(window),
        "again": lambda: ledger.post_again(window, entry(window, attempt)),
        "bind": lambda: ledger.bind(window, f"job of {window}"),
        "ended": lambda: ledger.mark_ended(window),
        "fail": lambda: ledger.fail(window, now, "no", tries=2),
        "drop": lambda: ledger.drop(window),
        "close": lambda: ledger.close(window, 1, now),
        "stop": lambda: ledger.stop(window, "no"),
    }
    moved: Ledger = moves[move]()
    return moved


def test_what_a_later_version_adds_is_read_over() -> None:
    """Items of another version must not stop the one that is there after a way back."""
    fields = entry(100).to_fields() | {"colour": "red"}
    assert Entry.from_fields(fields) == entry(100)
