"""Breakages of the state machine, each of which some schedule of `make explore` must catch.

Each is made on the way to the table: a clause of a move's condition does not count, or a move is
not made. Nothing of ours is patched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from archiver.claim import Claim
from archiver.network.outside import Outside
from archiver.receipt import Receipt
from archiver.wiring.archiving import Application
from tests.faults.world import Mutation

__all__ = ["MUTANTS"]

_ALWAYS = "(attribute_exists(id) OR attribute_not_exists(id))"
_NOT_ARCHIVED = "(attribute_not_exists(#state) OR #state <> :archived)"
_LEASE = "(attribute_not_exists(#held_until) OR #held_until < :now OR #held_as <> #attempts)"
_OLD = (
    "(attribute_not_exists(#state) OR #state <> :copying OR #held_as = #attempts "
    "OR attribute_not_exists(#updated_at) OR #updated_at < :a_run_ago)"
)
_ITS_OWN = "(attribute_not_exists(#asked_by) OR #asked_by = :asked_by OR #updated_at < :long_ago)"
_OWNER = "#owner = :owner"
_STATE_AS_READ = "#state = :state_as_read"
_UPDATED_AS_READ = "#updated_at = :updated_at_as_read"
_COUNTED = "#held_as = #attempts"


def _move_of(call: dict[str, Any]) -> str:
    """Return which move a statement makes (archiver/states.py)."""
    update, values = call["UpdateExpression"], call["ExpressionAttributeValues"]
    state = values.get(":state", {}).get("S", "")
    owns = "#owner = :owner" in call.get("ConditionExpression", "")
    if owns:
        if "#held_until = :held_until" in update:
            return "extend"
        if state:
            return "complete" if state == "archived" else "release"
        return "keep"
    moves = {"copying": "claim", "missing": "miss", "queued": "queue"}
    if not state:
        return "forget" if "upload_id" in update else ""
    return moves.get(state, "note")


def _changed(change: Callable[[Any, dict[str, Any]], Any]) -> Mutation:
    class Worse:
        def __init__(self, real: Any) -> None:  # noqa: ANN401 - any client
            self._real = real

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the real one's
            return getattr(self._real, name)

        def update_item(self, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
            return change(self._real, call)

    def outside(real: Outside) -> Outside:
        def client(service: str, config: Any) -> Any:  # noqa: ANN401 - any client
            made = real.client(service, config)
            return Worse(made) if service == "dynamodb" else made

        return replace(real, client=client)

    return Mutation(outside=outside)


def _without(move: str, *clauses: str) -> Mutation:
    """Let clauses of a move's condition not count."""

    def change(real: Any, call: dict[str, Any]) -> Any:  # noqa: ANN401 - boto3's own
        if _move_of(call) == move:
            condition = call["ConditionExpression"]
            assert any(clause in condition for clause in clauses), (move, clauses)
            for clause in clauses:
                condition = condition.replace(clause, _ALWAYS)
            call["ConditionExpression"] = condition
            used = condition + " " + call["UpdateExpression"]
            for kind, sign in (
                ("ExpressionAttributeNames", "#"),
                ("ExpressionAttributeValues", ":"),
            ):
                words = set(re.findall(rf"{sign}\w+", used))
                call[kind] = {name: v for name, v in call[kind].items() if name in words}
        return real.update_item(**call)

    return _changed(change)


def _not_made(move: str) -> Mutation:
    def change(real: Any, call: dict[str, Any]) -> Any:  # noqa: ANN401 - boto3's own
        return {} if _move_of(call) == move else real.update_item(**call)

    return _changed(change)


def _without_context(application: Application) -> None:
    """Let Powertools not know when the invocation ends: its claim is over when it is made."""
    cast("Any", application._once).register = lambda _: None


def _remembering(application: Application) -> None:
    """Answer from a record beside the item, as Powertools' cache or its own records would."""
    once = cast("Any", application._once)
    run, records = once.run, _RECORDS.setdefault(application._outside.http, {})

    def worse(claim: Claim, attempt: Callable[[], Receipt]) -> Receipt:
        if claim.job_id not in records:
            records[claim.job_id] = run(claim, attempt)
        return records[claim.job_id]

    once.run = worse


_RECORDS: WeakKeyDictionary[Any, dict[str, Receipt]] = WeakKeyDictionary()  # of each world


# Where each was caught first, so that the hunt begins there.
CAUGHT_IN: dict[str, str] = {
    "claim: on a stale read": "two messages",
    "claim: passes another's lease": "two messages",
    "claim: the Lambda context is not registered": "two messages",
    "claim: passes a claim of old code's": "old code and new",
    "keep: not fenced": "one message",
    "extend: not made": "a copy longer than a lease",
    "extend: not fenced": "overtaken, and back",
    "queue: on a stale read": "sweep and message",
    "queue: over what a run holds": "sweep and message",
    "complete: not fenced": "one message",
    "release: not fenced": "overtaken, and back",
    "note: over what a run holds": "dead letter and live copy",
    "note: over another message's": "dead letter and waiting copy",
    "note: over a receipt": "dead letter and waiting copy",
    "forget: whoever has the job": "dead letter and live copy",
    "forget: not made, aborted all the same": "dead letter and live copy",
    "miss: not written down": "gone: recheck and message",
    "miss: whatever the receipt is": "gone: two rechecks",
    "a record beside the item answers": "gone: recheck and message",
}


MUTANTS: dict[str, Mutation] = {
    "claim: on a stale read": _without(
        *("claim", _NOT_ARCHIVED, _LEASE),
        *("#attempts = :attempts_as_read", "attribute_not_exists(#attempts)"),
    ),
    "claim: passes another's lease": _without("claim", _LEASE),
    "claim: the Lambda context is not registered": Mutation(application=_without_context),
    "claim: passes a claim of old code's": _without("claim", _OLD),
    "keep: not fenced": _without("keep", _OWNER, _COUNTED, "attribute_exists(#held_until)"),
    "extend: not made": _not_made("extend"),
    "extend: not fenced": _without("extend", _OWNER, _COUNTED, "attribute_exists(#held_until)"),
    "complete: not fenced": _without("complete", _OWNER, _COUNTED, "attribute_exists(#held_until)"),
    "complete: not made": _not_made("complete"),
    "release: not fenced": _without("release", _OWNER, _COUNTED, "attribute_exists(#held_until)"),
    "note: over what a run holds": _without("note", _LEASE, _OLD, _ITS_OWN),
    "note: over another message's": _without("note", _ITS_OWN),
    "note: over a receipt": _without("note", _NOT_ARCHIVED, _ITS_OWN),
    "forget: whoever has the job": _without("forget", _LEASE, _OLD, _ITS_OWN),
    "forget: not made, aborted all the same": _not_made("forget"),
    "miss: not written down": _not_made("miss"),
    "miss: whatever the receipt is": _without(
        "miss", "#archived_at = :archived_at_as_read", "#state = :state_as_read"
    ),
    "queue: on a stale read": _without("queue", _STATE_AS_READ, _UPDATED_AS_READ),
    "queue: over what a run holds": _without(
        "queue", _STATE_AS_READ, _UPDATED_AS_READ, _LEASE, _OLD
    ),
    "a record beside the item answers": Mutation(application=_remembering),
}
