"""The real callback handler against AWS (moto) over TLS: tokens, rotation, queue, failures, log.

Whatever a test does, all that it left behind is searched for the tokens afterwards.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO, cast

import pytest
import time_machine
from moto.sqs.models import sqs_backends

import receive_callback
from archiver.intent import read_order_id
from archiver.job import parse_job_id
from archiver.wiring.settings import SettingsError
from local.aws.server import ACCOUNT_ID, EmbeddedAws
from tests.functional.aws_script import AwsScript, Refusal, operation
from tests.functional.company import (
    FUNCTION_KEY_ID,
    REGION,
    LambdaContext,
    People,
)
from tests.functional.switches import LOUD, REFUSED, loaded_again
from tests.taint.shared import SEARCHER

JOB = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
ORDER_ID = f"monthly-units.2026-10.2026-11-02.1.{'5d1f' * 6}"


def new_token() -> str:
    """Return a token that the hunt for secrets knows."""
    return f"canary-{uuid.uuid4().hex}{uuid.uuid4().hex}"


@dataclass
class Door:
    """The callback function of one stack, with its secret and its queue, and the log."""

    aws: EmbeddedAws
    aws_script: AwsScript
    people: People
    name: str
    token: str = field(default_factory=new_token, repr=False)
    log: io.StringIO = field(default_factory=io.StringIO)
    answers: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list, repr=False)
    secret_arn: str = ""
    queue_url: str = ""
    handle: Callable[[dict[str, Any], Any], dict[str, Any]] = receive_callback.handle

    def build(self) -> None:
        """Make the secret and the queue."""
        self.tokens.append(self.token)
        secrets = self.people.client("secretsmanager")
        self.secret_arn = secrets.create_secret(Name=self.name, SecretString=self.token)["ARN"]
        made = self.people.client("sqs").create_queue(QueueName=self.name)
        self.queue_url = made["QueueUrl"]

    def rotate(self) -> str:
        """Put a new token into the secret, with the newline that a shell leaves, and return it."""
        token = new_token()
        self.tokens.append(token)
        secrets = self.people.client("secretsmanager")
        secrets.put_secret_value(SecretId=self.secret_arn, SecretString=f"{token}\n")
        return token

    def restart(self) -> None:
        """Let the runtime begin anew."""
        receive_callback._reception.cache_clear()

    def call(self, token: str | None = None, body: object = None, query: str = "") -> int:
        """Call back, and return the answer's status; the job object has the token in it, too."""
        path = f"/{self.token if token is None else token}"
        document = body or {"job_id": JOB, "callback_url": f"https://x.example{path}"}
        answer = self.handle(
            {
                "version": "2.0",
                "rawPath": path,
                "rawQueryString": query,
                "headers": {"content-type": "application/octet-stream"},
                "requestContext": {"http": {"method": "POST", "path": path}},
                "body": base64.b64encode(json.dumps(document).encode()).decode(),
                "isBase64Encoded": True,
            },
            LambdaContext(function_name="receive_callback"),
        )
        self.answers.append(answer)
        return int(answer["statusCode"])

    def queued(self) -> list[str]:
        """Return the jobs on the queue."""
        return [body["job_id"] for body in self.bodies()]

    def bodies(self) -> list[dict[str, str]]:
        """Return the messages' bodies, and check that they hold nothing but ids."""
        messages = sqs_backends[ACCOUNT_ID][REGION].queues[self.name]._messages
        assert not any(message.message_attributes for message in messages)
        bodies = [json.loads(message.body) for message in messages]
        for body in bodies:
            assert body.keys() in ({"job_id"}, {"job_id", "order_id"})
            assert parse_job_id(body["job_id"]) is not None
            assert "order_id" not in body or read_order_id(body["order_id"]) is not None
        return bodies

    def calls(self, action: str) -> int:
        """Return how often the function called AWS so."""
        return sum(
            call.access_key_id == FUNCTION_KEY_ID and call.action == action
            for call in self.aws.requests()
        )


@pytest.fixture
def door(
    aws: EmbeddedAws,
    aws_script: AwsScript,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Door]:
    """Deploy the callback function; afterwards no token is anywhere but in the secret."""
    door = Door(aws, aws_script, people, f"callbacks-{uuid.uuid4().hex[:12]}")
    door.build()
    for name, value in {
        "AWS_ACCESS_KEY_ID": FUNCTION_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_CA_BUNDLE": str(people.ca_bundle),
        "QUEUE_URL": door.queue_url,
        "CALLBACK_TOKEN_SECRET_ARN": door.secret_arn,
    }.items():
        monkeypatch.setenv(name, value)
    door.restart()
    handler = cast("logging.StreamHandler[TextIO]", receive_callback.logger.registered_handler)
    before = handler.setStream(door.log)
    level = receive_callback.logger.log_level
    receive_callback.logger.setLevel("DEBUG")
    yield door
    receive_callback.logger.setLevel(level)
    if before is not None:
        handler.setStream(before)
    aws_script.clear()
    door.restart()
    printed = capsys.readouterr()
    left = {
        "log": door.log.getvalue(),
        "standard output": printed.out,
        "standard error": printed.err,
        "queue": "\n".join(map(str, door.bodies())),
        "answers": "\n".join(map(str, door.answers)),
    }
    SEARCHER.add(("callback token", token) for token in door.tokens)
    assert [str(finding) for finding in SEARCHER.search(left)] == []


def test_a_callback_is_queued(door: Door) -> None:
    """One message, one line with the job's id, one metric; the second reads no secret again."""
    assert [door.call(), door.call()] == [202, 202]
    assert door.queued() == [JOB, JOB]
    assert JOB in door.log.getvalue()


def test_the_id_of_an_order_is_passed_on_and_nothing_else_of_the_query(door: Door) -> None:
    """With the one job that the callback names; of several, which is the order's is not known."""
    assert door.call(query=f"archiver_order={ORDER_ID}&x={door.token}") == 202
    both = {"jobs": [{"job_id": JOB}, {"job_id": str(uuid.uuid4())}]}
    assert door.call(query=f"archiver_order={ORDER_ID}", body=both) == 202
    first, *others = door.bodies()
    assert first == {"job_id": JOB, "order_id": ORDER_ID}
    assert [body.keys() for body in others] == [{"job_id"}, {"job_id"}]


@pytest.mark.parametrize(
    "value",
    ["", "TOKEN", f"{ORDER_ID}.TOKEN", f"{ORDER_ID}0", ORDER_ID.upper(), f"/TOKEN?{ORDER_ID}"],
)
def test_what_is_no_order_s_id_is_left_out(door: Door, value: str) -> None:
    """The job is queued as of any callback; the token does not get out by that way."""
    assert door.call(query=f"archiver_order={value.replace('TOKEN', door.token)}") == 202
    assert door.bodies() == [{"job_id": JOB}]


def test_a_warm_callback_costs_one_call_of_aws(door: Door) -> None:
    """The token is remembered: a callback is as quick as SQS is."""
    door.call()
    reads, sends = door.calls("GetSecretValue"), door.calls("SendMessageBatch")
    for _ in range(20):
        assert door.call() == 202
    assert door.calls("GetSecretValue") == reads
    assert door.calls("SendMessageBatch") == sends + 20


def test_a_wrong_token_costs_no_call_once_the_tokens_are_known(door: Door) -> None:
    """A flood of junk neither reads the secret each time nor reaches the queue."""
    reads = door.calls("GetSecretValue")
    assert {door.call(f"canary-{number}") for number in range(50)} == {404}
    assert door.calls("GetSecretValue") == reads + 2  # the current version, and the one before
    assert door.queued() == []
    assert door.log.getvalue() == ""


def test_a_rotation_keeps_the_token_before_and_no_older_one(door: Door) -> None:
    """Jobs that were ordered with the former URL still call back; after two rotations none does."""
    second = door.rotate()
    door.restart()
    assert [door.call(), door.call(second)] == [202, 202]
    third = door.rotate()
    door.restart()
    assert [door.call(), door.call(second), door.call(third)] == [404, 202, 202]


def test_a_secret_without_a_value_refuses_nobody_for_good(door: Door) -> None:
    """503, and the log says what to do; nothing is queued on nobody's word."""
    secrets = door.people.client("secretsmanager")
    secrets.put_secret_value(SecretId=door.secret_arn, SecretString="short")
    secrets.put_secret_value(SecretId=door.secret_arn, SecretString="shorter")
    assert [door.call(), door.call("shorter"), door.call("")] == [503, 503, 503]
    assert "archiver rotate-callback-token" in door.log.getvalue()
    assert door.queued() == []


@pytest.mark.parametrize(
    ("action", "status", "error"),
    [
        ("GetSecretValue", 400, b'{"__type": "AccessDeniedException", "message": "scripted"}'),
        ("GetSecretValue", 500, b'{"__type": "InternalServiceError"}'),
        ("SendMessageBatch", 400, b'{"__type": "com.amazonaws.sqs#AccessDenied"}'),
        ("SendMessageBatch", 503, b"no JSON"),
    ],
)
def test_when_aws_fails_the_vendor_may_come_again(
    door: Door, action: str, status: int, error: bytes
) -> None:
    """503 with Retry-After, and one line that names what failed; afterwards it works."""
    door.aws_script.answer_next(operation(action), Refusal.json(status, error), times=2)
    assert door.call() == 503
    assert door.answers[-1]["headers"]["retry-after"] == "60"
    (line,) = [json.loads(text) for text in door.log.getvalue().splitlines()]
    assert (line["message"], line["reason"]) == ("callback_failed", "aws_error")
    door.aws_script.clear()
    door.restart()
    assert door.call() == 202


def test_a_message_that_sqs_refused_is_sent_again_and_then_an_error(door: Door) -> None:
    """A 200 can hold failures: they are no success."""
    refused = {"Id": "0", "SenderFault": False, "Code": "InternalError", "Message": "scripted"}
    answer = json.dumps({"Successful": [], "Failed": [refused]}).encode()
    script = door.aws_script.answer_next
    script(operation("SendMessageBatch"), Refusal.json(200, answer))
    assert door.call() == 202
    script(operation("SendMessageBatch"), Refusal.json(200, answer), times=2)
    assert door.call() == 503
    assert door.queued() == [JOB]


def test_a_wrong_setting_is_an_error_with_a_name(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack that was deployed by halves says which variable is missing."""
    monkeypatch.setenv("CALLBACK_TOKEN_SECRET_ARN", "")
    door.restart()
    with pytest.raises(ValueError, match="CALLBACK_TOKEN_SECRET_ARN"):
        door.call()


@pytest.mark.filterwarnings("ignore:POWERTOOLS_DEBUG")
def test_no_variable_makes_the_function_show_its_event(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Powertools' own switches, which somebody may set to find a fault, do not show the token.

    The fixture looks at the log.
    """
    with loaded_again(receive_callback, monkeypatch, LOUD) as module:
        door.handle = module.handle
        assert door.call() == 202
    assert JOB in door.log.getvalue()


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_variable_that_switches_a_promise_off_is_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The function does not start, and its error names the variable; without it, it does."""
    with monkeypatch.context() as patch:
        patch.setenv(name, value)
        with pytest.raises(SettingsError, match=name):
            door.call()
    assert door.queued() == []
    assert door.call() == 202


def test_a_revoked_token_is_refused_though_the_runtimes_clock_stands(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime that was frozen all day has another day's clock on the wall alone."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    assert door.call() == 202
    door.rotate()
    newest = door.rotate()
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=24)):
        assert door.call() == 404
        assert door.call(newest) == 202
