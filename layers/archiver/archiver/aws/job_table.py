"""A job's own item, `job#<job_id>`: its key, its attempts, and in the end its receipt. No TTL.

It answers "is it archived?" after the idempotency record has expired, and it fixes a job's key
before the first byte is copied, so that no retry and no changed template gives one job two keys.
Beside the jobs lies one item for all of them: until when the vendor must not be asked, and which
jobs have failed since one was archived (outage.py).
Powertools' records live in the same table and are none of this module's business (see once.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated
from archiver.claim import Claim, KnownJob
from archiver.errors import Deferral, Failure, Interruption
from archiver.job import JobState
from archiver.outage import Trouble
from archiver.receipt import Receipt
from archiver.transfer.contract import Checkpoint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UpdateTypeDef

__all__ = ["JobTable", "claim_update", "job_item_key", "receipt_update"]

_ARCHIVED = "archived"
_COPYING = "copying"
_FAILING = "failing#"  # the job's id follows; an attribute each, so that none overwrites another
_MOST_FORGOTTEN = 100  # in one update, whose expression ends at 4 KB; the next one forgets the rest
_THROTTLE_KEY: dict[str, AttributeValueTypeDef] = {"id": {"S": "throttle#vendor"}}


class JobTable:
    """Reads the items of jobs, and notes why one is not archived now.

    Claims and receipts are written together with Powertools' records: see once.py.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def read(self, job_id: str) -> KnownJob:
        """Return what is known of a job, and the fleet's throttle: one consistent read of both."""
        key = job_item_key(job_id)
        with translated("Reading a job's item"):
            answer = self._client.batch_get_item(
                RequestItems={
                    self._table_name: {"Keys": [key, _THROTTLE_KEY], "ConsistentRead": True}
                }
            )
        # Without the throttle the vendor would be asked too early, without the job copied anew.
        if answer.get("UnprocessedKeys"):
            raise Failure("aws_error", "Reading a job's item: the table is busy.")
        found = {
            item["id"]: item
            for item in map(_plain, answer.get("Responses", {}).get(self._table_name, []))
        }
        return _known(found.get(key["id"]["S"], {}), found.get(_THROTTLE_KEY["id"]["S"], {}))

    def close_vendor(self, until: float) -> None:
        """Tell the fleet to ask the vendor nothing before `until` (epoch seconds)."""
        with translated("Writing down the vendor's throttle"), _unless_conditional():
            self._client.update_item(
                TableName=self._table_name,
                Key=_THROTTLE_KEY,
                UpdateExpression="SET #until = :until",
                ConditionExpression="attribute_not_exists(#until) OR #until < :until",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues={":until": _serialise(round(until, 3))},
            )

    # --- outage.Items ---

    def take_turn(self, now: float, until: float) -> bool:
        """Let this run try until then (epoch seconds), unless another does."""
        with translated("Taking a turn"):
            try:
                self._client.update_item(
                    TableName=self._table_name,
                    Key=_THROTTLE_KEY,
                    UpdateExpression="SET turn_until = :until ADD turns :one",
                    ConditionExpression="attribute_not_exists(turn_until) OR turn_until <= :now",
                    ExpressionAttributeValues={
                        ":until": _serialise(round(until, 3)),
                        ":now": _serialise(round(now, 3)),
                        ":one": {"N": "1"},
                    },
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def end_turn(self, until: float, now: float) -> None:
        """Let the next one try, unless somebody does already."""
        with translated("Ending a turn"), _unless_conditional():
            self._client.update_item(
                TableName=self._table_name,
                Key=_THROTTLE_KEY,
                UpdateExpression="SET turn_until = :now",
                ConditionExpression="turn_until = :until",
                ExpressionAttributeValues={
                    ":until": _serialise(round(until, 3)),
                    ":now": _serialise(round(now, 3)),
                },
            )

    def extend_turn(self, until: float) -> None:
        """Let nobody try before then (epoch seconds)."""
        with translated("Extending a turn"), _unless_conditional():
            self._client.update_item(
                TableName=self._table_name,
                Key=_THROTTLE_KEY,
                UpdateExpression="SET turn_until = :until",
                ConditionExpression="attribute_not_exists(turn_until) OR turn_until < :until",
                ExpressionAttributeValues={":until": _serialise(round(until, 3))},
            )

    def add_failure(self, job_id: str, failure: Failure, now: float, known: Trouble) -> None:
        """Add a job that failed.

        In an outage no more are added: there are enough to tell it, and items end at 400 KB.
        """
        names = {"#until": "until"}
        changes = "SET #until = if_not_exists(#until, :zero), failed_by = :by"
        values: dict[str, AttributeValueTypeDef] = {
            ":zero": {"N": "0"},  # whoever reads the item finds it
            ":by": {"S": failure.reason},
        }
        if not known.is_outage:
            changes += ", #job = if_not_exists(#job, :now)"
            names["#job"] = f"{_FAILING}{job_id}"
            values[":now"] = _serialise(round(now, 3))
        with translated("Writing down a failure"):
            self._client.update_item(
                TableName=self._table_name,
                Key=_THROTTLE_KEY,
                UpdateExpression=changes,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )

    def add_success(self, known: Trouble, now: float) -> None:
        """Forget the failures that were known of, and write down that a job was archived since."""
        forgotten = sorted(known.failing)[:_MOST_FORGOTTEN]
        names = {f"#job{n}": f"{_FAILING}{job_id}" for n, job_id in enumerate(forgotten)}
        with translated("Writing down a success"):
            self._client.update_item(
                TableName=self._table_name,
                Key=_THROTTLE_KEY,
                UpdateExpression=(
                    f"SET archived_at = :now REMOVE turn_until, turns, {', '.join(names)}"
                ),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={":now": _serialise(round(now, 3))},
            )

    # --- jobs ---

    def save_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> None:
        """Write an upload down before its first part.

        Only for the newest attempt: one that was overtaken raises Deferral("in_progress_elsewhere")
        and must not have an upload that others do not know of.
        """
        values = asdict(checkpoint)
        with translated("Writing down an upload"):
            try:
                self._client.update_item(
                    TableName=self._table_name,
                    Key=job_item_key(claim.job_id),
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
                    ConditionExpression="attempts = :mine AND #state = :copying",
                    ExpressionAttributeNames={
                        "#state": "state",
                        **{f"#{name}": name for name in values},
                    },
                    ExpressionAttributeValues={
                        ":mine": {"N": str(claim.attempt)},
                        ":copying": {"S": _COPYING},
                        **{f":{name}": _serialise(value) for name, value in values.items()},
                    },
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                raise Deferral(
                    "in_progress_elsewhere", "Another run has taken this job over."
                ) from error

    def note(
        self,
        job_id: str,
        state: JobState,
        why: Interruption,
        at: str,
        *,
        next_try_at: str | None = None,
        fails: Literal["anew", "still"] | None = None,
    ) -> None:
        """Write down why a job is not archived now, and when it is tried next, if it is.

        `fails` tells whether `failing_since` begins; None ends it. A job that is archived stays so,
        and so does what was written later than `at`: a run that took the job over must not lose
        its state.
        """
        changes = {
            "anew": ", failing_since = :at",
            "still": ", failing_since = if_not_exists(failing_since, :at)",
            None: "",
        }[fails]
        changes += "" if next_try_at is None else ", next_try_at = :next_try_at"
        absent = ["failing_since"] * (fails is None) + ["next_try_at"] * (next_try_at is None)
        if absent:
            changes += f" REMOVE {', '.join(absent)}"
        moment: dict[str, AttributeValueTypeDef] = (
            {} if next_try_at is None else {":next_try_at": {"S": next_try_at}}
        )
        with translated("Writing down a job's state"), _unless_conditional():
            self._client.update_item(
                TableName=self._table_name,
                Key=job_item_key(job_id),
                UpdateExpression=(
                    "SET #state = :state, reason = :reason, detail = :detail, "
                    "updated_at = :at, job_id = :job_id, "
                    f"known_since = if_not_exists(known_since, :at){changes}"
                ),
                ConditionExpression=(
                    "(attribute_not_exists(#state) OR #state <> :archived) "
                    "AND (attribute_not_exists(updated_at) OR updated_at <= :at)"
                ),
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={
                    ":state": {"S": state},
                    ":archived": {"S": _ARCHIVED},
                    ":reason": {"S": why.reason},
                    ":detail": {"S": why.detail},
                    ":at": {"S": at},
                    ":job_id": {"S": job_id},
                    **moment,
                },
            )


@contextmanager
def _unless_conditional() -> Iterator[None]:
    """Let a write go that its condition makes pointless: what is there already says more."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise


def _known(item: dict[str, Any], fleet: dict[str, Any]) -> KnownJob:
    archived = item.get("state") == _ARCHIVED
    checkpoint, since = None, item.get("failing_since")
    if "upload_id" in item and not archived:
        # Versions before this one wrote fewer of its fields.
        named = (field.name for field in fields(Checkpoint))
        checkpoint = Checkpoint(**{name: item[name] for name in named if name in item})
    return KnownJob(
        key=item.get("key"),
        attempts=item.get("attempts", 0),
        receipt=Receipt.from_fields(item) if archived else None,
        checkpoint=checkpoint,
        vendor_closed_until=float(fleet.get("until", 0)),
        trouble=_trouble(fleet),
        failing_since=datetime.fromisoformat(since) if since else None,
    )


def _trouble(fleet: dict[str, Any]) -> Trouble:
    return Trouble(
        failing={
            name.removeprefix(_FAILING): float(since)
            for name, since in fleet.items()
            if name.startswith(_FAILING)
        },
        reason=cast("Any", fleet.get("failed_by", "vendor_error")),
        archived_at=float(fleet.get("archived_at", 0)),
        turn_until=float(fleet.get("turn_until", 0)),
        turns=int(fleet.get("turns", 0)),
    )


def claim_update(table_name: str, claim: Claim) -> UpdateTypeDef:
    """Begin an attempt: fix the key if none is fixed yet, and count the attempt.

    Refused if the item has changed since it was read (another attempt, another key): what this
    attempt knows of uploads would be stale.
    """
    first = claim.attempt == 1
    as_read = "attribute_not_exists(attempts)" if first else "attempts = :before"
    before: dict[str, AttributeValueTypeDef] = (
        {} if first else {":before": {"N": str(claim.attempt - 1)}}
    )
    key_as_read, forgotten = "attribute_not_exists(#key) OR #key = :key", ""
    replaced: dict[str, AttributeValueTypeDef] = {}
    if claim.instead_of is not None:  # what was begun at that key is nothing to go on with
        key_as_read, replaced = "#key = :replaced", {":replaced": {"S": claim.instead_of}}
        forgotten = ", " + ", ".join(field.name for field in fields(Checkpoint))
    return {
        "TableName": table_name,
        "Key": job_item_key(claim.job_id),
        "UpdateExpression": (
            "SET #key = :key, #state = :copying, job_id = :job_id, updated_at = :at, "
            "first_seen_at = if_not_exists(first_seen_at, :seen) "
            f"REMOVE reason, detail, next_try_at{forgotten} ADD attempts :one"
        ),
        "ConditionExpression": f"({key_as_read}) AND {as_read}",
        "ExpressionAttributeNames": {"#key": "key", "#state": "state"},
        "ExpressionAttributeValues": {
            ":key": {"S": claim.key},
            ":copying": {"S": _COPYING},
            ":seen": {"S": claim.first_seen_at},
            ":at": {"S": claim.claimed_at},
            ":job_id": {"S": claim.job_id},
            ":one": {"N": "1"},
            **before,
            **replaced,
        },
    }


def receipt_update(table_name: str, receipt: Receipt) -> UpdateTypeDef:
    """Store the receipt; from then on the job counts as archived."""
    values = {**receipt.to_fields(), "state": _ARCHIVED, "updated_at": receipt.archived_at}
    del values["key"]  # fixed by the claim
    return {
        "TableName": table_name,
        "Key": job_item_key(receipt.job_id),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values),
        "ExpressionAttributeNames": {f"#{name}": name for name in values},
        "ExpressionAttributeValues": {
            f":{name}": _serialise(value) for name, value in values.items()
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
