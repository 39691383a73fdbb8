"""Callbacks, answered: what each request gets, what it leaves on the queue, what it never shows.

The fakes stand where AWS does; the rest is the function's own code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.callbacks.function_url import Request
from archiver.callbacks.job_ids import MOST_JOBS
from archiver.callbacks.reception import CallbackReception
from archiver.errors import Failure

TOKEN = "canary0token" * 4
JOB = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
LIMIT_BYTES = 64 * 1024
BODY = json.dumps({"job_id": JOB, "callback_url": f"https://x.example/{TOKEN}"})
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@dataclass
class Desk:
    """A reception, and all that it wrote down or sent."""

    sent: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    refuse_from: int = 10_000
    breaks: Exception | None = None

    def knows(self, token: str) -> bool:
        """Know one token."""
        if self.breaks:
            raise self.breaks
        return token == TOKEN

    def send_batch(self, bodies: Sequence[str]) -> list[bool]:
        """Take messages, up to a number."""
        assert 0 < len(bodies) <= 10
        self.batches.append(len(bodies))
        taken = [len(self.sent) + number < self.refuse_from for number in range(len(bodies))]
        self.sent += bodies
        return taken

    def _write(self, level: str, **fields: object) -> None:
        self.lines.append((level, fields))

    def info(self, msg: object, **fields: object) -> None:
        """Log."""
        self._write("info", msg=msg, **fields)

    def warning(self, msg: object, **fields: object) -> None:
        """Log."""
        self._write("warning", msg=msg, **fields)

    def error(self, msg: object, **fields: object) -> None:
        """Log."""
        self._write("error", msg=msg, **fields)

    exception = error

    def count(self, name: str) -> None:
        """Count."""
        self.counted.append(name)

    def count_reason(self, name: str, reason: str) -> None:
        """Count."""
        self.counted.append(f"{name} {reason}")

    def answer(self, event: Any) -> dict[str, Any]:  # noqa: ANN401 - any event
        """Hand the event to a reception."""
        reception = CallbackReception(
            knows_token=self.knows, send_batch=self.send_batch, counts=self, log=self
        )
        return reception.answer(event)

    def jobs(self) -> list[str]:
        """Return the jobs on the queue; each message is the settled form and nothing more."""
        messages = [json.loads(body) for body in self.sent]
        assert all(message.keys() == {"job_id"} for message in messages)
        return [message["job_id"] for message in messages]


@pytest.fixture
def desk() -> Desk:
    """Return a reception that has seen nothing."""
    return Desk()


def request(
    body: str | bytes | None = BODY,
    *,
    path: str = f"/{TOKEN}",
    method: str = "POST",
    query: str = "",
) -> dict[str, Any]:
    """Return an event of the Function URL; bytes are handed over as base64."""
    event: dict[str, Any] = {
        "rawPath": path,
        "rawQueryString": query,
        "requestContext": {"http": {"method": method, "path": path}},
        "isBase64Encoded": isinstance(body, bytes),
    }
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event


def test_a_callback_becomes_one_message(desk: Desk) -> None:
    """202, the job on the queue, one line with its id; the answer tells a number."""
    answer = desk.answer(request())
    assert answer["statusCode"] == 202
    assert json.loads(answer["body"]) == {"queued": 1}
    assert desk.jobs() == [JOB]
    assert desk.counted == ["CallbackAccepted"]
    ((level, line),) = desk.lines
    assert (level, line["job_ids"]) == ("info", [JOB])


@pytest.mark.parametrize(
    "event",
    [
        request(BODY.encode()),
        request(f"job_id={JOB}".encode()),
        request(None, query=f"job_id={JOB}"),
        request(None, query=f"job_id={JOB}", method="GET"),
        request(method="PUT"),
        request(path=f"/{TOKEN}/"),
        request(b"\xef\xbb\xbf" + BODY.encode()),
        request(BODY + " " * (LIMIT_BYTES - len(BODY))),
        request((BODY + " " * (LIMIT_BYTES - len(BODY))).encode()),
    ],
    ids=["base64", "form", "query", "GET", "PUT", "slash", "BOM", "64 KiB", "64 KiB base64"],
)
def test_every_way_to_say_it_is_taken(desk: Desk, event: dict[str, Any]) -> None:
    """Encodings, methods and places; exactly 64 KiB are not too much."""
    assert desk.answer(event)["statusCode"] == 202
    assert desk.jobs() == [JOB]


@pytest.mark.parametrize(
    "event",
    [
        request(path="/"),
        request(path=""),
        request(path=f"/{TOKEN[:-1]}"),
        request(path=f"/x/{TOKEN}"),
        request(path="/", query=f"token={TOKEN}"),
        request(path="/wrong", method="DELETE"),
        request("x" * 100_000, path="/wrong"),
        request("", path="/wrong"),
        {**request(path="/wrong"), "isBase64Encoded": True, "body": "no base64"},
        {},
        {"Records": []},
        {"requestContext": None, "rawPath": 7, "body": {}},
    ],
    ids=lambda event: str(event)[:50],
)
def test_whoever_does_not_know_the_token_is_told_nothing(desk: Desk, event: dict[str, Any]) -> None:
    """The same 404 whatever else is wrong; no line in the log, one metric, no message."""
    answer = desk.answer(event)
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"]) == {"error": "Not Found"}
    assert desk.sent == []
    assert desk.lines == []
    assert desk.counted == ["CallbackRefused unknown_token"]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "HEAD", "OPTIONS", "", "post!"])
def test_other_methods_are_told_which_there_are(desk: Desk, method: str) -> None:
    """405 with Allow, as HTTP demands, for whoever knows the token."""
    answer = desk.answer(request(method=method))
    assert answer["statusCode"] == 405
    assert answer["headers"]["allow"] == "GET, POST, PUT"
    assert desk.sent == []


@pytest.mark.parametrize(
    "body",
    [
        BODY + " " * (LIMIT_BYTES + 1 - len(BODY)),
        (BODY + " " * (LIMIT_BYTES + 1 - len(BODY))).encode(),
        "\N{EURO SIGN}" * (LIMIT_BYTES // 3 + 1),
        b"\x00" * 5_000_000,
    ],
    ids=["text", "base64", "three bytes a character", "5 MB"],
)
def test_a_body_above_64_kib_is_refused(desk: Desk, body: str | bytes) -> None:
    """413, by bytes and not by characters."""
    assert desk.answer(request(body))["statusCode"] == 413
    assert desk.sent == []
    assert desk.counted == ["CallbackRefused too_large"]


@pytest.mark.parametrize("body", ["", "{}", "nonsense", '{"job_id": "7"}', b"\xff\xfe"])
def test_a_callback_without_a_job_id_is_told_what_was_looked_for(
    desk: Desk, body: str | bytes
) -> None:
    """400, so that whoever builds the sender sees what is missing."""
    answer = desk.answer(request(body))
    assert answer["statusCode"] == 400
    assert "`job_id` (UUID)" in json.loads(answer["body"])["message"]
    assert desk.sent == []


def test_a_body_that_is_called_base64_and_is_none_is_refused(desk: Desk) -> None:
    """400, and no guess."""
    answer = desk.answer({**request(), "isBase64Encoded": True, "body": BODY})
    assert answer["statusCode"] == 400
    assert desk.counted == ["CallbackRefused unreadable"]


def test_several_jobs_are_queued_once_each_ten_a_request(desk: Desk) -> None:
    """In their order, however often they are named."""
    jobs = [str(uuid4()) for _ in range(23)]
    body = json.dumps({"jobs": [{"job_id": job.upper()} for job in [*jobs, *jobs]]})
    assert json.loads(desk.answer(request(body))["body"]) == {"queued": 23}
    assert desk.jobs() == jobs
    assert desk.batches == [10, 10, 3]


def test_more_jobs_than_anybody_would_name_are_left_to_the_sweep(desk: Desk) -> None:
    """The first hundred are queued, and a warning says how many are left."""
    jobs = [str(uuid4()) for _ in range(MOST_JOBS + 5)]
    assert desk.answer(request(json.dumps({"job_ids": jobs})))["statusCode"] == 202
    assert desk.jobs() == jobs[:MOST_JOBS]
    ((level, line),) = desk.lines
    assert (level, line["jobs_left"]) == ("warning", 5)


@pytest.mark.parametrize("refuse_from", [0, 7, 22])
def test_a_message_that_the_queue_did_not_take_is_an_error(desk: Desk, refuse_from: int) -> None:
    """503 with Retry-After, so that the vendor may come again; all others are tried before."""
    desk.refuse_from = refuse_from
    body = json.dumps({"job_ids": [str(uuid4()) for _ in range(23)]})
    answer = desk.answer(request(body))
    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) > 0
    assert desk.batches == [10, 10, 3]
    assert desk.counted == ["CallbackFailed aws_error"]
    assert desk.lines[0][1]["detail"].startswith(f"The queue did not take {23 - refuse_from} of 23")


def test_a_token_that_cannot_be_read_is_an_error(desk: Desk) -> None:
    """503, never 404: nobody knows whether the caller was right."""
    desk.breaks = Failure("aws_error", "Reading the callback token: ThrottlingException.")
    assert desk.answer(request())["statusCode"] == 503
    assert desk.sent == []


def test_a_bug_shows_nothing(desk: Desk) -> None:
    """500; not even the log gets the exception's text, for it may quote the request."""
    desk.breaks = ValueError(f"invalid literal: '{TOKEN}'")
    answer = desk.answer(request())
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {"error": "Internal Server Error"}
    ((level, line),) = desk.lines
    assert level == "error"
    assert line["detail"].startswith("ValueError at test_reception.py:")
    assert TOKEN not in str([desk.lines, answer])


@pytest.mark.parametrize("path", [f"/{TOKEN}", "/wrong"])
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "body": st.none() | st.text() | JSON.map(json.dumps) | JSON,
            "isBase64Encoded": st.booleans() | st.none(),
            "rawQueryString": st.text() | st.none(),
            "requestContext": JSON | st.just({"http": {"method": "POST"}}),
        },
    )
)
def test_whatever_comes_gets_a_defined_answer(path: str, fields: dict[str, Any]) -> None:
    """Never 500, never a message without a job, never the token in answer, log or queue."""
    desk = Desk()
    answer = desk.answer({"rawPath": path, **fields})
    expected = {202, 400, 405, 413} if path.endswith(TOKEN) else {404}
    assert answer["statusCode"] in expected
    assert (answer["statusCode"] == 202) == bool(desk.sent)
    assert TOKEN not in str([answer, desk.lines, desk.sent, desk.counted])


def test_a_request_shows_no_secret_when_it_is_printed() -> None:
    """Neither path, query nor body stand in what a debugger or a log would print of it."""
    shown = repr(Request.from_event(request(query=f"t={TOKEN}")))
    assert TOKEN not in shown
    assert JOB not in shown
