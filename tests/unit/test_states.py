"""The table of states and moves, tried: each move from each state, free, held, ours or another's.

Conditions are evaluated by the same reading of DynamoDB's grammar as in tests/faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from archiver import states
from archiver.aws.moves import plain, serialise
from archiver.claim import Checkpoint, Claim, KnownJob
from archiver.errors import Deferral
from archiver.receipt import Receipt, iso_utc
from archiver.states import ENDS, GOES_ON, Move, State
from tests.faults.expressions import Names, condition_holds, updated

JOB_ID = "123e4567-e89b-12d3-a456-426614174000"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
EARLIER, LATER = (iso_utc(NOW + timedelta(seconds=by)) for by in (-60, 60))
ME, OTHER = "my token", "another token"
CLAIM = Claim(JOB_ID, "a/key", 2, EARLIER, iso_utc(NOW), ME, "message 1", upload_id="u")
CHECKPOINT = Checkpoint("u2", 5, "etag", 9, "streaming")
RECEIPT = Receipt(
    *(JOB_ID, "units", "csv", "2026-10-01", "2026-10-31", "bucket", "a/key", "v1", 9, "etag"),
    *(None, "source", "streaming", "size", EARLIER, 0.5),
)
WHY = Deferral("not_finished", "It is not there yet.")
KNOWN = KnownJob("a/key", 1, checkpoint=replace(CHECKPOINT, upload_id="u"))
Item = Mapping[str, Any]


def known(state: State, **more: object) -> dict[str, object]:
    """Return an item of a job that was tried once, as this version writes it."""
    item: dict[str, object] = {
        "id": f"job#{JOB_ID}",
        "state": state,
        "updated_at": EARLIER,
        "attempts": 1,
        "key": "a/key",
        "upload_id": "u",
        "asked_by": "message 1",
    }
    if state in ENDS or state in {"missing", "queued"}:
        del item["asked_by"]
    if state in {"archived", "missing"}:
        item |= {**RECEIPT.to_fields(), "owner": "whoever"}
    return item | more


def held(owner: str, until: str, *, attempts: int = 2) -> dict[str, object]:
    """Return an item that a run holds."""
    lease = {"owner": owner, "held_until": until, "held_as": 2}
    return known("copying", **lease, attempts=attempts)


def made(move: Move, item: Item) -> dict[str, Any] | None:
    """Make a move as DynamoDB does; None where its condition does not hold."""
    before = {name: serialise(value) for name, value in item.items()}
    values = {name: serialise(value) for name, value in move.values.items()}
    names = Names(move.names, values)
    holds = condition_holds(move.condition, names, before or None)
    after = updated(move.update, names, before)
    names.check()
    return plain(after) if holds else None


def claim(**changes: Any) -> Move:  # noqa: ANN401 - of a Claim
    """Return a claim by a second attempt."""
    return states.claim(replace(CLAIM, **changes), LATER)


def note(asked_by: str = "message 1", at: datetime = NOW, state: Any = "failing") -> Move:  # noqa: ANN401 - a NotedState
    """Return a note."""
    return states.note(JOB_ID, asked_by, state, WHY, at)


def forget(asked_by: str = "message 1") -> Move:
    """Return what gives an upload up."""
    return states.forget(JOB_ID, asked_by, KNOWN, NOW)


OURS: dict[str, Move] = {
    "extend": states.extend(CLAIM, LATER),
    "keep": states.keep(CLAIM, CHECKPOINT),
    "keep nothing": states.keep(CLAIM, None),
    "complete": states.complete(CLAIM, RECEIPT),
    "release": states.release(CLAIM, WHY, NOW),
}
FREE: dict[str, Move] = {"claim": claim(), "note": note(), "forget": forget()}


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("name", FREE)
def test_what_is_free_is_moved_from_every_state_but_archived(name: str, state: State) -> None:
    """Claimed, noted or given up; a job that is archived stays so until somebody looks."""
    item = known(state, held_until=EARLIER, held_as=1) if state == "copying" else known(state)
    assert (made(FREE[name], item) is None) == (state == "archived")


@pytest.mark.parametrize("name", FREE)
def test_nobody_moves_what_a_run_holds(name: str) -> None:
    """Whoever it is and whatever has been written over its state."""
    item = held(OTHER, LATER)
    move = claim(attempt=3) if name == "claim" else FREE[name]
    if name == "forget":
        move = states.forget(JOB_ID, "message 1", replace(KNOWN, attempts=2), NOW)
    assert made(move, item) is None
    assert made(move, {**item, "state": "waiting"}) is None, "an older version's duplicate wrote it"
    assert made(move, {**item, "held_until": EARLIER}) is not None


@pytest.mark.parametrize("name", OURS)
def test_only_its_owner_moves_what_a_run_holds(name: str) -> None:
    """A lease that ran out is still its owner's; once another has claimed, nothing is."""
    move = OURS[name]
    assert made(move, held(ME, LATER)) is not None
    assert made(move, held(ME, EARLIER)) is not None
    assert made(move, held(OTHER, LATER)) is None
    assert made(move, held(ME, LATER, attempts=3)) is None, "an older version has claimed it"
    assert made(move, {}) is None, "somebody deleted the item"
    for state in get_args(State):
        assert made(move, known(state, owner=ME, attempts=2)) is None, "it was freed"


@pytest.mark.parametrize("name", ["claim", "complete"])
def test_a_write_that_is_sent_twice_recognises_itself(name: str) -> None:
    """It is refused, and what it meets shows it; what another wrote does not."""
    move, before = (claim(), known("waiting")) if name == "claim" else (OURS[name], held(ME, LATER))
    after = made(move, before)
    assert after is not None
    assert made(move, after) is None
    assert move.shown_by.items() <= after.items()
    assert not move.shown_by.items() <= {**after, "owner": OTHER}.items()


def test_a_receipt_whose_object_is_gone_is_missed_as_it_was_read() -> None:
    """Another receipt is not; twice is once, for nobody owns it."""
    move = states.miss(RECEIPT, NOW)
    after = made(move, known("archived"))
    assert after is not None
    assert (after["state"], after.get("owner"), after.get("upload_id")) == ("missing", None, None)
    assert made(move, after) is None
    assert move.shown_by.items() <= after.items()
    assert made(move, known("archived", archived_at=LATER)) is None
    for state in GOES_ON:
        assert made(move, known(state)) is None


@pytest.mark.parametrize(
    "changed", [{"attempts": 2}, {"upload_id": "another"}, {"key": "another/key"}], ids=str
)
def test_a_claim_on_a_stale_read_is_refused(changed: dict[str, object]) -> None:
    """What it is about to do would be stale: another attempt, upload or key."""
    assert made(claim(), known("waiting")) is not None
    assert made(claim(), known("waiting", **changed)) is None
    without_upload = {n: v for n, v in known("waiting").items() if n != "upload_id"}
    assert made(claim(), without_upload) is None, "somebody gave it up"


def test_a_second_message_says_nothing_of_the_job_that_the_first_has() -> None:
    """Neither that it waits nor that it is set aside; after six hours the first is lost."""
    states_of_messages: tuple[State, ...] = ("waiting", "failing")
    for state in states_of_messages:
        assert made(note("message 2"), known(state)) is None
        assert made(forget("message 2"), known(state)) is None
        lost = known(state, updated_at=iso_utc(NOW - timedelta(hours=6, seconds=1)))
        assert made(note("message 2"), lost) is not None
    for other in (*ENDS - {"archived"}, *GOES_ON - {*states_of_messages, "copying"}):
        assert made(note("message 2"), known(other)) is not None


def test_a_note_does_not_replace_a_later_one() -> None:
    """A run that was overtaken is late with it."""
    assert made(note(at=NOW - timedelta(minutes=2)), known("waiting")) is None


@pytest.mark.parametrize("minutes", [14, 16])
def test_an_older_versions_claim_holds_for_fifteen_minutes(minutes: int) -> None:
    """It has no owner, or ours of the attempt before, where it took the job over."""
    at = iso_utc(NOW - timedelta(minutes=minutes))
    without = known("copying", updated_at=at, attempts=1)
    over_ours = held(OTHER, LATER, attempts=3) | {"updated_at": at}
    assert (made(claim(), without) is None) == (minutes == 14)
    assert (made(claim(attempt=4), over_ours) is None) == (minutes == 14)
    undated = {name: value for name, value in without.items() if name != "updated_at"}
    assert made(claim(), undated) is not None, "the first versions wrote no moment"


@pytest.mark.parametrize("state", get_args(State))
def test_a_sweep_queues_what_is_as_it_was_read(state: State) -> None:
    """Nobody was quicker, and no run holds it."""
    long_ago = iso_utc(NOW - timedelta(hours=7))
    move = states.queue(JOB_ID, state, long_ago, NOW, taken_up=0)
    assert made(move, known(state, updated_at=long_ago)) is not None
    assert made(move, known(state)) is None
    assert made(move, known(state, updated_at=long_ago, held_until=LATER, held_as=1)) is None
    assert made(states.queue(JOB_ID, None, None, NOW, taken_up=0), {}) is not None


def test_an_entry_is_told_of_the_receipt_that_was_read_alone() -> None:
    """A job that was archived anew, or whose object is missed meanwhile, is left as it is."""
    move = states.catalogue(RECEIPT, "catalogue/key")
    after = made(move, known("archived"))
    assert after == {**known("archived"), "catalogue_key": "catalogue/key"}
    assert made(move, known("archived", archived_at=LATER)) is None
    assert made(move, {}) is None
    for state in set(get_args(State)) - {"archived"}:
        assert made(move, known(state)) is None


def test_an_item_is_rebuilt_where_there_is_none_alone() -> None:
    """As complete leaves one, so that it is read and missed like any; twice is once."""
    move = states.rebuild(RECEIPT, NOW)
    after = made(move, {})
    assert after is not None
    assert Receipt.from_fields(after) == RECEIPT
    assert (after["state"], after["updated_at"], after["attempts"]) == ("archived", EARLIER, 1)
    assert made(states.miss(RECEIPT, NOW), after) is not None
    assert move.shown_by.items() <= after.items()
    assert not states.rebuild(RECEIPT, NOW + timedelta(seconds=1)).shown_by.items() <= after.items()
    for state in get_args(State):
        assert made(move, known(state)) is None


def test_no_move_writes_an_expiry_or_an_unknown_state() -> None:
    """The table's TTL would delete a receipt; a state that nobody knows would be lost."""
    moves = [*OURS.values(), *FREE.values(), states.miss(RECEIPT, NOW)]
    moves += [states.catalogue(RECEIPT, "k"), states.rebuild(RECEIPT, NOW)]
    for move in moves:
        assert "expiration" not in move.names.values()
        assert move.values.get(":state", "archived") in get_args(State)
