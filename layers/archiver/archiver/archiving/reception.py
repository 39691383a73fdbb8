"""What invokes the function: a batch from the queue, an event that belongs on it, or a command.

Records are independent: Powertools' batch processor reports each failed one by itself.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)

from archiver.archiving.delivery import Delivery
from archiver.archiving.message import Message, read_sqs_record, sendable_body
from archiver.job import parse_job_id
from archiver.telemetry import Steps

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext


__all__ = ["Application", "receive"]


class Application(Protocol):
    """What was built to archive with, as far as what arrives here needs it."""

    @property
    def delivery(self) -> Delivery: ...  # noqa: D102 - described where it is built
    @property
    def steps(self) -> Steps: ...  # noqa: D102
    def begin_invocation(self, context: LambdaContext) -> None: ...  # noqa: D102
    def now(self) -> datetime: ...  # noqa: D102
    def prove_writes(self, job_id: str) -> dict[str, str]: ...  # noqa: D102
    def tend_catalogue(self, asked: dict[str, Any]) -> dict[str, Any]: ...  # noqa: D102


def receive(event: Any, context: LambdaContext, application: Application) -> Any:  # noqa: ANN401 - JSON in and out
    """Handle an SQS batch (answers `batchItemFailures`), or queue an event that came directly.

    Whoever may invoke the function may ask what the bucket does with writes (`archiver verify`),
    and have it write into the catalogue (`archiver audit`), too.
    """
    application.begin_invocation(context)
    if (probed := _probed_job(event)) is not None:
        return application.prove_writes(probed)
    if (asked := _asked_of_the_catalogue(event)) is not None:
        return application.tend_catalogue(asked)
    if not _is_batch(event):
        application.delivery.enqueue(_as_message(event, application.now()))
        return {"queued": True}
    if not event["Records"]:
        return {"batchItemFailures": []}  # Powertools takes an empty batch for an error

    def handle(record: SQSRecord) -> None:
        with application.steps.step("record"):
            application.delivery.handle(read_sqs_record(record.raw_event, application.now()))

    # A batch in which everything failed is answered like any other: an error of the whole
    # invocation would cost the same redelivery and hide which record failed. A processor holds the
    # state of its batch, so each invocation has its own.
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(
        event=event, record_handler=handle, processor=processor, context=context
    )


def _is_batch(event: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell a batch of SQS's from whatever else has `Records`: each of it can be reported."""
    records = event.get("Records") if isinstance(event, dict) else None
    return isinstance(records, list) and all(
        isinstance(record, dict) and isinstance(record.get("messageId"), str) for record in records
    )


def _probed_job(event: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Return the job of a probe's payload, None for any other; no message's body comes here."""
    if not isinstance(event, dict) or event.keys() != {"probe", "job_id"}:
        return None
    return parse_job_id(event["job_id"]) if event["probe"] == "writes" else None


def _asked_of_the_catalogue(event: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any JSON
    """Return what is asked of the catalogue, None for any other; no message's body comes here."""
    if not isinstance(event, dict) or event.keys() != {"catalogue"}:
        return None
    return event["catalogue"] if isinstance(event["catalogue"], dict) else None


def _as_message(event: object, now: datetime) -> Message:
    return Message(
        message_id="",
        body=sendable_body(_as_json(event)),
        receipt_handle="",
        receive_count=1,
        first_seen_at=now,
        deferrals=0,
    )


def _as_json(event: object) -> str:
    try:
        return json.dumps(event, separators=(",", ":"))
    except RecursionError:  # reading gives up later than writing: it is malformed in any case
        return "an event that is nested too deeply to be written down"
