"""EventBridge and Secrets Manager in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.faults.aws_calls import call_aws, client_error, service_faults
from tests.faults.chaos import Chaos

__all__ = ["EventBus", "Secrets"]

_EVENT_FAULTS, _SECRET_FAULTS = service_faults("events"), service_faults("secretsmanager")


class EventBus:
    """A client's method, and the events that were accepted."""

    def __init__(self, chaos: Chaos) -> None:
        self.events: list[tuple[str, dict[str, Any], str]] = []  # kind, detail, as it was sent
        self.on_event: Callable[[str, dict[str, Any]], None] = lambda *_: None
        self._chaos = chaos

    def put_events(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Take an event; a 200 can say that it was not taken."""
        (entry,) = call["Entries"]

        def act() -> dict[str, Any]:
            if self._chaos.draws(2.0):
                self._chaos.count("aws", "event refused inside a 200")
                return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
            detail = json.loads(entry["Detail"])
            self.events.append((entry["DetailType"], detail, json.dumps(entry)))
            self.on_event(entry["DetailType"], detail)
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}

        return call_aws(self._chaos, f"events PutEvents {entry['DetailType']}", act, _EVENT_FAULTS)


class Secrets:
    """A client's method, and the one secret (None: made without a value)."""

    def __init__(self, chaos: Chaos) -> None:
        self.value: str | None = None
        self._chaos = chaos

    def get_secret_value(self, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's own
        """Return the secret's value."""

        def act() -> dict[str, Any]:
            if self.value is None:
                raise client_error("ResourceNotFoundException", 400, "GetSecretValue")
            return {"SecretString": self.value}

        return call_aws(self._chaos, "secretsmanager GetSecretValue", act, _SECRET_FAULTS)
