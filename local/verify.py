"""`make verify JOB=<uuid>`: archive one job through a deployed stack, and prove what can be proved.

It sees the stack as its users do: outputs, queue, table, bucket. Credentials, region and (for a
local run) endpoint come from the environment, as for every AWS tool. It must not import `archiver`.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.job_items import read_job
from local.proofs import prove_deployment
from local.stack_outputs import read_outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from local.stack_outputs import StackOutputs

__all__ = ["run_verify"]

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


def run_verify(arguments: argparse.Namespace) -> int:
    """Send the job, watch its item to an end, prove the rest; 0 only if all of it holds."""
    try:
        stack = read_outputs(arguments.stack)
        before = read_job(stack["ArchiveTableName"], arguments.job)
        if before.get("state") == "archived":
            print(f"job {arguments.job} was archived before; asking for a recheck")
        _send(stack, arguments.job)
        item = _watch(stack, arguments.job, before, arguments.deadline_seconds)
        code = _report(item)
        proofs = prove_deployment(stack, arguments.job)
    except (BotoCoreError, ClientError, LookupError) as error:
        print(f"could not verify: {error}")
        return 1
    for proof in proofs:
        print(proof)
    return max(code, any(proof.result == "FAILED" for proof in proofs))


def _send(stack: StackOutputs, job_id: str) -> None:
    body = json.dumps({"job_id": job_id, "recheck": True})
    # A person asks, and no callback that could be quicker than the vendor: a 404 is a verdict.
    seen = (datetime.now(UTC) - _AN_HOUR).isoformat()
    boto3.client("sqs").send_message(
        QueueUrl=stack["ArchiveQueueUrl"],
        MessageBody=body,
        MessageAttributes={"first_seen_at": {"DataType": "String", "StringValue": seen}},
    )
    print(f"job {job_id} is on the queue")


def _watch(
    stack: StackOutputs, job_id: str, before: Mapping[str, Any], deadline_seconds: float
) -> dict[str, Any]:
    deadline = time.monotonic() + deadline_seconds
    shown = None
    while True:
        item = read_job(stack["ArchiveTableName"], job_id)
        state = item.get("state", "queued")
        if state != shown:
            print(f"  {state}" + (f": {item['reason']}" if "reason" in item else ""))
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


def _report(item: Mapping[str, Any]) -> int:
    state = item.get("state", "queued")
    if state != "archived":
        print(f"not archived: {state}")
        if "detail" in item:
            print(f"  {item['reason']}: {item['detail']}")
        print(f"  {_ADVICE.get(state, 'Watch its log with the WatchLogCommand of the stack.')}")
        return 1
    held = _held_bytes(item)
    whole = held == item["size_bytes"]
    print(f"archived at s3://{item['bucket']}/{item['key']}")
    print(f"  {item['size_bytes']} bytes, {item['copy_method']}, verified by {item['verified_by']}")
    print(f"  the bucket holds {held} bytes" + ("" if whole else ": NOT THE SAME"))
    return 0 if whole else 1
