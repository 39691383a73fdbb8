"""What was seen of one job, attempt by attempt, in plain values: the judge's evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal

from tests.kills.plan import Aim, JobPlan

__all__ = ["PHASES", "Attempt", "Diary", "End", "Phase", "Read", "State", "phase_of"]

Phase = Literal[
    "before the claim",
    "copying, no part finished",
    "copying, some parts finished",
    "during Complete",
    "committed, no event yet",
    "event out, no receipt yet",
    "after the receipt",
]
PHASES: tuple[Phase, ...] = Phase.__args__  # type: ignore[attr-defined]  # typing's own, not in its stubs


@dataclass(frozen=True, slots=True)
class State:
    """What the cloud held of a job at one moment; `finished` are parts that S3 lists."""

    claims: int = 0
    archived: bool = False
    finished: frozenset[int] = frozenset()
    uploads: int = 0
    versions: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """One download from the source: the bytes it asked for, and how many were served."""

    start: int
    end: int
    served: int


@dataclass
class Attempt:
    """One receive of a job's message. Times are of the monotonic clock."""

    message_id: str
    receive_count: int
    began_at: float
    before: State
    journal_from: int  # the vendor's journal had so many entries
    aim: Aim | None
    stopped_at: float | None = None  # when the signal was sent
    # A signal meant for the attempt before came just after its answer: this one met a dead process.
    met_a_dead_process: bool = False
    commit_began_at: float | None = None
    commit_ended_at: float | None = None
    copying: bool = False
    ended_at: float | None = None
    error_type: str | None = None
    timed_out: bool = False
    failed: bool = False  # the function itself gave the message back
    hidden_seconds: float | None = None  # of the message, at the end; None: it is gone
    log: str = ""
    reads: list[Read] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    @property
    def died(self) -> bool:
        """Whether the runtime died under it."""
        return self.error_type is not None

    @property
    def killed_at(self) -> float | None:
        """When it died: at the signal, or when its time was up."""
        if not self.died:
            return None
        if self.timed_out or (self.stopped_at is None and self.met_a_dead_process):
            return self.ended_at
        return self.stopped_at

    def was_held(self, queue_visibility_seconds: float) -> bool:
        """Whether it had taken the message's visibility into its own hands when it died."""
        if self.hidden_seconds is None or self.ended_at is None:
            return True
        untouched = queue_visibility_seconds - (self.ended_at - self.began_at)
        return self.hidden_seconds < untouched - 60  # far more than any clock or pause is off


@dataclass(frozen=True, slots=True)
class End:
    """What was there of a job when nothing was left to do."""

    state: State
    sha256: str
    size_bytes: int
    event_versions: frozenset[str]
    version_id: str
    dead_letters: int


@dataclass
class Diary:
    """One job: its plan, what its export is, and its attempts in order."""

    job_id: str
    plan: JobPlan
    sha256: str
    size_bytes: int
    attempts: list[Attempt] = field(default_factory=list)
    end: End | None = None
    served_bytes: int = 0  # the vendor's own count

    @property
    def running(self) -> Attempt | None:
        """The attempt that is under way."""
        last = self.attempts[-1] if self.attempts else None
        return last if last and not last.over.is_set() else None

    @property
    def kills(self) -> int:
        """How often its runtime died so far."""
        return sum(attempt.died for attempt in self.attempts)

    def after(self, index: int) -> State:
        """Return what the cloud held after an attempt: before the next one, or at the end."""
        if index + 1 < len(self.attempts):
            return self.attempts[index + 1].before
        return self.end.state if self.end else State()


def phase_of(attempt: Attempt, after: State) -> Phase:
    """Tell where an attempt was when it died, by what it did and left behind."""
    if after.claims == attempt.before.claims:
        return "before the claim"
    if not attempt.before.versions:
        if attempt.commit_began_at is None:
            some = bool(after.finished)
            return "copying, some parts finished" if some else "copying, no part finished"
        if attempt.commit_ended_at is None or (attempt.killed_at or 0) < attempt.commit_ended_at:
            return "during Complete"
    if after.archived:
        return "after the receipt"
    emitted = after.events > attempt.before.events
    return "event out, no receipt yet" if emitted else "committed, no event yet"
