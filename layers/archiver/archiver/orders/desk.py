"""What people have changed of orders: apply a plan, pause, resume.

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
from archiver.orders.head import Head, HeadMove
from archiver.orders.ledger import Ledger
from archiver.orders.plan import Plan, PlanRefused, read_plan

__all__ = ["OrderDesk", "is_asked"]

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
            case "apply":
                return self._apply(event.get("document"), event.get("instead_of"))
            case "pause":
                self.items.move(heads.pause(), "Pausing orders")
                return {"outcome": "done"}
            case "resume":
                return self._resume(name if isinstance(name, str) else None)
        known = "apply, pause, resume"
        return {"outcome": "refused", "detail": f"`orders` is none of {known}."}

    def _apply(self, document: object, instead_of: object) -> dict[str, Any]:
        """Put a plan in force, unless another was applied since it was shown."""
        head, now = self.items.head(), self.now()
        before = self.items.plan(head) if head.plan else None
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
        if before is not None and before.to_fields() == plan.to_fields():
            return {"outcome": "good", "plan": head.plan, "applied": False}
        if head.plan != instead_of:
            told = f"Version {head.plan} was applied meanwhile; look at what would change now."
            return {"outcome": "refused", "detail": told}
        digest, parts = self.items.write_plan(head.plan + 1, plan, head, now.isoformat())
        move = heads.apply(head, digest, parts, self.token(), now)
        if not self.items.move(move, "Applying the plan"):
            return {"outcome": "refused", "detail": "Another plan was applied just now."}
        return {"outcome": "good", "plan": head.plan + 1, "applied": True}

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
