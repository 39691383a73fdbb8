"""boto3's clients, all by one session. It imports nothing of ours: every cold start pays for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from botocore.config import Config

__all__ = ["Clients"]


class Clients:
    """Called with a service's name and a Config, it makes a client and lets `sent` prepare it."""

    def __init__(self, sent: Callable[[Any], Any] = lambda client: client) -> None:
        self.session = boto3.session.Session()
        self._sent = sent

    def __call__(self, service: str, config: Config) -> Any:  # noqa: ANN401 - a name at run time
        """Return boto3's client of a service."""
        return self._sent(self.session.client(service, config=config))  # type: ignore[call-overload] # likewise
