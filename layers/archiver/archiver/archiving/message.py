"""A message that asks for one job's export, whatever form it arrives in. Pure: text in, values out.

Accepted (samples in events/): `{"job_id": "<uuid>"}`, an ApartmentIQ job object (which has a
`job_id` too), or an EventBridge envelope whose `detail` is either; with `"recheck": true` the
receipt is compared with the object first. An `order_id`, which receive_callback passes on, is to be
confirmed by the vendor's answer. An event that we emitted ourselves is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from archiver.errors import Rejection
from archiver.intent import Intent, read_order_id
from archiver.job import cut_callback_url, parse_job_id, strip_callback_url
from archiver.moment import read_moment

__all__ = [
    "Message",
    "is_our_own_event",
    "read_order",
    "read_request",
    "read_sqs_record",
    "sanitise_body",
    "sendable_body",
]

OUR_SOURCE = "apartmentiq.archiver"  # settled: of all events that we emit

_MAX_SHOWN_CHARACTERS = 60
# What a body may take of SQS's least limit for a message (256 KiB): the rest is for the attributes
# that a delayed copy or a dead letter gets, four bytes to a character of a detail.
_MAX_BODY_BYTES = (256 - 16) * 1024
# What SQS API Reference, SendMessage, leaves out of the characters that it takes. The other way
# round, as there, would take 3 ms of each cold start: a range up to U+10FFFF is dear to compile.
_REFUSED_BY_SQS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# On its way a message is silent for 1 h 45 min at most (docs/decisions, "When a message counts as
# lost"). One that lay for longer was in a dead-letter queue, or in a queue that stood still.
_LAY = timedelta(hours=6)
# SQS stamps a copy within seconds of our sending it; an hour is for clocks that differ.
_SENT_WITHIN = timedelta(hours=1)
_MOST_SECONDS = 10**9  # some thirty years: a number that a timedelta takes
_MAX_ID = 100  # characters of a message's id that are kept: SQS's are UUIDs
_MAX_DIGITS = 15  # of a count or a time in milliseconds: until the year 33658


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a request to archive a job's export."""

    message_id: str
    body: str  # as it may be sent on: without any callback_url, with room for our attributes
    receipt_handle: str
    receive_count: int
    first_seen_at: datetime
    deferrals: int
    outage_since: datetime | None = None  # it waits for the end of an outage, and since when
    outage_seconds: int = 0  # that it waited so before
    asked_by: str = ""  # the message that it is a delayed copy of, or itself

    def in_outages(self, now: datetime) -> timedelta:
        """Return how long it has waited for outages to end, this one included."""
        since = self.outage_since or now
        return timedelta(seconds=self.outage_seconds) + max(now - since, timedelta())


def read_sqs_record(record: Mapping[str, Any], now: datetime) -> Message:
    """Read an SQS record of a Lambda event; its body is not judged here.

    The attributes `first_seen_at`, `deferrals`, `deferred_at`, `outage_since`, `outage_seconds` and
    `asked_by` are ours. Unreadable ones count as absent: they must not keep a job from
    being archived.
    """
    attributes = _mapping(record.get("attributes"))
    ours = _mapping(record.get("messageAttributes"))
    body = record.get("body")
    # To be shown; SQS's are UUIDs, an invocation by hand may call its records anything.
    message_id = _shown(str(record.get("messageId", "")))
    begins = _begins_to_wait(ours, attributes, now)
    return Message(
        message_id=message_id,
        body=sendable_body(body if isinstance(body, str) else json.dumps(body)),
        receipt_handle=str(record.get("receiptHandle", "")),
        receive_count=_whole_number(attributes.get("ApproximateReceiveCount"), default=1),
        first_seen_at=now if begins else _first_seen(ours, attributes, now),
        deferrals=0 if begins else _whole_number(_string_value(ours, "deferrals"), default=0),
        outage_since=None if begins else read_moment(_string_value(ours, "outage_since")),
        outage_seconds=0 if begins else _outage_seconds(ours),
        asked_by=(_shown(_string_value(ours, "asked_by") or "") or message_id)[:_MAX_ID],
    )


def read_request(body: str) -> tuple[str, bool]:
    """Return the job id that a message's body asks for, and whether it asks for a recheck.

    The body's own `job_id` comes first: only an event has it in its `detail`, and others may call
    something of theirs so. Raises Rejection("malformed_message") that says what was looked for and
    what was found.
    """
    value = _parsed(body)
    detail = value.get("detail", value) if isinstance(value, dict) else value
    for asked in (value, detail):
        job_id = parse_job_id(asked.get("job_id")) if isinstance(asked, dict) else None
        if job_id is not None:
            return job_id, asked.get("recheck") is True
    if isinstance(value, dict) and "job_id" in value:
        detail = value
    if not isinstance(detail, dict):
        raise Rejection(
            "malformed_message",
            'The body must be a JSON object such as {"job_id": "<uuid>"}, a job object, or an '
            f"EventBridge event with either in `detail`; found {_kind(detail)}.",
        )
    raise Rejection("malformed_message", _describe_missing_id(detail))


def read_order(body: str) -> Intent | None:
    """Return the order that a callback said a job is of; None for none, and for what is no id."""
    if "order_id" not in body:  # as most bodies
        return None
    try:
        value = _parsed(body)
    except Rejection:
        return None
    return read_order_id(value.get("order_id")) if isinstance(value, dict) else None


def is_our_own_event(body: str) -> bool:
    """Tell whether a body is an event that we emitted, or the detail of one.

    A rule that is too wide brings it back. To work with it would emit the next one, without end,
    and so would its rejection. The detail alone comes by a target's InputPath; nothing of the
    vendor's has a `schema_version` (tests/data/apartmentiq-jobs-openapi.yaml).
    """
    if OUR_SOURCE not in body and "schema_version" not in body:
        return False
    try:
        value = _parsed(body)
    except Rejection:
        return False
    if not isinstance(value, dict):
        return False
    told = value.keys()
    return value.get("source") == OUR_SOURCE or (
        "schema_version" in told and (told >= {"reason", "detail"} or told >= {"job", "object"})
    )


def _parsed(body: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Rejection("malformed_message", f"The body is not JSON{_position(error)}.") from error


def sendable_body(body: str) -> str:
    """Return the body as it may be sent on: sanitised, and short enough for attributes beside it.

    One that is too long is replaced by the request in it; a malformed one is cut, and says so. What
    no queue can have delivered, because SQS refuses it (an invocation by hand can), is escaped.
    """
    body = sanitise_body(body)
    if not body or _REFUSED_BY_SQS.search(body):
        body = _escaped(body)
    if len(encoded := body.encode(errors="replace")) <= _MAX_BODY_BYTES:
        return body
    try:
        job_id, recheck = read_request(body)
    except Rejection:
        return encoded[:_MAX_BODY_BYTES].decode(errors="ignore") + " [cut]"
    told = read_order(body)
    return json.dumps(
        {"job_id": job_id}
        | ({"recheck": True} if recheck else {})
        | ({} if told is None else {"order_id": told.id})
    )


def _escaped(body: str) -> str:
    """Return the same JSON in ASCII, or the body as a JSON text if it is none."""
    try:
        return json.dumps(json.loads(body))
    except (ValueError, RecursionError):
        return json.dumps(body)


def sanitise_body(body: str) -> str:
    """Return the body without any `callback_url`, byte for byte the same if it has none."""
    if "callback" not in body.lower() and "\\u" not in body:
        return body
    try:
        value = json.loads(body)
        stripped = strip_callback_url(value)
    except (ValueError, RecursionError):
        return cut_callback_url(body)
    return body if stripped == value else json.dumps(stripped, separators=(",", ":"))


def _shown(text: str) -> str:
    return "".join(filter(str.isprintable, text))


def _describe_missing_id(detail: Mapping[str, Any]) -> str:
    if "job_id" not in detail:
        return "There is no `job_id` in the body (nor in its `detail`, if it is an event)."
    found = detail["job_id"]
    if not isinstance(found, str):
        return f"`job_id` must be a UUID as text; found {_kind(found)}."
    shown = "".join(c for c in found[:_MAX_SHOWN_CHARACTERS] if c.isalnum() or c in "-_")
    return f"`job_id` must be a UUID such as 123e4567-e89b-12d3-a456-426614174000; found {shown!r}."


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "a boolean"}
    return names.get(type(value), "a number")


def _position(error: Exception) -> str:
    return f" (character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""


def _string_value(attributes: Mapping[str, Any], name: str) -> str | None:
    attribute = attributes.get(name)
    value = attribute.get("stringValue") if isinstance(attribute, Mapping) else None
    return value if isinstance(value, str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole_number(value: object, *, default: int) -> int:
    text = str(value)
    usable = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    return int(text) if usable else default


def _outage_seconds(ours: Mapping[str, Any]) -> int:
    told = _whole_number(_string_value(ours, "outage_seconds"), default=0)
    return min(told, _MOST_SECONDS)


def _begins_to_wait(ours: Mapping[str, Any], attributes: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether nobody has waited with this message lately, whatever it carries.

    So it is with a letter that SQS's redrive policy moved and somebody redrove: it has the
    attributes that the message had. SQS gives it a new enqueue time ("All redriven messages are
    considered new messages", SQS Developer Guide, "Learn how to configure a dead-letter queue
    redrive"), long after we sent it; other queues keep the first one, then it lay all that time.
    """
    if "DeadLetterQueueSourceArn" in attributes:
        return True
    sent_at = _sent_at(attributes) or now
    deferred_at = read_moment(_string_value(ours, "deferred_at"))
    sent_again = deferred_at is not None and sent_at - deferred_at > _SENT_WITHIN
    return sent_again or now - sent_at > _LAY


def _first_seen(ours: Mapping[str, Any], attributes: Mapping[str, Any], now: datetime) -> datetime:
    """Return when the request was first seen: as carried, but never after the message was sent.

    A time that has not come yet would let it wait for ever.
    """
    carried = read_moment(_string_value(ours, "first_seen_at"))
    return min(filter(None, (carried, _sent_at(attributes))), default=now)


def _sent_at(attributes: Mapping[str, Any]) -> datetime | None:
    sent_ms = _whole_number(attributes.get("SentTimestamp"), default=-1)
    return _moment(sent_ms / 1000) if sent_ms >= 0 else None


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):  # beyond the year 9999
        return None
