"""Looks into a queue without changing it, as far as SQS allows.

Peeking raises receive counts, so it must be used on queues without a redrive policy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_sqs import SQSClient

__all__ = ["Depth", "Message", "peek_messages", "read_depth"]

_PEEK_SECONDS = 60  # longer than any peek takes, so that no message is seen twice


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, by state."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


@dataclass(frozen=True, slots=True)
class Message:
    """One message; attributes as plain strings."""

    message_id: str
    body: str
    attributes: Mapping[str, str]


def read_depth(sqs: SQSClient, queue_url: str) -> Depth:
    """Count a queue's messages; exact in the embedded cloud, approximate on AWS."""
    counts = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return Depth(
        visible=int(counts["ApproximateNumberOfMessages"]),
        in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(counts["ApproximateNumberOfMessagesDelayed"]),
    )


def peek_messages(sqs: SQSClient, queue_url: str) -> list[Message]:
    """Read all visible messages and put them back."""
    messages, handles = [], []
    while received := sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=_PEEK_SECONDS,
        MessageAttributeNames=["All"],
    ).get("Messages", []):
        for item in received:
            attributes = item.get("MessageAttributes", {})
            plain = {name: value.get("StringValue", "") for name, value in attributes.items()}
            messages.append(Message(item["MessageId"], item["Body"], plain))
            handles.append(item["ReceiptHandle"])
    for handle in handles:
        sqs.change_message_visibility(QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=0)
    return messages
