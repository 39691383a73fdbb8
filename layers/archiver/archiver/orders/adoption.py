"""What a reading of the vendor's list says of the windows: whose job is whose. Pure.

A job is an open intent's if it carries its id. Where none does, because the vendor echoes no
callback URL or we have none, it is one of the same parameters that was not in the list before the
request (`TOLERANCE` for clocks). The id of a job is believed where the job's own parameters agree.

A window that nobody is on to is recognised in a job that covers it: of its very parameters, and
ordered when the window was complete, by whomever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from archiver.errors import redact
from archiver.intent import Intent
from archiver.orders.demand import cycle_of, wants
from archiver.orders.ledger import Doubted, Entry, Ledger
from archiver.orders.plan import Chunk, Order, Plan
from archiver.orders.seen import SeenJob
from archiver.orders.spans import Spans
from archiver.orders.windows import label_of, number_of

__all__ = ["TOLERANCE", "Kind", "Reading", "Sightings", "Told", "adopt", "intent_of"]

TOLERANCE = timedelta(minutes=5)  # of the vendor's clock and ours
Kind = Literal["adopted", "recognised", "duplicate", "failed", "given_up", "stopped"]
_LONGEST_AGO = datetime.min.replace(tzinfo=UTC)
_DOUBTED_FOR = timedelta(days=7)
_SECOND = "A second job of the same intent; it is archived, too, and counts for nothing."


@dataclass(frozen=True, slots=True)
class Told:
    """Something that people may want to know of a window."""

    kind: Kind
    order_name: str
    window: str
    order_id: str
    job_id: str | None
    detail: str = ""

    def event_detail(self) -> dict[str, Any]:
        """Return the detail of `Order Needs Attention` (events/schemas, schema_version "1")."""
        return {
            "schema_version": "1",
            "order_name": self.order_name,
            "window": self.window,
            "order_id": self.order_id,
            "job_id": self.job_id,
            "reason": self.kind,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the list; `is_whole`: nothing in it was illegible.

    `certain_after`: for how long a job may be missing in it. `tries`: how often one may fail.
    """

    began: datetime
    ended: datetime
    certain_after: timedelta
    tries: int
    is_whole: bool = True


class Sightings:
    """The jobs of a reading that concern a plan; others are forgotten at once."""

    def __init__(self, plan: Plan, ledgers: Mapping[str, Ledger], now: datetime) -> None:
        self.open_job_ids: set[str] = set()
        self._today = now.astimezone(UTC).date()
        self._ordered_today: set[str] = set()
        self._seen: dict[str, dict[int, dict[str, SeenJob]]] = {}
        self._by_parameters: dict[tuple[str, str, str], list[tuple[Order, Chunk]]] = {}
        self._by_id: dict[str, tuple[str, int]] = {}
        self._matters: dict[str, Spans] = {}
        for order, chunk in plan.chunks():
            ledger = ledgers[chunk.id]
            lacks = wants(order, chunk, ledger, now)
            mattering = lacks.due | lacks.restated | lacks.history | Spans.of(ledger.failed)
            self._matters[chunk.id] = mattering | Spans.of(ledger.open)
            asked_for = {chunk.fingerprint, *(each.properties for each in ledger.open.values())}
            for properties in asked_for:
                key = (order.report_type, order.output_format, properties)
                self._by_parameters.setdefault(key, []).append((order, chunk))
            for window, entry in ledger.open.items():
                self._by_id[entry.order_id] = (chunk.id, window)
            for known in ledger.doubted:
                self._by_id.setdefault(known.order_id, (chunk.id, 0))

    def note(self, job: SeenJob) -> None:
        """Take a job into account; one that is told twice counts once, as it was told last."""
        (self.open_job_ids.add if job.is_open else self.open_job_ids.discard)(job.job_id)
        place = self._place(job)
        is_ours = job.intent is not None or place is not None
        if is_ours and job.created_at is not None and job.created_at.date() == self._today:
            self._ordered_today.add(job.job_id)
        if place is not None:
            chunk_id, window = place
            self._seen.setdefault(chunk_id, {}).setdefault(window, {})[job.job_id] = job

    @property
    def ordered_today(self) -> int:
        """How many jobs that may be ours were created on this UTC day."""
        return len(self._ordered_today)

    def of(self, chunk_id: str) -> dict[int, list[SeenJob]]:
        """Return what was seen of a chunk, by window (0: of one that is over)."""
        found = self._seen.get(chunk_id, {})
        return {window: list(jobs.values()) for window, jobs in found.items()}

    def _place(self, job: SeenJob) -> tuple[str, int] | None:
        known = self._by_id.get(job.order_id or "")
        if known is not None:
            return known
        told = job.parameters
        if told is None:
            return None
        key = (told.report_type, told.output_format, told.properties)
        for order, chunk in self._by_parameters.get(key, ()):
            window = number_of(order.every, date.fromisoformat(told.start_date))
            if window in self._matters[chunk.id] and order.dates(window) == (
                told.start_date,
                told.end_date,
            ):
                return chunk.id, window
        return None


def adopt(
    order: Order,
    chunk: Chunk,
    ledger: Ledger,
    seen: Mapping[int, Sequence[SeenJob]],
    reading: Reading,
) -> tuple[Ledger, list[Told]]:
    """Return a chunk's windows as a complete reading shows them, and what is worth telling."""
    look = _Look(order, chunk, ledger, reading)
    for window, entry in sorted(ledger.open.items()):
        look.at_open(window, entry, seen.get(window, ()))
    for window, jobs in sorted(seen.items()):
        if window and window not in ledger.open:
            look.at_lacking(window, jobs)
    look.at_doubted(job for jobs in seen.values() for job in jobs)
    return look.ledger, look.told


def intent_of(order: Order, chunk: Chunk, window: int, cycle: int, attempt: int) -> Intent:
    """Return the intent to have a window as of a cycle."""
    return Intent.of(
        order.name,
        label_of(order.every, window),
        order.ready.day(order.every, cycle),
        attempt,
        order.parameters(chunk, window),
    )


class _Look:
    """One chunk's windows, changing as they are looked at."""

    def __init__(self, order: Order, chunk: Chunk, ledger: Ledger, reading: Reading) -> None:
        self.order, self.chunk, self.ledger, self.reading = order, chunk, ledger, reading
        self.now = reading.ended
        self.last = order.last(self.now)
        self.told: list[Told] = []

    def at_open(self, window: int, entry: Entry, jobs: Sequence[SeenJob]) -> None:
        if entry.state == "ordered":
            self._at_ordered(window, entry, jobs)
            return
        mine = [job for job in jobs if job.order_id == entry.order_id]
        if entry.state == "pausing":  # the one that failed carries it, too
            mine = [job for job in mine if not job.has_failed]
        if not mine and entry.state == "posted":
            mine = [job for job in jobs if self._may_be(entry, job)]
        if mine:
            job = min(mine, key=_preference)
            self.ledger = self.ledger.bind(window, job.job_id, has_ended=not job.is_open)
            self._tell("adopted", window, entry.order_id, job.job_id)
            self._at_ordered(window, self.ledger.open[window], jobs)
        elif entry.state != "posted":
            before = self.ledger
            self.ledger = before.drop(window)
            if not self._recognise(window, jobs, entry.cycle, entry.attempt):
                self.ledger = before
        elif self._tells_of_none(entry):
            self.ledger = self.ledger.count_reading(window)

    def at_lacking(self, window: int, jobs: Sequence[SeenJob]) -> None:
        required = cycle_of(self.order, window, self.last)
        self._recognise(window, jobs, required, self.ledger.tries_before(window))

    def at_doubted(self, jobs: Iterable[SeenJob]) -> None:
        """Tell of late second jobs of what is over."""
        known = {(each.order_id, each.job_id) for each in self.ledger.doubted}
        ids = {order_id for order_id, _ in known}
        for job in jobs:
            order_id = job.order_id
            if order_id is not None and order_id in ids and (order_id, job.job_id) not in known:
                late = Doubted(order_id, job.job_id, self.now + _DOUBTED_FOR)
                self.ledger = replace(self.ledger, doubted=(*self.ledger.doubted, late))
                self._tell("duplicate", None, order_id, job.job_id, _SECOND)

    # --- inside ---

    def _recognise(self, window: int, jobs: Sequence[SeenJob], cycle: int, attempt: int) -> bool:
        """Take a job for a window that nobody is on to, if there is one that will do.

        Where a table was restored, what failed since counts as a try.
        """
        good = [job for job in jobs if self._as_of(job) >= cycle]
        if good:
            self._take(window, min(good, key=_preference))
            return True
        later = [
            job
            for job in jobs
            if job.intent is not None
            and job.has_failed
            and job.intent.attempt > attempt
            and self._cycle(job.intent) >= cycle
        ]
        if later:
            job = max(later, key=lambda each: each.intent.attempt if each.intent else 0)
            self._take(window, job)
            self._fail(window, job)
        return bool(later)

    def _at_ordered(self, window: int, entry: Entry, jobs: Sequence[SeenJob]) -> None:
        job = next((each for each in jobs if each.job_id == entry.job_id), None)
        if job is not None and job.has_failed:
            self._fail(window, job)
            left = self.ledger.open.get(window)
            if left is not None:
                self.at_open(window, left, jobs)
            return
        if job is not None and not job.is_open and not entry.has_ended:
            self.ledger = self.ledger.mark_ended(window)
        self._tell_duplicates(window, self.ledger.open[window], jobs)

    def _tell_duplicates(self, window: int, entry: Entry, jobs: Sequence[SeenJob]) -> None:
        """Tell once of jobs that carry the same id; `before` keeps those that were told."""
        for job in jobs:
            known = job.job_id == entry.job_id or job.job_id in self.ledger.open[window].before
            if job.order_id == entry.order_id and not known:
                self.ledger = self.ledger.know(window, job.job_id)
                self._tell("duplicate", window, entry.order_id, job.job_id, _SECOND)

    def _tells_of_none(self, entry: Entry) -> bool:
        """Tell whether a job of it would have been in the list, if there were one."""
        if entry.posted_at is None or not self.reading.is_whole:
            return False
        return self.reading.began >= entry.posted_at + self.reading.certain_after

    def _may_be(self, entry: Entry, job: SeenJob) -> bool:
        """Tell whether a job without an id may be what was posted."""
        if job.intent is not None or job.parameters is None:
            return False
        is_young = job.created_at is None or job.created_at >= entry.since - TOLERANCE
        is_equal = job.parameters.properties == entry.properties
        return is_equal and is_young and job.job_id not in entry.before

    def _as_of(self, job: SeenJob) -> int:
        """Return the cycle that a job's export is of; 0: it will not do, whatever the cycle."""
        told = job.parameters
        if job.has_failed or told is None or told.properties != self.chunk.fingerprint:
            return 0
        if job.intent is not None:
            return self._cycle(job.intent)
        return 0 if job.created_at is None else self.order.last(job.created_at)

    def _cycle(self, intent: Intent) -> int:
        try:
            day = date.fromisoformat(intent.cycle) - timedelta(days=self.order.ready.days_after)
            return number_of(self.order.every, day)
        except (ValueError, OverflowError):  # an id that nobody here wrote
            return 0

    def _take(self, window: int, job: SeenJob) -> None:
        """Write an intent down for a job that is there already."""
        intent = job.intent
        cycle = min(
            self._cycle(intent) if intent is not None else self._as_of(job),
            window + self.order.restate,
        )
        attempt = self.ledger.tries_before(window) + 1 if intent is None else intent.attempt
        known_as = intent or intent_of(self.order, self.chunk, window, cycle, attempt)
        since = job.created_at or self.now
        entry = Entry(
            known_as.id,
            cycle,
            attempt,
            self.chunk.fingerprint,
            since,
            posted_at=since,
            posts=1,
            by_hand=intent is None,
        )
        failed = {each: last for each, last in self.ledger.failed.items() if each != window}
        used = {**self.ledger.used}
        if window in self.ledger.failed:
            used[window] = self.ledger.failed[window]
        self.ledger = replace(self.ledger, failed=failed, used=used).intend(window, entry)
        self.ledger = self.ledger.bind(window, job.job_id, has_ended=not job.is_open)
        self._tell("recognised", window, known_as.id, job.job_id)

    def _fail(self, window: int, job: SeenJob) -> None:
        entry = self.ledger.open[window]
        if entry.by_hand:
            self.ledger = self.ledger.drop(window)
            return
        was_cancelled = job.job.status == "cancelled"
        said = redact(job.job.error_message) or "The vendor gave no message."
        if was_cancelled:
            said = "The job was cancelled at the vendor."
        self.ledger = self.ledger.fail(
            window, self.now, said, self.reading.tries, for_good=was_cancelled
        )
        kind: Kind = "failed" if window in self.ledger.open else "given_up"
        self._tell(kind, window, entry.order_id, job.job_id, said)

    def _tell(
        self,
        kind: Kind,
        window: int | None,
        order_id: str,
        job_id: str | None,
        detail: str = "",
    ) -> None:
        label = order_id.split(".")[1] if window is None else label_of(self.order.every, window)
        self.told.append(Told(kind, self.order.name, label, order_id, job_id, detail))


def _preference(job: SeenJob) -> tuple[bool, bool, datetime, str]:
    """Rather one that carries the id, rather one that has not failed, rather the first."""
    return job.has_failed, job.intent is None, job.created_at or _LONGEST_AGO, job.job_id
