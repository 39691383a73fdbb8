"""`archiver verify JOB`: archive one job through a deployed stack, and prove what can be proved.

It sees the stack as its users do: outputs, queue, table, bucket.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from cli.audit import compare
from cli.catalogue import archive_of
from cli.failure import NO
from cli.job_items import read_job
from cli.proofs import prove_deployment
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.stack import StackOutputs

__all__ = ["verify"]

_POLL_SECONDS = 1.0
_AN_HOUR = timedelta(hours=1)
# "waiting" and "failing" are not ends: the job is tried again by itself.
_ENDS = frozenset({"archived", "dead_lettered", "ended_at_vendor"})
_ADVICE = {
    "waiting": "It waits and goes on by itself; run this again to keep watching.",
    "failing": "It is tried again by itself, with growing delays; the log has the cause.",
    "dead_lettered": "Mend the cause, then use the stack's RedriveCommand.",
    "ended_at_vendor": "Order the export again at the vendor.",
}


def verify(stack: str, job_id: str, *, deadline_seconds: float, as_json: bool) -> int:
    """Send the job, watch its item to an end, prove the rest; 0 only if all of it holds.

    As JSON: one object at the end, with the job's item and each proof. One that was superseded and
    has expired is told as such: to recheck it would archive it again. Raises what boto3 raises.
    """
    outputs = read_outputs(stack)
    before = read_job(outputs["ArchiveTableName"], job_id)
    tell = _say_nothing if as_json else print
    if before.get("state") == "archived" and _went(stack, before):
        if as_json:
            print(json.dumps({"verified": True, "job": before, "expired": True}, indent=2))
        tell(f"job {job_id} was superseded by another one, and expired by KeepSupersededDays")
        return 0
    if before.get("state") == "archived":
        tell(f"job {job_id} was archived before; asking for a recheck")
    _send(outputs, job_id)
    tell(f"job {job_id} is on the queue")
    item = _watch(outputs, job_id, before, deadline_seconds, tell)
    held = _held_bytes(item) if item.get("state") == "archived" else None
    whole = held is not None and held == item["size_bytes"]
    if not as_json:
        _report(item, held)
    proofs = prove_deployment(outputs, job_id)
    for proof in proofs:
        tell(proof)
    failed = not whole or any(proof.result == "FAILED" for proof in proofs)
    if as_json:
        told = {"job": item, "bucket_holds_bytes": held, "proofs": [asdict(p) for p in proofs]}
        print(json.dumps({"verified": not failed, **told}, indent=2))
    return NO if failed else 0


def _went(stack: str, item: Mapping[str, Any]) -> bool:
    archive = archive_of(stack)
    return compare(archive.s3, item, archive.prefix) == "expired"


def _say_nothing(_line: object) -> None:
    """Keep standard output free for the object at the end."""


def _send(stack: StackOutputs, job_id: str) -> None:
    body = json.dumps({"job_id": job_id, "recheck": True})
    # A person asks, and no callback that could be quicker than the vendor: a 404 is a verdict.
    seen = (datetime.now(UTC) - _AN_HOUR).isoformat()
    boto3.client("sqs").send_message(
        QueueUrl=stack["ArchiveQueueUrl"],
        MessageBody=body,
        MessageAttributes={"first_seen_at": {"DataType": "String", "StringValue": seen}},
    )


def _watch(
    stack: StackOutputs,
    job_id: str,
    before: Mapping[str, Any],
    deadline_seconds: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    deadline = time.monotonic() + deadline_seconds
    shown = None
    while True:
        item = read_job(stack["ArchiveTableName"], job_id)
        state = item.get("state", "queued")
        if state != shown:
            tell(f"  {state}" + (f": {item['reason']}" if "reason" in item else ""))
            shown = state
        if _has_ended(item, before) or time.monotonic() > deadline:
            return item
        time.sleep(_POLL_SECONDS)


def _has_ended(item: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    if item.get("state") == "archived":
        return bool(
            _held_bytes(item) == item["size_bytes"]
        )  # a recheck archives a lost object again
    # An item that said "dead_lettered" before the message was sent says nothing of this try.
    return item.get("state") in _ENDS and item != before


def _held_bytes(item: Mapping[str, Any]) -> int | None:
    try:
        head = boto3.client("s3").head_object(Bucket=item["bucket"], Key=item["key"])
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # gone
            return None
        raise
    return head["ContentLength"]


def _report(item: Mapping[str, Any], held: int | None) -> None:
    state = item.get("state", "queued")
    if state != "archived":
        print(f"not archived: {state}")
        if "detail" in item:
            print(f"  {item['reason']}: {item['detail']}")
        print(f"  {_ADVICE.get(state, 'Watch its log with the WatchLogCommand of the stack.')}")
        return
    print(f"archived at s3://{item['bucket']}/{item['key']}")
    print(f"  {item['size_bytes']} bytes, {item['copy_method']}, verified by {item['verified_by']}")
    whole = held == item["size_bytes"]
    print(f"  the bucket holds {held} bytes" + ("" if whole else ": NOT THE SAME"))
