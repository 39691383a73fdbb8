"""`archiver status JOB`: where a job is, why, and when it is tried next.

It reads what the stack's users may read: the job's item, the fleet's throttle, the queues' counts
and, where the job ended there, its dead letter. It changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from cli.job_items import read_job, read_throttle
from cli.letters import MOST_LETTERS, find_letter
from cli.stack import read_outputs
from local.aws.queues import read_depth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.stack import StackOutputs

__all__ = ["describe_job", "look_for_job", "show_status"]

_LEASE_SECONDS = 45  # LEASE_SECONDS' default: after so long a killed run's job is free
_MEANINGS = {
    "queued": "A sweep found it complete and queued it.",
    "waiting": "It waits, and goes on by itself.",
    "copying": "A run holds it, or held it when it was killed.",
    "missing": "Its object is gone from the bucket; it is being archived again.",
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


def show_status(stack: str, job_id: str, *, as_json: bool) -> int:
    """Print what is known of the job; raises what boto3 raises, and Failure."""
    now = datetime.now(UTC)
    told = look_for_job(read_outputs(stack), job_id, now)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        for name, value in describe_job(told, now):
            print(f"{name:<13} {value}")
    return 0


def look_for_job(outputs: StackOutputs, job_id: str, now: datetime) -> dict[str, Any]:
    """Return all that is known of a job, the item's fields among it; raises what boto3 raises."""
    table = outputs["ArchiveTableName"]
    item = read_job(table, job_id)
    throttle = read_throttle(table)
    sqs = boto3.client("sqs")
    state = item.get("state")
    told: dict[str, Any] = {
        **{name: value for name, value in item.items() if name != "id"},
        "job_id": job_id,
        "state": state or "unknown",
        "bucket": item.get("bucket", outputs["ArchiveBucketName"]),
        "vendor_closed_until": _iso(throttle) if throttle > now.timestamp() else None,
        "queue": asdict(read_depth(sqs, outputs["ArchiveQueueUrl"])),
        "dead_letters": read_depth(sqs, outputs["DeadLetterQueueUrl"]).total,
    }
    if "upload_id" in item and state != "archived":
        told["finished_parts"] = _finished_parts(item, outputs["ArchiveBucketName"])
    if state in {None, "dead_lettered"}:
        letter = find_letter(outputs["DeadLetterQueueUrl"], job_id)
        told["letter"] = None if letter is None else asdict(letter)
    return told


def describe_job(told: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """Yield what `look_for_job` found, a name and a sentence each."""
    state = told["state"]
    yield "job", told["job_id"]
    yield "state", f"{state}. {_MEANINGS.get(state, _UNKNOWN)}"
    if "reason" in told and state != "archived":
        yield "why", f"{told['reason']}: {told['detail']}"
    if "updated_at" in told and state != "archived":
        yield "since", _moment(told["updated_at"], now)
    yield "next try", _next_try(told, now)
    yield from _progress(told, now)
    if told["vendor_closed_until"]:
        until = _moment(told["vendor_closed_until"], now)
        yield "vendor", f"closed to all jobs until {until}, after a 429"
    queue = told["queue"]
    counts = (
        f"{queue['visible']} messages ready, {queue['in_flight']} in hand, "
        f"{queue['delayed']} waiting"
    )
    yield "queue", f"{counts} (of all jobs)"
    yield "dead letters", f"{told['dead_letters']} (of all jobs)"
    if "letter" in told:
        yield "its letter", _letter(told["letter"], told["dead_letters"])


def _next_try(told: Mapping[str, Any], now: datetime) -> str:
    state, closed = told["state"], told["vendor_closed_until"]
    if state == "unknown":
        if not any(told["queue"].values()):
            return "never: the queue holds no message, so none about it either; send one"
        return "as soon as a run is free, if one of the queue's messages is about it"
    if state in _NO_TRY:
        return _NO_TRY[state]
    if "next_try_at" not in told:
        return "by itself; an older version wrote this item and did not say when"
    planned = datetime.fromisoformat(told["next_try_at"])
    if closed:
        planned = max(planned, datetime.fromisoformat(closed))
    return _moment(planned.isoformat(timespec="seconds"), now)


def _progress(told: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    if "first_seen_at" in told:
        yield "first seen", _moment(told["first_seen_at"], now)
    if "attempts" in told:  # counted by the claim, before the vendor has given a link
        yield "attempts", f"{told['attempts']} (runs that took it up, whether or not they copied)"
    if told["state"] == "archived":
        version = f" (version {told['version_id']})" if told.get("version_id") else ""
        yield "object", f"s3://{told['bucket']}/{told['key']}{version}"
        yield "size", f"{told['size_bytes']} bytes, verified by {told['verified_by']}"
        yield "archived", _moment(told["archived_at"], now)
        return
    if "key" in told:
        yield "key", f"s3://{told['bucket']}/{told['key']} (fixed; nothing is there yet)"
    if "finished_parts" in told:
        yield "upload", _upload(told)


def _upload(told: Mapping[str, Any]) -> str:
    all_parts = -(-told["size_bytes"] // told["part_size_bytes"])
    finished, size = told["finished_parts"], told["part_size_bytes"]
    if isinstance(finished, str):
        return f"{all_parts} parts; S3 does not tell how many are finished: {finished}"
    return f"{finished} of {all_parts} parts of {size} bytes are finished"


def _finished_parts(item: Mapping[str, Any], bucket: str) -> int | str:
    """Count the parts that S3 holds, with which the next run goes on; or say why it cannot be."""
    pages = boto3.client("s3").get_paginator("list_parts")
    try:
        return sum(
            len(page.get("Parts", []))
            for page in pages.paginate(Bucket=bucket, Key=item["key"], UploadId=item["upload_id"])
        )
    except ClientError as error:
        return str(error)


def _letter(letter: Mapping[str, str] | None, letters: int) -> str:
    if letter is None:
        return f"none among the first {MOST_LETTERS} that can be seen" if letters else "none"
    if not letter["reason"]:
        return "no reason: the runtime died on every receive, or it was never delivered"
    return f"{letter['reason']}: {letter['detail']} ({letter['rejected_at']})"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _moment(text: str, now: datetime) -> str:
    """Return a moment and how far from now it is."""
    seconds = (datetime.fromisoformat(text) - now).total_seconds()
    amount = abs(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if amount >= 2 * size or unit == "s":
            distance = f"{amount / size:.0f} {unit}"
            break
    return f"{text} ({f'in {distance}' if seconds > 0 else f'{distance} ago'})"
