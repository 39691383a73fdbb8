"""Deliberate breakages: with each of them a run must fail, or it proves nothing.

Each is made from outside, at the table, the queue, the bucket, the source or the configuration, and
leaves the function as it was built. `caught_by` is a piece of the sentence that must be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.apartmentiq import SyntheticExport

if TYPE_CHECKING:
    from local.cloud import LocalCloud
    from tests.kills.diary import Diary

__all__ = ["BREAKAGES", "NONE", "Breakage"]

_CHECKPOINT = ("upload_id", "part_size_bytes", "source_etag", "size_bytes", "copy_method")


def _nothing(_cloud: LocalCloud, _diary: Diary, *_: Any) -> None:  # noqa: ANN401 - as Breakage calls
    """Leave it."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """One thing that is broken, when, and what must be noticed."""

    what: str
    caught_by: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    before_attempt: Callable[[LocalCloud, Diary], None] = _nothing
    after_death: Callable[[LocalCloud, Diary, Any], None] = _nothing
    at_the_end: Callable[[LocalCloud, Diary], None] = _nothing


def _forget_checkpoint(cloud: LocalCloud, diary: Diary) -> None:
    item = cloud.job_item(diary.job_id)
    if item is not None and "upload_id" in item:
        cloud.clients.dynamodb.update_item(
            TableName=cloud.table,
            Key={"id": item["id"]},
            UpdateExpression="REMOVE " + ", ".join(_CHECKPOINT),
        )


def _delete_message(cloud: LocalCloud, _diary: Diary, record: Any) -> None:  # noqa: ANN401 - an SQS record
    cloud.clients.sqs.delete_message(
        QueueUrl=cloud.queue_url, ReceiptHandle=record["receiptHandle"]
    )


def _swap_source(cloud: LocalCloud, diary: Diary, _record: Any) -> None:  # noqa: ANN401 - an SQS record
    if cloud.vendor is not None:
        job = cloud.vendor.jobs.get(diary.job_id)
        etag = job.stored.etag if job and job.stored else None
        other = SyntheticExport(size_bytes=diary.size_bytes, seed=999_983)
        cloud.vendor.store_export(diary.job_id, other, etag=etag)


def _write_twice(cloud: LocalCloud, diary: Diary) -> None:
    item = cloud.job_item(diary.job_id) or {}
    key = item["key"]["S"]
    cloud.clients.s3.put_object(Bucket=cloud.bucket, Key=key, Body=b"again")


NONE = Breakage("nothing")
BREAKAGES = {
    "checkpoint": Breakage(
        "the checkpoint is never saved: it is gone from the table before each attempt",
        "finished before",
        before_attempt=_forget_checkpoint,
    ),
    "lease": Breakage(
        "a lease of 15 minutes: neither claim nor message is free soon after a kill",
        "the job is not back",
        environment={"LEASE_SECONDS": "900"},
    ),
    "message": Breakage(
        "the message of a run that died is deleted, as if it had been answered",
        "was deleted",
        after_death=_delete_message,
    ),
    "source": Breakage(
        "the source changes under its ETag between two attempts",
        "is not the export",
        after_death=_swap_source,
    ),
    "twice": Breakage(
        "the object is written once more after all was done",
        "2 versions instead of one",
        at_the_end=_write_twice,
    ),
}
