"""What is current and what is superseded, in the table of the jobs. No TTL.

    window#<digest>        the receipt of the current revision
    superseded#<job id>    a receipt that is not current any more, by whom and since when

The second is in the index `superseded` until it is tagged, in the order in which it is to be looked
at: by `counts_from`, at first the time at which it was superseded. An index lags and may say too
much; what is done on its word is decided by the items, read consistently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from archiver.aws.moves import Refused, Table, job_item_key, plain
from archiver.aws.translate import translated
from archiver.catalogue import entry_line, receipt_of
from archiver.errors import Failure
from archiver.receipt import Receipt
from archiver.superseded import Superseded, window_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["SupersededItems"]

_INDEX = "superseded"  # template.yaml
_PREFIX = "superseded#"


class SupersededItems:
    """Remembers revisions; each write is one conditional UpdateItem."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    def current(self, window: str) -> Receipt | None:
        """Return the current revision of a window, by a consistent read."""
        key = f"window#{window}"
        return _receipt(self._read(key).get(key, {}))

    def replace(self, window: str, current: Receipt | None, receipt: Receipt) -> bool:
        """Make a receipt the current revision, if `current` still is; tells whether it is now."""
        told = {":entry": _text(receipt), ":job": receipt.job_id, ":at": receipt.archived_at}
        condition = "attribute_not_exists(id)"
        if current is not None:
            condition = "job_id = :was AND archived_at = :was_at"
            told |= {":was": current.job_id, ":was_at": current.archived_at}
        try:
            self._table.change(
                {"id": {"S": f"window#{window}"}},
                "SET entry = :entry, job_id = :job, archived_at = :at",
                told,
                "Writing down the current revision",
                condition,
            )
        except Refused as refused:  # perhaps by what boto3 sent before
            return _receipt(refused.item) == _receipt({"entry": told[":entry"]})
        return True

    def add(self, superseded: Superseded) -> None:
        """Remember what was superseded, unless that or a later archiving of the job is known."""
        with suppress(Refused):
            self._table.change(
                _key(superseded.receipt.job_id),
                "SET entry = :entry, archived_at = :archived, superseded_by = :by, "
                "superseded_at = :at, counts_from = :at, due = :due REMOVE tagged_at",
                {
                    ":entry": _text(superseded.receipt),
                    ":archived": superseded.receipt.archived_at,
                    ":by": superseded.by,
                    ":at": superseded.at,
                    ":due": "superseded",
                },
                "Writing down what was superseded",
                "attribute_not_exists(id) OR archived_at < :archived",
            )

    def due(self, until: str, most: int) -> list[str]:
        """Return the jobs to look at whose time began until then, the earliest first."""
        with translated("Looking for what was superseded"):
            answer = self._table.client.query(
                TableName=self._table.name,
                IndexName=_INDEX,
                KeyConditionExpression="due = :due AND counts_from <= :until",
                ExpressionAttributeValues={":due": {"S": "superseded"}, ":until": {"S": until}},
                Limit=most,
            )
        return [item["id"]["S"].removeprefix(_PREFIX) for item in answer["Items"]]

    def read(self, job_id: str) -> tuple[Superseded | None, Receipt | None, Receipt | None]:
        """Return what is known of a job now, by consistent reads; the first None: nothing is due.

        What of it was superseded, its own item's receipt, and its window's current revision.
        """
        job_key, key = job_item_key(job_id)["id"]["S"], f"{_PREFIX}{job_id}"
        found = self._read(key, job_key)
        told, job = found.get(key, {}), found.get(job_key, {})
        receipt = _receipt(told)
        if receipt is None or "due" not in told:
            return None, None, None
        window = window_of(receipt)
        own = Receipt.from_fields(job) if job.get("state") == "archived" else None
        superseded = Superseded(receipt, told["superseded_by"], told["superseded_at"])
        return superseded, own, None if window is None else self.current(window)

    def put_off(self, superseded: Superseded, counts_from: str) -> None:
        """Look at it again later, when `counts_from` will be as long ago as others must be."""
        self._settle(superseded, "SET counts_from = :from", {":from": counts_from})

    def settle(self, superseded: Superseded, tagged_at: str | None) -> None:
        """Look at it no more: it is tagged, or (None) nothing is there to be tagged."""
        if tagged_at is None:
            self._settle(superseded, "REMOVE due", {})
        else:
            self._settle(superseded, "SET tagged_at = :tagged REMOVE due", {":tagged": tagged_at})

    def _settle(self, superseded: Superseded, update: str, values: Mapping[str, object]) -> None:
        with suppress(Refused):  # archived again and superseded again, meanwhile
            self._table.change(
                _key(superseded.receipt.job_id),
                update,
                {**values, ":archived": superseded.receipt.archived_at},
                "Writing down what became of a superseded revision",
                "archived_at = :archived",
            )

    def _read(self, *keys: str) -> dict[str, dict[str, Any]]:
        wanted: Sequence[Any] = [{"id": {"S": key}} for key in keys]
        with translated("Reading what is current"):
            answer = self._table.client.batch_get_item(
                RequestItems={self._table.name: {"Keys": wanted, "ConsistentRead": True}}
            )
        if answer.get("UnprocessedKeys"):
            raise Failure("aws_error", "Reading what is current: the table is busy.")
        found = map(plain, answer.get("Responses", {}).get(self._table.name, []))
        return {item["id"]: item for item in found}


def _key(job_id: str) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
    return {"id": {"S": f"{_PREFIX}{job_id}"}}


def _text(receipt: Receipt) -> str:
    return entry_line(receipt).decode()


def _receipt(item: Mapping[str, Any]) -> Receipt | None:
    return receipt_of(json.loads(item["entry"])) if "entry" in item else None
