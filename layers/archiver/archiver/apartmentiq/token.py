"""The bearer token, kept across warm invocations and renewed before it runs out.

The token goes to the API's host and nowhere else; this module hands it only to client.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from archiver.apartmentiq.protocol import Answer, Credentials, Token, Unauthorized, decipher_token
from archiver.errors import Deferral

__all__ = ["CredentialsSource", "TokenCache"]

_RENEW_BEFORE_SECONDS = 60.0  # never start a request with a token that could expire on its way


class CredentialsSource(Protocol):
    """Where the credentials come from: the secret, cached."""

    def read(self, *, again: bool = False) -> Credentials:
        """Return the credentials; `again` asks the store anew, for they may have been rotated."""


class TokenCache:
    """Gives the current token, asking for one only when there is none that will do."""

    def __init__(
        self,
        credentials: CredentialsSource,
        request_token: Callable[[Credentials], Answer],
        monotonic: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._request_token = request_token
        self._monotonic = monotonic
        self._token: Token | None = None
        self._good_until = float("-inf")

    def current(self) -> str:
        """Return a token that is good for at least a minute, or for half its life if that is less.

        Raises Deferral("credentials_missing" or "credentials_rejected") and what the token
        endpoint's other answers mean.
        """
        if self._token is None or self._monotonic() >= self._good_until:
            self._keep(self._obtain())
        assert self._token is not None  # noqa: S101 - for the type checker: _keep has just set it
        return self._token.value

    def drop(self, value: str) -> None:
        """Forget a token that the API refused; the next one is made of credentials read anew."""
        if self._token is not None and self._token.value == value:
            self._token = None
            self._credentials.read(again=True)

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
        asked_at = self._monotonic()
        token = decipher_token(self._request_token(credentials))
        assert token.lifetime_seconds is not None  # noqa: S101 - decipher_token always sets one
        margin = min(_RENEW_BEFORE_SECONDS, token.lifetime_seconds / 2)
        self._good_until = asked_at + token.lifetime_seconds - margin
        return token

    def _keep(self, token: Token) -> None:
        self._token = token
        if token.lifetime_seconds is None:
            self._good_until = float("inf")
