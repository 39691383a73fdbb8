"""What the page says of a stack, as anybody may read it who may read the stack. It must not write.

The table is read page by page. What may be missing without making the page untrue (alarms, the
letters' texts) is left out where AWS refuses it, and the page says so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from cli.coverage import coverage_of
from cli.job_items import read_fleet, scan_jobs
from cli.letters import read_letters
from cli.report.coverage import shown
from cli.report.found import Alarm, Found, Step
from cli.stack import read_outputs
from local.aws.queues import read_depth
from local.aws.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from local.aws.traces import Trace

__all__ = ["read_orders", "read_stack", "read_steps"]

_STEPS = frozenset({"link", "copy", "commit", "emit"})  # archive.py and streaming.py name them


def read_stack(stack: str, steps: Mapping[str, list[Step]]) -> Found:
    """Read it; raises what boto3 raises, and Failure."""
    outputs, sqs = read_outputs(stack), boto3.client("sqs")
    table, letters_url = outputs["ArchiveTableName"], outputs["DeadLetterQueueUrl"]
    notes: list[str] = []
    total = read_depth(sqs, letters_url).total
    letters = _or_note(notes, "The dead letters' texts", lambda: read_letters(letters_url), total)
    alarms = _or_note(notes, "The alarms", lambda: _read_alarms(stack), 1)
    return Found(
        stack=stack,
        region=sqs.meta.region_name,
        bucket=outputs["ArchiveBucketName"],
        redrive_command=outputs["RedriveCommand"],
        jobs=scan_jobs(table),
        fleet=read_fleet(table),
        queue=read_depth(sqs, outputs["ArchiveQueueUrl"]),
        letters=letters or [],
        letters_total=max(total, len(letters or [])),
        alarms=None if alarms is None else alarms[0],
        alarms_set=0 if alarms is None else alarms[1],
        steps=steps,
        notes=notes,
    )


def read_orders(stack: str, notes: list[str], now: datetime) -> dict[str, Any] | None:
    """Return the windows of the orders (coverage.shown); None where nothing is ordered."""
    told = _or_note(notes, "The orders' windows", lambda: coverage_of(stack, now), 1)
    return None if told is None else shown(told)


def _or_note(notes: list[str], what: str, read: Any, there: int) -> Any:  # noqa: ANN401 - whatever is read
    if not there:
        return None
    try:
        return read()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        notes.append(f"{what} could not be read: {error.operation_name} answered {code}.")
        return None


def _read_alarms(stack: str) -> tuple[list[Alarm], int]:
    """Return those that ring, and how many there are.

    CloudFormation calls them STACK-LOGICALID-RANDOM; another stack's name may begin like ours.
    """
    ours = re.compile(rf"{re.escape(stack)}-([A-Za-z0-9]+)-[A-Z0-9]+")
    pages = boto3.client("cloudwatch").get_paginator("describe_alarms")
    ringing, number = [], 0
    for page in pages.paginate(AlarmNamePrefix=f"{stack}-", AlarmTypes=["MetricAlarm"]):
        for alarm in page["MetricAlarms"]:
            if named := ours.fullmatch(alarm["AlarmName"]):
                number += 1
                if alarm["StateValue"] == "ALARM":
                    since = alarm["StateUpdatedTimestamp"].isoformat(timespec="seconds")
                    text = alarm.get("AlarmDescription", "")
                    ringing.append(Alarm(named[1], text, since))
    return ringing, number


def read_steps(path: Path) -> dict[str, list[Step]]:
    """Return each job's steps in the last run of it that a local run's traces have; none: empty."""
    found: dict[str, list[Step]] = {}
    if not path.is_file():
        return found
    for trace in read_traces(path):
        found |= _steps_by_job(trace)
    return found


def _steps_by_job(trace: Trace) -> dict[str, list[Step]]:
    """Return a trace's steps; one of several jobs tells of none, for a batch is one message."""
    found: dict[str, list[Step]] = defaultdict(list)
    jobs = {segment.annotations.get("job_id") for segment in trace.walk()} - {None}
    if len(jobs) != 1:
        return found
    for segment in trace.walk():
        name = segment.name.removeprefix("## ")
        if name in _STEPS and segment.end is not None and not segment.failed:
            found[str(*jobs)].append(Step(name, segment.start, segment.end))
    return found
