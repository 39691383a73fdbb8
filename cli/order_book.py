"""What a stack's table says of orders, and the few things that a person changes there.

The items and their moves are ordering's own (archiver.orders, archiver.aws.order_items): here
stands only who calls them, and what boto3 could not do in our words.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3

from archiver.aws.moves import plain
from archiver.aws.order_items import OrderItems
from archiver.errors import Deferral, Interruption
from archiver.orders import head as heads
from cli.failure import ASKED_IN_VAIN, CANNOT_ASK, NO, Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from archiver.orders.head import Head
    from archiver.orders.ledger import Ledger
    from archiver.orders.plan import Order, Plan

__all__ = ["Book", "Version", "open_book"]

_MOST_VERSIONS = 50  # of earlier plans that are looked for, one read each
_JOB_FIELDS = (
    *("job_id", "order_name", "window", "cycle"),
    *("report_type", "output_format", "start_date", "end_date"),
)
_TRIES = 5  # at an item that a run writes at the same time


@dataclass(frozen=True, slots=True)
class Version:
    """An applied plan: where it lies, and when it was written."""

    head: Head
    written_at: str


@dataclass
class Book:
    """One stack's orders. Every method raises Failure, or what boto3 raises."""

    stack: str
    table: str
    has_schedule: bool  # OrderSchedule is set: there is a function that orders

    @cached_property
    def _items(self) -> OrderItems:
        return OrderItems(boto3.client("dynamodb"), self.table, time.sleep)

    # --- look ---

    def head(self) -> Head:
        """Return what all orders share, as it is now."""
        with _in_botos_words():
            return self._items.head()

    def plan_of(self, head: Head) -> Plan | None:
        """Return the plan that a head names; None where none was ever applied."""
        with _in_botos_words():
            return self._items.plan(head) if head.plan else None

    def plan_in_force(self) -> tuple[Head, Plan]:
        """Return the head and its plan; raises Failure where there is none."""
        head = self.head()
        plan = self.plan_of(head)
        if plan is None:
            raise Failure(
                f"{self.stack} has no plan of orders: write one (docs/orders.md), then "
                f"`archiver orders apply orders.yaml --stack {self.stack}`",
                NO,
            )
        return head, plan

    def ledgers(self, *plans: Plan | None) -> dict[str, Ledger]:
        """Return the windows of every chunk of these plans."""
        ids = {chunk.id for plan in plans if plan for _, chunk in plan.chunks()}
        with _in_botos_words():
            return self._items.ledgers(sorted(ids))

    def versions(self, head: Head) -> Iterator[Version]:
        """Yield the plan of a head and those before it, newest first."""
        found: Head | None = head if head.plan else None
        for _ in range(_MOST_VERSIONS):
            if found is None:
                return
            with _in_botos_words():
                written_at, before = self._items.origin(found)
            yield Version(found, written_at)
            found = before

    def archived_jobs(self) -> Iterator[dict[str, Any]]:
        """Yield what the table says of every archived job, as far as orders need it.

        Reads the whole table, at half the price: what is archived while it reads may be missed.
        """
        names = {f"#{name}": name for name in _JOB_FIELDS}
        pages = (
            boto3.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self.table,
                FilterExpression="begins_with(id, :job) AND #state = :archived",
                ProjectionExpression=", ".join(names),
                ExpressionAttributeNames={**names, "#state": "state"},
                ExpressionAttributeValues={":job": {"S": "job#"}, ":archived": {"S": "archived"}},
            )
        )
        for page in pages:
            yield from map(plain, page["Items"])

    # --- act ---

    def put_in_force(self, head: Head, plan: Plan, now: datetime) -> int:
        """Put a plan in force in place of a head's; return its version."""
        version = head.plan + 1
        with _in_botos_words():
            digest, parts = self._items.write_plan(version, plan, head, now.isoformat())
            move = heads.apply(head, digest, parts, uuid4().hex, now)
            if not self._items.move(move, "Putting the plan in force"):
                raise Failure(
                    "somebody else has applied a plan since this one was looked at: nothing was "
                    "changed; look again, and apply again",
                    NO,
                )
        return version

    def pause(self) -> None:
        """Order nothing until `resume`."""
        with _in_botos_words():
            self._items.move(heads.pause(), "Pausing ordering")

    def resume(self) -> None:
        """Order again."""
        with _in_botos_words():
            self._items.move(heads.resume(), "Resuming ordering")

    def begin_again(self, orders: Sequence[Order]) -> tuple[int, int]:
        """Let ordering try again what was stopped, or given up; return how many there were.

        A run that writes the same item at the same time goes first; then it is read again.
        """
        stopped = given_up = 0
        for chunk in (chunk for order in orders for chunk in order.chunks):
            for tries_left in reversed(range(_TRIES)):
                with _in_botos_words():
                    ledger = self._items.ledgers([chunk.id])[chunk.id]
                    if not (ledger.stopped or ledger.failed):
                        break
                    try:
                        self._items.save(ledger.resumed(), uuid4().hex)
                    except Deferral:
                        if not tries_left:
                            raise
                        continue
                stopped, given_up = stopped + bool(ledger.stopped), given_up + len(ledger.failed)
                break
        return stopped, given_up


def open_book(stack: str) -> Book:
    """Return a stack's orders; raises Failure, or what boto3 raises."""
    outputs = read_outputs(stack)
    has_schedule = "OrderExportsFunctionName" in outputs.outputs
    return Book(stack, outputs["ArchiveTableName"], has_schedule)


@contextmanager
def _in_botos_words() -> Iterator[None]:
    """Raise what boto3 raised, which cli/failure.py has remedies for; a Failure for all else."""
    try:
        yield
    except Interruption as error:
        if isinstance(error.__cause__, ASKED_IN_VAIN):
            raise error.__cause__ from error
        raise Failure(error.detail.rstrip("."), CANNOT_ASK) from error
