"""The use case behind the callbacks: find completed jobs that are not archived, and queue them.

A sweep reads the vendor's list page by page, newest first, and asks the table once per page what
became of the completed jobs. It queues those without an item, those whose message must be lost, and
those whose end here the list contradicts; it archives nothing itself and asks the vendor nothing
but the list.

It must cost next to nothing when nothing is missing, and must never hold state that nobody else
has: a sweep that is killed anywhere is simply run again. It knows neither boto3 nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from archiver.apartmentiq.listing import JobsPage, ListedJob, Position, Walk, read_patiently
from archiver.errors import Deferral, Failure, Interruption, Rejection
from archiver.log import Log
from archiver.receipt import iso_utc
from archiver.states import ENDS, LOST_AFTER
from archiver.sweep.request import SweepRequest
from archiver.sweep.tally import Tally

__all__ = ["JobRecord", "Place", "Reconciler", "end_of", "why_queue"]

# A place is good for as long as the totals are compared; one that is older than this was left by a
# schedule that has been off since, and a whole new sweep says more.
PLACE_LIVES = timedelta(days=7)
# What one page may take at worst: 25 s for the vendor's answer and as much for the table and the
# queue. With less time left no page is begun, so that the place is kept before Lambda ends us.
RESERVE_SECONDS = 45.0
_MESSAGES_PER_REQUEST = 10  # SQS's limit for SendMessageBatch
_NEEDS_MORE_TIME = frozenset({"out_of_time", "rate_limited"})
# An end that the list itself disproves is none; and if that ends so again, three times: a vendor
# whose list and whose answers contradict each other must not make a letter an hour.
_MOST_TAKEN_UP = 3

Why = Literal["unknown", "lost", "disproved"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What a job's item says, as far as a sweep needs it. `touched_at` None: nobody can tell."""

    state: str
    touched_at: datetime | None
    updated_at: str | None  # as it stands there, to notice that somebody else was quicker
    key: str | None = None  # fixed by the first claim
    upload_id: str | None = None  # of the copy that was last begun
    reason: str | None = None  # why it waits or ended so
    known_since: datetime | None = None  # of ours, by an item
    taken_up: int = 0  # so often a sweep queued it although it had its end


@dataclass(frozen=True, slots=True)
class Place:
    """Where an unfinished sweep goes on, and what it has counted so far."""

    position: Position
    since: datetime
    started_at: datetime
    tally: Tally


class Vendor(Protocol):
    """ApartmentIQ's list (apartmentiq/client.py)."""

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Ask nothing before then."""

    def jobs_page(self, position: Position) -> JobsPage | None:
        """Return one page, None for one too long to be read; raises an Interruption."""


class Items(Protocol):
    """The table (aws/sweep_items.py)."""

    def vendor_closed_until(self) -> float:
        """Return until when nobody in the fleet may ask the vendor, in epoch seconds."""

    def records(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Return what is known of these jobs; a job without an item is left out."""

    def mark_queued(self, job_id: str, known: JobRecord | None, at: datetime) -> None:
        """Write down that a job was queued, unless its item has changed since it was read."""

    def place(self) -> Place | None:
        """Return where the last scheduled sweep broke off, if it did."""

    def keep_place(self, place: Place) -> None:
        """Write down where the next one goes on."""

    def forget_place(self, place: Place) -> None:
        """Forget it, unless another sweep has written another."""


class Queue(Protocol):
    """The archiver's queue (aws/queue.py)."""

    def send_batch(self, bodies: Sequence[str]) -> Sequence[bool]:
        """Send up to 10 messages; tells of each whether the queue took it."""


class Gauges(Protocol):
    """Metrics (telemetry.Gauges)."""

    def count(self, name: str, value: int) -> None:
        """Count something."""

    def count_by(self, name: str, dimension: str, numbers: Mapping[str, int]) -> None:
        """Count something by one dimension."""

    def seconds(self, name: str, value: float) -> None:
        """Tell a duration."""


@dataclass
class _Sweep:
    """One sweep on its way."""

    request: SweepRequest
    walk: Walk
    started_at: datetime
    tally: Tally
    seen: set[str] = field(default_factory=set)  # in this invocation; a job may come twice
    queued_count: int = 0  # in this invocation


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Sweeps; built once per runtime."""

    vendor: Vendor
    items: Items
    queue: Queue
    gauges: Gauges
    log: Log
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    remaining_seconds: Callable[[], float]

    def reconcile(self, request: SweepRequest) -> dict[str, Any]:
        """Run one sweep as far as time and vendor allow, and return what it saw.

        Whatever keeps it from its end is in the answer, not raised; an error of ours is raised.
        """
        kept = self._kept_place() if request.scheduled else None
        sweep = self._begin(request, kept)
        why: Interruption | None = None
        try:
            self._walk(sweep)
        except Interruption as interruption:
            why = interruption
        if sweep.queued_count:
            self.gauges.count("QueuedBySweep", sweep.queued_count)
        if request.scheduled:
            self._remember(sweep, kept, why)
            self._publish(sweep.tally, why)
        return self._tell(sweep, why)

    def _kept_place(self) -> Place | None:
        place = None
        with suppress(Failure):  # a whole sweep is always right, if the table answers that one
            place = self.items.place()
        if place is None or self.now() - place.started_at > PLACE_LIVES:
            return None
        return place

    def _begin(self, request: SweepRequest, kept: Place | None) -> _Sweep:
        if kept is None:
            return _Sweep(request, Walk(self._read, request.start), self.now(), Tally())
        walk = Walk(self._read, kept.position)
        return _Sweep(request.reaching_back_to(kept.since), walk, kept.started_at, kept.tally)

    # --- reading ---

    def _walk(self, sweep: _Sweep) -> None:
        """Read pages from the sweep's position until the window is behind it."""
        window = sweep.request.window

        def is_behind(page: JobsPage) -> bool:
            return bool(page.jobs) and all(window.is_after(job) for job in page.jobs)

        for page in sweep.walk.pages(is_behind):
            self._settle(page, sweep)

    def _read(self, position: Position) -> JobsPage | None:
        def ask() -> JobsPage | None:
            self.vendor.keep_away_until(self.items.vendor_closed_until())
            return self.vendor.jobs_page(position)

        return read_patiently(ask, position, check_time=self._check_time, pause=self.pause)

    def _check_time(self, wait_seconds: float, why: Interruption | None = None) -> None:
        if self.remaining_seconds() - wait_seconds < RESERVE_SECONDS:
            raise why or Deferral("out_of_time", "The sweep ran out of time; it goes on from here.")

    # --- deciding and queueing ---

    def _settle(self, page: JobsPage, sweep: _Sweep) -> None:
        """Count a page's jobs and queue those that nobody is going to archive."""
        new = {
            job.job_id: job
            for job in page.jobs
            if job.job_id not in sweep.seen and sweep.request.means(job)
        }
        completed = [job for job in new.values() if job.job.may_have_export]
        records = self.items.records([job.job_id for job in completed]) if completed else {}
        missing = _missing(completed, records, self.now())
        if not sweep.request.dry_run:
            self._queue(missing, records, sweep)
        # Counted when all of it is done: a page that failed half-way is read again.
        sweep.seen |= new.keys()
        for job in new.values():
            record = records.get(job.job_id)
            known_since = None if record is None else record.known_since or record.touched_at
            sweep.tally.add(job, end_of(job, record), known_since)
        sweep.tally.add_missing(missing)
        sweep.tally.add_page(page.unreadable_count)

    def _queue(
        self,
        missing: Sequence[tuple[ListedJob, Why]],
        records: Mapping[str, JobRecord],
        sweep: _Sweep,
    ) -> None:
        for start in range(0, len(missing), _MESSAGES_PER_REQUEST):
            job_ids = [job.job_id for job, _ in missing[start : start + _MESSAGES_PER_REQUEST]]
            taken = self.queue.send_batch([f'{{"job_id":"{job_id}"}}' for job_id in job_ids])
            queued = [job_id for job_id, was in zip(job_ids, taken, strict=True) if was]
            sweep.queued_count += len(queued)
            sweep.tally.queued_count += len(queued)
            sweep.tally.refused_count += len(job_ids) - len(queued)
            for job_id in queued:
                # Sent first: without the mark the next sweep sends it again, which costs a read.
                with suppress(Failure):
                    self.items.mark_queued(job_id, records.get(job_id), self.now())
            if queued:
                self.log.info("queued", job_ids=queued)

    # --- telling ---

    def _remember(self, sweep: _Sweep, kept: Place | None, why: Interruption | None) -> None:
        """Keep the place of a sweep that only needs more time.

        One that met an error begins anew: the error may stay at that page, and the first pages,
        where the newest jobs are, must not wait behind it.
        """
        if why is not None and why.reason in _NEEDS_MORE_TIME:
            since = sweep.request.window.since
            place = Place(sweep.walk.position, since, sweep.started_at, sweep.tally)
            with suppress(Failure):  # then the next sweep begins at the first page
                self.items.keep_place(place)
        elif kept is not None:
            with suppress(Failure):  # then the next sweep reads the last pages once more
                self.items.forget_place(kept)

    def _publish(self, tally: Tally, why: Interruption | None) -> None:
        """Publish what the whole window looks like; half of it would look like health."""
        if why is not None:
            self.gauges.count_by("SweepsUnfinished", "reason", {why.reason: 1})
            return
        self.gauges.count("SweepsFinished", 1)
        self.gauges.count("UnarchivedJobs", tally.unarchived)
        self.gauges.seconds("OldestUnarchivedSeconds", tally.oldest_seconds(self.now()))
        told = tally.by_known_status().items()
        # CloudWatch asks $0.30 a month for each metric: none for what the documents do not know.
        numbers = {status: number for status, number in told if number or status != "other"}
        self.gauges.count_by("VendorJobs", "status", numbers)

    def _tell(self, sweep: _Sweep, why: Interruption | None) -> dict[str, Any]:
        """Write the sweep's last log line, which says all of it, and return the same."""
        request, tally = sweep.request, sweep.tally
        answer: dict[str, Any] = {
            "outcome": "finished" if why is None else "unfinished",
            "dry_run": request.dry_run,
            "since": iso_utc(request.window.since),
            "until": None if request.window.until is None else iso_utc(request.window.until),
            **tally.summary(self.now(), dry_run=request.dry_run),
        }
        if why is None:
            self.log.info("swept", **answer)
            return answer
        answer |= {"reason": why.reason, "detail": why.detail}
        if not isinstance(why, Rejection):
            answer["continue_with"] = request.payload_from(sweep.walk.position)
        self.log.warning("swept", **answer)
        return answer


def why_queue(job: ListedJob, record: JobRecord | None, now: datetime) -> Why | None:
    """Return why a job is to be queued, or None where it has its end or its message."""
    if record is None:
        return "unknown"
    if record.state in ENDS:
        return "disproved" if end_of(job, record) is None else None
    if record.touched_at is None or now - record.touched_at > LOST_AFTER:
        return "lost"
    return None


def end_of(job: ListedJob, record: JobRecord | None) -> str | None:
    """Return a job's end here; None where it has none, or one that the list disproves.

    What is in the list exists; what is called succeeded has neither failed nor been cancelled; and
    what completed after its letter was written, is no longer waited for.
    """
    if record is None or record.state not in ENDS:
        return None
    if record.state == "archived" or record.taken_up >= _MOST_TAKEN_UP:
        return record.state
    has_succeeded = job.job.status == "succeeded"
    if record.state == "ended_at_vendor":
        return None if has_succeeded else record.state
    if record.reason == "waited_too_long" and has_succeeded:
        completed_at = job.completed_at
        later = completed_at and record.touched_at and completed_at > record.touched_at
        return None if later else record.state
    return None if record.reason == "no_such_job" else record.state


def _missing(
    completed: Sequence[ListedJob], records: Mapping[str, JobRecord], now: datetime
) -> list[tuple[ListedJob, Why]]:
    """Return the completed jobs that are to be queued, each with the reason."""
    reasons = [(job, why_queue(job, records.get(job.job_id), now)) for job in completed]
    return [(job, why) for job, why in reasons if why is not None]
