"""What is searched after every functional test holds each place: what is planted is found there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

import pytest

from tests.functional.company import Company
from tests.taint.encodings import ENCODINGS
from tests.taint.searcher import Searcher

Plant = Callable[[Company, str], object]


def in_event(company: Company, text: str) -> None:
    """Emit it."""
    entry = {"Source": "apartmentiq.archiver", "DetailType": "Planted", "EventBusName": company.bus}
    detail = json.dumps({"detail": text})
    company.people.client("events").put_events(Entries=[{**entry, "Detail": detail}])


def in_object(company: Company, text: str) -> None:
    """Store it as an object's metadata."""
    company.people.client("s3").put_object(
        Bucket=company.bucket, Key=f"k{secrets.token_hex(4)}", Metadata={"planted": text}
    )


def in_entry(company: Company, text: str) -> None:
    """Store it as an entry of the catalogue."""
    key = f"catalogue/k{secrets.token_hex(4)}"
    company.people.client("s3").put_object(Bucket=company.bucket, Key=key, Body=text.encode())


def in_table(company: Company, text: str) -> None:
    """Write it into an item."""
    company.people.client("dynamodb").put_item(
        TableName=company.table,
        Item={"id": {"S": f"planted#{secrets.token_hex(4)}"}, "detail": {"S": text}},
    )


def in_dead_letter(company: Company, text: str) -> None:
    """Put it into a dead letter's attribute."""
    company.people.client("sqs").send_message(
        QueueUrl=company.dead_letter_queue_url,
        MessageBody="{}",
        MessageAttributes={"detail": {"DataType": "String", "StringValue": text}},
    )


PLACES: Mapping[str, tuple[Plant, str]] = {
    "log": (lambda company, text: company.log.write(f"{text}\n"), "log"),
    "event": (in_event, "queue emitted"),
    "object": (in_object, "bucket, object"),
    "entry": (in_entry, "catalogue, "),
    "table": (in_table, "table, item planted#"),
    "dead letter": (in_dead_letter, "queue dead"),
    "a call that is over": (
        lambda company, text: company.invoke({"detail": {"job_id": UNKNOWN_JOB, "note": text}}),
        "call ",
    ),
}
UNKNOWN_JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"


@pytest.mark.parametrize("place", PLACES)
def test_a_planted_secret_is_found_where_it_lies(company: Company, place: str) -> None:
    """In every encoding, each with a secret of its own."""
    plant, where = PLACES[place]
    planted = {name: f"planted-{secrets.token_urlsafe(32)}" for name in ENCODINGS}
    searcher = Searcher()
    searcher.add(planted.items())
    for name, secret in planted.items():
        plant(company, ENCODINGS[name](secret))
    found = searcher.search(company.evidence())
    assert {f.what for f in found if f.where.startswith(where)} == set(ENCODINGS)
    company.aws.forget_messages(f"{company.name}-emitted", "us-east-1")  # "Planted" has no schema
