"""The use case behind the callbacks: find completed jobs that nobody told us of, and queue them.

A sweep reads the vendor's list page by page, newest first, and asks the table once a page what
became of the completed jobs. It queues those of which nothing is known, and those whose message
must be lost; it archives nothing itself and asks the vendor nothing but the list.

It must cost next to nothing when nothing is missing, and must never be the only one who knows
something: a sweep that is killed anywhere is simply done again. It knows neither boto3 nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from archiver.errors import Deferral, Failure, Interruption, Rejection
from archiver.listing import JobsPage, ListedJob, Position
from archiver.receipt import iso_utc
from archiver.sweep_request import SweepRequest
from archiver.tally import Tally

__all__ = ["JobRecord", "Place", "Reconciler", "why_queue"]

# A job under way touches its item at least as often as its message comes round: a delay is at most
# 15 minutes (SQS), a killed run's message is back after the queue's visibility of 90. An item that
# nobody touched for 6 hours has lost its message, or waits in a queue that stands still; then a
# second message costs one read of the table (docs/decisions, "When a message counts as lost").
LOST_AFTER = timedelta(hours=6)
# A place is good for as long as the totals are compared; one that is older than this was left by a
# schedule that has been off since, and a whole new sweep says more.
PLACE_LIVES = timedelta(days=7)
# What one page may take at worst: 25 s for the vendor's answer and as much for the table and the
# queue. With less time left no page is begun, so that the place is kept before Lambda ends us.
RESERVE_SECONDS = 45.0
_MESSAGES_PER_REQUEST = 10  # SQS's limit for SendMessageBatch
_TRIES_A_PAGE = 3
_FIRST_PAUSE_SECONDS = 1.0  # doubled with each try
# A list from which jobs vanish fifty times in five minutes is none; its totals are guesses, and the
# next sweep reads all of it again.
_MOST_STEPS_BACK = 50
_NEEDS_MORE_TIME = frozenset({"out_of_time", "rate_limited"})
_WAITS_A_PAGE = 5  # a vendor that says "later" oftener than this is left alone until the next sweep
# Nothing is queued again of a job with one of these: a dead letter is a person's (RedriveCommand).
_ENDS = frozenset({"archived", "dead_lettered", "ended_at_vendor"})

Why = Literal["unknown", "lost"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What a job's item says, as far as a sweep needs it. `touched_at` None: nobody can tell."""

    state: str
    touched_at: datetime | None
    updated_at: str | None  # as it stands there, to notice that somebody else was quicker
    key: str | None = None  # fixed by the first claim
    upload_id: str | None = None  # of the copy that was last begun


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

    def jobs_page(self, page: int) -> JobsPage:
        """Return one page; raises an Interruption."""


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


class Log(Protocol):
    """A structured logger."""

    def info(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401 - the logger's own
    def warning(self, msg: object, **fields: Any) -> None: ...  # noqa: ANN401


@dataclass
class _Sweep:
    """One sweep on its way."""

    request: SweepRequest
    position: Position
    started_at: datetime
    tally: Tally
    seen: set[str] = field(default_factory=set)  # in this invocation; a job may come twice
    queued_count: int = 0  # in this invocation
    steps_back: int = 0  # likewise


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
            return _Sweep(request, request.start, self.now(), Tally())
        return _Sweep(
            request.reaching_back_to(kept.since), kept.position, kept.started_at, kept.tally
        )

    # --- reading ---

    def _walk(self, sweep: _Sweep) -> None:
        """Read pages from the sweep's position until the window is behind it."""
        while True:
            read, page = sweep.position, self._read(sweep.position.page)
            self._settle(page, sweep)
            sweep.position = self._after(page, sweep)
            if sweep.position.page > read.page and _is_last(page, read, sweep.request):
                return

    def _after(self, page: JobsPage, sweep: _Sweep) -> Position:
        """Return where to read on; a total that goes up and down all the time is not followed."""
        position = sweep.position.after(page)
        if position.page <= sweep.position.page:
            sweep.steps_back += 1
            if sweep.steps_back > _MOST_STEPS_BACK:
                return replace(position, page=sweep.position.page + 1)
        return position

    def _read(self, number: int) -> JobsPage:
        """Read one page: waiting where the vendor asks for it, trying again where it stumbles."""
        tries = waits = 0
        while True:
            self._check_time(0.0)
            try:
                self.vendor.keep_away_until(self.items.vendor_closed_until())
                return _whole(self.vendor.jobs_page(number), number)
            except Deferral as deferral:
                waits += 1
                if deferral.wait_seconds is None or waits > _WAITS_A_PAGE:
                    raise
                self._check_time(deferral.wait_seconds, deferral)
                self.pause(deferral.wait_seconds)
            except Failure:
                tries += 1
                if tries >= _TRIES_A_PAGE:
                    raise
                self.pause(_FIRST_PAUSE_SECONDS * 2 ** (tries - 1))

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
        completed = [job for job in new.values() if job.status == "succeeded"]
        records = self.items.records([job.job_id for job in completed]) if completed else {}
        missing = _missing(completed, records, self.now())
        if not sweep.request.dry_run:
            self._queue(missing, records, sweep)
        # Counted when all of it is done: a page that failed half-way is read again.
        sweep.seen |= new.keys()
        for job in new.values():
            sweep.tally.add(job, _end_of(records.get(job.job_id)))
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
            place = Place(sweep.position, since, sweep.started_at, sweep.tally)
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
            answer["continue_with"] = request.payload_from(sweep.position)
        self.log.warning("swept", **answer)
        return answer


def why_queue(record: JobRecord | None, now: datetime) -> Why | None:
    """Return why a completed job is to be queued, or None where it has its end or its message."""
    if record is None:
        return "unknown"
    if record.state in _ENDS:
        return None
    if record.touched_at is None or now - record.touched_at > LOST_AFTER:
        return "lost"
    return None


def _missing(
    completed: Sequence[ListedJob], records: Mapping[str, JobRecord], now: datetime
) -> list[tuple[ListedJob, Why]]:
    """Return the completed jobs that are to be queued, each with the reason."""
    reasons = [(job, why_queue(records.get(job.job_id), now)) for job in completed]
    return [(job, why) for job, why in reasons if why is not None]


def _end_of(record: JobRecord | None) -> str | None:
    return record.state if record is not None and record.state in _ENDS else None


def _whole(page: JobsPage, number: int) -> JobsPage:
    """Return a page, unless it is empty though the list goes on: that would look like its end."""
    empty = not page.jobs and not page.unreadable_count
    if empty and page.total_pages is not None and number < page.total_pages:
        told = f"Page {number} of {page.total_pages} of the job list is empty."
        raise Failure("vendor_error", told)
    return page


def _is_last(page: JobsPage, read: Position, request: SweepRequest) -> bool:
    """Tell whether nothing that matters comes after a page."""
    if page.total_pages is not None and read.page >= page.total_pages:
        return True
    if not page.jobs:
        return not page.unreadable_count  # a page that merely holds nothing readable is not the end
    return all(request.window.is_after(job) for job in page.jobs)
