"""What arrives at the function, of whatever shape: a batch, an event for the queue, or neither."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archiver.archiving.reception import receive
from tests.fuzz.assembled import Assembled
from tests.fuzz.whole import Context
from tests.fuzz.world import World

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"


def handed(event: Any) -> tuple[World, Any]:  # noqa: ANN401 - JSON
    """Hand an event to the function; returns the world after it, and its answer."""
    archiver = Assembled(World())
    return archiver.world, receive(event, Context(archiver.world), archiver)  # type: ignore[arg-type] # as much as it asks of a context


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "x", 7, {}, {"Records": None}, {"Records": {"a": 1}}, {"Records": [7]}),
        {"Records": [{"body": json.dumps({"job_id": JOB_ID})}]},
        {"Records": [{"messageId": 7, "body": "{}"}]},
    ],
)
def test_what_is_neither_batch_nor_request_is_set_aside_as_malformed(event: object) -> None:
    """An error would be tried again three times by Lambda, and then be forgotten."""
    world, answer = handed(event)
    assert answer == {"queued": True}
    (letter,) = world.letters
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "malformed_message"
    assert json.loads(letter["MessageBody"]) == event


def test_an_event_too_deep_to_be_written_down_is_set_aside() -> None:
    """Python gives up on depth; the event's end is the dead-letter queue all the same."""
    event: dict[str, Any] = {}
    for _ in range(100_000):
        event = {"a": event}
    world, _ = handed(event)
    assert len(world.letters) == 1
    while event:  # else its end would be as deep
        event = event.pop("a")


def test_an_event_as_long_as_eventbridge_takes_is_queued() -> None:
    """Escaped as JSON, its characters weigh up to six bytes: more than SQS takes."""
    world, _ = handed(
        {"detail": {"job_id": JOB_ID, "note": "\N{LATIN SMALL LETTER E WITH ACUTE}" * 120_000}}
    )
    (copy,) = world.copies
    assert json.loads(copy["MessageBody"]) == {"job_id": JOB_ID}
