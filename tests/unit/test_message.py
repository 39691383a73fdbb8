"""Messages: every accepted form yields the job id, every other says what was looked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import Rejection
from archiver.job import strip_callback_url
from archiver.message import read_request, read_sqs_record, sanitise_body

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
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
    ],
)
def test_a_callback_url_is_cut_out_of_bodies_that_are_no_json(body: str) -> None:
    """A dead letter keeps the original body, but not the token in it."""
    assert "canary" not in sanitise_body(body)


def test_a_body_without_one_is_kept_byte_for_byte() -> None:
    """Spacing, order and escapes of the original survive."""
    body = '{ "b":1,\t"a":"\\u00e9" }'
    assert sanitise_body(body) == body


def test_our_attributes_carry_on_from_delivery_to_delivery() -> None:
    """First-seen time and deferrals come from the message's own attributes where it has them."""
    message = read_sqs_record(
        {
            "messageId": "m",
            "receiptHandle": "r",
            "body": "{}",
            "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1700000000000"},
            "messageAttributes": {
                "first_seen_at": {"stringValue": "2026-11-01T00:00:00.000Z", "dataType": "String"},
                "deferrals": {"stringValue": "4", "dataType": "String"},
            },
        }
    )
    assert message.first_seen_at == datetime(2026, 11, 1, tzinfo=UTC)
    assert (message.deferrals, message.receive_count) == (4, 3)


@pytest.mark.parametrize("nonsense", ["", "yesterday", "-1", "\N{FULLWIDTH DIGIT FOUR}"])
def test_unreadable_attributes_count_as_absent(nonsense: str) -> None:
    """What somebody else wrote into an attribute must not keep a job from being archived."""
    attribute = {"stringValue": nonsense, "dataType": "String"}
    message = read_sqs_record(
        {
            "body": "{}",
            "attributes": {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": nonsense},
            "messageAttributes": {"first_seen_at": attribute, "deferrals": attribute},
        }
    )
    assert message.first_seen_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (message.deferrals, message.receive_count) == (0, 1)
