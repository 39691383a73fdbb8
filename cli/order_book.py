"""What a stack's table says of orders, and what a person has its function change there.

People read the table, and write nothing into it: whatever changes is asked of order_exports, which
judges it anew. The items are ordering's own (archiver.orders, archiver.aws.order_items).
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from archiver.aws.moves import plain
from archiver.aws.order_items import OrderItems
from archiver.errors import Interruption
from archiver.orders.plan import Problem
from cli.failure import ASKED_IN_VAIN, CANNOT_ASK, NO, USAGE, Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from archiver.orders.head import Head
    from archiver.orders.ledger import Ledger
    from archiver.orders.plan import Plan

__all__ = ["Book", "Version", "open_book", "orders_anything"]

_FUNCTION = "OrderExportsFunctionName"  # the output
_MOST_VERSIONS = 50  # of earlier plans that are looked for, one read each
_JOB_FIELDS = (
    *("job_id", "order_name", "window", "cycle"),
    *("report_type", "output_format", "start_date", "end_date", "property_set"),
)
_LONGEST_INVOCATION_SECONDS = 310  # the function's 300, and the way there and back
_MOST_PAYLOAD_BYTES = 6_000_000  # Lambda Developer Guide, "Lambda quotas": 6 MB


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
    ask: Callable[[dict[str, Any]], dict[str, Any]]  # order_exports
    dynamodb: DynamoDBClient

    @cached_property
    def _items(self) -> OrderItems:
        return OrderItems(self.dynamodb, self.table, time.sleep)

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
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table,
            FilterExpression="begins_with(id, :job) AND #state = :archived",
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames={**names, "#state": "state"},
            ExpressionAttributeValues={":job": {"S": "job#"}, ":archived": {"S": "archived"}},
        )
        for page in pages:
            yield from map(plain, page["Items"])

    # --- act: the function does it, which is also who follows the plan ---

    def put_in_force(self, head: Head, document: Any) -> int:  # noqa: ANN401 - a plan as JSON
        """Put a plan in force in place of a head's; return its version."""
        request = {"orders": "apply", "document": document, "instead_of": head.plan}
        return int(self._done(request)["plan"])

    def pause(self) -> None:
        """Order nothing until `resume`."""
        self._done({"orders": "pause"})

    def resume(self, order_name: str | None) -> int:
        """Order again; return how many chunks had been stopped, or had windows given up."""
        return int(self._done({"orders": "resume", "name": order_name})["resumed"])

    def _done(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self.ask(request)
        if answer.get("outcome") not in {"good", "done"}:
            told = [
                str(Problem(tuple(each["path"]), each["message"], each["remedy"]))
                for each in answer.get("problems", [])
            ]
            why = "; ".join(told) or str(answer.get("detail"))
            raise Failure(f"order_exports refused it, and nothing was changed: {why}", NO)
        return answer


def orders_anything(stack: str) -> bool:
    """Tell whether a stack has the function that orders; raises what boto3 raises."""
    return _FUNCTION in read_outputs(stack).outputs


def open_book(stack: str) -> Book:
    """Return a stack's orders; raises Failure where it orders nothing, or what boto3 raises."""
    outputs = read_outputs(stack)
    if _FUNCTION not in outputs.outputs:
        raise Failure(
            f"{stack} orders nothing yet: give it a schedule, "
            "archiver deploy STAGE --set 'OrderSchedule=rate(15 minutes)'",
            CANNOT_ASK,
        )
    function = outputs[_FUNCTION]
    return Book(
        stack,
        outputs["ArchiveTableName"],
        lambda request: _invoke(function, request),
        boto3.client("dynamodb"),
    )


def _invoke(function: str, request: dict[str, Any]) -> dict[str, Any]:
    payload = json.dumps(request, separators=(",", ":")).encode()
    if len(payload) > _MOST_PAYLOAD_BYTES:
        raise Failure(
            "the plan is longer than the 6 MB that a function takes: spread its properties over "
            "two stacks",
            USAGE,
        )
    # Not sent again by itself: an apply that was made and sent again would find another plan.
    config = Config(read_timeout=_LONGEST_INVOCATION_SECONDS, retries={"total_max_attempts": 1})
    client = boto3.client("lambda", config=config)
    invoked: dict[str, Any] = dict(client.invoke(FunctionName=function, Payload=payload))
    answer: dict[str, Any] = json.loads(invoked["Payload"].read())
    if "FunctionError" in invoked:
        raise Failure(f"order_exports failed: {answer.get('errorMessage', answer)}", NO)
    return answer


@contextmanager
def _in_botos_words() -> Iterator[None]:
    """Raise what boto3 raised, which cli/failure.py has remedies for; a Failure for all else."""
    try:
        yield
    except Interruption as error:
        if isinstance(error.__cause__, ASKED_IN_VAIN):
            raise error.__cause__ from error
        raise Failure(error.detail.rstrip("."), CANNOT_ASK) from error
