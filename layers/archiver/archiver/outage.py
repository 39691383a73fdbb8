"""What all runs together know of an outage: is a failure the job's own, or everybody's? Pure.

A circuit breaker for the fleet. Where several jobs fail and none is archived since, something that
all of them need is out of order (the vendor, the network, an AWS service), and jobs are deferred.
One job at a time tries (half open), and the first that is archived lets all others in again. It
must never let one poison job close the vendor for the others, and never cost a healthy job a
request: the state is read together with the job's own item, and written only by runs that fail, and
by the first that archives after a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from archiver.errors import Deferral, Failure, OutageReason

__all__ = ["FIRST_WAIT_SECONDS", "Blame", "Outages", "Trouble"]

FIRST_WAIT_SECONDS = 30.0
_JOBS = 3  # that fail, and none is archived since; two may fail by themselves on one day
# How long nobody else tries once one does: doubled with each, so that twelve hours without the
# vendor are some 150 tries of the whole fleet. The run that tries may take longer; so may two.
_FIRST_TURN_SECONDS = 15.0
_LONGEST_TURN_SECONDS = 300.0
# Whoever may not try looks again about so soon. So all are let in within a turn that has just begun
# when the outage ends (300 s), the next look, and one more of those that looked while it tried.
_LONGEST_LOOK_SECONDS = 240.0
_TOLD = {
    "network": "The network is out of order",
    "vendor_error": "The vendor is out of order",
    "aws_error": "AWS, or what the stack needs of it, is out of order",
}


# Whose a failure is: the job's own (another was archived since it began to fail), an outage's (the
# fleet knows of one), or nobody can tell.
Blame = Literal["own", "outage", "unknown"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Which jobs have failed since one was last archived, and who may try. Epoch seconds.

    `failing` tells since when each has; `reason` is the last one's. `turn_until`: until then
    another run tries. `archived_at`: when a job was last archived although others had failed.
    """

    failing: Mapping[str, float] = field(default_factory=dict)
    reason: OutageReason = "vendor_error"
    archived_at: float = 0.0
    turn_until: float = 0.0
    turns: int = 0

    @property
    def is_outage(self) -> bool:
        """Tell whether so many jobs fail that it cannot be their own fault."""
        return len(self.failing) >= _JOBS

    @property
    def since(self) -> float:
        """Return when the first of them failed."""
        return min(self.failing.values(), default=0.0)


class Items(Protocol):
    """Where the fleet writes it down (aws/job_table.py); all raise Failure("aws_error")."""

    def take_turn(self, now: float, until: float) -> bool:
        """Let this run try, unless another does."""

    def end_turn(self, until: float, now: float) -> None:
        """Let the next one try."""

    def add_failure(self, job_id: str, failure: Failure, now: float, known: Trouble) -> None:
        """Add a job that failed."""

    def extend_turn(self, until: float) -> None:
        """Let nobody try before then."""

    def add_success(self, known: Trouble, now: float) -> None:
        """Forget the failures that were known of when a job began that is archived by now."""


@dataclass
class Outages:
    """One runtime's view, anew for each run. What cannot be written down is left: the jobs wait.

    Judged by what was read when the run began: asking once more could take the time in which the
    message must be sent on.
    """

    items: Items
    now: Callable[[], datetime]
    _known: Trouble = field(default_factory=Trouble, init=False)
    _failing_since: datetime | None = field(default=None, init=False)
    _turn_until: float = field(default=0.0, init=False)

    def begin(self) -> None:
        """Forget the last run."""
        self._known, self._failing_since, self._turn_until = Trouble(), None, 0.0

    def enter(self, known: Trouble, failing_since: datetime | None) -> None:
        """Let a job in; in an outage one at a time, the others are told to wait by a Deferral.

        `failing_since` is when the job last began to fail.
        """
        self._known, self._failing_since = known, failing_since
        if not known.is_outage:
            return
        now = self._seconds()
        until = now + min(_LONGEST_TURN_SECONDS, _FIRST_TURN_SECONDS * 2 ** min(known.turns, 10))
        if now < known.turn_until or not self.items.take_turn(now, until):
            since = datetime.fromtimestamp(known.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise Deferral(
                known.reason,
                f"{_TOLD[known.reason]} since {since}: {len(known.failing)} jobs have failed and "
                "none was archived. One at a time tries; this one waits.",
                wait_seconds=min(_LONGEST_LOOK_SECONDS, max(FIRST_WAIT_SECONDS, now - known.since)),
            )
        self._turn_until = until

    def archived(self) -> None:
        """Tell the fleet, if it has been told of failures, that a job was archived."""
        if self._known.failing:
            with suppress(Failure):
                self.items.add_success(self._known, self._seconds())

    def left(self) -> None:
        """Let the next one try at once: this one neither failed nor was archived."""
        if self._turn_until:
            with suppress(Failure):
                self.items.end_turn(self._turn_until, self._seconds())

    def blame(self) -> Blame:
        """Tell whose a failure of this run is; where the table cannot be read, nobody can tell."""
        if self._known.is_outage:
            return "outage"
        since = self._failing_since
        meanwhile = since is not None and self._known.archived_at > since.timestamp()
        return "own" if meanwhile else "unknown"

    def failed(self, job_id: str, failure: Failure) -> None:
        """Tell the fleet that a job failed."""
        with suppress(Failure):
            self.items.add_failure(job_id, failure, self._seconds(), self._known)
            if self._known.is_outage and failure.wait_seconds:
                self.items.extend_turn(self._seconds() + failure.wait_seconds)

    def _seconds(self) -> float:
        return self.now().timestamp()
