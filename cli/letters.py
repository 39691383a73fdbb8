"""One job's dead letter, as far as SQS shows it.

It takes nothing: a letter that was looked at lies there as before, for that queue counts no
receives.
"""

from __future__ import annotations

from dataclasses import dataclass

import boto3

__all__ = ["MOST_LETTERS", "Letter", "find_letter"]

MOST_LETTERS = 200  # looked through for one job's own; the rest is counted
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
                return None
            handles += [message["ReceiptHandle"] for message in received]
            for message in received:
                if job_id in message["Body"].lower():
                    told = {
                        name: value.get("StringValue", "")
                        for name, value in message.get("MessageAttributes", {}).items()
                    }
                    return Letter(
                        *(told.get(name, "") for name in ("reason", "detail", "rejected_at"))
                    )
        return None
    finally:
        for handle in handles:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
