"""The queue and its dead-letter queue: send, send delayed, dead-letter, back off (visibility)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archiver.aws.translate import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

__all__ = ["Queue"]


class Queue:
    """One SQS queue that we send to; the receiving is Lambda's."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str, attributes: Mapping[str, str], *, delay_seconds: int = 0) -> None:
        """Send a message, visible after `delay_seconds` (0 to 900); at most 10 attributes."""
        with translated("Sending a message"):
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes=_as_sqs(attributes),
                DelaySeconds=delay_seconds,
            )

    def send_batch(self, bodies: Sequence[str]) -> Sequence[bool]:
        """Send up to 10 messages in one request; tells of each whether SQS took it.

        A 200 can hold failures. Those are sent once more, for most of them pass at once.
        """
        taken = [False] * len(bodies)
        for _ in range(2):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(index), "MessageBody": body}
                for index, body in enumerate(bodies)
                if not taken[index]
            ]
            if not entries:
                break
            with translated("Sending messages"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            for entry in answer.get("Successful", []):
                taken[int(entry["Id"])] = True
        return taken

    def hide(self, receipt_handle: str, *, seconds: int) -> None:
        """Set a received message's visibility timeout, in seconds from now (0 to 43,200)."""
        with translated("Changing a message's visibility"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )


def _as_sqs(attributes: Mapping[str, str]) -> dict[str, MessageAttributeValueTypeDef]:
    # SQS refuses an attribute without a value.
    return {
        name: {"DataType": "String", "StringValue": value}
        for name, value in attributes.items()
        if value
    }
