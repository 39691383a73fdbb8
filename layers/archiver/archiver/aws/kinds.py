"""The last export of each kind, `kind#<digest>`: whose it was, how large, and the one before it.

One small item for each kind (archiving/quality.py), in the table of the jobs, changed by one
conditional write. A job that comes by again, after a run that died or as boto3 sends what it has
sent, is compared with the one before it and not with itself. No TTL: a kind may come once a year.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiver.aws.moves import Refused, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["Kinds"]


class Kinds:
    """Remembers sizes."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    def last_size(self, kind: str, job_id: str, size_bytes: int) -> int | None:
        """Make a job's export the last of its kind; return how many bytes the one before it has.

        None: it is the first. Raises Failure("aws_error").
        """
        key: dict[str, AttributeValueTypeDef] = {"id": {"S": f"kind#{kind}"}}
        try:
            before = self._table.change(
                key,
                "SET #before = if_not_exists(size_bytes, :none), job_id = :job, size_bytes = :size",
                {":none": None, ":job": job_id, ":size": size_bytes},
                "Comparing an export with the last of its kind",
                "attribute_not_exists(job_id) OR job_id <> :job",
                {"#before": "before"},  # a reserved word
                tells_before=True,
            )
        except Refused as refused:
            return _size(refused.item.get("before"))
        return _size(before.get("size_bytes"))


def _size(told: object) -> int | None:
    return told if isinstance(told, int) else None
