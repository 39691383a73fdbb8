"""Emits the events of docs/events.md on EventBridge; their names are settled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archiver.aws.translate import translated
from archiver.errors import Failure

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

__all__ = ["EventBus"]

_SOURCE = "apartmentiq.archiver"


class EventBus:
    """Emits our events; each is accepted by the bus when `emit` returns."""

    def __init__(self, client: EventBridgeClient, bus_name: str) -> None:
        self._client = client
        self._bus_name = bus_name

    def emit(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Put one event; raises Failure("aws_error") also for a 200 that counts it as failed."""
        with translated(f"Emitting {detail_type!r}"):
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus_name,
                        "Source": _SOURCE,
                        "DetailType": detail_type,
                        "Detail": json.dumps(detail, separators=(",", ":")),
                    }
                ]
            )
        if answer.get("FailedEntryCount", 0) > 0:
            code = answer["Entries"][0].get("ErrorCode", "no code")
            raise Failure("aws_error", f"The event bus did not take {detail_type!r}: {code}.")
