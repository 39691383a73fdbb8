"""How much longer this invocation may copy, judged by the pace of its own parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["LEAVE_SECONDS", "Pace"]

# What ending takes: the state is written down, the message sent on, the trace and log flushed; each
# is one request of some milliseconds, and the slowest of them may be tried again.
LEAVE_SECONDS = 10.0
_MARGIN = 1.5  # parts differ: S3's connections vary by about this much from one to the next
_RECENT = 16  # two rounds of eight in flight


@dataclass
class Pace:
    """Watches the clock for one copy; shared by its workers.

    `first_guess_seconds` stands for a part until one has been timed.
    """

    remaining_seconds: Callable[[], float]
    monotonic: Callable[[], float]
    first_guess_seconds: float
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT), init=False)

    def admits_another(self) -> bool:
        """Tell whether another part can be expected to be finished in time."""
        longest = max(self._recent, default=self.first_guess_seconds)
        return self.remaining_seconds() > LEAVE_SECONDS + _MARGIN * longest

    def admits_commit(self, parts: int) -> bool:
        """Tell whether a commit can be expected to be answered in time.

        S3 assembles some hundred parts a second, by what people report of large uploads; it goes on
        by itself if we are gone by then, and the next attempt finds the object.
        """
        return self.remaining_seconds() > LEAVE_SECONDS + parts / 100

    def seconds_left(self) -> float:
        """Return after how many seconds parts under way must be dropped."""
        return self.remaining_seconds() - LEAVE_SECONDS

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one part."""
        began = self.monotonic()
        yield
        self._recent.append(self.monotonic() - began)
