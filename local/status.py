"""`make status JOB=<uuid>`: where a job is, why, and when it is tried next.

It reads what the stack's users may read: the job's item, the fleet's throttle, the queues' counts
and, where the job ended there, its dead letter. It changes nothing. It must not import `archiver`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.aws.queues import read_depth
from local.job_items import read_job, read_throttle
from local.stack_outputs import read_outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from local.stack_outputs import StackOutputs

__all__ = ["describe_job", "run_status"]

_MOST_LETTERS = 200  # looked through for the job's own; the rest is counted
_LEASE_SECONDS = 45  # LEASE_SECONDS' default: after so long a killed run's job is free
_MEANINGS = {
    "queued": "A sweep found it complete and queued it.",
    "waiting": "It waits, and goes on by itself.",
    "copying": "A run holds it, or held it when it was killed.",
    "failing": "The last try failed; it is tried again by itself, with growing delays.",
    "archived": "It is in the bucket.",
    "dead_lettered": "A person must decide.",
    "ended_at_vendor": "It will never have an export.",
}
_NO_TRY = {
    "archived": "never: there is nothing left to do",
    "dead_lettered": "not by itself: mend the cause, then use the stack's RedriveCommand",
    "ended_at_vendor": "never: order the export again at the vendor",
    "queued": "as soon as a run is free",
    "copying": f"now; if its run was killed, within {_LEASE_SECONDS} s",
}
_UNKNOWN = "No message about it has been worked on."


def run_status(arguments: argparse.Namespace) -> int:
    """Print what is known of the job; 1 if that cannot be read."""
    try:
        outputs = read_outputs(arguments.stack)
        for name, value in describe_job(outputs, arguments.job, datetime.now(UTC)):
            print(f"{name:<13} {value}")
    except (BotoCoreError, ClientError, LookupError) as error:
        print(f"no status: {error}")
        return 1
    return 0


def describe_job(outputs: StackOutputs, job_id: str, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what is known of a job, a name and a sentence each; raises what boto3 raises."""
    table = outputs["ArchiveTableName"]
    item = read_job(table, job_id)
    throttle = read_throttle(table)
    state = item.get("state")
    yield "job", job_id
    yield "state", f"{state or 'unknown'}. {_MEANINGS.get(state or '', _UNKNOWN)}"
    if "reason" in item and state != "archived":
        yield "why", f"{item['reason']}: {item['detail']}"
    if "updated_at" in item and state != "archived":
        yield "since", _moment(item["updated_at"], now)
    yield "next try", _next_try(item, throttle, now)
    yield from _progress(item, outputs["ArchiveBucketName"], now)
    if throttle > now.timestamp():
        until = datetime.fromtimestamp(throttle, UTC).isoformat(timespec="seconds")
        yield "vendor", f"closed to all jobs until {_moment(until, now)}, after a 429"
    yield from _queues(outputs, job_id, look=state in {None, "dead_lettered"})


def _next_try(item: Mapping[str, Any], throttle: float, now: datetime) -> str:
    state = item.get("state")
    if state is None:
        return "if its message is still in the queue, as soon as a run is free"
    if state in _NO_TRY:
        return _NO_TRY[state]
    if "next_try_at" not in item:
        return "by itself; an older version wrote this item and did not say when"
    planned = datetime.fromisoformat(item["next_try_at"])
    if throttle > planned.timestamp():
        planned = datetime.fromtimestamp(throttle, UTC)
    return _moment(planned.isoformat(timespec="seconds"), now)


def _progress(item: Mapping[str, Any], bucket: str, now: datetime) -> Iterator[tuple[str, str]]:
    if "attempts" in item:
        first_seen = _moment(item["first_seen_at"], now)
        yield "attempts", f"{item['attempts']} that began to copy; first seen {first_seen}"
    if item.get("state") == "archived":
        yield "object", f"s3://{item['bucket']}/{item['key']} (version {item.get('version_id')})"
        yield "size", f"{item['size_bytes']} bytes, verified by {item['verified_by']}"
        yield "archived", _moment(item["archived_at"], now)
        return
    if "key" in item:
        yield "key", f"s3://{bucket}/{item['key']} (fixed; nothing is there yet)"
    if "upload_id" in item:
        yield "upload", _finished_parts(item, bucket)


def _finished_parts(item: Mapping[str, Any], bucket: str) -> str:
    """Count the parts that S3 holds: the next run goes on with these."""
    all_parts = -(-item["size_bytes"] // item["part_size_bytes"])
    pages = boto3.client("s3").get_paginator("list_parts")
    try:
        finished = sum(
            len(page.get("Parts", []))
            for page in pages.paginate(Bucket=bucket, Key=item["key"], UploadId=item["upload_id"])
        )
    except ClientError as error:
        return f"{all_parts} parts; S3 does not tell how many are finished ({error})"
    return f"{finished} of {all_parts} parts of {item['part_size_bytes']} bytes are finished"


def _queues(outputs: StackOutputs, job_id: str, *, look: bool) -> Iterator[tuple[str, str]]:
    sqs = boto3.client("sqs")
    depth = read_depth(sqs, outputs["ArchiveQueueUrl"])
    counts = f"{depth.visible} messages ready, {depth.in_flight} in hand, {depth.delayed} waiting"
    yield "queue", f"{counts} (of all jobs)"
    letters = outputs["DeadLetterQueueUrl"]
    yield "dead letters", f"{read_depth(sqs, letters).total} (of all jobs)"
    if look:
        found = _find_letter(letters, job_id)
        yield "its letter", found or f"none among the first {_MOST_LETTERS} that can be seen"


def _find_letter(url: str, job_id: str) -> str | None:
    """Look through the dead letters without taking any: this queue counts no receives."""
    sqs = boto3.client("sqs")
    handles: list[str] = []
    try:
        while len(handles) < _MOST_LETTERS:
            received = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=30,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not received:
                return None
            handles += [message["ReceiptHandle"] for message in received]
            for message in received:
                if job_id in message["Body"].lower():
                    return _describe_letter(message.get("MessageAttributes", {}))
        return None
    finally:
        for handle in handles:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)


def _describe_letter(attributes: Mapping[str, Any]) -> str:
    told = {name: value.get("StringValue", "") for name, value in attributes.items()}
    if "reason" not in told:
        return "no reason: the runtime died on every receive, or it was never delivered"
    return f"{told['reason']}: {told.get('detail', '')} ({told.get('rejected_at', '')})"


def _moment(text: str, now: datetime) -> str:
    """Return a moment and how far from now it is."""
    seconds = (datetime.fromisoformat(text) - now).total_seconds()
    amount = abs(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if amount >= 2 * size or unit == "s":
            distance = f"{amount / size:.0f} {unit}"
            break
    return f"{text} ({f'in {distance}' if seconds > 0 else f'{distance} ago'})"
