"""The states of a job, and every move between them: one conditional write each. Pure.

    state            what it says                                         moved there by
    (no item)        nobody has heard of the job
    queued           a sweep put it on the queue                          queue
    waiting          its message comes back by itself                     release, note
    failing          its message comes back after a failure               note
    copying          a run holds it: `owner`, until `held_until`          claim
    archived         the object is committed, its entry is in the         complete
                     catalogue, the receipt tells which: `key` and
                     `catalogue_key`
    missing          the receipt's object is gone, and nobody has put     miss
                     another there
    dead_lettered    its message was set aside; a person must decide      note
    ended_at_vendor  it will never have an export                         note

    move      who        from                                   to         only if
    claim     a run      all but archived                       copying    free, and as read
    extend    its owner  copying                                copying    ours
    keep      its owner  copying                                copying    ours
    complete  its owner  copying                                archived   ours, catalogued, told
    release   its owner  copying                                waiting    ours
    note      a message  all but archived                       as told    free, its own, not later
    forget    a message  all but archived                       the same   free, its own, as read
    queue     the sweep  as read                                queued     free, and as read
    miss      a recheck  archived                               missing    the receipt as read
    catalogue a person   archived                               the same   the receipt as read
    rebuild   a person   (no item)                              archived

free     No run holds the job. A lease that has run out is none: then its owner still owns what it
         has, until another takes it.
ours     The item names our token, and no claim has been made since. Whoever finds it otherwise was
         overtaken, and must change nothing.
catalogued, told  The run has put the entry there, and the event was taken: it comes here last, so
         that whoever dies before does both again (cataloguing.py finds its own entry). An item
         without `catalogue_key` is of a version before this one, or something else lies there.
its own  Of several messages of one job the one whose claim was the last has the job until it ends
         it: another that fails, waits or is set aside says nothing of it. Where nobody has touched
         the item for `LOST_AFTER`, that message is lost.
as read  Attempts, key and upload are what the writer knows: else what it is about to do is stale.

An upload is aborted only after the item has forgotten it (keep, complete, forget, miss), and only
if it was there before: so nobody aborts one that a run goes on with.

DynamoDB repeats no write by a token as it does a transaction, and boto3 sends a write again whose
answer was lost: it then meets what it wrote. `Move.shown_by` recognises that.

What the versions before this one wrote: their `copying` has no owner (or one with another count of
attempts, where they took the job over from us). It is held for 15 minutes, which is Lambda's limit
for a run. This may go when no stack of theirs (0.1.0 and before) is updated any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from archiver.claim import Checkpoint, Claim, KnownJob
from archiver.errors import Interruption
from archiver.receipt import Receipt, iso_utc

__all__ = ["ENDS", "GOES_ON", "LOST_AFTER", "Move", "NotedState", "State", "catalogue", "claim"]
__all__ += ["complete", "extend", "forget", "keep", "miss", "note", "queue", "rebuild", "release"]

NotedState = Literal["waiting", "failing", "dead_lettered", "ended_at_vendor"]
State = Literal[NotedState, "queued", "copying", "archived", "missing"]

# Nothing is queued again of a job with one of these: a dead letter is a person's (RedriveCommand).
ENDS: frozenset[State] = frozenset({"archived", "dead_lettered", "ended_at_vendor"})
GOES_ON: frozenset[State] = frozenset(get_args(State)) - ENDS
# A job under way touches its item at least as often as its message comes round: a delay is at most
# 15 minutes (SQS), a killed run's message is back after the queue's visibility of 90. An item that
# nobody touched for 6 hours has lost its message, or waits in a queue that stands still; then a
# second message costs one read of the table (docs/decisions, "When a message counts as lost").
LOST_AFTER = timedelta(hours=6)
_LONGEST_RUN = timedelta(minutes=15)  # Lambda's limit

_OURS = "#owner = :owner AND #held_as = #attempts AND attribute_exists(#held_until)"
_FREE = (
    "(attribute_not_exists(#held_until) OR #held_until < :now OR #held_as <> #attempts) AND "
    "(attribute_not_exists(#state) OR #state <> :copying OR #held_as = #attempts "
    "OR attribute_not_exists(#updated_at) OR #updated_at < :a_run_ago)"
)
_FREE_AND_NOT_ARCHIVED = f"(attribute_not_exists(#state) OR #state <> :archived) AND {_FREE}"
_ITS_OWN = "(attribute_not_exists(#asked_by) OR #asked_by = :asked_by OR #updated_at < :long_ago)"
_LEASE = ("held_until", "held_as")
_WHY = ("reason", "detail", "next_try_at")
_UPLOAD = tuple(each.name for each in fields(Checkpoint))
# Of an upload alone: what a receipt says under the same name is the object's.
_UPLOAD_ALONE = tuple(name for name in _UPLOAD if name not in Receipt.__slots__)


@dataclass(frozen=True, slots=True)
class Move:
    """One conditional write to one job's item, in DynamoDB's words and with plain values.

    An item that refuses it and has what it is `shown_by` tells that the move was made before.
    """

    job_id: str
    condition: str
    update: str
    values: Mapping[str, Any]
    shown_by: Mapping[str, str]

    @property
    def names(self) -> dict[str, str]:
        """Return what its placeholders for attributes stand for."""
        return {
            f"#{name}": name for name in re.findall(r"#(\w+)", f"{self.condition} {self.update}")
        }


# --- a run's ---


def claim(claim: Claim, held_until: str) -> Move:
    """Begin an attempt: take the job, count the attempt, fix the key if none is fixed yet."""
    same_key = "(attribute_not_exists(#key) OR #key = :key)"
    sets = {
        "state": "copying",
        "job_id": claim.job_id,
        "key": claim.key,
        "attempts": claim.attempt,
        "owner": claim.owner,
        "held_as": claim.attempt,
        "held_until": held_until,
        "asked_by": claim.asked_by,
        "updated_at": claim.claimed_at,
    }
    as_read, values = _as_read(attempts=claim.attempt - 1 or None, upload_id=claim.upload_id)
    return _move(
        claim.job_id,
        f"{_FREE_AND_NOT_ARCHIVED} AND {as_read} AND "
        + (same_key if claim.instead_of is None else "#key = :instead_of"),
        {**values, **_before(claim.claimed_at), "instead_of": claim.instead_of},
        sets=sets,
        begins={"first_seen_at": claim.first_seen_at},
        # What was begun at another key is nothing to go on with.
        removes=_WHY if claim.instead_of is None else (*_WHY, *_UPLOAD),
        shown_by={"owner": claim.owner, "state": "copying"},
    )


def extend(claim: Claim, held_until: str) -> Move:
    """Hold it for longer."""
    return _move(claim.job_id, _OURS, {"owner": claim.owner}, sets={"held_until": held_until})


def keep(claim: Claim, checkpoint: Checkpoint | None) -> Move:
    """Write an upload down before its first part; None forgets it, before it is aborted."""
    values = {"owner": claim.owner}
    if checkpoint is None:
        return _move(claim.job_id, _OURS, values, removes=_UPLOAD)
    return _move(claim.job_id, _OURS, values, sets=asdict(checkpoint))


def complete(claim: Claim, receipt: Receipt) -> Move:
    """Store the receipt; from then on the job counts as archived."""
    told = {name: value for name, value in receipt.to_fields().items() if name != "key"}
    return _move(
        claim.job_id,
        _OURS,
        {"owner": claim.owner},
        sets={**told, "state": "archived", "updated_at": receipt.archived_at},
        removes=(*_LEASE, *_UPLOAD_ALONE, "asked_by"),
        shown_by={"owner": claim.owner, "state": "archived"},
    )


def release(claim: Claim, why: Interruption, at: datetime) -> Move:
    """Free it without a receipt. What becomes of its message, the note says that follows."""
    sets = {"state": "waiting", "reason": why.reason, "detail": why.detail}
    return _move(
        claim.job_id,
        _OURS,
        {"owner": claim.owner},
        sets={**sets, "updated_at": iso_utc(at)},
        removes=_LEASE,
    )


# --- a message's ---


def note(
    job_id: str,
    asked_by: str,
    state: NotedState,
    why: Interruption,
    at: datetime,
    *,
    next_try_at: str | None = None,
    fails: Literal["anew", "still"] | None = None,
) -> Move:
    """Say why a job is not archived now, and when it is tried next, if it is.

    `fails` tells whether `failing_since` begins; None ends it.
    """
    now = iso_utc(at)
    begins = {"known_since": now} | ({"failing_since": now} if fails == "still" else {})
    sets = {
        "state": state,
        "reason": why.reason,
        "detail": why.detail,
        "job_id": job_id,
        "updated_at": now,
        "next_try_at": next_try_at,
        "asked_by": None if state in ENDS else asked_by,
        "failing_since": now if fails == "anew" else None,
    }
    not_later = "(attribute_not_exists(#updated_at) OR #updated_at <= :now)"
    return _move(
        job_id,
        f"{_FREE_AND_NOT_ARCHIVED} AND {_ITS_OWN} AND {not_later}",
        {**_before(now), "asked_by": asked_by},
        sets={name: value for name, value in sets.items() if value is not None},
        begins=begins,
        removes=[name for name, value in sets.items() if value is None and name not in begins],
    )


def forget(job_id: str, asked_by: str, known: KnownJob, at: datetime) -> Move:
    """Forget the upload of a job that is given up, so that it can be aborted."""
    as_read, values = _as_read(attempts=known.attempts or None, upload_id=known.upload_id)
    return _move(
        job_id,
        f"{_FREE_AND_NOT_ARCHIVED} AND {_ITS_OWN} AND {as_read}",
        {**values, **_before(iso_utc(at)), "asked_by": asked_by},
        removes=_UPLOAD,
    )


def miss(receipt: Receipt, at: datetime) -> Move:
    """Say that the object is gone that a receipt tells of: the job is archived no more.

    Whoever asks from now on copies; two who found it gone made one move.
    """
    as_read, values = _as_read(state="archived", archived_at=receipt.archived_at)
    return _move(
        receipt.job_id,
        as_read,
        values,
        sets={"state": "missing", "updated_at": iso_utc(at)},
        removes=("owner", *_LEASE, *_UPLOAD_ALONE, "asked_by"),
        shown_by={"state": "missing"},
    )


# --- a person's, by `archiver audit` ---


def catalogue(receipt: Receipt, catalogue_key: str) -> Move:
    """Say where the entry of a receipt lies that has got one later than its export."""
    as_read, values = _as_read(state="archived", archived_at=receipt.archived_at)
    return _move(receipt.job_id, as_read, values, sets={"catalogue_key": catalogue_key})


def rebuild(receipt: Receipt, at: datetime) -> Move:
    """Write a job's item anew, as `complete` leaves one, where the table has lost it.

    An attempt is counted: should the object be gone, the next one looks for what is left of it.
    """
    now = iso_utc(at)
    told = {**receipt.to_fields(), "attempts": 1, "first_seen_at": receipt.archived_at}
    return _move(
        receipt.job_id,
        "attribute_not_exists(#id)",
        {},
        sets={**told, "state": "archived", "updated_at": receipt.archived_at, "rebuilt_at": now},
        shown_by={"state": "archived", "rebuilt_at": now},
    )


# --- the sweep's ---


def queue(
    job_id: str, state: str | None, updated_at: str | None, at: datetime, *, taken_up: int
) -> Move:
    """Say that a job was queued, unless its item has changed since it was read."""
    now = iso_utc(at)
    as_read, values = _as_read(state=state, **({} if state is None else {"updated_at": updated_at}))
    sets: dict[str, object] = {"state": "queued", "updated_at": now, "job_id": job_id}
    return _move(
        job_id,
        f"{as_read} AND {_FREE}",
        {**values, **_before(now)},
        sets=sets | ({"taken_up": taken_up} if taken_up else {}),
        begins={"known_since": now},
        removes=("asked_by",),
    )


# --- inside ---


def _move(
    job_id: str,
    condition: str,
    values: Mapping[str, object],
    *,
    sets: Mapping[str, object] | None = None,
    begins: Mapping[str, object] | None = None,
    removes: Iterable[str] = (),
    shown_by: Mapping[str, str] | None = None,
) -> Move:
    """Write a move down; what `begins` is set only where it is not there yet.

    DynamoDB refuses values that nothing uses.
    """
    sets, begins = sets or {}, begins or {}
    changes = [f"#{name} = :{name}" for name in sets]
    changes += [f"#{name} = if_not_exists(#{name}, :{name})" for name in begins]
    removed = [f"#{name}" for name in removes]
    update = f"SET {', '.join(changes)} " if changes else ""
    update += f"REMOVE {', '.join(removed)}" if removed else ""
    known = {**values, **sets, **begins}
    used = {name: known[name] for name in re.findall(r":(\w+)", f"{condition} {update}")}
    return Move(job_id, condition, update, {f":{n}": used[n] for n in used}, shown_by or {})


def _before(now: str) -> dict[str, str]:
    at = datetime.fromisoformat(now)
    ago = {"a_run_ago": iso_utc(at - _LONGEST_RUN), "long_ago": iso_utc(at - LOST_AFTER)}
    return {"now": now, "archived": "archived", "copying": "copying", **ago}


def _as_read(**read: object) -> tuple[str, dict[str, object]]:
    """Return the condition that an item is as it was read, None: without it, and its values."""
    conditions = [
        f"attribute_not_exists(#{name})" if value is None else f"#{name} = :{name}_as_read"
        for name, value in read.items()
    ]
    return " AND ".join(conditions), {f"{name}_as_read": value for name, value in read.items()}
