"""Whether a callback has a valid token: our own secret in the URL that jobs are ordered with.

Two tokens are valid at a time, the current and the previous one, so that jobs that were ordered
before a rotation can still call back. The secret is read rarely: known tokens are cached while they
are fresh, and an unknown one, which may be newer than the cache, makes it read again only after a
pause, so that a flood of junk does not cost a read each. No token may be shown or stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from datetime import datetime

from archiver.age import is_within
from archiver.errors import Failure

__all__ = ["NONE_THERE", "CallbackTokens", "good_tokens"]

_FRESH_SECONDS = 300.0  # how long a token that was rotated away, or revoked, may still be good
_PAUSE_SECONDS = 30.0  # the least between two reads: how long a new token may still be unknown
# Shorter ones could be guessed; others would have to be escaped in a URL. The stack's has 48.
_GOOD_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,256}")

NONE_THERE = (
    "The callback token's secret holds no token of 32 or more letters and digits; "
    "`archiver rotate-callback-token` makes one."
)


def good_tokens(tokens: Collection[str]) -> list[str]:
    """Return those by which a callback may be known."""
    return [token for token in tokens if _GOOD_TOKEN.fullmatch(token)]


class CallbackTokens:
    """The tokens that are good now, remembered as digests."""

    def __init__(self, read: Callable[[], Collection[str]], now: Callable[[], datetime]) -> None:
        """`now` is the wall clock: a frozen runtime's other clocks may stand."""
        self._read = read
        self._now = now
        self._digests: tuple[bytes, ...] = ()
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._failed_because: str | None = None

    def knows(self, token: str) -> bool:
        """Say whether the token is good, in a time that does not tell how near it comes.

        Raises Failure when it cannot be known: the secret cannot be read, or holds no good token.
        """
        digest = _digest(token)
        now = self._now()
        if is_within(_FRESH_SECONDS, self._read_at, now) and self._matches(digest):
            return True
        if not is_within(_PAUSE_SECONDS, self._tried_at, now):
            self._read_again(now)
        if self._failed_because is not None:
            raise Failure("aws_error", self._failed_because)
        return self._matches(digest)

    def _matches(self, digest: bytes) -> bool:
        # Digests are equally long and all are compared, so that the time is always the same.
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0

    def _read_again(self, now: datetime) -> None:
        """Read the tokens; a failure counts as a read, so that it is not asked for at each call."""
        self._tried_at = now
        try:
            tokens = good_tokens(self._read())
        except Failure as failure:
            self._failed_because = failure.detail
            raise
        self._digests = tuple(_digest(token) for token in tokens)
        self._read_at = now
        self._failed_because = None if tokens else NONE_THERE


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
