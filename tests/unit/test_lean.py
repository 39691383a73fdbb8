"""The short way to AWS's JSON services sends what boto3 sends; what it cannot do is boto3's.

boto3's clients here are real; nothing leaves them but by botocore's own stubs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from archiver.aws.lean import LeanClient
from archiver.outside import Connection

_KEY = {"id": {"S": "job#1"}}
_CALLS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "dynamodb",
        "batch_get_item",
        {"RequestItems": {"table": {"Keys": [_KEY], "ConsistentRead": True}}},
    ),
    (
        "dynamodb",
        "transact_write_items",
        {
            "TransactItems": [{"Put": {"TableName": "table", "Item": {**_KEY, "n": {"N": "1"}}}}],
            "ClientRequestToken": "token",
        },
    ),
    (
        "dynamodb",
        "update_item",
        {
            "TableName": "table",
            "Key": _KEY,
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": "ä"}},
        },
    ),
    ("events", "put_events", {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]}),
    (
        "sqs",
        "change_message_visibility",
        {"QueueUrl": "https://sqs/q", "ReceiptHandle": "handle", "VisibilityTimeout": 45},
    ),
]
_BATCH = _CALLS[0][2]
_FOUND = {"Responses": {"table": [{**_KEY, "key": {"S": "k"}}]}, "UnprocessedKeys": {}}


@dataclass
class _Wire:
    """A host that gives one answer, and what was sent to it."""

    status: int = 200
    text: bytes = json.dumps(_FOUND).encode()
    error: Exception | None = None
    heads: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    body: bytes = b""
    closed: int = 0

    def connect(self, host: str, port: int, *, tls: bool = True) -> Connection:
        assert (port, tls) == (443, True)
        wire = self

        class _Fake:
            def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
                wire.heads.append((host, method, target, dict(headers)))

            def send(self, data: bytes) -> None:
                wire.body += data

            def answer(self) -> object:
                if wire.error:
                    raise wire.error
                return SimpleNamespace(status=wire.status, read=lambda: wire.text)

            def close(self) -> None:
                wire.closed += 1

        return cast("Connection", _Fake())


def _boto3(service: str) -> Any:  # noqa: ANN401 - a name at run time
    return boto3.client(  # type: ignore[call-overload] # likewise
        service,
        region_name="eu-west-1",
        aws_access_key_id="ID",
        aws_secret_access_key="secret",
        config=Config(user_agent="test/1"),
    )


def _lean(client: Any, wire: _Wire) -> Any:  # noqa: ANN401 - boto3's
    return LeanClient(client, lambda: Credentials("ID", "secret", "session-token"), wire.connect)


def _catch(client: Any) -> list[Any]:  # noqa: ANN401 - boto3's
    """Let a client send nothing; returns what fills with the requests that it would send."""
    caught: list[Any] = []

    def instead(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
        caught.append(request)
        raw = SimpleNamespace(stream=lambda **_: iter([b"{}"]))
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    client.meta.events.register("before-send", instead)
    return caught


@pytest.mark.parametrize(("service", "method", "parameters"), _CALLS, ids=[c[1] for c in _CALLS])
def test_sends_what_boto3_sends(service: str, method: str, parameters: dict[str, Any]) -> None:
    """Body, target, protocol and host are boto3's; the signature covers them."""
    wire = _Wire()
    _lean(_boto3(service), wire)._call(method, **parameters)
    client = _boto3(service)
    caught = _catch(client)
    getattr(client, method)(**parameters)
    (theirs,) = caught
    ((host, verb, target, headers),) = wire.heads
    assert (verb, f"https://{host}{target}") == (theirs.method, theirs.url)
    assert json.loads(wire.body) == json.loads(theirs.body)
    for name in ("X-Amz-Target", "Content-Type", "Content-Length"):
        assert headers[name] == _text(theirs.headers[name])
    assert headers["X-Amz-Security-Token"] == "session-token"
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=ID/")
    assert "host;x-amz-date;x-amz-security-token;x-amz-target" in headers["Authorization"]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_a_plain_answer_is_the_whole_call() -> None:
    """boto3 is not asked, and the connection is given back."""
    client, wire = _boto3("dynamodb"), _Wire()
    with Stubber(client):  # it would raise for any call
        assert _lean(client, wire).batch_get_item(**_BATCH) == _FOUND
    assert wire.closed == 1


@pytest.mark.parametrize(
    "wire",
    [
        _Wire(status=400, text=b'{"__type": "#ThrottlingException"}'),
        _Wire(status=500, text=b"{}"),
        _Wire(status=307),
        _Wire(text=b"<html>"),
        _Wire(text=b""),
        _Wire(error=ConnectionResetError()),
        _Wire(error=TimeoutError()),
    ],
    ids=["throttled", "broken", "redirected", "no JSON", "nothing", "reset", "slow"],
)
def test_whatever_is_no_plain_answer_is_left_to_boto3(wire: _Wire) -> None:
    """The same call is made by boto3, whose answer counts; the connection is given back."""
    client = _boto3("dynamodb")
    with Stubber(client) as stub:
        stub.add_response("batch_get_item", _FOUND, _BATCH)
        assert _lean(client, wire).batch_get_item(**_BATCH)["Responses"] == _FOUND["Responses"]
        stub.assert_no_pending_responses()
    assert wire.closed == 1


def test_errors_are_boto3s_own() -> None:
    """A refusal reaches the caller as boto3 raises it."""
    client, wire = _boto3("events"), _Wire(status=400)
    with Stubber(client) as stub:
        stub.add_client_error("put_events", "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDeniedException"):
            _lean(client, wire).put_events(**_CALLS[3][2])


def test_a_repeated_transaction_is_the_same_one() -> None:
    """Try and repetition carry one token, so that DynamoDB does the work once."""
    client, wire = _boto3("dynamodb"), _Wire(error=ConnectionResetError())
    repetitions = _catch(client)
    _lean(client, wire).transact_write_items(TransactItems=_CALLS[1][2]["TransactItems"])
    token = json.loads(wire.body)["ClientRequestToken"]
    assert [json.loads(r.body)["ClientRequestToken"] for r in repetitions] == [token]


def test_what_json_cannot_hold_is_left_to_boto3() -> None:
    """Bytes are boto3's to encode; nothing is sent before."""
    client, wire = _boto3("dynamodb"), _Wire()
    parameters = {"TableName": "table", "Key": {"id": {"B": b"x"}}}
    with Stubber(client) as stub:
        stub.add_response("update_item", {}, parameters)
        _lean(client, wire).update_item(**parameters)
    assert wire.heads == []


def test_other_methods_and_attributes_are_boto3s() -> None:
    """Powertools finds the client's meta, and a rare call takes the usual way."""
    client, wire = _boto3("dynamodb"), _Wire()
    lean = _lean(client, wire)
    assert lean.meta is client.meta
    with Stubber(client) as stub:
        stub.add_response("delete_item", {})
        lean.delete_item(TableName="table", Key=_KEY)
    assert wire.heads == []
