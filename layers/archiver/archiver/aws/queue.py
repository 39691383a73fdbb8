"""The queue and its dead-letter queue: sending on, sending later, setting aside, backing off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archiver.aws.translate import translated
from archiver.errors import Failure

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

__all__ = ["Queue"]

_BATCH_MESSAGES = 10  # the most that SendMessageBatch takes


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

    def send_all(self, bodies: Sequence[str]) -> None:
        """Send many short messages, ten a request.

        Raises Failure("aws_error") if any was not taken, after all were tried: SQS takes or refuses
        each message of a batch by itself.
        """
        refused: list[str] = []
        for start in range(0, len(bodies), _BATCH_MESSAGES):
            refused += self._send_batch(bodies[start : start + _BATCH_MESSAGES])
        if refused:
            codes = ", ".join(sorted(set(refused)))
            raise Failure(
                "aws_error", f"Sending messages: {len(refused)} of {len(bodies)} refused ({codes})."
            )

    def _send_batch(self, bodies: Sequence[str]) -> list[str]:
        """Return the error codes of the messages that SQS did not take."""
        with translated("Sending messages"):
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)
                ],
            )
        return [entry["Code"] for entry in answer.get("Failed", [])]

    def hide(self, receipt_handle: str, *, seconds: int) -> None:
        """Let a received message come back `seconds` from now."""
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
