"""Messages: every accepted form yields the job id, every other says what was looked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.archiving.message import (
    is_our_own_event,
    read_order,
    read_request,
    read_sqs_record,
    sanitise_body,
    sendable_body,
)
from archiver.errors import Rejection
from archiver.job import strip_callback_url

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
ORDER_ID = f"monthly-units.2026-10.2026-11-02.1.{'5d1f' * 6}"
OTHER_ID = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
SENT_MS = 1_800_000_000_000
NOW = datetime.fromtimestamp(SENT_MS / 1000 + 60, UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.just("callback_url"), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "body",
    [
        {"job_id": JOB_ID},
        {"job_id": JOB_ID.upper()},
        {"job_id": f" {JOB_ID}\n"},
        {"job_id": JOB_ID, "status": "succeeded", "property_ids": [1, 2]},
        {"source": "apartmentiq", "detail-type": "Job Completed", "detail": {"job_id": JOB_ID}},
        {"detail": {"job_id": JOB_ID, "report_type": "units", "detail": None}},
        {"job_id": JOB_ID, "detail": "text"},
        {"job_id": JOB_ID, "detail": None},
        {"job_id": JOB_ID, "detail": {"note": "x"}},
        {"job_id": JOB_ID, "detail": {"job_id": OTHER_ID, "recheck": True}},
        {"job_id": None, "detail": {"job_id": JOB_ID}},
    ],
)
def test_every_accepted_form_yields_the_job_id(body: dict[str, Any]) -> None:
    """A bare id, a job object and an EventBridge envelope mean the same; ids are lower-cased."""
    assert read_request(json.dumps(body)) == (JOB_ID, False)


def test_recheck_must_be_true_and_nothing_like_it() -> None:
    """Only `true` asks for a recheck: a stray word must not cause a second look at S3."""
    assert read_request(json.dumps({"job_id": JOB_ID, "recheck": True})) == (JOB_ID, True)
    assert read_request(json.dumps({"job_id": JOB_ID, "recheck": "yes"})) == (JOB_ID, False)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON (character 2)"),
        ("[" * 100_000, "not JSON"),
        ("[]", "found a list"),
        ("null", "found null"),
        ("3", "found a number"),
        ('{"detail": []}', "found a list"),
        ("{}", "There is no `job_id`"),
        ('{"detail": {"id": 1}}', "There is no `job_id`"),
        ('{"job_id": 7}', "must be a UUID as text; found a number"),
        ('{"job_id": "7"}', "found '7'"),
        ('{"job_id": "{ed49987b-6539-4e9e-8a63-2bcd811ef0ec}"}', "must be a UUID such as"),
        ('{"job_id": "ed49987b65394e9e8a632bcd811ef0ec"}', "must be a UUID such as"),
        ('{"job_id": "../../oauth"}', "found 'oauth'"),
        ('{"job_id": "7", "detail": "text"}', "found '7'"),
        ('{"job_id": "7", "detail": {}}', "found '7'"),
    ],
)
def test_every_other_form_is_rejected_with_what_was_looked_for(body: str, said: str) -> None:
    """The reason is malformed_message and the detail helps the one who reads the dead letter."""
    with pytest.raises(Rejection) as rejected:
        read_request(body)
    assert rejected.value.reason == "malformed_message"
    assert said in rejected.value.detail


@given(JSON)
def test_no_callback_url_survives_at_any_depth(value: object) -> None:
    """The URL carries a token of ours; whatever is sent on has none of it."""
    body = json.dumps({"a": [value], "Callback_Url": "https://x.example/?token=canary"})
    cleaned = sanitise_body(body)
    assert "canary" not in cleaned
    assert json.loads(cleaned) == {"a": [strip_callback_url(value)]}


@pytest.mark.parametrize(
    "body",
    [
        '{"job_id": "x", "callback_url": "https://h/?token=canary',
        '{"callback_url" : "https://h/?token=canary", "job_id": ',
        '"{\\"callback_url\\": \\"https://h/?token=canary\\"}',
        "job_id=1&callback_url=https://h/?token=canary",
        "{'callback_url': 'https://h/?token=canary'}",
        '{"callback_url": "https://h/\\"canary',
        '{"callback_url": {"url": "a b canary"},',
        '{"callback\\u005furl": "https://h/?token=canary',
        '{"callback_url": ' + "[" * 20_000 + '"canary"',
    ],
)
def test_a_callback_url_is_cut_out_of_bodies_that_are_no_json(body: str) -> None:
    """A dead letter keeps the original body, but not the token in it."""
    assert "canary" not in sanitise_body(body)


@pytest.mark.parametrize(
    "value",
    [
        json.dumps({"callback_url": "https://h/?token=canary"}),
        {"Message": json.dumps({"job_id": JOB_ID, "callback_url": "https://h/?token=canary"})},
        {"a": json.dumps({"b": json.dumps({"callback_url": "https://h/?token=canary"})})},
        {"callback_url=https://h/?token=canary": 1},
    ],
)
def test_a_callback_url_is_cut_out_of_text_inside_json(value: object) -> None:
    """SNS puts a message as text into its own envelope; the token in it is no less a token."""
    assert "canary" not in sanitise_body(json.dumps(value))


def test_the_job_id_survives_where_a_body_is_cut() -> None:
    """Who reads the dead letter must still see which job it was about."""
    body = f'{{"callback_url": "https://h/?token=canary", "job_id": "{JOB_ID}",}}'
    assert sanitise_body(body) == f'{{"[removed] job_id": "{JOB_ID}'


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["\\", '\\"', "callback_url=", "u005f", " "])
def test_sanitising_a_body_of_a_mebibyte_takes_no_longer_than_reading_it(piece: str) -> None:
    """Anybody who may send a message could otherwise keep the function busy for its whole time."""
    body = f'{{"callback_url": "{piece * (1 << 20)}'[: 1 << 20]
    assert "callback_url" not in sanitise_body(body)


@pytest.mark.parametrize("recheck", [True, False])
def test_a_long_body_is_replaced_by_its_request(recheck: bool) -> None:  # noqa: FBT001 - a case
    """With our attributes beside it, a message as long as SQS takes could not be sent again."""
    body = json.dumps({"job_id": JOB_ID, "recheck": recheck, "note": "x" * 262_000})
    assert read_request(sendable_body(body)) == (JOB_ID, recheck)
    assert len(sendable_body(body)) < 100


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(ORDER_ID, True), (f"{ORDER_ID}0", False), ("", False), (None, False), ([ORDER_ID], False)],
)
def test_an_order_s_id_is_read_or_ignored_and_survives_a_long_body(
    value: object,
    is_one: bool,  # noqa: FBT001 - a case
) -> None:
    """What is none keeps no job from being archived."""
    body = json.dumps({"job_id": JOB_ID, "order_id": value, "note": "x" * 262_000})
    for each in (body, sendable_body(body)):
        told = read_order(each)
        assert read_request(each) == (JOB_ID, False)
        assert (told.id if told else None) == (ORDER_ID if is_one else None)


@pytest.mark.parametrize("body", ["order_id", '["order_id"]', '{"detail": "order_id"}'])
def test_a_body_that_only_mentions_an_order_names_none(body: str) -> None:
    """Also where it is no JSON, or no object."""
    assert read_order(body) is None


@pytest.mark.parametrize("body", ["", "\x00", "{\x0b}", "\ud800", '{"job_id": "\ufffe"}'])
def test_a_body_that_sqs_would_refuse_is_escaped_and_stays_malformed(body: str) -> None:
    """An invocation by hand can bring one; its dead letter must be taken by SQS."""
    sendable = sendable_body(body)
    assert sendable
    assert sendable.isascii()
    assert sendable.isprintable()
    with pytest.raises(Rejection):
        read_request(sendable)


def test_a_request_with_characters_that_sqs_would_refuse_is_still_read() -> None:
    """They stand in a field that nobody asks for."""
    body = json.dumps({"job_id": JOB_ID, "note": "\ufffe\x7f"}, ensure_ascii=False)
    assert json.loads(sendable_body(body)) == json.loads(body)
    assert sendable_body(body).isascii()


@pytest.mark.parametrize("filler", ["x", "\N{GRINNING FACE}"])
def test_a_long_malformed_body_is_cut_and_stays_malformed(filler: str) -> None:
    """Its dead letter must be taken by SQS, whatever its characters weigh."""
    body = sendable_body(f'{{"job_id": "{JOB_ID}"}} {filler * 262_144}')
    assert len(body.encode()) <= 262_144 - 16_000
    with pytest.raises(Rejection, match="not JSON"):
        read_request(body)


def record(
    *, sent: datetime = NOW, dead_letter_queue_of: str | None = None, **ours: str
) -> dict[str, Any]:
    """Return a record with these attributes of ours."""
    return {
        "messageId": "m",
        "receiptHandle": "r",
        "body": "{}",
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": str(round(sent.timestamp() * 1000)),
            **({"DeadLetterQueueSourceArn": dead_letter_queue_of} if dead_letter_queue_of else {}),
        },
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in ours.items()
        },
    }


def test_a_first_sight_after_the_message_was_sent_is_not_believed() -> None:
    """Else a time in the future would keep a message waiting beyond MaxWaitHours."""
    sent = NOW - timedelta(minutes=1)
    message = read_sqs_record(record(sent=sent, first_seen_at="2999-01-01T00:00:00Z"), NOW)
    assert message.first_seen_at == sent


def test_a_body_without_one_is_kept_byte_for_byte() -> None:
    """Spacing, order and escapes of the original survive."""
    body = '{ "b":1,\t"a":"\\u00e9" }'
    assert sanitise_body(body) == body


def test_our_attributes_carry_on_from_delivery_to_delivery() -> None:
    """First-seen time and deferrals come from the message's own attributes where it has them."""
    message = read_sqs_record(
        record(
            first_seen_at="2026-11-01T00:00:00.000Z",
            deferrals="4",
            deferred_at=NOW.isoformat(),
        ),
        NOW,
    )
    assert message.first_seen_at == datetime(2026, 11, 1, tzinfo=UTC)
    assert (message.deferrals, message.receive_count) == (4, 3)


DAYS = timedelta(days=3, hours=1)
WAITED: dict[str, Any] = {"first_seen_at": "2026-11-01T00:00:00.000Z", "deferrals": "200"}


@pytest.mark.parametrize(
    "letter",
    [
        record(sent=NOW - DAYS),
        record(sent=NOW - DAYS, **WAITED),
        record(**WAITED, deferred_at=(NOW - DAYS).isoformat()),
        record(**WAITED, dead_letter_queue_of="arn:aws:sqs:us-east-1:1:q"),
    ],
    ids=["as it was sent", "a copy, by its first sending", "a copy, sent anew", "named by SQS"],
)
def test_a_letter_that_somebody_redrove_begins_to_wait_anew(letter: dict[str, Any]) -> None:
    """Whichever queue moves it: it lay, and nothing was waited for meanwhile."""
    message = read_sqs_record(letter, NOW)
    assert (message.first_seen_at, message.deferrals) == (NOW, 0)


def test_a_message_in_a_backlog_has_waited_since_it_was_sent() -> None:
    """Five hours of a busy queue are waiting, and so is what its copies waited before."""
    sent = NOW - timedelta(hours=5)
    assert read_sqs_record(record(sent=sent), NOW).first_seen_at == sent
    copy = record(sent=sent, **WAITED, deferred_at=(sent - timedelta(minutes=5)).isoformat())
    assert read_sqs_record(copy, NOW).deferrals == 200


OURS = {"schema_version": "1", "job_id": JOB_ID, "reason": "no_such_job", "detail": "404"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"source": "apartmentiq.archiver", "detail-type": "Export Rejected", "detail": OURS},
            True,
        ),
        ({"source": "apartmentiq.archiver", "detail": {"job_id": JOB_ID}}, True),
        (OURS, True),
        ({"schema_version": "1", "job": {}, "object": {}, "source_etag": "x"}, True),
        ({"source": "apartmentiq", "detail": {"job_id": JOB_ID}}, False),
        ({"source": "apartmentiq", "detail": {"job_id": JOB_ID, "note": OURS}}, False),
        ({"job_id": JOB_ID, "detail": "apartmentiq.archiver"}, False),
        ({"job_id": JOB_ID, "reason": "x", "detail": "y"}, False),
        ({"job_id": JOB_ID, "schema_version": "1"}, False),
        (["apartmentiq.archiver"], False),
        ("apartmentiq.archiver", False),
    ],
    ids=str,
)
def test_our_own_events_are_known_by_their_source_or_their_form(
    value: object,
    expected: bool,  # noqa: FBT001 - a case
) -> None:
    """The source is a settled name, and every detail of ours says its schema_version."""
    assert is_our_own_event(json.dumps(value)) is expected


def test_what_cannot_be_read_is_no_event_of_ours() -> None:
    """It is malformed, and is told so."""
    assert not is_our_own_event("{apartmentiq.archiver")


@pytest.mark.parametrize(
    "nonsense",
    [
        *("", "yesterday", "-1", "\N{FULLWIDTH DIGIT FOUR}", "9" * 20, "9" * 5_000),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_unreadable_attributes_count_as_absent(nonsense: str) -> None:
    """What somebody else wrote into an attribute must not keep a job from being archived."""
    attribute = {"stringValue": nonsense, "dataType": "String"}
    message = read_sqs_record(
        {
            "body": "{}",
            "attributes": {"SentTimestamp": str(SENT_MS), "ApproximateReceiveCount": nonsense},
            "messageAttributes": dict.fromkeys(
                ("first_seen_at", "deferrals", "deferred_at"), attribute
            ),
        },
        NOW,
    )
    assert message.first_seen_at == datetime.fromtimestamp(SENT_MS / 1000, UTC)
    assert (message.deferrals, message.receive_count) == (0, 1)


@pytest.mark.parametrize("nonsense", [7, None, "x", ["a"], {"stringValue": 7}, {"a": {}}])
def test_a_record_of_any_shape_becomes_a_message(nonsense: object) -> None:
    """Lambda sends no such record; if one came, its body must reach the dead-letter queue."""
    message = read_sqs_record(
        {"body": nonsense, "attributes": nonsense, "messageAttributes": nonsense}, NOW
    )
    assert (message.deferrals, message.receive_count) == (0, 1)
