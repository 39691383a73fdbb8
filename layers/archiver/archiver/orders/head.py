"""What all orders of a stack share, one item: the plan in force, who orders, how much today. Pure.

    move      who            only if                                    sets
    take      a run          nobody holds it                            run + 1, held_until
    release   its run        ours                                       held_until 0
    turn      its run        ours, held, not paused, the plan as read,  posted + 1 on that UTC day
                             and fewer than the day's limit
    close     its run        ours                                       closed_until and why
    open      its run        ours                                       no closed_until
    read      its run        ours                                       list_read_to
    apply     a person       the plan as read                           plan + 1
    pause     a person                                                  paused
    resume    a person                                                  no pause, no closed_until

A run is known by its number, which only grows: whoever was overtaken moves nothing any more, and a
request that goes out has taken its turn before. So a count may say more than was asked, never less;
a pause and another plan hold from the next request on, whoever is at work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["Head", "HeadMove", "apply", "close", "pause", "read", "release", "reopen", "resume"]
__all__ += ["take", "turn"]

_OURS = "#run = :run"


@dataclass(frozen=True, slots=True)
class HeadMove:
    """One conditional write to the item, in DynamoDB's words and with plain values.

    An item that refuses it and has what it is `shown_by` tells that the move was made before.
    """

    update: str
    values: Mapping[str, Any]
    condition: str = ""
    shown_by: Mapping[str, object] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """Return what its placeholders for attributes stand for."""
        return {
            f"#{name}": name for name in re.findall(r"#(\w+)", f"{self.condition} {self.update}")
        }


@dataclass(frozen=True, slots=True)
class Head:
    """The item as it was read; `plan` 0: nothing was ever applied. Times as epoch seconds."""

    plan: int = 0
    plan_digest: str = ""
    parts: int = 0
    run: int = 0
    held_until: float = 0.0
    is_paused: bool = False
    day: str = ""
    posted: int = 0
    closed_until: float = 0.0
    closed_reason: str = ""
    closed_detail: str = ""
    list_read_to: float = 0.0

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Head:
        """Read the item; what is missing says nothing."""
        return cls(
            plan=int(item.get("plan", 0)),
            plan_digest=str(item.get("plan_digest", "")),
            parts=int(item.get("parts", 0)),
            run=int(item.get("run", 0)),
            held_until=float(item.get("held_until", 0)),
            is_paused=bool(item.get("paused", False)),
            day=str(item.get("day", "")),
            posted=int(item.get("posted", 0)),
            closed_until=float(item.get("closed_until", 0)),
            closed_reason=str(item.get("closed_reason", "")),
            closed_detail=str(item.get("closed_detail", "")),
            list_read_to=float(item.get("list_read_to", 0)),
        )

    def posted_on(self, now: datetime) -> int:
        """Return how many requests went out on the UTC day of `now`."""
        return self.posted if self.day == day_of(now) else 0


def day_of(now: datetime) -> str:
    """Return the UTC day of a moment."""
    return now.astimezone(UTC).date().isoformat()


# --- a run's ---


def take(head: Head, token: str, now: datetime, seconds: float) -> HeadMove:
    """Be the one who orders, for so long at most: what an invocation has left, and a margin."""
    return HeadMove(
        "SET #run = :next, #held_until = :until, #owner = :owner",
        {
            ":run": head.run,
            ":next": head.run + 1,
            ":now": now.timestamp(),
            ":until": round(now.timestamp() + seconds, 3),
            ":owner": token,
        },
        "(attribute_not_exists(#run) OR #run = :run) AND "
        "(attribute_not_exists(#held_until) OR #held_until < :now)",
        {"owner": token},
    )


def release(run: int) -> HeadMove:
    """Let the next one order."""
    return HeadMove("SET #held_until = :zero", {":zero": 0, ":run": run}, _OURS)


def turn(head: Head, run: int, token: str, now: datetime, limit: int) -> HeadMove:
    """Take the right to one request, before it goes out. `head.posted`: what is known to be out."""
    posted = head.posted_on(now)
    return HeadMove(
        "SET #day = :day, #posted = :posted, #turn = :turn",
        {
            ":run": run,
            ":now": now.timestamp(),
            ":plan": head.plan,
            ":day": day_of(now),
            ":posted": posted + 1,
            ":most": min(posted, limit - 1),
            ":turn": token,
            ":yes": True,
        },
        f"{_OURS} AND #held_until > :now AND #plan = :plan "
        "AND (attribute_not_exists(#paused) OR #paused <> :yes) "
        "AND (attribute_not_exists(#day) OR #day <> :day OR #posted <= :most)",
        {"turn": token},
    )


def close(run: int, until: datetime, reason: str, detail: str) -> HeadMove:
    """Order nothing before then: the account's quota, or a refusal that concerns all orders."""
    return HeadMove(
        "SET #closed_until = :until, #closed_reason = :reason, #closed_detail = :detail",
        {
            ":run": run,
            ":until": round(until.timestamp(), 3),
            ":reason": reason,
            ":detail": detail,
        },
        _OURS,
    )


def reopen(run: int) -> HeadMove:
    """Say that the vendor takes orders again."""
    return HeadMove("REMOVE #closed_until, #closed_reason, #closed_detail", {":run": run}, _OURS)


def read(run: int, to: datetime) -> HeadMove:
    """Say up to when jobs were ordered of which the list has told, and which were looked at."""
    return HeadMove(
        "SET #list_read_to = :to", {":run": run, ":to": round(to.timestamp(), 3)}, _OURS
    )


# --- a person's ---


def apply(head: Head, digest: str, parts: int, token: str, now: datetime) -> HeadMove:
    """Put the plan in force whose parts were written as version `head.plan + 1`."""
    return HeadMove(
        "SET #plan = :next, #plan_digest = :digest, #parts = :parts, #applied_at = :at, "
        "#applied_by = :token",
        ({":plan": head.plan} if head.plan else {})
        | {
            ":next": head.plan + 1,
            ":digest": digest,
            ":parts": parts,
            ":at": now.isoformat(),
            ":token": token,
        },
        "#plan = :plan" if head.plan else "attribute_not_exists(#plan)",
        {"applied_by": token},
    )


def pause() -> HeadMove:
    """Order nothing until `resume`; archiving goes on."""
    return HeadMove("SET #paused = :yes", {":yes": True})


def resume() -> HeadMove:
    """Order again, also where the vendor's refusal would have been waited for."""
    return HeadMove(
        "SET #paused = :no REMOVE #closed_until, #closed_reason, #closed_detail", {":no": False}
    )
