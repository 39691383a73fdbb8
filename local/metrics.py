"""Metrics as CloudWatch would hold them: read out of the functions' output and of the services.

Functions write them as lines in the embedded metric format; Lambda's and SQS's own are made from
what the local run can see. This must know no name of ours, and judges nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_sqs import SQSClient

    from local.aws.runtime import Invocation

__all__ = ["Datum", "dimensions_of", "read_emf", "read_invocations", "read_queue", "read_throttles"]


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of one metric; `at` in epoch seconds."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    value: float
    at: float


def dimensions_of(**values: str) -> frozenset[tuple[str, str]]:
    """Return dimensions as CloudWatch tells metrics apart by: the whole set, in no order."""
    return frozenset(values.items())


def read_emf(output: str) -> Iterator[Datum]:
    """Read the embedded metric format's lines out of all that a function wrote.

    Source: "Specification: Embedded metric format" in CloudWatch's user guide.
    """
    for line in output.splitlines():
        if '"_aws"' not in line:
            continue
        try:
            told = json.loads(line)
        except ValueError:
            continue  # a line that was cut off with its process
        if isinstance(told, dict) and "CloudWatchMetrics" in told.get("_aws", {}):
            yield from _read_line(told)


def _read_line(told: Mapping[str, Any]) -> Iterator[Datum]:
    at = told["_aws"]["Timestamp"] / 1000
    for directive in told["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, str(told[name])) for name in names)
            for metric in directive["Metrics"]:
                given = told[metric["Name"]]
                for value in given if isinstance(given, list) else [given]:
                    namespace = directive["Namespace"]
                    yield Datum(namespace, metric["Name"], dimensions, float(value), at)


def read_invocations(function: str, invocations: Iterable[Invocation]) -> Iterator[Datum]:
    """Return what Lambda itself counts: invocations, errors, and durations in milliseconds."""
    dimensions = dimensions_of(FunctionName=function)
    for invocation in invocations:
        values = {
            "Invocations": 1.0,
            "Errors": float(not invocation.succeeded),
            "Duration": invocation.duration_seconds * 1000,
        }
        ended_at = invocation.started_at + invocation.duration_seconds
        at = {"Duration": ended_at}  # Lambda stamps counts with the start
        for name, value in values.items():
            yield Datum("AWS/Lambda", name, dimensions, value, at.get(name, invocation.started_at))


def read_throttles(function: str, moments: Iterable[float]) -> Iterator[Datum]:
    """Return what Lambda counts of the invocations that it refused."""
    for at in moments:
        yield Datum("AWS/Lambda", "Throttles", dimensions_of(FunctionName=function), 1.0, at)


def read_queue(sqs: SQSClient, url: str, at: float, *, look_inside: bool = True) -> list[Datum]:
    """Return what SQS would publish of a queue at a moment, if nothing happened to it until then.

    The age is that of the oldest visible message. To know it means to receive messages, which uses
    up receives: without `look_inside` only the counts are read, and the age is left out.
    """
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    values = {
        "ApproximateNumberOfMessagesVisible": counts["ApproximateNumberOfMessages"],
        "ApproximateNumberOfMessagesDelayed": counts["ApproximateNumberOfMessagesDelayed"],
        "ApproximateNumberOfMessagesNotVisible": counts["ApproximateNumberOfMessagesNotVisible"],
    }
    told = {name: float(value) for name, value in values.items()}
    if look_inside:
        told["ApproximateAgeOfOldestMessage"] = _age_of_oldest(sqs, url, at)
    dimensions = dimensions_of(QueueName=url.rpartition("/")[2])
    return [Datum("AWS/SQS", name, dimensions, value, at) for name, value in told.items()]


def _age_of_oldest(sqs: SQSClient, url: str, at: float) -> float:
    received = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=0,
        AttributeNames=["SentTimestamp"],
    ).get("Messages", [])
    sent = [int(message["Attributes"]["SentTimestamp"]) / 1000 for message in received]
    return max((at - moment for moment in sent), default=0.0)
