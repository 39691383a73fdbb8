"""Polls a queue as Lambda's event source mapping does, with the mapping's own settings.

What the answer does not report as failed is deleted; the rest waits for its visibility timeout and
the queue's own redrive. It must never delete what a failed invocation held.
"""

from __future__ import annotations

import base64
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Event, Lock, Semaphore, Thread
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from local.aws.definitions import EventSourceDefinition
    from local.aws.runtime import Invocation

__all__ = ["Counts", "EventSource"]

_LOG = logging.getLogger(__name__)
_MOST_PER_RECEIVE = 10  # ReceiveMessage's own limit; larger batches take several calls
_WAIT_SECONDS = 1  # long polling: idle costs one call a second, and stopping takes as long
_UNLIMITED_CONCURRENCY = 5  # Lambda starts with five batches at once when no maximum is set
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages were received, deleted after success, and left to come back."""

    received: int = 0
    deleted: int = 0
    failed: int = 0


class EventSource:
    """One mapping at work, from `start` to `stop`; a thread that polls, and one per batch."""

    def __init__(
        self,
        definition: EventSourceDefinition,
        *,
        queue_url: str,
        sqs: SQSClient,
        invoke: Callable[[object], Invocation],
        region: str,
        maximum_concurrency: int | None = None,
    ) -> None:
        wanted = definition.maximum_concurrency or _UNLIMITED_CONCURRENCY
        concurrency = min(wanted, maximum_concurrency or wanted)
        self._definition = definition
        self._queue_url = queue_url
        self._sqs = sqs
        self._invoke = invoke
        self._region = region
        self._slots = Semaphore(concurrency)
        self._workers = ThreadPoolExecutor(concurrency, thread_name_prefix="event-source")
        self._stopping = Event()
        self._enabled = Event()
        self._enabled.set()
        self._receiving = Lock()
        self._poller = Thread(target=self._poll, name="event-source-poller", daemon=True)
        self._lock = Condition()
        self._counts = Counts()
        self._held: set[str] = set()

    def start(self) -> None:
        """Begin to poll."""
        self._poller.start()

    def disable(self) -> None:
        """Leave messages where they are, as a disabled mapping does; returns when none is taken."""
        self._enabled.clear()
        with self._receiving:
            pass

    def enable(self) -> None:
        """Take messages again."""
        self._enabled.set()

    @property
    def is_enabled(self) -> bool:
        """Whether messages are taken."""
        return self._enabled.is_set()

    def stop_polling(self) -> None:
        """Take no more messages; returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Poll no more and wait for batches in hand; stop the runtimes first to cut them short."""
        self.stop_polling()
        self._poller.join()
        self._workers.shutdown(wait=True)

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        with self._lock:
            return self._counts

    def wait_for(self, reached: Callable[[Counts], bool], *, deadline_seconds: float) -> Counts:
        """Wait until the counts are as wanted; raises TimeoutError, with the counts, if never."""
        with self._lock:
            if not self._lock.wait_for(lambda: reached(self._counts), deadline_seconds):
                raise TimeoutError(f"after {deadline_seconds} s: {self._counts}")
            return self._counts

    @property
    def held_receipts(self) -> frozenset[str]:
        """Receipt handles of the messages that an invocation has in hand now."""
        with self._lock:
            return frozenset(self._held)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            if not self._enabled.wait(_RETRY_SECONDS):
                continue
            if not self._slots.acquire(timeout=_RETRY_SECONDS):
                continue
            with self._receiving:
                messages = self._receive() if self._enabled.is_set() else []
            if messages and not self._stopping.is_set():
                self._workers.submit(self._run_batch, messages)
            else:
                self._slots.release()

    def _receive(self) -> list[MessageTypeDef]:
        messages: list[MessageTypeDef] = []
        try:
            while (missing := self._definition.batch_size - len(messages)) > 0:
                some = self._receive_some(min(missing, _MOST_PER_RECEIVE), first=not messages)
                messages.extend(some)
                if not some:
                    break
        except (BotoCoreError, ClientError):
            if not self._stopping.is_set():
                _LOG.warning("the queue could not be read; trying again", exc_info=True)
                self._stopping.wait(_RETRY_SECONDS)
        return messages

    def _receive_some(self, count: int, *, first: bool) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=_WAIT_SECONDS if first else 0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        with self._lock:
            self._held.update(message["ReceiptHandle"] for message in messages)
        return messages

    def _run_batch(self, messages: Sequence[MessageTypeDef]) -> None:
        deleted = 0
        try:
            failed = self._failed_ids(messages, self._invoke(self._to_event(messages)))
            for message in messages:
                if message["MessageId"] not in failed:
                    self._delete(message)
                    deleted += 1
        except Exception:  # noqa: BLE001 - the poller outlives any batch, as Lambda does
            if not self._stopping.is_set():
                _LOG.exception("a batch was left to its visibility timeout")
        finally:
            self._finish(messages, deleted)

    def _finish(self, messages: Sequence[MessageTypeDef], deleted: int) -> None:
        with self._lock:
            self._held.difference_update(message["ReceiptHandle"] for message in messages)
            self._counts = Counts(
                self._counts.received + len(messages),
                self._counts.deleted + deleted,
                self._counts.failed + len(messages) - deleted,
            )
            self._lock.notify_all()
        self._slots.release()

    def _delete(self, message: MessageTypeDef) -> None:
        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])

    def _failed_ids(
        self, messages: Sequence[MessageTypeDef], invocation: Invocation
    ) -> frozenset[str]:
        """Return which messages must come back, by Lambda's rules for partial batch responses.

        Source: "Reporting batch item failures" in the Lambda developer guide: an error, an empty
        or null identifier, an unknown one, or a malformed answer fail the batch as a whole.
        """
        everyone = frozenset(message["MessageId"] for message in messages)
        if not invocation.succeeded:
            return everyone
        if not self._definition.reports_batch_item_failures:
            return frozenset()
        failed = _read_failures(invocation.payload)
        return everyone if failed is None or not failed <= everyone else failed

    def _to_event(self, messages: Sequence[MessageTypeDef]) -> dict[str, Any]:
        return {"Records": [self._to_record(message) for message in messages]}

    def _to_record(self, message: MessageTypeDef) -> dict[str, Any]:
        attributes = message.get("MessageAttributes", {})
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message["Attributes"]),
            "messageAttributes": {
                name: _to_attribute(dict(value)) for name, value in attributes.items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._definition.queue_arn,
            "awsRegion": self._region,
        }


def _to_attribute(value: dict[str, Any]) -> dict[str, Any]:
    """Rename one attribute's fields as Lambda does; Lambda always sends both lists, empty."""
    shaped = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    if "StringValue" in value:
        shaped["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        shaped["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return shaped


def _read_failures(payload: object) -> frozenset[str] | None:
    """Return the reported ids; None for an answer that Lambda would take for a failed batch."""
    if not payload:
        return frozenset()  # a null or empty answer is a complete success
    if not isinstance(payload, dict):
        return None
    failures = payload.get("batchItemFailures") or []
    if not isinstance(failures, list):
        return None
    ids = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures]
    known = frozenset(str(item) for item in ids if item)
    return known if all(ids) else None
