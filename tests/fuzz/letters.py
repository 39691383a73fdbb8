"""What may lie on the queue or be handed to the function: bodies, SQS records, batches, events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.canaries import leaks
from tests.fuzz.limits import MAX_MESSAGE_BYTES, SQS_REFUSED
from tests.fuzz.values import (
    CALLBACK_NAME,
    any_json,
    any_text,
    callback_members,
    job_ids,
    json_text,
    mutated,
    near_job_ids,
    sqs_text,
)

__all__ = ["batches", "bodies", "good_bodies", "records", "requests", "sqs_records"]


@st.composite
def requests(draw: st.DrawFn) -> Any:  # noqa: ANN401 - any JSON
    """Draw a request in one of its forms, or something near one."""
    job_id = draw(st.one_of(job_ids, job_ids, job_ids, near_job_ids, any_json))
    request: dict[str, Any] = {"job_id": job_id}
    if draw(st.integers(0, 3)) == 0:
        request["recheck"] = draw(st.sampled_from([True, False, "yes", 1, None]))
    if draw(st.booleans()):
        request |= draw(callback_members())
    if draw(st.integers(0, 2)) == 0:
        request |= draw(st.dictionaries(any_text, any_json, max_size=2))
    return draw(
        st.sampled_from(
            [
                request,
                request,
                {"source": "apartmentiq", "detail-type": "Job Completed", "detail": request},
                {"detail": request, "job_id": "another"},
                {"detail": [request]},
                {"Type": "Notification", "Message": json.dumps(request)},
                [request],
                {"detail": None, "job_id": job_id},
            ]
        )
    )


def _admitted(body: str) -> str:
    allowed = SQS_REFUSED.sub("", body)
    if len(allowed) > MAX_MESSAGE_BYTES // 4:
        allowed = allowed.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    return allowed or "?"


def _filled(body: str, short: int) -> str:
    """Return, one time in twenty, a body a little shorter than SQS's limit."""
    if short > 20 or not body.endswith("}"):
        return body
    room = MAX_MESSAGE_BYTES - len(body.encode(errors="replace")) - short * 500
    return body[:-1] + ',"x":"' + "y" * max(0, room - 10) + '"}'


good_bodies = job_ids.map(lambda job_id: json.dumps({"job_id": job_id}))


def _recognisable(body: str) -> str:
    """Cut off a token that was left without its name before it: nobody could know it for one."""
    name = CALLBACK_NAME.search(body)
    start = len(body) if name is None else name.start()
    body = body[start:] if leaks([body[:start]]) else body
    try:
        nameless = leaks(_told_without_name(json.loads(body)))
    except (ValueError, RecursionError):
        return body  # no JSON: all that follows a name is held to belong to it
    return "{}" if nameless else body


def _told_without_name(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the texts of a JSON value that stand under no `callback_url`, nor behind one."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield CALLBACK_NAME.split(name, maxsplit=1)[0]
            if CALLBACK_NAME.search(name) is None:
                yield from _told_without_name(item)
    elif isinstance(value, list):
        for item in value:
            yield from _told_without_name(item)
    elif isinstance(value, str):
        yield CALLBACK_NAME.split(value, maxsplit=1)[0]


_request_text = json_text(requests())
_spoilt_request = mutated(_request_text).map(_recognisable)
bodies = st.one_of(
    _request_text,
    _spoilt_request,
    _spoilt_request,
    mutated(json_text(callback_members())).map(_recognisable),
    json_text(any_json),
    any_text,
)
# As SQS lets them in: its character set, and not beyond its size.
_sqs_bodies = st.one_of(
    _request_text,
    _spoilt_request,
    sqs_text,
    st.integers(0, 400).flatmap(lambda short: _request_text.map(lambda body: _filled(body, short))),
).map(lambda body: _recognisable(_admitted(body)))  # what SQS refuses may have spoilt a JSON text


_odd_numbers = st.sampled_from(
    [
        "",
        "-1",
        "1.5",
        "1e3",
        "9" * 20,
        "9" * 5_000,
        "\u0664",
        "0",
        "00003",
        " 3",
        "NaN",
        "2147483648",
    ]
)
_odd_times = st.sampled_from(
    [
        *("2026-11-20T00:00:00.000Z", "2026-11-20", "yesterday", "", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T23:59:59-14:00", "9999-12-31", "0001-01-01", "2026-11-20T00:00:00"),
        *("20261120", "2026-W47-5", "2026-11-20T24:00:00Z", "2999-01-01T00:00:00Z"),
    ]
)


def _attribute(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        values.map(lambda value: {"stringValue": value, "dataType": "String"}),
        values.map(lambda value: {"stringValue": value, "dataType": "String"}),
        any_json,
    )


_attributes = st.fixed_dictionaries(
    {},
    optional={
        "ApproximateReceiveCount": st.sampled_from(["1", "1", "2", "3", "4"])
        | _odd_numbers
        | any_json,
        "SentTimestamp": st.just("1764000000000") | _odd_numbers | any_json,
    },
)
_our_attributes = st.fixed_dictionaries(
    {},
    optional={
        "first_seen_at": _attribute(_odd_times | any_text),
        "deferrals": _attribute(st.sampled_from(["0", "1", "40"]) | _odd_numbers),
        "traceparent": _attribute(any_text),
    },
)
records = st.fixed_dictionaries(
    {},
    optional={
        "messageId": st.just("m") | any_json,
        "receiptHandle": st.just("r") | any_json,
        "body": bodies | any_json,
        "attributes": _attributes | any_json,
        "messageAttributes": _our_attributes | any_json,
        "md5OfBody": any_text,
    },
)


@st.composite
def sqs_records(draw: st.DrawFn, texts: st.SearchStrategy[str] = _sqs_bodies) -> dict[str, Any]:
    """Draw a record as Lambda makes them of SQS's messages: its own fields are always there."""
    return {
        "messageId": draw(st.uuids().map(str)),
        "receiptHandle": draw(st.just("handle")),
        "body": draw(texts),
        "attributes": {
            "ApproximateReceiveCount": str(draw(st.sampled_from([1, 1, 2, 3, 3, 7]))),
            "SentTimestamp": "1764000000000",
            **draw(st.just({}) | _attributes),
        },
        "messageAttributes": draw(st.just({}) | _our_attributes),
        "eventSource": "aws:sqs",
    }


batches = st.one_of(
    st.lists(sqs_records(), max_size=4),
    st.lists(records | any_json, max_size=3),
    any_json,
)
