"""What people ask of orders: is this plan good, what would it do, apply it, show, pause, resume.

They ask the function itself, so that whoever judges a plan is whoever will follow it, and nobody
but the function writes. A plan that is applied is one that was shown: `instead_of` is the version
that it was compared with. It knows neither boto3 nor YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from archiver.errors import Deferral
from archiver.orders import head as heads
from archiver.orders.demand import missing, wants
from archiver.orders.head import Head, HeadMove
from archiver.orders.ledger import Ledger
from archiver.orders.plan import Chunk, Order, Plan, PlanRefused, read_plan
from archiver.orders.windows import label_of

__all__ = ["OrderDesk", "is_asked"]

_SHOWN_DATES = 3
_MOST_SHOWN = 50
_TRIES = 5  # of a write that a run of the schedule was quicker than


class Items(Protocol):
    """The table (aws/order_items.py)."""

    def head(self) -> Head: ...
    def move(self, move: HeadMove, doing: str) -> bool: ...
    def plan(self, head: Head) -> Plan: ...
    def write_plan(self, version: int, plan: Plan, before: Head, at: str) -> tuple[str, int]: ...
    def ledgers(self, chunk_ids: Sequence[str]) -> dict[str, Ledger]: ...
    def save(self, ledger: Ledger, token: str) -> Ledger: ...


def is_asked(event: object) -> bool:
    """Tell whether an event is a person's; every other one is the schedule's."""
    return isinstance(event, dict) and "orders" in event


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """Answers people; built once per runtime."""

    items: Items
    now: Callable[[], datetime]
    token: Callable[[], str]

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked for, and tell what was done; `outcome` says whether."""
        asked, name = event.get("orders"), event.get("name")
        match asked:
            case "plan":
                return self._shown(event.get("document"))
            case "apply":
                return self._apply(event.get("document"), event.get("instead_of"))
            case "show":
                return self._show()
            case "pause":
                self.items.move(heads.pause(), "Pausing orders")
                return {"outcome": "done"}
            case "resume":
                return self._resume(name if isinstance(name, str) else None)
        known = "plan, apply, show, pause, resume"
        return {"outcome": "refused", "detail": f"`orders` is none of {known}."}

    # --- plans ---

    def _shown(self, document: object) -> dict[str, Any]:
        """Return what a plan would do, changing nothing."""
        head = self.items.head()
        before = self.items.plan(head) if head.plan else None
        now = self.now()
        try:
            plan = read_plan(document).applied(before, now)
        except PlanRefused as refused:
            return {
                "outcome": "refused",
                "problems": [
                    {"path": list(each.path), "message": each.message, "remedy": each.remedy}
                    for each in refused.problems
                ],
            }
        chunks = [chunk.id for _, chunk in plan.chunks()]
        ledgers = self.items.ledgers(chunks)
        jobs = sum(_jobs(order, chunk, ledgers[chunk.id], now) for order, chunk in plan.chunks())
        return {
            "outcome": "good",
            "plan": head.plan,
            "is_new": before is None or before.to_fields() != plan.to_fields(),
            "jobs": jobs,
            "days": plan.days_for(jobs),
            "jobs_a_day": round(float(plan.jobs_a_day), 2),
            "orders": [_order_shown(order, ledgers, now) for order in plan.orders],
            "takes_away": [] if before is None else _taken_away(before, plan),
        }

    def _apply(self, document: object, instead_of: object) -> dict[str, Any]:
        """Put a plan in force, unless another was applied since it was shown."""
        shown = self._shown(document)
        if shown["outcome"] != "good" or not shown["is_new"]:
            return {**shown, "applied": False}
        head = self.items.head()
        if head.plan != instead_of:
            told = f"Version {head.plan} was applied meanwhile; look at what would change now."
            return {"outcome": "refused", "detail": told}
        before = self.items.plan(head) if head.plan else None
        now = self.now()
        plan = read_plan(document).applied(before, now)
        digest, parts = self.items.write_plan(head.plan + 1, plan, head, now.isoformat())
        move = heads.apply(head, digest, parts, self.token(), now)
        if not self.items.move(move, "Applying the plan"):
            return {"outcome": "refused", "detail": "Another plan was applied just now."}
        return {**shown, "plan": head.plan + 1, "applied": True}

    # --- what is there ---

    def _show(self) -> dict[str, Any]:
        head, now = self.items.head(), self.now()
        if not head.plan:
            return {"outcome": "good", "plan": 0, "orders": []}
        plan = self.items.plan(head)
        ledgers = self.items.ledgers([chunk.id for _, chunk in plan.chunks()])
        lacks = missing(plan, ledgers, now)
        return {
            "outcome": "good",
            "plan": head.plan,
            "paused": head.is_paused,
            "closed_until": head.closed_until if head.closed_until > now.timestamp() else None,
            "closed_because": head.closed_detail,
            "ordered_today": head.posted_on(now),
            "missing": lacks.windows,
            "oldest_missing_seconds": lacks.oldest_seconds,
            "orders": [_order_state(order, ledgers, now) for order in plan.orders],
        }

    def _resume(self, name: str | None) -> dict[str, Any]:
        """Begin again: all that was paused, stopped or given up, or what was of one order."""
        head = self.items.head()
        if not head.plan:
            return {"outcome": "refused", "detail": "No plan is applied."}
        plan = self.items.plan(head)
        chunks = [chunk.id for order, chunk in plan.chunks() if name in (None, order.name)]
        if not chunks:
            return {"outcome": "refused", "detail": f"The plan has no order {name}."}
        for _ in range(_TRIES):
            begun = self._resume_ledgers(chunks)
            if begun is not None:
                if name is None:  # a pause is of all orders, and ends for all
                    self.items.move(heads.resume(), "Resuming orders")
                return {"outcome": "done", "resumed": begun}
        return {"outcome": "refused", "detail": "A run is changing these orders; try again."}

    def _resume_ledgers(self, chunk_ids: Sequence[str]) -> int | None:
        """Return how many were stopped or had given up; None where somebody was quicker."""
        halted = [
            ledger
            for ledger in self.items.ledgers(chunk_ids).values()
            if ledger.stopped or ledger.failed
        ]
        with suppress(Deferral):
            for ledger in halted:
                self.items.save(ledger.resumed(), self.token())
            return len(halted)
        return None


def _jobs(order: Order, chunk: Chunk, ledger: Ledger, now: datetime) -> int:
    lacks = wants(order, chunk, ledger, now)
    return len(lacks.due) + len(lacks.restated) + len(lacks.history)


def _order_shown(order: Order, ledgers: Mapping[str, Ledger], now: datetime) -> dict[str, Any]:
    last = order.last(now)
    shown = range(last, max(order.first, last - _SHOWN_DATES + 1) - 1, -1)
    return {
        "name": order.name,
        "windows": max(0, last - order.first + 1),
        "chunks": len(order.chunks),
        "properties": sum(len(chunk.properties) for chunk in order.chunks),
        "jobs": sum(_jobs(order, chunk, ledgers[chunk.id], now) for chunk in order.chunks),
        "jobs_a_day": round(float(order.jobs_a_day(len(order.chunks))), 2),
        # Newest first, which is how they are ordered: exactly what is sent.
        "sent": [_window(order, number) for number in shown],
        "oldest": _window(order, order.first),
        "next": {
            **_window(order, last + 1),
            "at": order.ready.at(order.every, last + 1).isoformat(),
        },
    }


def _window(order: Order, number: int) -> dict[str, str]:
    start, end = order.dates(number)
    return {"window": label_of(order.every, number), "start_date": start, "end_date": end}


def _order_state(order: Order, ledgers: Mapping[str, Ledger], now: datetime) -> dict[str, Any]:
    known = [ledgers[chunk.id] for chunk in order.chunks]
    entries = [
        {
            "window": label_of(order.every, window),
            "state": entry.state,
            "job_id": entry.job_id,
            "since": entry.since.isoformat(),
            "attempt": entry.attempt,
            "detail": entry.said,
        }
        for ledger in known
        for window, entry in sorted(ledger.open.items())
    ]
    given_up = sorted({window for ledger in known for window in ledger.failed})
    return {
        "name": order.name,
        "windows": max(0, order.last(now) - order.first + 1),
        "chunks": len(order.chunks),
        "to_order": sum(_jobs(order, chunk, ledgers[chunk.id], now) for chunk in order.chunks),
        "on_their_way": entries[:_MOST_SHOWN],
        "stopped": sorted({ledger.stopped for ledger in known if ledger.stopped}),
        "given_up": [label_of(order.every, window) for window in given_up[:_MOST_SHOWN]],
    }


def _taken_away(before: Plan, plan: Plan) -> list[str]:
    """Return a sentence for each order that loses something; what is archived stays in any case."""
    left: dict[tuple[str, str, str, str], set[int]] = {}
    for order in plan.orders:
        left.setdefault(order.kind, set()).update(order.properties)
    sentences = []
    for order in before.orders:
        lost = set(order.properties) - left.get(order.kind, set())
        if lost:
            told = f"{len(lost)} of {len(order.properties)} properties of {order.name}"
            sentences.append(f"{told} are not ordered any more as they were.")
    return sentences
