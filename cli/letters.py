"""The dead letters, as far as SQS shows them.

It takes nothing: a letter that was looked at lies there as before, for that queue counts no
receives. Of a body, which others wrote, no more is told than that a job's id is in it.
"""

from __future__ import annotations

import json
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import boto3

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["MOST_LETTERS", "Letter", "find_letter", "read_letters"]

MOST_LETTERS = 200  # looked through, for one job's own or for all; the rest is counted
_AT_ONCE = 10  # SQS gives no more (API_ReceiveMessage, MaxNumberOfMessages)
_LOOK_SECONDS = 30  # longer than the look takes, so that no letter is seen twice


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter's attributes; all empty for one that nobody gave a reason."""

    reason: str
    detail: str
    rejected_at: str


def find_letter(url: str, job_id: str) -> Letter | None:
    """Look through up to MOST_LETTERS dead letters for a job's; None if it is not among them."""
    with closing(_look(url)) as letters:
        for message in letters:
            if job_id in message["Body"].lower():
                return _letter(message)
    return None


def read_letters(url: str) -> list[tuple[str, Letter]]:
    """Return up to MOST_LETTERS dead letters, each with its job's id, empty if none was read."""
    with closing(_look(url)) as letters:
        return [(_job_id(message), _letter(message)) for message in letters]


def _job_id(message: Mapping[str, Any]) -> str:
    """Return what the letter says of itself; of one that nobody wrote to, what its body says."""
    if told := _told(message, "job_id"):
        return told
    with suppress(ValueError, TypeError, KeyError):
        return str(UUID(json.loads(message["Body"])["job_id"]))
    return ""


def _letter(message: Mapping[str, Any]) -> Letter:
    return Letter(*(_told(message, name) for name in ("reason", "detail", "rejected_at")))


def _told(message: Mapping[str, Any], name: str) -> str:
    return str(message.get("MessageAttributes", {}).get(name, {}).get("StringValue", ""))


def _look(url: str) -> Generator[Mapping[str, Any]]:
    sqs = boto3.client("sqs")
    handles: list[str] = []
    try:
        while len(handles) < MOST_LETTERS:
            received = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_AT_ONCE,
                VisibilityTimeout=_LOOK_SECONDS,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not received:
                return
            handles += [message["ReceiptHandle"] for message in received]
            yield from received
    finally:
        for handle in handles:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
