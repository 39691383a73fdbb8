"""The items of jobs as anybody may read them who may read the table.

The names are the table's (states.py, receipt.py). It must not write.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RECEIPT_FIELDS", "read_fleet", "read_job", "read_throttle", "scan_jobs", "scan_keys"]
__all__ += ["scan_receipts"]

# All that a receipt has (receipt.py; tests/unit/test_audit_parts.py holds them together): where its
# entry in the catalogue belongs follows from them.
RECEIPT_FIELDS = (
    *("job_id", "report_type", "output_format", "start_date", "end_date", "bucket", "key"),
    *("version_id", "size_bytes", "etag", "checksum_crc64nvme", "source_etag", "copy_method"),
    *("verified_by", "archived_at", "duration_seconds", "emitted_at", "etags_agree"),
    *("completed_at", "order_name", "window", "cycle", "created_at", "property_set"),
    *("quality_warning", "catalogue_key"),
)


def read_job(table: str, job_id: str) -> dict[str, Any]:
    """Return a job's item, empty if there is none."""
    return _get(table, f"job#{job_id}")


def read_throttle(table: str) -> float:
    """Return until when (epoch seconds) the fleet asks the vendor nothing; 0 if never told."""
    return float(read_fleet(table).get("until", 0))


def read_fleet(table: str) -> dict[str, Any]:
    """Return what all jobs share: `until` (above) and `failing#<job id>`; empty if never told."""
    return _get(table, "throttle#vendor")


def scan_receipts(table: str, *, page_items: int = 500) -> Iterator[list[dict[str, Any]]]:
    """Yield the receipts of archived jobs, a page at a time; no more than a page is held.

    A page of `page_items` items as DynamoDB reads them holds fewer receipts: beside them lie jobs
    that are not archived, and records of earlier versions. A scan sees what is there when it
    passes, so that it misses nothing that was archived before it began.
    """
    names = {f"#{name}": name for name in RECEIPT_FIELDS}
    yield from _scan(
        table,
        page_items,
        FilterExpression="begins_with(id, :job) AND #state = :archived",
        ProjectionExpression=", ".join(names),
        ExpressionAttributeNames={**names, "#state": "state"},
        ExpressionAttributeValues={":job": {"S": "job#"}, ":archived": {"S": "archived"}},
    )


def scan_keys(table: str, *, page_items: int = 1_000) -> Iterator[list[dict[str, Any]]]:
    """Yield `job_id` and `key`, if it has one, of every job's item; as scan_receipts does."""
    for page in _scan(
        table,
        page_items,
        FilterExpression="begins_with(id, :job)",
        ProjectionExpression="id, #key",
        ExpressionAttributeNames={"#key": "key"},
        ExpressionAttributeValues={":job": {"S": "job#"}},
    ):
        yield [{"job_id": item["id"].removeprefix("job#"), "key": item.get("key")} for item in page]


def scan_jobs(table: str, *, page_items: int = 500) -> Iterator[list[dict[str, Any]]]:
    """Yield the items of all jobs, whatever their state; as scan_receipts does."""
    yield from _scan(
        table,
        page_items,
        FilterExpression="begins_with(id, :job)",
        ExpressionAttributeValues={":job": {"S": "job#"}},
    )


def _scan(table: str, page_items: int, **what: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - boto3's own
    client = boto3.client("dynamodb")
    start: dict[str, Any] = {}
    while True:
        answer = client.scan(
            TableName=table, Limit=page_items, ConsistentRead=True, **what, **start
        )
        yield [_plain(item) for item in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _get(table: str, key: str) -> dict[str, Any]:
    answer = boto3.client("dynamodb").get_item(
        TableName=table, Key={"id": {"S": key}}, ConsistentRead=True
    )
    return _plain(answer.get("Item", {}))


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's values: whole numbers as int, others as float."""
    read = TypeDeserializer().deserialize
    values = {name: read(value) for name, value in item.items()}
    return {name: _number(v) if isinstance(v, Decimal) else v for name, v in values.items()}


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
