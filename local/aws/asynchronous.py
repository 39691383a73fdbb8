"""Asynchronous invocation, as EventBridge does it: three tries, then the OnFailure destination.

It must not wait as long as Lambda does between tries (one minute, then two): the pauses are given.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from local.aws.definitions import FunctionDefinition
    from local.aws.runtime import Invocation

__all__ = ["AsyncInvoker"]


class AsyncInvoker:
    """Takes events at once and sees each through in the background, from the first to `stop`."""

    def __init__(
        self,
        function: FunctionDefinition,
        invoke: Callable[[object], Invocation],
        send_to_destination: Callable[[str, str], object],
        *,
        pause_seconds: float = 0.2,
    ) -> None:
        self._function = function
        self._invoke = invoke
        self._send_to_destination = send_to_destination
        self._pause_seconds = pause_seconds
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="asynchronous")
        self._stopping = Event()
        self._lock = Lock()
        self._pending = 0

    def submit(self, event: object) -> Future[list[Invocation]]:
        """Accept an event; the future holds every try, in order."""
        with self._lock:
            self._pending += 1
        return self._workers.submit(self._see_through, event)

    @property
    def pending_count(self) -> int:
        """How many events are not through yet."""
        with self._lock:
            return self._pending

    def stop(self) -> None:
        """Try nothing again; wait for what runs."""
        self._stopping.set()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _see_through(self, event: object) -> list[Invocation]:
        try:
            tries = self._try_repeatedly(event)
            destination = self._function.asynchronous.on_failure_arn
            if destination and tries and not tries[-1].succeeded:
                self._send_to_destination(destination, self._failure_record(event, tries))
            return tries
        finally:
            with self._lock:
                self._pending -= 1

    def _try_repeatedly(self, event: object) -> list[Invocation]:
        tries: list[Invocation] = []
        for _ in range(1 + self._function.asynchronous.maximum_retry_attempts):
            if tries and self._stopping.wait(self._pause_seconds):
                break
            tries.append(self._invoke(event))
            if tries[-1].succeeded:
                break
        return tries

    def _failure_record(self, event: object, tries: list[Invocation]) -> str:
        """Return the record that Lambda sends to a failure destination.

        Source: "Adding a destination" in the Lambda developer guide.
        """
        last = tries[-1]
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "requestContext": {
                "requestId": last.request_id,
                "functionArn": f"{self._function.arn}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": len(tries),
            },
            "requestPayload": event,
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": last.payload,
        }
        return json.dumps(record)
