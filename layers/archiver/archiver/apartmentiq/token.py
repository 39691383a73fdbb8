"""The bearer token, kept across warm invocations and renewed before it runs out.

The token goes to the API's host and nowhere else; this module hands it only to client.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from archiver.age import is_within
from archiver.apartmentiq.protocol import Credentials, Token, Unauthorized, decipher_token
from archiver.errors import Deferral
from archiver.network.answer import Answer

__all__ = ["CredentialsSource", "TokenCache"]

# Up to this age a refused token was not used up: somebody revoked it. A slow answer is within it.
_YOUNG_SECONDS = 30.0
_RENEW_BEFORE_SECONDS = 60.0  # never start a request with a token that could expire on its way


class CredentialsSource(Protocol):
    """Where the credentials come from: the secret, cached."""

    def read(self, *, again: bool = False) -> Credentials:
        """Return the credentials; `again` asks the store anew, for they may have been rotated."""


class TokenCache:
    """Returns the current token, and requests one only if none is valid."""

    def __init__(
        self,
        credentials: CredentialsSource,
        request_token: Callable[[Credentials], Answer],
        now: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._request_token = request_token
        self._now = now
        self.were_good = True  # until the API has refused all that were asked for
        self._token: Token | None = None
        self._asked_at: datetime | None = None

    def current(self) -> str:
        """Return a token that is valid for at least a minute, or half its lifetime if that is less.

        Raises Deferral("credentials_missing" or "credentials_rejected") and what the token
        endpoint's other answers mean.
        """
        if self._token is None or not self._will_do(self._token):
            asked_at = self._now()
            self._token = self._obtain()
            self._asked_at = None if self._token.lifetime_seconds is None else asked_at
        return self._token.value

    def drop(self, value: str) -> bool:
        """Forget a token that the API refused; the next one is made of credentials read anew.

        Tells whether it had only just been asked for. One that was made by hand has no age.
        """
        is_young = self._is_younger(_YOUNG_SECONDS)
        if self._token is not None and self._token.value == value:
            self._token = None
            self._credentials.read(again=True)
        return is_young

    def _will_do(self, token: Token) -> bool:
        lifetime = token.lifetime_seconds
        if lifetime is None:  # made by hand at the vendor: good until it is refused
            return True
        return self._is_younger(lifetime - min(_RENEW_BEFORE_SECONDS, lifetime / 2))

    def _is_younger(self, seconds: float) -> bool:
        return is_within(seconds, self._asked_at, self._now())

    def _obtain(self) -> Token:
        credentials = self._credentials.read()
        try:
            return self._exchange(credentials)
        except Unauthorized:
            rotated = self._credentials.read(again=True)
        try:
            return self._exchange(rotated)
        except Unauthorized:
            raise Deferral(
                "credentials_rejected",
                "The token endpoint refuses the client's id and secret. Put the right ones into "
                "the secret; the job goes on by itself.",
            ) from None

    def _exchange(self, credentials: Credentials) -> Token:
        if credentials.access_token:  # made by hand at the vendor: nothing to exchange
            return Token(credentials.access_token, lifetime_seconds=None)
        return decipher_token(self._request_token(credentials))
