"""When the vendor may be asked: one throttle for this runtime and for all others.

A 429 to one job is a 429 to all, because the limit is the account's. So it is stored for the other
runtimes, and nobody sends before the time that the vendor named. It must never delay a job whose
export is archived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from archiver.apartmentiq.protocol import rate_limit_wait
from archiver.errors import Deferral, Failure
from archiver.network.answer import Answer
from archiver.network.outside import HttpClient

__all__ = ["ThrottledHttp"]

# The longest wait that is ever written down (protocol.py: a day), and an hour for clocks that
# differ. What lies further ahead was told by a clock that is wrong, or has been set back since.
_MOST_SECONDS = 25 * 3600.0


@dataclass
class ThrottledHttp:
    """An HttpClient that keeps the throttle. `publish` shares it: seconds since the epoch."""

    http: HttpClient
    publish: Callable[[float], None]
    now: Callable[[], datetime]
    _closed_until: float = field(default=0.0, init=False)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send one request; raises Deferral("rate_limited") while the vendor must not be asked."""
        self._check()
        answer = self.http.send(method, url, headers, body)
        wait_seconds = rate_limit_wait(answer)
        if wait_seconds is not None:
            self._close(wait_seconds)
        return answer

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Take over the throttle that other runs stored (seconds since the epoch)."""
        self._closed_until = max(self._closed_until, epoch_seconds, key=self._seconds_left)

    def _seconds_left(self, until: float) -> float:
        left = until - self.now().timestamp()
        return left if 0 < left <= _MOST_SECONDS else 0.0

    def _check(self) -> None:
        left = self._seconds_left(self._closed_until)
        if left > 0:
            raise Deferral(
                "rate_limited",
                f"The vendor asked this account to wait; {left:.0f} s are left.",
                wait_seconds=left,
            )

    def _close(self, seconds: float) -> None:
        """Ask nothing for so long, and tell the others; they knock once more if that fails."""
        self.keep_away_until(self.now().timestamp() + seconds)
        try:
            self.publish(self._closed_until)
        except Failure:
            return
