"""`archiver reconcile`: sweep the vendor's list by a stack, to its end, and say what it saw.

It invokes the function as a person would, goes on with what an unfinished sweep answers, and waits
for what passes by itself. What only a person can mend ends it at once, with the reason.
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from cli.failure import NO, Failure
from cli.stack import read_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["reconcile", "seconds_until_next"]

_LONGEST_INVOCATION_SECONDS = 310  # the function's 300, and the way there and back
_MOST_INVOCATIONS = 100  # 50,000 pages; beyond that something is wrong
_SECONDS_BETWEEN = 60.0  # after a sweep that the vendor, or AWS, kept from its end
_TRIES_AT_A_PLACE = 3  # what an outage of a minute or two takes; longer ones are for later
_FOR_PEOPLE = frozenset({"credentials_missing", "credentials_rejected"})
# An AWS service's codes that say the same until somebody changes something (each service's API
# reference, "Common errors"); the sweep's `detail` ends with the code.
_REFUSED_FOR_GOOD = re.compile(
    r"AccessDenied|NotFound|DoesNotExist|NonExistent|NoSuch|Validation|NotAuthorized|Forbidden"
    r"|Unrecognized|InvalidClientTokenId|OptInRequired|Disabled|KMSInvalidState|DecryptionFailure"
)
_COUNTS = ("archived", "dead_lettered", "ended_at_vendor", "unarchived", "never_seen", "lost")


def reconcile(stack: str, payload: dict[str, Any], *, as_json: bool) -> int:
    """Sweep until the window is behind; 0 if it is, 1 with the reason if it cannot be.

    `payload` is the function's (docs/reconciliation.md). As JSON: a line for each invocation's
    answer. Raises what boto3 raises, and Failure.
    """
    client = boto3.client(
        "lambda",
        config=Config(read_timeout=_LONGEST_INVOCATION_SECONDS, retries={"total_max_attempts": 1}),
    )
    function = read_outputs(stack)["ReconcileExportsFunctionName"]
    stood_still = 0
    for _ in range(_MOST_INVOCATIONS):
        invoked: dict[str, Any] = dict(
            client.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        )
        answer = json.loads(invoked["Payload"].read())
        if "FunctionError" in invoked:
            raise Failure(f"could not reconcile: {answer.get('errorMessage', answer)}", NO)
        if as_json:
            print(json.dumps(answer), flush=True)
        else:
            _report(answer)
        if answer["outcome"] == "finished":
            return 0
        begun_at, payload = payload.get("continue_from"), answer.get("continue_with", payload)
        stood_still = stood_still + 1 if payload.get("continue_from") == begun_at else 0
        seconds = seconds_until_next(answer, stood_still)
        if seconds is None:
            return _give_up("mend that, and go on", payload)
        time.sleep(seconds)
    return _give_up(f"{_MOST_INVOCATIONS} invocations were not enough, go on", payload)


def _give_up(advice: str, payload: Mapping[str, Any]) -> int:
    print(f"gave up: {advice} with the payload {json.dumps(payload)}", file=sys.stderr)
    return NO


def seconds_until_next(answer: Mapping[str, Any], stood_still: int) -> float | None:
    """Return how long to wait before an unfinished sweep goes on; None: waiting mends nothing.

    `stood_still`: how many invocations, this one included, have ended where they began.
    """
    reason, code = answer["reason"], str(answer["detail"]).rpartition(": ")[2]
    if "continue_with" not in answer or reason in _FOR_PEOPLE:
        return None
    if reason == "rate_limited":  # the vendor says for how long, and keeps its word
        return _SECONDS_BETWEEN
    refused = reason == "aws_error" and _REFUSED_FOR_GOOD.search(code)
    if refused or stood_still >= _TRIES_AT_A_PLACE:
        return None
    return 0.0 if reason == "out_of_time" else _SECONDS_BETWEEN


def _report(answer: Mapping[str, Any]) -> None:
    until = answer["until"] or "now"
    print(f"jobs from {answer['since']} until {until}, {answer['pages']} pages read:")
    print("  at ApartmentIQ: " + _listed(answer["jobs"]))
    print("  completed ones: " + _listed({name: answer[name] for name in _COUNTS}))
    for job in answer.get("would_queue", []):
        print(
            f"  would queue {job['job_id']} ({job['report_type']}, completed "
            f"{job['completed_at'] or 'at an unknown time'}): {job['why']}"
        )
    if answer["dry_run"]:
        hidden = answer["never_seen"] + answer["lost"] - len(answer["would_queue"])
        print(f"  … and {hidden} more" if hidden else "  nothing was queued: it was a dry run")
    else:
        print(f"  queued {answer['queued']}")
    if answer["outcome"] != "finished":
        print(f"  not finished: {answer['reason']}: {answer['detail']}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
