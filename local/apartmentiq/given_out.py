"""Every secret that the stand-in ever gave out, so that tests can look for them where none may be.

Only tests read it. It must not decide what is valid: TokenOffice and SigningKeys do.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GivenOut"]

_LINK_SECRETS = {
    "X-Amz-Signature": "link signature",
    "X-Amz-Credential": "link credential",
    "X-Amz-Security-Token": "link security token",
}


class GivenOut:
    """Secrets with the names that a finding calls them by, in order; safe from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: dict[str, str] = {}

    def note(self, name: str, secret: str) -> None:
        """Remember a secret."""
        with self._lock:
            self._secrets.setdefault(secret, name)

    def note_link(self, link: str) -> None:
        """Remember what is secret in a pre-signed link: all that signs, its date and scope not."""
        for parameter, value in parse_qsl(link.partition("?")[2]):
            if parameter in _LINK_SECRETS:
                self.note(_LINK_SECRETS[parameter], value.partition("/")[0])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield (name, secret) of all so far."""
        with self._lock:
            return iter([(name, secret) for secret, name in self._secrets.items()])
