"""The moves of what orders share, tried: each from a free head, one held, ours, another's.

Conditions are evaluated by the same reading of DynamoDB's grammar as in tests/faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from archiver.aws.moves import plain, serialise
from archiver.orders import head as heads
from archiver.orders.head import Head, HeadMove, day_of
from tests.faults.expressions import Names, condition_holds, updated

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
EARLIER, LATER = NOW.timestamp() - 60, NOW.timestamp() + 60
RUN, LIMIT = 7, 3
Item = Mapping[str, Any]


def item(**more: object) -> dict[str, object]:
    """Return the item as run 7 left it, with version 2 of a plan in force."""
    return {"id": "orders", "plan": 2, "run": RUN, "held_until": 0, "owner": "whoever", **more}


def held(until: float = LATER, **more: object) -> dict[str, object]:
    """Return the item that run 7 holds."""
    return item(held_until=until, **more)


def made(move: HeadMove, before: Item) -> dict[str, Any] | None:
    """Make a move as DynamoDB does; None where its condition does not hold."""
    stored = {name: serialise(value) for name, value in before.items()}
    values = {name: serialise(value) for name, value in move.values.items()}
    names = Names(move.names, values)
    holds = not move.condition or condition_holds(move.condition, names, stored or None)
    after = updated(move.update, names, stored)
    names.check()
    return plain(after) if holds else None


def take(seen: Item) -> HeadMove:
    """Return a run's taking of what it read."""
    return heads.take(Head.from_item(seen), "mine", NOW, 360)


def turn(seen: Item, run: int = RUN, now: datetime = NOW) -> HeadMove:
    """Return a run's taking of a turn, after it read the item."""
    return heads.turn(Head.from_item(seen), run, "this turn", now, LIMIT)


def of_a_run(run: int) -> dict[str, HeadMove]:
    """Return every move that a run makes of what it has taken."""
    until = NOW + timedelta(hours=1)
    return {
        "release": heads.release(run),
        "turn": turn(held(day=day_of(NOW), posted=1), run),
        "close": heads.close(run, until, "quota_exceeded", "no more"),
        "reopen": heads.reopen(run),
        "read": heads.read(run, NOW),
    }


@pytest.mark.parametrize("before", [{}, item(), held(EARLIER), item(held_until=0, paused=True)])
def test_what_is_free_is_taken(before: dict[str, object]) -> None:
    """Also the first time, after a run that died, and in a pause: its run orders nothing."""
    after = made(take(before), before)
    assert after is not None
    assert (after["run"], after["owner"]) == (before.get("run", 0) + 1, "mine")  # type: ignore[operator]
    assert after["held_until"] == NOW.timestamp() + 360


def test_what_a_run_holds_is_taken_by_nobody() -> None:
    """Until its time is over."""
    assert made(take(held()), held()) is None
    assert made(take(held()), held(EARLIER)) is not None


def test_of_two_that_read_the_same_one_takes() -> None:
    """The other is refused, even if the first has released by then: it knows too little."""
    first = made(take(item()), item())
    assert first is not None
    assert made(take(item()), first) is None
    released = made(heads.release(RUN + 1), first)
    assert released is not None
    assert made(take(item()), released) is None


@pytest.mark.parametrize("name", of_a_run(RUN))
def test_a_run_moves_what_is_its_own(name: str) -> None:
    """Nothing but what the move is for is changed."""
    before = held(posted=1, day=day_of(NOW), closed_until=LATER, closed_reason="quota_exceeded")
    after = made(of_a_run(RUN)[name], before)
    assert after is not None
    changed = {each for each in before.keys() | after.keys() if before.get(each) != after.get(each)}
    assert (
        changed
        <= {
            "release": {"held_until"},
            "turn": {"posted", "day", "turn"},
            "close": {"closed_until", "closed_reason", "closed_detail"},
            "reopen": {"closed_until", "closed_reason", "closed_detail"},
            "read": {"list_read_to"},
        }[name]
    )


@pytest.mark.parametrize("name", of_a_run(RUN))
@pytest.mark.parametrize("until", [0.0, EARLIER, LATER])
def test_a_run_that_was_overtaken_moves_nothing_any_more(name: str, until: float) -> None:
    """Whether the other still holds it, died or has released it; nor does one before any."""
    assert made(of_a_run(RUN)[name], held(until, run=RUN + 1)) is None
    assert made(of_a_run(RUN)[name], {}) is None


@pytest.mark.parametrize("name", ["turn", *sorted(set(of_a_run(RUN)) - {"turn"})])
def test_after_its_time_a_run_takes_no_turn_but_may_say_what_it_saw(name: str) -> None:
    """Nobody has overtaken it yet; but somebody may, before its request has gone out."""
    assert (made(of_a_run(RUN)[name], held(EARLIER)) is None) == (name == "turn")


def test_a_turn_is_counted_before_its_request_goes_out_and_the_day_ends() -> None:
    """The limit is taken to the last turn; the next day of UTC begins at one."""
    now = held(day=day_of(NOW), posted=0)
    for number in range(1, LIMIT + 1):
        after = made(turn(now), now)
        assert after is not None
        assert after["posted"] == number
        now = after
    assert made(turn(now), now) is None
    tomorrow = NOW + timedelta(hours=12)
    after = made(turn(now, now=tomorrow), {**now, "held_until": tomorrow.timestamp() + 60})
    assert after is not None
    assert (after["day"], after["posted"]) == ("2026-11-27", 1)


def test_a_turn_that_another_took_meanwhile_is_not_taken_again() -> None:
    """A count that was read before it is refused, so that none is lost."""
    seen = held(day=day_of(NOW), posted=1)
    assert made(turn(seen), {**seen, "posted": 2}) is None


@pytest.mark.parametrize("changed", [{"paused": True}, {"plan": 3}])
def test_a_pause_and_another_plan_hold_from_the_next_turn_on(changed: dict[str, object]) -> None:
    """Whatever the run that is at work has read."""
    assert made(turn(held()), held() | changed) is None
    assert made(turn(held()), held(paused=False)) is not None


@pytest.mark.parametrize("name", ["take", "turn", "apply"])
def test_a_move_whose_answer_was_lost_recognises_itself(name: str) -> None:
    """Sent again it is refused, and the item shows whose it is; another's shows something else."""
    before = item() if name != "turn" else held()
    seen = Head.from_item(before)
    move = {
        "take": take(before),
        "turn": turn(before),
        "apply": heads.apply(seen, "digest", 1, "me", NOW),
    }[name]
    after = made(move, before)
    assert after is not None
    assert move.shown_by
    assert move.shown_by.items() <= after.items()
    assert not move.shown_by.items() <= before.items()
    if name != "turn":  # a turn that is taken twice counts twice: never fewer than were sent
        assert made(move, after) is None


@pytest.mark.parametrize("until", [0.0, LATER])
def test_a_person_changes_the_plan_that_was_read_and_no_other(until: float) -> None:
    """Whether a run is at work or not; of two people the second is told."""
    for before in ({}, held(until)):
        move = heads.apply(Head.from_item(before), "digest", 2, "me", NOW)
        after = made(move, before)
        assert after is not None
        assert (after["plan"], after["parts"]) == (Head.from_item(before).plan + 1, 2)
        other = heads.apply(Head.from_item(before), "other", 1, "another", NOW)
        assert made(other, after) is None


@pytest.mark.parametrize("before", [{}, item(), held(), held(closed_until=LATER, paused=True)])
def test_a_person_pauses_and_resumes_whoever_is_at_work(before: dict[str, object]) -> None:
    """Resuming ends the vendor's refusal as well; neither touches the run."""
    paused = made(heads.pause(), before)
    assert paused is not None
    assert Head.from_item(paused).is_paused
    resumed = made(heads.resume(), paused)
    assert resumed is not None
    told = Head.from_item(resumed)
    assert (told.is_paused, told.closed_until) == (False, 0.0)
    assert (told.run, told.held_until) == (before.get("run", 0), before.get("held_until", 0))
