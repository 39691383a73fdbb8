"""How long anything may be waited for: what the invocation has left, less what its end takes.

Lambda kills a run at its time-out, and a killed run cannot report why. So every wait on a network
is clipped to the time that is left, and a peer that drips, which no time-out bounds, is hung up on
when the time for work is over. Three reserves, counted back from the invocation's end:

    10 s  no part is waited for any more (transfer/pace.py, LEAVE_SECONDS)
     8 s  the work is over, whatever it waits for: the outcome is reported (TELL_SECONDS)
     3 s  nothing is sent any more: what did not get through by now, SQS redelivers

Reporting takes no longer than that even where much more is left, because no heartbeat keeps the
message hidden meanwhile. And none of its waits takes more than half of what is left, for another
request follows: a silent table must not cost the message that says why.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from archiver.network.workers import after

__all__ = ["Deadline", "TimeIsUp"]

_LONGEST_INVOCATION_SECONDS = 900.0  # AWS Lambda Developer Guide, "Lambda quotas"
# An event, a note, a message sent on and a few uploads to give up: some milliseconds each, unless
# one of them is waited for. The longest pause between two of boto3's three tries is 2 s.
TELL_SECONDS = 8.0
_END_SECONDS = 3.0  # such a pause, and what Powertools and the extensions do at the end


class TimeIsUp(TimeoutError):  # noqa: N818 - read as what it says
    """Nothing is left of the time in which to wait; an OSError, as a time-out of a socket is."""


class _Connection(Protocol):
    """What can be hung up on from another thread."""

    def interrupt(self) -> None: ...


class Deadline:
    """One runtime's: learnt anew with each invocation, shared by all its threads."""

    def __init__(
        self,
        run_after: Callable[[float, Callable[[], None]], AbstractContextManager[None]] = after,
    ) -> None:
        """Prepare; `run_after` does something after so many seconds, unless its block ends."""
        self._run_after = run_after
        self._remaining_seconds: Callable[[], float] = lambda: _LONGEST_INVOCATION_SECONDS
        self._reserve_seconds = _END_SECONDS
        self._share = 1.0  # of what is left: the most that one wait may take
        self._most_seconds = _LONGEST_INVOCATION_SECONDS  # and this, however much is left
        self._lock = threading.Lock()
        self._watched: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def begin(self, remaining_seconds: Callable[[], float]) -> None:
        """Learn when this invocation ends."""
        self._remaining_seconds = remaining_seconds
        self._reserve_seconds, self._share = _END_SECONDS, 1.0
        self._most_seconds = _LONGEST_INVOCATION_SECONDS

    def left(self) -> float:
        """Return for how many seconds anything may still be waited for; 0 or less: no more."""
        return self._remaining_seconds() - self._reserve_seconds

    def clip(self, seconds: float) -> float:
        """Return so much patience, or what may be had if that is less; raises TimeIsUp."""
        left = self.left()
        if left <= 0:
            raise TimeIsUp("The invocation's time is up.")
        return min(seconds, left * self._share, self._most_seconds)

    @contextmanager
    def briefly(self, seconds: float) -> Iterator[None]:
        """Let no wait of this block take longer: what it asks for can be done without.

        Beats of the time are held to it, too; they wait no longer than that anyway.
        """
        self._most_seconds = seconds
        try:
            yield
        finally:
            self._most_seconds = _LONGEST_INVOCATION_SECONDS

    def check(self) -> None:
        """Raise TimeIsUp for an answer that came after the end.

        We may have hung up on it, and http.client takes a head that breaks off for a whole one.
        """
        self.clip(0.0)

    def watch(self, connection: _Connection) -> None:
        """Hang up on this connection, as long as it lives, when the time for work is over."""
        with self._lock:
            self._watched.add(connection)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the time that it takes to tell the outcome, which follows, free of this block."""
        self._reserve_seconds, self._share = TELL_SECONDS, 1.0
        try:
            with self._run_after(self.left(), self._hang_up):
                yield
        finally:
            beyond_telling = self._remaining_seconds() - TELL_SECONDS
            self._reserve_seconds, self._share = max(_END_SECONDS, beyond_telling), 0.5

    def _hang_up(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for connection in watched:
            connection.interrupt()
