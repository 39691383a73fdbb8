"""What a sweep reads and writes in the table: job items in batches, its own position, the throttle.

Of a job's item it makes one move (states.py, queue).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from archiver.apartmentiq.listing import MOST_PER_PAGE, Position
from archiver.aws.batches import read_items
from archiver.aws.job_table import THROTTLE_KEY
from archiver.aws.moves import Table, job_item_key
from archiver.aws.translate import code_of, translated
from archiver.moment import read_moment
from archiver.receipt import iso_utc
from archiver.states import ENDS, queue
from archiver.sweep.reconcile import PLACE_LIVES, JobRecord, Place
from archiver.sweep.tally import Tally

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["SweepItems"]

_PLACE_KEY: dict[str, AttributeValueTypeDef] = {"id": {"S": "sweep#scheduled"}}


class SweepItems:
    """Implements `reconcile.Items`."""

    def __init__(
        self, client: DynamoDBClient, table_name: str, pause: Callable[[float], None]
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._pause = pause

    def vendor_closed_until(self) -> float:
        """Return until when the throttle holds, in seconds since the epoch; 0: it does not."""
        with translated("Reading the vendor's throttle"):
            answer = self._client.get_item(
                TableName=self._table_name, Key=THROTTLE_KEY, ConsistentRead=True
            )
        return float(_text(answer.get("Item", {}), "until", "N") or 0)

    def records(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Return what is known of these jobs; a job without an item is left out.

        Eventually consistent, at half the price: a state that is a second old costs at worst a
        second message.
        """
        found = read_items(
            self._client,
            self._table_name,
            [job_item_key(job_id) for job_id in job_ids],
            "Reading the items of jobs",
            pause=self._pause,
            ProjectionExpression=(
                "id, #state, updated_at, first_seen_at, known_since, #key, upload_id, "
                "reason, taken_up"
            ),
            ExpressionAttributeNames={"#state": "state", "#key": "key"},
        )
        return {_text(item, "id").removeprefix("job#"): _record(item) for item in found}

    def mark_queued(self, job_id: str, known: JobRecord | None, at: datetime) -> None:
        """Store that a job was queued, unless its item has changed since it was read.

        And how often one was that had its end here.
        """
        taken_up = 0 if known is None else known.taken_up + (known.state in ENDS)
        state, updated_at = (None, None) if known is None else (known.state, known.updated_at)
        move = queue(job_id, state, updated_at, at, taken_up=taken_up)
        Table(self._client, self._table_name).is_made(move, "Writing down that a job is queued")

    def place(self) -> Place | None:
        """Return where the last scheduled sweep stopped; a position that cannot be read is none."""
        with translated("Reading the sweep's place"):
            answer = self._client.get_item(
                TableName=self._table_name, Key=_PLACE_KEY, ConsistentRead=True
            )
        try:
            fields = json.loads(_text(answer.get("Item", {}), "place") or "null")
            return None if fields is None else _place(fields)
        except (KeyError, TypeError, ValueError):
            return None  # another version wrote it: a whole sweep is always right

    def keep_place(self, place: Place) -> None:
        """Store where the next sweep continues; the table's TTL removes what nobody needs."""
        expires_at = place.started_at + PLACE_LIVES
        with translated("Writing down the sweep's place"):
            self._client.put_item(
                TableName=self._table_name,
                Item={
                    **_PLACE_KEY,
                    "place": {"S": json.dumps(_fields(place), separators=(",", ":"))},
                    "started_at": {"S": iso_utc(place.started_at)},
                    "expiration": {"N": str(round(expires_at.timestamp()))},
                },
            )

    def forget_place(self, place: Place) -> None:
        """Forget it, unless another sweep has written another."""
        with translated("Forgetting the sweep's place"):
            try:
                self._client.delete_item(
                    TableName=self._table_name,
                    Key=_PLACE_KEY,
                    ConditionExpression="started_at = :mine",
                    ExpressionAttributeValues={":mine": {"S": iso_utc(place.started_at)}},
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise


def _record(item: Mapping[str, Any]) -> JobRecord:
    updated_at = _text(item, "updated_at") or None
    return JobRecord(
        _text(item, "state"),
        read_moment(updated_at or _text(item, "first_seen_at")),
        updated_at,
        key=_text(item, "key") or None,
        upload_id=_text(item, "upload_id") or None,
        reason=_text(item, "reason") or None,
        known_since=read_moment(_text(item, "known_since") or _text(item, "first_seen_at")),
        taken_up=int(_text(item, "taken_up", "N") or 0),
    )


def _text(item: Mapping[str, Any], name: str, kind: str = "S") -> str:
    return str(item.get(name, {}).get(kind, ""))


def _fields(place: Place) -> dict[str, Any]:
    position = place.position
    # A version that knows pages of a hundred alone reads no page here, and begins anew.
    usual = position.per_page == MOST_PER_PAGE
    return {
        "page": position.page if usual else None,
        "narrow_page": None if usual else position.page,
        "per_page": position.per_page,
        "total_count": position.total_count,
        "since": iso_utc(place.since),
        "started_at": iso_utc(place.started_at),
        "tally": place.tally.to_fields(),
    }


def _place(fields: Mapping[str, Any]) -> Place:
    since, started_at = read_moment(fields["since"]), read_moment(fields["started_at"])
    if since is None or started_at is None:
        raise ValueError("a place without its dates")
    page = fields["page"] if fields.get("narrow_page") is None else fields["narrow_page"]
    per_page = int(fields.get("per_page", MOST_PER_PAGE))
    position = Position(int(page), fields["total_count"], per_page)
    return Place(position, since, started_at, Tally.from_fields(fields["tally"]))
