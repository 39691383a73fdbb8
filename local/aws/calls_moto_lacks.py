"""Calls of AWS's API that people type and moto answers wrongly or not at all, done for real here.

Pausing a queue: moto's event source mapping is switched off for good (event_source.py polls in its
place), so that enabling and disabling it must reach that. Redriving: moto has no message moves.
Shapes are those of the API references, "UpdateEventSourceMapping" and "StartMessageMoveTask".
"""

from __future__ import annotations

import json
import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_sqs import SQSClient

    from local.aws.event_source import EventSource

__all__ = ["AccountSettings", "CallsMotoLacks"]

_MAPPING = re.compile(r"/2015-03-31/event-source-mappings/(?P<uuid>[0-9a-f-]{36})/?")
_MOVE = "AmazonSQS.StartMessageMoveTask"


class AccountSettings:
    """Lambda's GetAccountSettings: the concurrency of an account with AWS's default quota.

    1,000 in all (AWS General Reference, "Lambda endpoints and quotas"); what functions reserve of
    it is not counted.
    """

    concurrency = 1000

    def takes(self, environ: Mapping[str, Any]) -> bool:
        """Say whether a request is that call (Lambda API Reference, "GetAccountSettings")."""
        return str(environ["PATH_INFO"]).rstrip("/") == "/2016-08-19/account-settings"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        """Answer it."""
        del environ
        return _answer(
            start_response,
            200,
            {
                "AccountLimit": {
                    "ConcurrentExecutions": self.concurrency,
                    "UnreservedConcurrentExecutions": self.concurrency,
                },
                "AccountUsage": {},
            },
        )


class CallsMotoLacks:
    """A WSGI application for the calls that `takes` says are its own."""

    def __init__(
        self,
        sources: Mapping[str, EventSource],
        sqs: Callable[[], SQSClient],
        url_of: Callable[[str], str],
    ) -> None:
        """Take the pollers by their mapping's id, and what gives a queue's URL for its ARN."""
        self._sources = sources
        self._sqs = sqs
        self._url_of = url_of

    def takes(self, environ: Mapping[str, Any]) -> bool:
        """Say whether a request is one of them."""
        is_mapping = environ["REQUEST_METHOD"] in {"GET", "PUT"} and bool(
            _MAPPING.fullmatch(environ["PATH_INFO"])
        )
        return is_mapping or environ.get("HTTP_X_AMZ_TARGET") == _MOVE

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        """Do it and answer."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        given = json.loads(environ["wsgi.input"].read(length) or b"{}")
        match = _MAPPING.fullmatch(environ["PATH_INFO"])
        status, answer = self._switch(match["uuid"], given) if match else self._move(given)
        return _answer(start_response, status, answer)

    def _switch(self, mapping: str, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        source = self._sources.get(mapping)
        if source is None:
            return 404, {"Type": "User", "Message": "The resource you requested does not exist."}
        if given.get("Enabled") is True:
            source.enable()
        elif given.get("Enabled") is False:
            source.disable()
        return 200, {"UUID": mapping, "State": "Enabled" if source.is_enabled else "Disabled"}

    def _move(self, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Move all visible messages with their attributes; each is deleted after it was sent."""
        sqs = self._sqs()
        source, destination = map(self._url_of, (given["SourceArn"], given["DestinationArn"]))
        while messages := sqs.receive_message(
            QueueUrl=source, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            for message in messages:
                sqs.send_message(
                    QueueUrl=destination,
                    MessageBody=message["Body"],
                    MessageAttributes=_as_sent(message.get("MessageAttributes", {})),
                )
                sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
        return 200, {"TaskHandle": str(uuid.uuid4())}


def _answer(start_response: Any, status: int, answer: Mapping[str, Any]) -> list[bytes]:  # noqa: ANN401 - WSGI's
    body = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [body]


def _as_sent(attributes: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("DataType", "StringValue", "BinaryValue")
    return {
        name: {field: value[field] for field in wanted if field in value}
        for name, value in attributes.items()
    }
