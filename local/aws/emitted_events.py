"""Collects what the stack emits: a rule on its bus, a queue of our own, and a reader.

The rule and the queue exist only in local runs and are not part of the template.
"""

from __future__ import annotations

import json
import logging
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.aws.clients import LocalClients

__all__ = ["EmittedEvents"]

_LOG = logging.getLogger(__name__)
_NAME = "local-emitted-events"
_POLL_SECONDS = 0.25


class EmittedEvents:
    """All events of one source on one bus, as envelopes, in order of arrival.

    `on_event` and whoever listens is called once per event, in the reader's thread, and may raise:
    the event is kept.
    """

    def __init__(
        self, clients: LocalClients, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self._sqs = clients.sqs
        self._events = clients.events
        self._listeners = [] if on_event is None else [on_event]
        self._lock = Lock()
        self._collected: list[dict[str, Any]] = []
        self._queue_url = ""
        self._stopping = Event()
        self._reader = Thread(target=self._read, name="emitted-events", daemon=True)

    def start(self, *, bus: str, source: str) -> None:
        """Make the queue and the rule, and begin to read."""
        self._queue_url = self._sqs.create_queue(QueueName=_NAME)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["QueueArn"]
        )
        pattern = json.dumps({"source": [source]})
        self._events.put_rule(Name=_NAME, EventBusName=bus, EventPattern=pattern)
        target = {"Id": _NAME, "Arn": attributes["Attributes"]["QueueArn"]}
        self._events.put_targets(
            Rule=_NAME,
            EventBusName=bus,
            Targets=[{"Id": target["Id"], "Arn": target["Arn"]}],
        )
        self._reader.start()

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Tell one more of all events from now on."""
        self._listeners.append(listener)

    def stop(self) -> None:
        """Read no more; what was read stays."""
        self._stopping.set()
        self._reader.join()

    def collected(self) -> list[dict[str, Any]]:
        """Return every event up to now, what is still in the queue included."""
        self._drain()
        with self._lock:
            return list(self._collected)

    def _read(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            try:
                self._drain()
            except (BotoCoreError, ClientError):
                _LOG.warning("emitted events could not be read; trying again", exc_info=True)

    def _drain(self) -> None:
        with self._lock:  # held throughout, so that two readers keep the order
            while not self._stopping.is_set():
                messages = self._sqs.receive_message(
                    QueueUrl=self._queue_url, MaxNumberOfMessages=10
                ).get("Messages", [])
                if not messages:
                    return
                for message in messages:
                    self._take(json.loads(message["Body"]))
                    handle = message["ReceiptHandle"]
                    self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=handle)

    def _take(self, event: dict[str, Any]) -> None:
        self._collected.append(event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - the reader outlives whatever a caller does
                _LOG.exception("an emitted event could not be acted on")
