"""What ordering reads and writes in the table; none of it has the TTL's attribute.

    orders#head               one item: the plan in force, the run, the day's count (orders/head.py)
    orders#plan#<n>#<digest>#<part>
                              an applied plan, compressed; never changed, so that earlier ones stay
    orders#chunk#<id>         one chunk's windows (orders/ledger.py), as a whole

A ledger is written only as it was read. It and a part of a plan stay far below DynamoDB's 400 KB
for an item: plan.py and ledger.py bound what they hold.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archiver.aws.batches import read_items
from archiver.aws.moves import Refused, Table, plain
from archiver.aws.translate import translated
from archiver.errors import Deferral, Failure
from archiver.orders.head import Head, HeadMove
from archiver.orders.ledger import Ledger
from archiver.orders.plan import Plan

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["OrderItems"]

_HEAD_KEY: dict[str, AttributeValueTypeDef] = {"id": {"S": "orders#head"}}
_PART_BYTES = 350_000  # of a plan's, below the 400 KB that an item may have with its names


class OrderItems:
    """Implements `ordering.Items`, and what the command line needs besides."""

    def __init__(
        self, client: DynamoDBClient, table_name: str, pause: Callable[[float], None]
    ) -> None:
        self._table = Table(client, table_name)
        self._pause = pause

    # --- the head ---

    def head(self) -> Head:
        """Return the head as it is now."""
        with translated("Reading the orders' head"):
            answer = self._table.client.get_item(
                TableName=self._table.name, Key=_HEAD_KEY, ConsistentRead=True
            )
        return Head.from_item(plain(answer.get("Item") or {}))

    def move(self, move: HeadMove, doing: str) -> bool:
        """Make a move of the head, and tell whether it was made; raises Failure("aws_error")."""
        return self._table.is_written(_HEAD_KEY, move, doing)

    # --- plans ---

    def plan(self, head: Head) -> Plan:
        """Return the plan in force; raises Failure("aws_error") where it is not whole."""
        keys = [_plan_key(head.plan, head.plan_digest, part) for part in range(head.parts)]
        found = {
            item["id"]["S"]: item for item in self._read(keys, "Reading the plan", strongly=True)
        }
        try:
            body = b"".join(bytes(found[key["id"]["S"]]["body"]["B"]) for key in keys)
        except KeyError as error:
            told = f"Reading the plan: version {head.plan} is not whole in the table."
            raise Failure("aws_error", told) from error
        return Plan.from_fields(json.loads(zlib.decompress(body)))

    def write_plan(self, version: int, plan: Plan, before: Head, at: str) -> tuple[str, int]:
        """Write a plan's parts; return digest and number, by which `head.apply` finds them.

        It is not in force by that, and no other plan is touched: each lies under its own digest.
        The first part names the plan `before`, and when this one was written (`at`).
        """
        body = zlib.compress(json.dumps(plan.to_fields(), separators=(",", ":")).encode(), 9)
        digest = hashlib.sha256(body).hexdigest()[:16]
        parts = [body[start : start + _PART_BYTES] for start in range(0, len(body), _PART_BYTES)]
        told = f"{before.plan}#{before.plan_digest}#{before.parts}"
        for number, part in enumerate(parts):
            item = {**_plan_key(version, digest, number), "body": {"B": part}}
            if number == 0:
                item |= {"before": {"S": told}, "written_at": {"S": at}}
            with translated("Writing down the plan"):
                self._table.client.put_item(TableName=self._table.name, Item=item)
        return digest, len(parts)

    def origin(self, head: Head) -> tuple[str, Head | None]:
        """Return when a head's plan was written, and by which head the plan before it is found."""
        with translated("Reading when a plan was applied"):
            answer = self._table.client.get_item(
                TableName=self._table.name,
                Key=_plan_key(head.plan, head.plan_digest, 0),
                ProjectionExpression="#before, #written_at",
                ExpressionAttributeNames={"#before": "before", "#written_at": "written_at"},
            )
        item = plain(answer.get("Item") or {})
        plan, _, rest = str(item.get("before", "")).partition("#")
        digest, _, parts = rest.partition("#")
        before = Head(int(plan), digest, int(parts)) if plan and plan != "0" else None
        return str(item.get("written_at", "")), before

    # --- ledgers ---

    def ledgers(self, chunk_ids: Sequence[str]) -> dict[str, Ledger]:
        """Return each chunk's windows; of one without an item nothing is known.

        Eventually consistent, at half the price: no move is made on what is stale, because each is
        written as it was read.
        """
        keys = [_ledger_key(chunk_id) for chunk_id in chunk_ids]
        found = {
            item["id"]["S"]: item for item in self._read(keys, "Reading the windows of orders")
        }
        return {
            chunk_id: _ledger(chunk_id, found.get(_ledger_key(chunk_id)["id"]["S"]))
            for chunk_id in chunk_ids
        }

    def save(self, ledger: Ledger, token: str) -> Ledger:
        """Write a chunk's windows as they are now, and return them as they then lie there.

        `token` is this write's own. Raises Deferral("in_progress_elsewhere") where somebody else
        has written since they were read, and Failure("aws_error").
        """
        written = replace(ledger, revision=ledger.revision + 1)
        body = json.dumps(ledger.to_fields(), separators=(",", ":"))
        as_read = "#revision = :revision" if ledger.revision else "attribute_not_exists(#revision)"
        values = {":next": written.revision, ":body": body, ":token": token}
        if ledger.revision:
            values[":revision"] = ledger.revision
        try:
            self._table.change(
                _ledger_key(ledger.chunk_id),
                "SET #revision = :next, #body = :body, #written_by = :token",
                values,
                "Writing down the windows of an order",
                as_read,
                {"#revision": "revision", "#body": "body", "#written_by": "written_by"},
            )
        except Refused as refused:
            if refused.item.get("written_by") != token:
                told = "Somebody else changed an order's windows meanwhile."
                raise Deferral("in_progress_elsewhere", told) from refused
        return written

    # --- inside ---

    def _read(
        self, keys: Sequence[Any], doing: str, *, strongly: bool = False
    ) -> list[Mapping[str, Any]]:
        client, name = self._table.client, self._table.name
        return read_items(client, name, keys, doing, pause=self._pause, ConsistentRead=strongly)


def _plan_key(version: int, digest: str, part: int) -> dict[str, Any]:
    return {"id": {"S": f"orders#plan#{version}#{digest}#{part}"}}


def _ledger_key(chunk_id: str) -> dict[str, Any]:
    return {"id": {"S": f"orders#chunk#{chunk_id}"}}


def _ledger(chunk_id: str, item: Mapping[str, Any] | None) -> Ledger:
    if item is None:
        return Ledger(chunk_id)
    return Ledger.from_fields(chunk_id, int(item["revision"]["N"]), json.loads(item["body"]["S"]))
