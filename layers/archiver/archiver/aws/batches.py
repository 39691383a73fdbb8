"""Many items of the table by their keys; no other module reads more than two at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archiver.aws.translate import translated
from archiver.errors import Failure

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["read_items"]

_KEYS_PER_READ = 100  # DynamoDB's limit for BatchGetItem
_READS = 6  # of one batch, as long as DynamoDB leaves keys over; 0.1 + 0.2 + … s between them
_FIRST_PAUSE_SECONDS = 0.1


def read_items(
    client: DynamoDBClient,
    table_name: str,
    keys: Sequence[Any],
    doing: str,
    *,
    pause: Callable[[float], None],
    **how: Any,  # noqa: ANN401 - KeysAndAttributes' other fields: API Reference, BatchGetItem
) -> list[Mapping[str, Any]]:
    """Return the items that there are, as DynamoDB writes them, in no order.

    What it leaves over is read again; raises Failure("aws_error") if that never ends.
    """
    found: list[Mapping[str, Any]] = []
    for start in range(0, len(keys), _KEYS_PER_READ):
        left: Any = keys[start : start + _KEYS_PER_READ]
        for attempt in range(_READS):
            if attempt:
                pause(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            request: Any = {table_name: {"Keys": left, **how}}
            with translated(doing):
                answer = client.batch_get_item(RequestItems=request)
            found += answer.get("Responses", {}).get(table_name, [])
            unread: Any = answer.get("UnprocessedKeys", {}).get(table_name, {})
            left = unread.get("Keys", [])
            if not left:
                break
        else:
            raise Failure("aws_error", f"{doing}: the table is busy.")
    return found
