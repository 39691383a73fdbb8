"""A job's own item, `job#<job_id>`: its key, its attempts, and in the end its receipt. No TTL.

It answers "is it archived?" after the idempotency record has expired, and it fixes a job's key
before the first byte is copied, so that no retry and no changed template gives one job two keys.
Powertools' records live in the same table and are none of this module's business (see once.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated
from archiver.errors import Interruption
from archiver.job import JobState
from archiver.receipt import Receipt

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Claim", "JobTable"]

_ARCHIVED = "archived"
_COPYING = "copying"


@dataclass(frozen=True, slots=True)
class Claim:
    """What the item says when an attempt begins: the key to write to, and the attempt's number."""

    key: str
    attempt: int


class JobTable:
    """Reads and writes the items of jobs."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def receipt(self, job_id: str) -> Receipt | None:
        """Return the receipt of an archived job, or None (consistent read)."""
        with translated("Reading a job's item"):
            answer = self._client.get_item(
                TableName=self._table_name, Key=_item_key(job_id), ConsistentRead=True
            )
        item = _plain(answer.get("Item", {}))
        return Receipt.from_fields(item) if item.get("state") == _ARCHIVED else None

    def claim(self, job_id: str, key: str, first_seen_at: str) -> Claim:
        """Begin an attempt: fix the key if none is fixed yet, and count the attempt."""
        with translated("Writing down a job's key"):
            answer = self._client.update_item(
                TableName=self._table_name,
                Key=_item_key(job_id),
                UpdateExpression=(
                    "SET #key = if_not_exists(#key, :key), #state = :copying, "
                    "first_seen_at = if_not_exists(first_seen_at, :seen), job_id = :job_id "
                    "REMOVE reason, detail, updated_at ADD attempts :one"
                ),
                ExpressionAttributeNames={"#key": "key", "#state": "state"},
                ExpressionAttributeValues={
                    ":key": {"S": key},
                    ":copying": {"S": _COPYING},
                    ":seen": {"S": first_seen_at},
                    ":job_id": {"S": job_id},
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
            )
        item = _plain(answer["Attributes"])
        return Claim(key=item["key"], attempt=int(item["attempts"]))

    def note(self, job_id: str, state: JobState, why: Interruption, at: str) -> None:
        """Write down why a job is not archived now; a job that is archived stays so."""
        with translated("Writing down a job's state"):
            try:
                self._client.update_item(
                    TableName=self._table_name,
                    Key=_item_key(job_id),
                    UpdateExpression=(
                        "SET #state = :state, reason = :reason, detail = :detail, "
                        "updated_at = :at, job_id = :job_id"
                    ),
                    ConditionExpression="attribute_not_exists(#state) OR #state <> :archived",
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues={
                        ":state": {"S": state},
                        ":archived": {"S": _ARCHIVED},
                        ":reason": {"S": why.reason},
                        ":detail": {"S": why.detail},
                        ":at": {"S": at},
                        ":job_id": {"S": job_id},
                    },
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise

    def remember(self, receipt: Receipt) -> None:
        """Store the receipt; from now on the job counts as archived."""
        fields = {**receipt.to_fields(), "state": _ARCHIVED}
        del fields["key"]  # fixed by the claim
        names = {f"#{name}": name for name in fields}
        values = {f":{name}": _serialise(value) for name, value in fields.items()}
        assignments = ", ".join(f"#{name} = :{name}" for name in fields)
        with translated("Storing a receipt"):
            self._client.update_item(
                TableName=self._table_name,
                Key=_item_key(receipt.job_id),
                UpdateExpression=f"SET {assignments}",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )


def _item_key(job_id: str) -> dict[str, dict[str, str]]:
    return {"id": {"S": f"job#{job_id}"}}


def _serialise(value: object) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
    # boto3 refuses floats; through text 0.1 stays 0.1.
    return TypeSerializer().serialize(Decimal(str(value)) if isinstance(value, float) else value)


def _plain(item: Any) -> dict[str, Any]:  # noqa: ANN401 - DynamoDB's own nested type
    """Return an item as JSON values: whole numbers as int, others as float."""
    read = TypeDeserializer().deserialize
    values = {name: read(value) for name, value in item.items()}
    return {
        name: (int(value) if value == value.to_integral_value() else float(value))
        if isinstance(value, Decimal)
        else value
        for name, value in values.items()
    }
