"""The samples in events/ are what AWS sends and what we emit, so that people can trust them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_args

import pytest
from jsonschema import ValidationError

from archiver.archiving.message import read_request
from archiver.callbacks.function_url import Request
from archiver.callbacks.job_ids import find_job_ids
from archiver.errors import EndReason, Rejection, RejectionReason
from tests.schemas import RELEASED_FIELDS, SCHEMAS, schema_errors, validator
from tests.template.resolved import REPOSITORY, Stack

EVENTS = REPOSITORY / "events"
JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
EMITTED = {
    "export-archived": "Export Archived",
    "export-superseded": "Export Superseded",
    "export-rejected": "Export Rejected",
    "export-failed-at-vendor": "Export Failed At Vendor",
    "order-needs-attention": "Order Needs Attention",
}
HAD_ALL_AT_ONCE = {"export-superseded", "order-needs-attention"}
CALLBACK_SAMPLES = sorted(path.name for path in EVENTS.glob("function-url-*.json"))
SQS_SAMPLES = sorted(path.name for path in EVENTS.glob("sqs-*.json"))


def read(name: str) -> Any:  # noqa: ANN401 - a file's JSON
    """Return a file of events/ as JSON."""
    return json.loads((EVENTS / name).read_text())


def archived(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return the sample detail of `Export Archived` with `field` or `part__field` changed."""
    detail: dict[str, Any] = read("emitted/export-archived.json")["detail"]
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            detail[part][field] = value
        else:
            detail[part] = value
    return detail


@pytest.mark.parametrize("name", EMITTED)
def test_an_emitted_sample_keeps_its_schema(name: str) -> None:
    """Source, type and detail are the settled ones."""
    event = read(f"emitted/{name}.json")
    assert event["source"] == "apartmentiq.archiver"
    assert event["detail-type"] == EMITTED[name]
    assert schema_errors(event) == []


def test_every_schema_has_a_sample_and_a_version() -> None:
    """The version that an event says is the one in the schema's own name, which no two share."""
    # A plan is read, and a coverage printed: tests/unit/orders holds both.
    described = {*EMITTED, "orders", "coverage"}
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{n}.schema.json" for n in described}
    assert {path.stem for path in (EVENTS / "emitted").iterdir()} == EMITTED.keys()
    for name, title in EMITTED.items():
        schema = read(f"schemas/{name}.schema.json")
        version = schema["properties"]["schema_version"]["const"]
        assert schema["$id"] == f"urn:apartmentiq-archiver:{name}:{version}"
        assert schema["title"] == title


@pytest.mark.parametrize("name", EMITTED)
def test_a_schema_takes_later_fields_and_misses_none_of_todays(name: str) -> None:
    """A consumer that validates survives an added field; what a test emits is held to every one."""
    detail = read(f"emitted/{name}.json")["detail"]
    later = {**detail, "a_later_field": 1}
    validator(name).validate(later)
    for inside in [field for field, value in detail.items() if isinstance(value, dict)]:
        validator(name).validate({**later, inside: {**detail[inside], "a_later_field": 1}})
    with pytest.raises(ValidationError):
        validator(name, closed=True).validate(later)
    for field in detail:
        without = {k: v for k, v in detail.items() if k != field}
        if field in RELEASED_FIELDS or name in HAD_ALL_AT_ONCE:
            with pytest.raises(ValidationError):
                validator(name).validate(without)
        else:  # events before it are replayed, too
            validator(name).validate(without)


@pytest.mark.parametrize(
    "change",
    [
        {"job__report_type": "unknown", "job__output_format": "unknown"},
        {"job__start_date": "unknown", "job__end_date": "unknown"},
        {"object__version_id": None},
        {"object__checksum_crc64nvme": None, "verified_by": "size_and_etag"},
        {"object__size_bytes": 0},
        {"source_etag": None},
        {"copy_method": "server_side"},
        {"verified_by": "size_and_source_etag", "etags_agree": True},
    ],
    ids=str,
)
def test_an_archived_export_may_lack_what_nobody_told(change: dict[str, Any]) -> None:
    """Unknown details, a missing version or a missing checksum can be said."""
    validator("export-archived").validate(archived(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2"},
        {"job__job_id": JOB_ID.upper()},
        {"job__start_date": "2026-13-01"},
        {"object__size_bytes": -1},
        {"object__checksum_crc64nvme": "AAAAAA=="},
        {"object__key": "/leading/slash"},
        {"copy_method": "teleport"},
        {"archived_at": "2026-11-02 06:04"},
        {"archived_at": "2026-11-02T06:04:39+01:00"},
        {"duration_seconds": "6"},
    ],
    ids=str,
)
def test_an_archived_export_that_is_described_wrongly_is_refused(change: dict[str, Any]) -> None:
    """The schema would notice a slip of ours before a consumer does."""
    with pytest.raises(ValidationError):
        validator("export-archived").validate(archived(**change))


def test_a_rejected_message_may_have_no_job() -> None:
    """A malformed message holds no id, and is reported all the same."""
    said = {"reason": "malformed_message", "detail": "The body is not JSON."}
    validator("export-rejected").validate({"schema_version": "1", "job_id": None, **said})


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("export-rejected", get_args(RejectionReason)),
        ("export-failed-at-vendor", get_args(EndReason)),
    ],
)
def test_schemas_and_code_know_the_same_reasons(name: str, reasons: tuple[str, ...]) -> None:
    """A reason that the code can emit is in the schema, and no other."""
    schema = read(f"schemas/{name}.schema.json")
    assert sorted(schema["properties"]["reason"]["enum"]) == sorted(reasons)


@pytest.mark.parametrize("name", SQS_SAMPLES)
def test_an_sqs_sample_is_what_lambda_hands_over(name: str) -> None:
    """Every record has SQS's fields, an MD5 that fits, and the stack's queue as its source."""
    for record in read(name)["Records"]:
        body = record["body"].encode()
        assert record["md5OfBody"] == hashlib.md5(body, usedforsecurity=False).hexdigest()
        assert record["eventSourceARN"].endswith(":apartmentiq-archiver-archive")
        assert {"messageId", "receiptHandle", "attributes", "messageAttributes"} <= record.keys()


@pytest.mark.parametrize(
    "name", ["sqs-job-id.json", "sqs-job-object.json", "sqs-eventbridge-envelope.json"]
)
def test_every_form_of_message_names_its_job(name: str) -> None:
    """The three settled forms are read by the function's own reader."""
    (record,) = read(name)["Records"]
    assert read_request(record["body"]) == (JOB_ID, False)


def test_one_record_of_the_batch_is_bad_and_its_neighbours_are_good() -> None:
    """The sample for partial failures really holds one."""
    first, bad, last = read("sqs-batch-with-a-bad-record.json")["Records"]
    assert read_request(first["body"])[0] != read_request(last["body"])[0]
    with pytest.raises(Rejection, match="malformed_message"):
        read_request(bad["body"])


def test_the_direct_event_is_one_that_the_rule_takes() -> None:
    """The sample for EventBridge matches the deployed rule's pattern."""
    event = read("eventbridge-job-completed.json")
    pattern = Stack().properties("JobCompletedRule")["EventPattern"]
    assert all(event[field] in accepted for field, accepted in pattern.items())
    assert event["detail"]["job_id"] == JOB_ID


@pytest.mark.parametrize("name", CALLBACK_SAMPLES)
def test_a_callback_sample_names_its_job(name: str) -> None:
    """The event of a Function URL, with a JSON body and with a form that Lambda made base64."""
    event = read(name)
    assert event["version"] == "2.0"
    assert event["rawPath"] == event["requestContext"]["http"]["path"]
    request = Request.from_event(event)
    assert request.method == "POST"
    body = request.read_body(65_536)
    assert int(event["headers"]["content-length"]) == len(body)
    assert find_job_ids(request.query, body) == [JOB_ID]


def test_there_are_both_kinds_of_callback_sample() -> None:
    """One whose body is text, one whose body is base64."""
    assert [read(name)["isBase64Encoded"] for name in CALLBACK_SAMPLES] == [True, False]
