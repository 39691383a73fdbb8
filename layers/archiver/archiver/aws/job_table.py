"""A job's own item, `job#<job_id>`: its key, its attempts, and in the end its receipt. No TTL.

It answers "is it archived?" after the idempotency record has expired, and it fixes a job's key
before the first byte is copied, so that no retry and no changed template gives one job two keys.
Powertools' records live in the same table and are none of this module's business (see once.py).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated
from archiver.claim import Claim, KnownJob
from archiver.errors import Interruption
from archiver.job import JobState
from archiver.receipt import Receipt

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UpdateTypeDef

__all__ = ["JobTable", "claim_update", "job_item_key", "receipt_update"]

_ARCHIVED = "archived"
_COPYING = "copying"


class JobTable:
    """Reads the items of jobs, and notes why one is not archived now.

    Claims and receipts are written together with Powertools' records: see once.py.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def read(self, job_id: str) -> KnownJob:
        """Return what is known of a job (consistent read)."""
        with translated("Reading a job's item"):
            answer = self._client.get_item(
                TableName=self._table_name, Key=job_item_key(job_id), ConsistentRead=True
            )
        item = _plain(answer.get("Item", {}))
        archived = item.get("state") == _ARCHIVED
        return KnownJob(
            key=item.get("key"),
            attempts=item.get("attempts", 0),
            receipt=Receipt.from_fields(item) if archived else None,
        )

    def note(self, job_id: str, state: JobState, why: Interruption, at: str) -> None:
        """Write down why a job is not archived now; a job that is archived stays so."""
        with translated("Writing down a job's state"):
            try:
                self._client.update_item(
                    TableName=self._table_name,
                    Key=job_item_key(job_id),
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


def claim_update(table_name: str, claim: Claim) -> UpdateTypeDef:
    """Begin an attempt: fix the key if none is fixed yet, and count the attempt.

    Refused if another key was fixed meanwhile; then the item is to be read again.
    """
    return {
        "TableName": table_name,
        "Key": job_item_key(claim.job_id),
        "UpdateExpression": (
            "SET #key = :key, #state = :copying, job_id = :job_id, "
            "first_seen_at = if_not_exists(first_seen_at, :seen) "
            "REMOVE reason, detail, updated_at ADD attempts :one"
        ),
        "ConditionExpression": "attribute_not_exists(#key) OR #key = :key",
        "ExpressionAttributeNames": {"#key": "key", "#state": "state"},
        "ExpressionAttributeValues": {
            ":key": {"S": claim.key},
            ":copying": {"S": _COPYING},
            ":seen": {"S": claim.first_seen_at},
            ":job_id": {"S": claim.job_id},
            ":one": {"N": "1"},
        },
    }


def receipt_update(table_name: str, receipt: Receipt) -> UpdateTypeDef:
    """Store the receipt; from then on the job counts as archived."""
    fields = {**receipt.to_fields(), "state": _ARCHIVED}
    del fields["key"]  # fixed by the claim
    return {
        "TableName": table_name,
        "Key": job_item_key(receipt.job_id),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in fields),
        "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        "ExpressionAttributeValues": {
            f":{name}": _serialise(value) for name, value in fields.items()
        },
    }


def job_item_key(job_id: str) -> dict[str, AttributeValueTypeDef]:
    """Return the key of a job's item in the table."""
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
