"""EventBridge's scheduled rules, as far as the local run keeps time: `rate(...)`, from its start.

A `cron(...)` is known and never due here: nobody waits for six in the morning. Each rule can also
be let fire at once, which is how tests make an hour pass. It must not know what a function does.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from local.aws.definitions import ScheduleDefinition
from local.aws.server import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.aws.definitions import Resource

__all__ = ["Schedule", "read_schedules", "seconds_between"]

_RATE = re.compile(r"rate\((?P<count>[0-9]+) (?P<unit>minute|hour|day)s?\)")
_UNIT_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}


class Schedule:
    """One rule's target, invoked at the rule's rate from `start` to `stop`."""

    def __init__(
        self,
        definition: ScheduleDefinition,
        invoke: Callable[[object], object],
        *,
        region: str,
        seconds: float | None = None,
    ) -> None:
        """Prepare; `seconds` stands in for the rule's own rate."""
        self.definition = definition
        self._invoke = invoke
        self._region = region
        self._seconds = seconds or seconds_between(definition.expression)
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        """Begin to count the time until the first firing."""
        self._thread.start()

    def stop(self) -> None:
        """Fire no more; what fired is the invoker's to end."""
        self._stopping.set()
        self._thread.join()

    def event(self) -> dict[str, Any]:
        """Return what a target receives now ("Schedule events" in the EventBridge user guide)."""
        arn = f"arn:aws:events:{self._region}:{ACCOUNT_ID}:rule/{self.definition.rule_name}"
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self._region,
            "resources": [arn],
            "detail": {},
        }

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._invoke(self.event())


def seconds_between(expression: str) -> float | None:
    """Return a rate in seconds, or None for what is never due here."""
    match = _RATE.fullmatch(expression)
    return int(match["count"]) * _UNIT_SECONDS[match["unit"]] if match else None


def read_schedules(resources: Mapping[str, Resource]) -> Iterable[ScheduleDefinition]:
    """Return a definition for each function that an enabled scheduled rule invokes."""
    for resource in resources.values():
        expression = resource.properties.get("ScheduleExpression")
        enabled = resource.properties.get("State", "ENABLED") == "ENABLED"
        if resource.type == "AWS::Events::Rule" and expression and enabled:
            for target in resource.properties.get("Targets", []):
                name = re.sub(r"^arn:.*:function:", "", target["Arn"])
                yield ScheduleDefinition(resource.physical_id, expression, name)
