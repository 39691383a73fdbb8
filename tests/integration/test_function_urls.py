"""A Function URL of the local run hands over what Lambda would, and answers what Lambda would."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from local.aws.function_urls import FunctionUrls
from local.aws.runtime import Invocation
from local.certificates import CertificateAuthority
from local.cloud import LocalCloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Function:
    """What stands behind the URL: it notes its events and answers as it is told."""

    url: str
    events: list[Any] = field(default_factory=list)
    payload: Any = field(default_factory=lambda: {"statusCode": 204})
    error_type: str | None = None

    def invoke(self, name: str, event: object) -> Invocation:
        """Take an event."""
        assert name == "hook"
        self.events.append(event)
        return Invocation("r", "t", self.payload, self.error_type, False, 0, 0, False, None, "")  # noqa: FBT003 - in their order


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority of the tests' own."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def function(authority: CertificateAuthority) -> Iterator[Function]:
    """Serve a function's URL."""
    urls = FunctionUrls(authority.server_context())
    function = Function(urls.open("hook"))
    urls.answer(function.invoke)
    yield function
    urls.stop()


@pytest.fixture
def http(authority: CertificateAuthority) -> Iterator[urllib3.PoolManager]:
    """Return a client that verifies TLS."""
    with urllib3.PoolManager(ca_certs=str(authority.bundle_path), retries=False) as manager:
        yield manager


def test_a_request_becomes_an_event_of_format_two(
    function: Function, http: urllib3.PoolManager
) -> None:
    """Path and query as they were sent, header names in lower case, a JSON body as text."""
    http.request("POST", f"{function.url}a/b?x=1&x=%202&y=", json={"a": "\N{EURO SIGN}"})
    (event,) = function.events
    assert (event["version"], event["rawPath"]) == ("2.0", "/a/b")
    assert event["rawQueryString"] == "x=1&x=%202&y="
    assert event["queryStringParameters"] == {"x": "1, 2", "y": ""}
    assert event["headers"]["content-type"] == "application/json"
    assert (event["body"], event["isBase64Encoded"]) == ('{"a":"\N{EURO SIGN}"}', False)
    http_context = event["requestContext"]["http"]
    assert (http_context["method"], http_context["path"]) == ("POST", "/a/b")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "image/png"])
def test_a_body_that_is_no_text_is_base64(
    function: Function, http: urllib3.PoolManager, content_type: str
) -> None:
    """Forms too: Lambda takes them for binary."""
    http.request("POST", function.url, body=b"job_id=1", headers={"Content-Type": content_type})
    (event,) = function.events
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"job_id=1"


def test_a_request_without_a_body_has_none(function: Function, http: urllib3.PoolManager) -> None:
    """As on Lambda, the key is missing."""
    http.request("GET", function.url)
    assert "body" not in function.events[0]


@pytest.mark.parametrize(
    ("payload", "status", "body"),
    [
        ({"statusCode": 202, "headers": {"x-a": "1"}, "body": "text"}, 202, b"text"),
        ({"statusCode": 200, "body": "dGV4dA==", "isBase64Encoded": True}, 200, b"text"),
        ({"any": "thing"}, 200, b'{"any": "thing"}'),
    ],
)
def test_what_the_function_returns_is_answered(
    function: Function, http: urllib3.PoolManager, payload: object, status: int, body: bytes
) -> None:
    """A status and headers where it gives them; any other JSON is a body."""
    function.payload = payload
    answer = http.request("POST", function.url)
    assert (answer.status, answer.data) == (status, body)


def test_a_function_that_fails_is_a_bad_gateway(
    function: Function, http: urllib3.PoolManager
) -> None:
    """Its error stays inside."""
    function.error_type, function.payload = "Exception", {"errorMessage": "secret"}
    answer = http.request("POST", function.url)
    assert answer.status == 502
    assert b"secret" not in answer.data


def test_a_payload_above_lambdas_limit_never_reaches_the_function(
    function: Function, http: urllib3.PoolManager
) -> None:
    """413 from the URL itself."""
    assert http.request("POST", function.url, body=b"x" * (6 * 1024 * 1024 + 1)).status == 413
    assert function.events == []


def test_a_stack_without_callbacks_has_no_url(tmp_path: Path) -> None:
    """The template's switch is the local run's, too: nothing listens, and tools read null."""
    with LocalCloud(state_folder=tmp_path, parameters={"ReceiveCallbacks": "false"}) as cloud:
        assert cloud.callback_url is None
        assert json.loads(cloud.endpoints_path.read_text())["callback_url"] is None
        assert not cloud.stack.of_type("AWS::Lambda::Url")
