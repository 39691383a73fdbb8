"""What is known of one chunk's windows, and every move of it. Pure.

    a window is   where it stands            moved there by
    missing       nowhere
    intended      open, without `posted_at`  intend, refused
    posted        open, with `posted_at`     intend, post_again: an answer may have been lost
    ordered       open, with `job_id`        bind
    pausing       open, with `next_at`       fail
    failed        failed                     fail: its tries are used up
    archived      fresh (to be ordered       close
                  again later) or done

One item of the table holds all of it (aws/order_items.py), written as a whole and only as it was
read: so a window cannot stand in two places, and of two who change it one is told to look again.
What needs nothing any more is a run of numbers; only what is open costs more.

`posted` is written before the request goes out, because nobody can write that it has. From then on
there may be a job. It ends when a job is found, when the vendor refuses for certain, or, with
`post_again`, when the list has been read twice since no job of that request can still be missing in
it (design, invariant 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from archiver.orders.spans import Spans

__all__ = ["MOST_OPEN", "READINGS", "Doubted", "Entry", "Ledger"]

READINGS = 2  # of the whole list, before a request is repeated
# Of one chunk, so that its item stays small whatever happens: an entry takes a KB at most.
MOST_OPEN = 100
# Growing pauses after a job that failed at the vendor: 15 min, 1 h, 4 h, 16 h, and a day from then.
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = timedelta(minutes=15), 4, timedelta(days=1)
_MOST_GROWTH = 4  # times, then it is the longest
# Of intents that were posted while a job of theirs may have existed: a second one may still appear.
_DOUBTED_FOR, _MOST_DOUBTED = timedelta(days=7), 50
_MOST_BEFORE = 50

_T = TypeVar("_T")
EntryState = Literal["intended", "posted", "ordered", "pausing"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One window that is on its way. `cycle` is a window's number, as `attempt` counts from 1."""

    order_id: str
    cycle: int
    attempt: int
    properties: str  # the fingerprint of what is asked for
    since: datetime
    posted_at: datetime | None = None
    posts: int = 0
    readings: int = 0  # of the whole list, since no job of the request can be missing in it
    before: tuple[str, ...] = ()  # jobs of the same parameters that are none of it, newest first
    job_id: str | None = None
    by_hand: bool = False
    has_ended: bool = False  # at the vendor: it is not open there any more
    next_at: datetime | None = None
    said: str = ""

    @property
    def state(self) -> EntryState:
        """Where it stands."""
        if self.job_id is not None:
            return "ordered"
        if self.next_at is not None:
            return "pausing"
        return "intended" if self.posted_at is None else "posted"

    @property
    def tries_made(self) -> int:
        """Return how many tries may have a job of ours: one refused, or by hand, has none."""
        is_made = not self.by_hand and (self.posts or self.job_id or self.next_at is not None)
        return self.attempt if is_made else self.attempt - 1

    def to_fields(self) -> dict[str, Any]:
        """Return it as plain values; what says nothing is left out."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        for name in _MOMENTS:
            fields[name] = fields[name] and fields[name].isoformat()
        fields["before"] = list(self.before)
        return {name: value for name, value in fields.items() if value or name in _ALWAYS}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Entry:
        """Read what `to_fields` wrote, of this version or of a later one."""
        told = {name: fields[name] for name in cls.__slots__ if name in fields}
        for name in _MOMENTS:
            if told.get(name):
                told[name] = datetime.fromisoformat(told[name])
        return cls(**told | {"before": tuple(told.get("before", ()))})


_MOMENTS = ("since", "posted_at", "next_at")
_ALWAYS = frozenset({"order_id", "cycle", "attempt", "properties", "since"})


@dataclass(frozen=True, slots=True)
class Doubted:
    """An intent that was posted in doubt, and the job that it was found to have."""

    order_id: str
    job_id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """One chunk's windows. `revision` counts the writes; 0: nothing was ever written."""

    chunk_id: str
    revision: int = 0
    done: Spans = field(default_factory=Spans)
    fresh: Mapping[int, int] = field(default_factory=dict)  # archived as of that cycle
    failed: Mapping[int, int] = field(default_factory=dict)  # given up after that try
    used: Mapping[int, int] = field(default_factory=dict)  # tries before somebody said: again
    tried: Mapping[int, int] = field(default_factory=dict)  # of what is missing again
    open: Mapping[int, Entry] = field(default_factory=dict)
    stopped: str = ""  # why no more of it is ordered: the vendor's sentence
    looked_back: int = 0  # from which window on the list was read for jobs that were there before
    doubted: tuple[Doubted, ...] = ()

    # --- what it says ---

    @property
    def archived(self) -> Spans:
        """The windows of which an export is archived."""
        return self.done | Spans.of(self.fresh)

    @property
    def is_proven(self) -> bool:
        """Tell whether one of its windows ever came home."""
        return bool(self.done.runs or self.fresh)

    def tries_before(self, window: int) -> int:
        """Return how many tries a window has had, those before a person's word included."""
        return max(each.get(window, 0) for each in (self.used, self.failed, self.tried))

    # --- moves ---

    def intend(self, window: int, entry: Entry) -> Ledger:
        """Write down that a window is about to be ordered."""
        if window in self.open:
            raise ValueError(f"window {window} has an open intent")
        return self._with(window, entry)

    def refused(self, window: int, said: str = "") -> Ledger:
        """Say that the request was refused for certain: there is no job, and no doubt."""
        entry = replace(self.open[window], said=said)
        # Else there is a job, or an earlier request is in doubt, and this refusal ends none.
        if entry.posts == 1 and entry.job_id is None:
            entry = replace(entry, posted_at=None, posts=0)
        return self._with(window, entry)

    def post_again(self, window: int, entry: Entry) -> Ledger:
        """Write down that it is about to be posted again (or for the first time)."""
        was = self.open[window]
        since = was.since if was.posts else entry.since  # of the first that may have been taken
        posts, said = was.posts + 1, was.said
        return self._with(window, replace(entry, since=since, posts=posts, said=said, readings=0))

    def bind(self, window: int, job_id: str, *, has_ended: bool = False) -> Ledger:
        """Write down which job it is."""
        entry = self.open[window]
        return self._with(
            window, replace(entry, job_id=job_id, has_ended=has_ended, next_at=None, before=())
        )

    def mark_ended(self, window: int) -> Ledger:
        """Say that its job is not open at the vendor any more."""
        return self._with(window, replace(self.open[window], has_ended=True))

    def know(self, window: int, job_id: str) -> Ledger:
        """Remember another job that is none of it, so that it is told once."""
        entry = self.open[window]
        return self._with(window, replace(entry, before=(job_id, *entry.before)))

    def count_reading(self, window: int) -> Ledger:
        """Say that the whole list was read without a trace of it."""
        entry = self.open[window]
        return self._with(window, replace(entry, readings=min(entry.readings + 1, READINGS)))

    def fail(
        self, window: int, now: datetime, said: str, tries: int, *, for_good: bool = False
    ) -> Ledger:
        """Say that its job failed at the vendor: to be ordered again after a pause, or given up."""
        entry = self.open[window]
        base = self.used.get(window, 0)
        made = entry.attempt - base
        if for_good or made >= tries:
            left = self._without(window)
            if window in self.fresh:  # an export is there; the next cycle asks for a newer one
                fresh = {**self.fresh, window: entry.cycle}
                return replace(left, fresh=fresh, tried=_but(self.tried, window))
            return replace(left, failed={**self.failed, window: entry.attempt})
        pause = min(_FIRST_PAUSE * _GROWTH ** min(made - 1, _MOST_GROWTH), _LONGEST_PAUSE)
        failed = replace(entry, job_id=None, next_at=now + pause, said=said, has_ended=False)
        return self._with(
            window, replace(failed, posted_at=None, posts=0, readings=0, by_hand=False)
        )

    def drop(self, window: int) -> Ledger:
        """Say that it is missing again; its tries are not forgotten, for their ids are used up."""
        return self._without(window)

    def close(self, window: int, restate: int, now: datetime) -> Ledger:
        """Say that its export is archived."""
        entry = self.open[window]
        left = self._without(window)
        cycle = max(entry.cycle, self.fresh.get(window, entry.cycle))
        doubted = tuple(each for each in self.doubted if each.until > now)
        if entry.job_id is not None and entry.posts > 1:
            known = Doubted(entry.order_id, entry.job_id, now + _DOUBTED_FOR)
            doubted = (*doubted, known)[-_MOST_DOUBTED:]
        closed = replace(
            left,
            fresh={**self.fresh, window: cycle},
            failed=_but(self.failed, window),
            used=_but(self.used, window),
            tried=_but(self.tried, window),
            doubted=doubted,
        )
        return closed.settled(restate)

    def settled(self, restate: int) -> Ledger:
        """Keep of what is archived as runs what needs no newer export any more."""
        final = [window for window, cycle in self.fresh.items() if cycle >= window + restate]
        if not final:
            return self
        left = {window: cycle for window, cycle in self.fresh.items() if window not in set(final)}
        return replace(self, fresh=left, done=self.done | Spans.of(final))

    def stop(self, window: int, why: str) -> Ledger:
        """Order no more of it, and forget the intent that was refused for good."""
        refused = self.refused(window, why)
        left = self if refused.open[window].posts else refused.drop(window)
        return replace(left, stopped=why)

    def resumed(self) -> Ledger:
        """Begin again, on a person's word: what was stopped, and what was given up."""
        again = {window: last for window, last in self.tried.items() if window not in self.open}
        used = {**self.used, **again, **self.failed}
        return replace(self, stopped="", failed={}, used=used)

    def _with(self, window: int, entry: Entry) -> Ledger:
        before = entry.before[:_MOST_BEFORE]
        return replace(self, open={**self.open, window: replace(entry, before=before)})

    def _without(self, window: int) -> Ledger:
        entry, made = self.open.get(window), self.tried.get(window, 0)
        if entry is not None:
            made = max(made, entry.tries_made)
        tried = {**self.tried, window: made} if made else self.tried
        return replace(self, open=_but(self.open, window), tried=tried)

    # --- as it lies in the table ---

    def to_fields(self) -> dict[str, Any]:
        """Return it as plain values, without its id and revision."""
        return {
            "done": self.done.to_text(),
            "fresh": _as_text(self.fresh),
            "failed": _as_text(self.failed),
            "used": _as_text(self.used),
            "tried": _as_text(self.tried),
            "open": {str(window): entry.to_fields() for window, entry in self.open.items()},
            "stopped": self.stopped,
            "looked_back": self.looked_back,
            "doubted": [
                [each.order_id, each.job_id, each.until.isoformat()] for each in self.doubted
            ],
        }

    @classmethod
    def from_fields(cls, chunk_id: str, revision: int, fields: Mapping[str, Any]) -> Ledger:
        """Read what `to_fields` wrote."""
        return cls(
            chunk_id,
            revision,
            done=Spans.from_text(fields["done"]),
            fresh=_from_text(fields["fresh"]),
            failed=_from_text(fields["failed"]),
            used=_from_text(fields["used"]),
            tried=_from_text(fields["tried"]),
            open={
                int(window): Entry.from_fields(entry) for window, entry in fields["open"].items()
            },
            stopped=fields["stopped"],
            looked_back=int(fields["looked_back"]),
            doubted=tuple(
                Doubted(order_id, job_id, datetime.fromisoformat(until))
                for order_id, job_id, until in fields["doubted"]
            ),
        )


def _but(numbers: Mapping[int, _T], window: int) -> dict[int, _T]:
    return {number: each for number, each in numbers.items() if number != window}


def _as_text(numbers: Mapping[int, int]) -> str:
    return ",".join(f"{window}:{number}" for window, number in sorted(numbers.items()))


def _from_text(text: str) -> dict[int, int]:
    pairs = (part.split(":") for part in text.split(",") if part)
    return {int(window): int(number) for window, number in pairs}
