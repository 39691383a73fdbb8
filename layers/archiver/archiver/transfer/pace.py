"""How much longer this invocation may copy, judged by the pace of its own parts.

The promise: whenever one part that has the network to itself fits into an invocation, less
LEAVE_SECONDS at its end and what comes before the copy (claim and link: a second or two), the copy
finishes. It does, because each run after a job's first sends one part alone, with all the time that
is left, before it starts others beside it (streaming.py): either that part is finished, and the
next run resumes behind it, or one part does not fit. Nothing needs to be stored from run to run but
that it is not the first; what is estimated here affects the speed alone.
"""

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
        """Tell whether a part can be expected to be finished in time, with as many as now."""
        return self.at_once(1) == 1

    def at_once(self, most: int) -> int:
        """Return how many parts, up to `most`, can be begun at once and be finished in time.

        By the slowest recent part, which had as much of the network as each of them at the worst:
        one that was alone had all of it, and n together have an n-th each.
        """
        longest = _MARGIN * max(self._recent, default=self.first_guess_seconds)
        left = self.seconds_left()
        if left <= 0 or longest * most < left:
            return most if left > 0 else 0
        return int(left / longest)

    def admits_commit(self, parts: int) -> bool:
        """Tell whether a commit can be expected to be answered in time.

        S3 assembles some hundred parts a second, by what people report of large uploads; it goes on
        by itself if we are gone by then, and the next attempt finds the object.
        """
        return self.remaining_seconds() > LEAVE_SECONDS + parts / 100

    def seconds_for_one(self) -> float:
        """Return how long a part may be expected to take in a run that begins now."""
        return max(0.0, self.seconds_left() / _MARGIN)

    def seconds_left(self) -> float:
        """Return after how many seconds parts under way must be dropped."""
        return self.remaining_seconds() - LEAVE_SECONDS

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one part."""
        began = self.monotonic()
        yield
        self._recent.append(self.monotonic() - began)
