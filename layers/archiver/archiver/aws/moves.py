"""Makes moves (states.py) in the table: one conditional UpdateItem each.

It decides nothing; it knows how DynamoDB writes values, and what it answers when a condition fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from archiver.aws.translate import code_of, translated
from archiver.states import Move

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["Refused", "Table", "job_item_key", "plain", "serialise"]


# The second: a transaction of a version before this one is changing the item (API Reference,
# UpdateItem, "Errors").
_SOMEBODY_ELSE = frozenset({"ConditionalCheckFailedException", "TransactionConflictException"})


class Refused(Exception):  # noqa: N818 - an answer; most of them are no error
    """The item is not as the move wants it. `item`: as it is; empty where there is none."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


class Write(Protocol):
    """A conditional write, in DynamoDB's words and with plain values (states.Move, HeadMove)."""

    @property
    def update(self) -> str: ...
    @property
    def condition(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Any]: ...
    @property
    def names(self) -> Mapping[str, str]: ...
    @property
    def shown_by(self) -> Mapping[str, object]: ...


class Table:
    """A table whose items are changed one at a time."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client, self.name = client, name

    def make(self, move: Move, doing: str) -> None:
        """Make a move; raises Refused, and Failure("aws_error") that says what was being done."""
        self.write(job_item_key(move.job_id), move, doing)

    def is_made(self, move: Move, doing: str) -> bool:
        """Make a move, and tell whether it was; raises Failure("aws_error")."""
        return self.is_written(job_item_key(move.job_id), move, doing)

    def write(self, key: Any, write: Write, doing: str) -> None:  # noqa: ANN401 - DynamoDB's own nested type
        """Write an item under its condition; raises Refused, and Failure("aws_error").

        A write whose answer was lost is sent again by boto3 and meets itself: an item that shows
        it counts as success.
        """
        try:
            self.change(key, write.update, write.values, doing, write.condition, write.names)
        except Refused as refused:
            if not write.shown_by or not write.shown_by.items() <= refused.item.items():
                raise

    def is_written(self, key: Any, write: Write, doing: str) -> bool:  # noqa: ANN401 - likewise
        """Write an item, and tell whether its condition held; raises Failure("aws_error")."""
        try:
            self.write(key, write, doing)
        except Refused:
            return False
        return True

    def change(
        self,
        key: Any,  # noqa: ANN401 - DynamoDB's own nested type
        update: str,
        values: Mapping[str, object],
        doing: str,
        condition: str = "",
        names: Mapping[str, str] | None = None,
        *,
        tells_before: bool = False,
    ) -> dict[str, Any]:
        """Change an item, if a condition holds; raises Refused, and Failure("aws_error").

        DynamoDB tells what stands in the way (API Reference, UpdateItem,
        ReturnValuesOnConditionCheckFailure), at no price, and where it is asked to, what the item
        was before, which is returned (ReturnValues there: "no additional cost").
        """
        asked: dict[str, Any] = {
            "ExpressionAttributeValues": {name: serialise(it) for name, it in values.items()},
            "ExpressionAttributeNames": names,
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD" if condition else "",
            "ReturnValues": "ALL_OLD" if tells_before else "",
        }
        asked = {name: what for name, what in asked.items() if what}
        with translated(doing):
            try:
                made = self.client.update_item(
                    TableName=self.name, Key=key, UpdateExpression=update, **asked
                )
            except ClientError as error:
                if code_of(error) not in _SOMEBODY_ELSE:
                    raise
                answer: Any = error.response
                raise Refused(plain(answer.get("Item") or {})) from error
        return plain(made.get("Attributes") or {})


def job_item_key(job_id: str) -> dict[str, AttributeValueTypeDef]:
    """Return the key of a job's item in the table."""
    return {"id": {"S": f"job#{job_id}"}}


def serialise(value: object) -> Any:  # noqa: ANN401 - DynamoDB's own nested type
    """Return a value as DynamoDB writes it."""
    # boto3 refuses floats; through text 0.1 stays 0.1.
    return TypeSerializer().serialize(Decimal(str(value)) if isinstance(value, float) else value)


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as JSON values: whole numbers as int, others as float."""
    read = TypeDeserializer().deserialize
    values = {name: read(value) for name, value in item.items()}
    return {
        name: (int(value) if value == value.to_integral_value() else float(value))
        if isinstance(value, Decimal)
        else value
        for name, value in values.items()
    }
