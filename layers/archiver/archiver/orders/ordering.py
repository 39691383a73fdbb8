"""The use case: compare what should exist with what does, and order what is missing, once.

One run looks and decides anew, whatever happened before it: a missed run, an outage, a pause and a
table that was restored mend themselves. In its order:

    lease      one run at a time (head.py), so that limits hold
    settle     what became of the jobs that are on their way, by their own items
    list       the vendor's, if anything is in doubt or to be ordered; jobs are adopted
    order      while there is room: a turn, the intent, the request, its job's id, each written down

Killed anywhere, it leaves a window that nobody asked for, or an intent that says that somebody may
have. An intent is believed to have a job until the list has told twice that it has none, and that
only after a time in which no job can be missing in it (`certain_after`). So a window is ordered
twice only if the list lags longer than that. It knows neither boto3 nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

from archiver.apartmentiq.job_order import Outcome, job_body
from archiver.apartmentiq.listing import JobsPage, ListedJob, Position, Walk, read_patiently
from archiver.errors import Deferral, Failure, Interruption
from archiver.intent import with_order_id
from archiver.log import Log
from archiver.orders import head as heads
from archiver.orders.adoption import TOLERANCE, Kind, Reading, Sightings, Told, adopt, intent_of
from archiver.orders.demand import cycle_of, missing, wanted
from archiver.orders.head import Head, HeadMove
from archiver.orders.ledger import READINGS, Entry, Ledger
from archiver.orders.plan import Chunk, Order, Plan
from archiver.orders.seen import SeenJob

__all__ = ["OrderExports"]

# What a request may take at worst: connecting, the answer, and writing down what came of it, each
# of which is waited for (https.py: 5 and 20 s). With less time left none is begun.
POST_SECONDS = 30.0
RESERVE_SECONDS = 45.0
# Beyond what the invocation has left: a run that Lambda kills at its time-out is over by then.
_LEASE_MARGIN_SECONDS = 60.0
# A day's count is of the day on which the vendor has the job.
_BEFORE_MIDNIGHT = timedelta(minutes=1)
# For so long a job may run that somebody ordered by hand, and still count as open: as long as a
# message waits for one (MaxWaitHours).
_OPEN_LOOK_BACK = timedelta(hours=72)
_CLOSED_FOR = timedelta(hours=1)  # one request an hour asks whether there is quota again
_MESSAGES_PER_REQUEST = 10  # SQS's limit for SendMessageBatch
_LATE_SECONDS = 86_400.0  # a job takes minutes to hours; what fails once is tried again within them
_MOST_WAITS = 5  # a vendor that says "later" oftener than this is left alone until the next run
_TOLD_BY_EVENT = frozenset({"stopped", "given_up", "duplicate"})  # as the event's schema says


class Vendor(Protocol):
    """ApartmentIQ (apartmentiq/client.py)."""

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Ask nothing before then."""

    def jobs_page(
        self, position: Position, read: Callable[[Mapping[str, Any]], ListedJob | None]
    ) -> JobsPage | None:
        """Return one page, None for one too long to be read; raises an Interruption."""

    def create_job(self, body: str) -> Outcome:
        """Order a job; raises nothing."""


class Items(Protocol):
    """The table (aws/order_items.py)."""

    def head(self) -> Head:
        """Return what all orders share, as it is now."""

    def move(self, move: HeadMove, doing: str) -> bool:
        """Make a move of the head, and tell whether it was made."""

    def plan(self, head: Head) -> Plan:
        """Return the plan in force."""

    def ledgers(self, chunk_ids: Sequence[str]) -> dict[str, Ledger]:
        """Return each chunk's windows."""

    def save(self, ledger: Ledger, token: str) -> Ledger:
        """Write a chunk's windows as they were read, or raise Deferral."""


class Record(Protocol):
    """What a job's item says, as far as ordering needs it."""

    @property
    def state(self) -> str:
        """Where it stands (states.py)."""

    @property
    def reason(self) -> str | None:
        """Why it ended so."""


class Jobs(Protocol):
    """The items of jobs (aws/sweep_items.py)."""

    def vendor_closed_until(self) -> float:
        """Return until when nobody in the fleet may ask the vendor, in epoch seconds."""

    def records(self, job_ids: Sequence[str]) -> Mapping[str, Record]:
        """Return what is known of these jobs; a job without an item is left out."""


class Queue(Protocol):
    """The archiver's queue (aws/queue.py)."""

    def send_batch(self, bodies: Sequence[str]) -> Sequence[bool]:
        """Send up to 10 messages; tells of each whether the queue took it."""


class Gauges(Protocol):
    """Metrics (telemetry.OrderGauges)."""

    def missing(self, windows: int, oldest_seconds: float) -> None:
        """Tell what has no export."""

    def held_up(self, *, is_held_up: bool) -> None:
        """Tell whether orders wait for a person, or a window for too long."""

    def quota(self, *, is_used_up: bool) -> None:
        """Tell whether the vendor takes orders."""


@dataclass
class _Run:
    """One run on its way."""

    number: int
    day: str  # of the UTC day on which it orders
    head: Head
    plan: Plan
    chunks: dict[str, tuple[Order, Chunk]]
    ledgers: dict[str, Ledger]
    open_job_ids: set[str] = field(default_factory=set)  # at the vendor, whoever ordered them
    posted: int = 0  # known to be out on this UTC day
    ordered: int = 0  # in this run
    waits: int = 0  # for the vendor's rate
    before: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def entries(self) -> Iterator[tuple[str, int, Entry]]:
        """Yield what is on its way: chunk, window and entry."""
        for chunk_id, ledger in self.ledgers.items():
            for window, entry in ledger.open.items():
                yield chunk_id, window, entry

    def open_count(self) -> int:
        """Return how many jobs are open at the vendor, or may be."""
        doubts = sum(entry.state == "posted" for _, _, entry in self.entries())
        ours = {
            entry.job_id
            for _, _, entry in self.entries()
            if entry.job_id is not None and not entry.has_ended
        }
        return len(self.open_job_ids | ours) + doubts


@dataclass
class OrderExports:
    """Orders; built once per runtime. `function_seconds`: how long a run may take at most."""

    vendor: Vendor
    items: Items
    jobs: Jobs
    queue: Queue
    callback_url: Callable[[], str | None]
    emit: Callable[[Told], None]
    gauges: Gauges
    log: Log
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    remaining_seconds: Callable[[], float]
    token: Callable[[], str]  # one that nobody else has
    function_seconds: float
    _plan: tuple[tuple[int, str], Plan] | None = field(default=None, init=False)

    def run(self) -> dict[str, Any]:
        """Order what is missing as far as time, limits and vendor allow, and return what was done.

        Whatever keeps it from its end is in the answer, not raised; an error of ours is raised.
        """
        head = self.items.head()
        if not head.plan:
            return self._tell({"outcome": "no_plan"})
        seconds = self.remaining_seconds() + _LEASE_MARGIN_SECONDS
        lease = heads.take(head, self.token(), self.now(), seconds)
        if not self.items.move(lease, "Taking the lease of orders"):
            return self._tell({"outcome": "another_run"})
        number = head.run + 1
        try:
            return self._run(number, replace(head, run=number))
        finally:
            with suppress(Failure):  # it runs out by itself
                self.items.move(heads.release(number), "Releasing the lease of orders")

    def _run(self, number: int, head: Head) -> dict[str, Any]:
        plan = self._read_plan(head)
        chunks = {chunk.id: (order, chunk) for order, chunk in plan.chunks()}
        now = self.now()
        ledgers = self.items.ledgers(list(chunks))
        run = _Run(number, heads.day_of(now), head, plan, chunks, ledgers)
        run.posted = head.posted_on(now)
        why: _Ended | Interruption | None = None
        try:
            self._settle(run)
            if self._needs_list(run):
                self._read_list(run)
                self._settle(run)
                self._order(run)
        except (_Ended, Interruption) as ended:
            why = ended
        return self._publish(run, why)

    def _read_plan(self, head: Head) -> Plan:
        version = (head.plan, head.plan_digest)
        if self._plan is None or self._plan[0] != version:
            self._plan = (version, self.items.plan(head))
        return self._plan[1]

    def _save(self, run: _Run, ledger: Ledger) -> None:
        order, _ = run.chunks[ledger.chunk_id]
        run.ledgers[ledger.chunk_id] = self.items.save(ledger.settled(order.restate), self.token())

    # --- what became of jobs ---

    def _settle(self, run: _Run) -> None:
        """Close what is archived, and see to what will not be, by the items of the jobs."""
        known = {
            entry.job_id: (chunk_id, window)
            for chunk_id, window, entry in run.entries()
            if entry.job_id is not None
        }
        if not known:
            return
        records = self.jobs.records(list(known))
        changed = dict(run.ledgers)
        lost = []
        for job_id, (chunk_id, window) in known.items():
            order, _ = run.chunks[chunk_id]
            record = records.get(job_id)
            ledger = changed[chunk_id]
            if record is None or not record.state:
                # A sweep or a callback tells of it, too; where there is neither, nobody does.
                if ledger.open[window].has_ended:
                    lost.append(job_id)
            elif record.state == "archived":
                changed[chunk_id] = ledger.close(window, order.restate, self.now())
            else:
                changed[chunk_id] = self._settle_other(run, ledger, window, record)
        for chunk_id, ledger in changed.items():
            if ledger is not run.ledgers[chunk_id]:
                self._save(run, ledger)
        self._queue(lost)

    def _settle_other(self, run: _Run, ledger: Ledger, window: int, record: Record) -> Ledger:
        entry = ledger.open[window]
        is_gone = record.state == "dead_lettered" and record.reason == "no_such_job"
        if record.state != "ended_at_vendor" and not is_gone:
            return ledger  # it goes on, or a person has its letter
        if entry.by_hand:
            return ledger.drop(window)
        order, _ = run.chunks[ledger.chunk_id]
        said = f"{record.reason or record.state}, as its item says."
        for_good = record.reason == "job_cancelled"
        left = ledger.fail(window, self.now(), said, run.plan.limits.tries, for_good=for_good)
        kind: Kind = "failed" if window in left.open else "given_up"
        label = entry.order_id.split(".")[1]
        run.told.append(Told(kind, order.name, label, entry.order_id, entry.job_id, said))
        return left

    def _queue(self, job_ids: Sequence[str]) -> None:
        """Send a message for each job that has an end at the vendor and no item here."""
        bodies = [f'{{"job_id":"{job_id}"}}' for job_id in job_ids]
        for start in range(0, len(bodies), _MESSAGES_PER_REQUEST):
            self.queue.send_batch(bodies[start : start + _MESSAGES_PER_REQUEST])

    # --- the list ---

    def _needs_list(self, run: _Run) -> bool:
        return any(
            entry.state == "posted" or (entry.state == "ordered" and not entry.has_ended)
            for _, _, entry in run.entries()
        ) or (self._may_order(run) and next(self._candidates(run), None) is not None)

    def _certain_after(self, run: _Run) -> timedelta:
        """Return for how long after an intent's writing its job may be missing in the list.

        The run that wrote it may have sent it at its very end; the request took its time; and then
        the list lags.
        """
        seconds = self.function_seconds + POST_SECONDS
        return timedelta(seconds=seconds) + run.plan.limits.again_after

    def _read_list(self, run: _Run) -> None:
        """Read the list as far back as it matters, adopt what is there, and write that down."""
        began = self.now()
        since = self._since(run, began)
        sightings = Sightings(run.plan, run.ledgers, began)

        def is_behind(page: JobsPage) -> bool:
            return bool(page.jobs) and all(_is_before(since, job) for job in page.jobs)

        unreadable_count = 0
        for page in Walk(self._read_page).pages(is_behind):
            unreadable_count += page.unreadable_count
            for job in page.jobs:
                if isinstance(job, SeenJob):
                    sightings.note(job)
        reading = Reading(
            began,
            self.now(),
            self._certain_after(run),
            run.plan.limits.tries,
            is_whole=not unreadable_count,
        )
        self._adopt(run, sightings, reading)
        if unreadable_count:
            told = f"{unreadable_count} jobs of the list could not be read: one may be ours."
            raise Failure("vendor_error", told)
        run.open_job_ids = sightings.open_job_ids
        run.posted = max(run.posted, sightings.ordered_today)
        if not self.items.move(heads.read(run.number, began), "Writing down what was read"):
            raise Deferral("in_progress_elsewhere", "Another run orders now.")

    def _since(self, run: _Run, began: datetime) -> datetime:
        """Return how far back the list matters: to what is open, unread, or never looked for."""
        lag = self._certain_after(run) + TOLERANCE
        moments = [began - _OPEN_LOOK_BACK]
        if run.head.list_read_to:
            moments.append(datetime.fromtimestamp(run.head.list_read_to, UTC) - lag)
        moments += [
            (entry.posted_at or entry.since) - TOLERANCE
            for _, _, entry in run.entries()
            if not entry.has_ended
        ]
        for chunk_id, (order, _) in run.chunks.items():
            if _never_looked_for(order, run.ledgers[chunk_id], began):
                moments.append(order.ready.at(order.every, order.first))
        return min(moments)

    def _adopt(self, run: _Run, sightings: Sightings, reading: Reading) -> None:
        for chunk_id, (order, chunk) in run.chunks.items():
            ledger = run.ledgers[chunk_id]
            seen = sightings.of(chunk_id)
            found, told = adopt(order, chunk, ledger, seen, reading)
            if reading.is_whole and _never_looked_for(order, ledger, reading.began):
                found = replace(found, looked_back=order.first)
            for window, jobs in seen.items():
                run.before[chunk_id, window] = tuple(job.job_id for job in jobs)
            if found != ledger:
                self._save(run, found)
            run.told += told

    def _read_page(self, position: Position) -> JobsPage | None:
        def ask() -> JobsPage | None:
            self.vendor.keep_away_until(self.jobs.vendor_closed_until())
            return self.vendor.jobs_page(position, SeenJob.from_vendor)

        return read_patiently(ask, position, check_time=self._check_time, pause=self.pause)

    def _check_time(self, wait_seconds: float, why: Interruption | None = None) -> None:
        if self.remaining_seconds() - wait_seconds < RESERVE_SECONDS:
            raise why or Deferral("out_of_time", "The run ran out of time; the next one goes on.")

    # --- ordering ---

    def _may_order(self, run: _Run) -> bool:
        """Tell whether a request may go out now, if there is room for its job."""
        now = self.now()
        return (
            not run.head.is_paused
            and run.head.closed_until <= now.timestamp()
            and run.posted < run.plan.limits.jobs_per_day
            and run.day == heads.day_of(now + _BEFORE_MIDNIGHT)
        )

    def _candidates(self, run: _Run) -> Iterator[_Candidate]:
        """Yield what is to be ordered next: what was begun, then what nobody is on to.

        Where the vendor took nothing of this account, what it refused then is asked for last: if
        that alone is refused, the others need not wait for it.
        """
        now = self.now()
        begun = []
        for chunk_id, window, entry in run.entries():
            is_due = (
                entry.state == "intended"
                or (entry.next_at is not None and entry.next_at <= now)
                or (entry.state == "posted" and entry.readings >= READINGS)
            )
            if is_due and not run.ledgers[chunk_id].stopped:
                begun.append(_Candidate(*run.chunks[chunk_id], window, entry))
        is_probing = bool(run.head.closed_reason)
        yield from (each for each in begun if not (is_probing and each.was_refused))
        for each in wanted(run.plan, run.ledgers, now):
            yield _Candidate(each.order, each.chunk, each.window, None)
        yield from (each for each in begun if is_probing and each.was_refused)

    def _order(self, run: _Run) -> None:
        """Order one after the other, as long as there is room."""
        callback_url = cache(self.callback_url)  # read once, and only if something is ordered
        while self._may_order(run):
            room = run.plan.limits.open_jobs - run.open_count()
            candidate = next(
                (each for each in self._candidates(run) if room + each.is_counted > 0), None
            )
            if candidate is None:
                return
            self._check_time(0.0)
            self._post(run, candidate, callback_url())

    def _post(self, run: _Run, candidate: _Candidate, callback_url: str | None) -> None:
        """Order one window: turn, intent, request, and what came of it."""
        order, chunk, window = candidate.order, candidate.chunk, candidate.window
        self._take_turn(run)
        ledger = self._intended(run, candidate)
        self._save(run, ledger)
        entry = ledger.open[window]
        told_url = None if callback_url is None else with_order_id(callback_url, entry.order_id)
        body = job_body(
            order.report_type, order.output_format, order.dates(window), chunk.properties, told_url
        )
        outcome = self.vendor.create_job(body)
        self._note(run, candidate, outcome)

    def _take_turn(self, run: _Run) -> None:
        head = replace(run.head, day=run.day, posted=run.posted)
        limit = run.plan.limits.jobs_per_day
        turn = heads.turn(head, run.number, self.token(), self.now(), limit)
        if not self.items.move(turn, "Taking a turn to order"):
            told = "Ordering was paused, the plan was changed, or another run orders."
            raise Deferral("in_progress_elsewhere", told)
        run.posted += 1
        run.head = head

    def _intended(self, run: _Run, candidate: _Candidate) -> Ledger:
        """Return the ledger in which the intent stands as posted, for from now on it may be."""
        order, chunk, window = candidate.order, candidate.chunk, candidate.window
        ledger, was, now = run.ledgers[chunk.id], candidate.entry, self.now()
        cycle = cycle_of(order, window, order.last(now))
        attempt = ledger.tries_before(window) + 1
        if was is not None:
            attempt = was.attempt + (was.state == "pausing")
            cycle = was.cycle if was.state == "posted" else cycle
        intent = intent_of(order, chunk, window, cycle, attempt)
        entry = Entry(
            intent.id,
            cycle,
            attempt,
            chunk.fingerprint,
            now,
            posted_at=now,
            posts=1,
            before=run.before.get((chunk.id, window), ()),
        )
        if was is None or was.state == "pausing":
            return ledger.drop(window).intend(window, entry)
        return ledger.post_again(window, entry)

    def _note(self, run: _Run, candidate: _Candidate, outcome: Outcome) -> None:
        """Write down what came of a request; raises what ends the run."""
        chunk_id, window = candidate.chunk.id, candidate.window
        ledger = run.ledgers[chunk_id]
        order_id = ledger.open[window].order_id
        self.log.info(
            "posted",
            order_id=order_id,
            verdict=outcome.verdict,
            job_id=outcome.job_id,
            reason=outcome.reason,
            detail=outcome.detail,
        )
        match outcome.verdict:
            case "ordered" if outcome.job_id is not None:
                run.ordered += 1
                self._save(run, ledger.bind(window, outcome.job_id))
                self._reopen(run)
            case "refused":
                self._stop(run, candidate, outcome)
                self._reopen(run)
            case "closed":
                self._close(run, candidate, outcome)
            case "not_sent":
                self._save(run, ledger.refused(window))
                self._wait(run, outcome)
            case _:
                # Nothing more goes out before the list has told: one doubt a run is enough.
                raise _Ended(outcome.reason or "vendor_error", outcome.detail)

    def _stop(self, run: _Run, candidate: _Candidate, outcome: Outcome) -> None:
        ledger, window = run.ledgers[candidate.chunk.id], candidate.window
        order_id, label = ledger.open[window].order_id, ledger.open[window].order_id.split(".")[1]
        self._save(run, ledger.stop(window, outcome.detail))
        run.told.append(
            Told("stopped", candidate.order.name, label, order_id, None, outcome.detail)
        )

    def _close(self, run: _Run, candidate: _Candidate, outcome: Outcome) -> None:
        """Order nothing for a while, unless the refusal is this order's own.

        It is where the vendor has refused the same before and taken others since.
        """
        ledger, window = run.ledgers[candidate.chunk.id], candidate.window
        is_own = outcome.reason == "forbidden" and candidate.was_refused
        if is_own and not run.head.closed_reason:
            self._stop(run, candidate, outcome)
            return
        until = self.now() + _CLOSED_FOR
        move = heads.close(run.number, until, outcome.reason, outcome.detail)
        self.items.move(move, "Writing down that the vendor takes no orders")
        run.head = replace(
            run.head,
            closed_until=until.timestamp(),
            closed_reason=outcome.reason,
            closed_detail=outcome.detail,
        )
        self._save(run, ledger.refused(window, outcome.detail))
        raise _Ended(outcome.reason, outcome.detail)

    def _reopen(self, run: _Run) -> None:
        if run.head.closed_reason:
            self.items.move(heads.reopen(run.number), "Writing down that the vendor takes orders")
            run.head = replace(run.head, closed_until=0.0, closed_reason="", closed_detail="")

    def _wait(self, run: _Run, outcome: Outcome) -> None:
        """Wait for as long as the vendor asks, or end the run."""
        run.waits += 1
        if outcome.wait_seconds is None or run.waits > _MOST_WAITS:
            raise _Ended(outcome.reason, outcome.detail)
        if self.remaining_seconds() - outcome.wait_seconds < RESERVE_SECONDS:
            raise _Ended(outcome.reason, outcome.detail)
        self.pause(outcome.wait_seconds)

    # --- telling ---

    def _publish(self, run: _Run, why: _Ended | Interruption | None) -> dict[str, Any]:
        """Tell what is missing, and what people may want to know."""
        now = self.now()
        lacks = missing(run.plan, run.ledgers, now)
        stopped = sum(bool(ledger.stopped) for ledger in run.ledgers.values())
        given_up = sum(len(ledger.failed) for ledger in run.ledgers.values())
        self.gauges.missing(lacks.windows, lacks.oldest_seconds)
        is_late = lacks.oldest_seconds > _LATE_SECONDS
        self.gauges.held_up(is_held_up=bool(stopped or given_up) or is_late)
        self.gauges.quota(is_used_up=bool(run.head.closed_reason))
        for told in run.told:
            fields = {"order_name": told.order_name, "window": told.window, "detail": told.detail}
            self.log.info(told.kind, order_id=told.order_id, job_id=told.job_id, **fields)
            if told.kind in _TOLD_BY_EVENT:
                with suppress(Failure):  # metric and alarm stay
                    self.emit(told)
        answer: dict[str, Any] = {
            "outcome": "finished" if why is None else "unfinished",
            "plan": run.head.plan,
            "ordered": run.ordered,
            "open": sum(1 for _ in run.entries()),
            "missing": lacks.windows,
            "oldest_missing_seconds": lacks.oldest_seconds,
            "stopped": stopped,
            "given_up": given_up,
            "paused": run.head.is_paused,
        }
        if why is not None:
            answer |= {"reason": why.reason, "detail": why.detail}
        return self._tell(answer)

    def _tell(self, answer: dict[str, Any]) -> dict[str, Any]:
        tell = self.log.warning if answer["outcome"] == "unfinished" else self.log.info
        tell("ordered", **answer)
        return answer


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A window that is to be ordered; `entry` where that was begun before."""

    order: Order
    chunk: Chunk
    window: int
    entry: Entry | None

    @property
    def was_refused(self) -> bool:
        """Tell whether the vendor took nothing of the account when this was asked for."""
        return self.entry is not None and self.entry.state == "intended" and bool(self.entry.said)

    @property
    def is_counted(self) -> bool:
        """Tell whether it counts as open already."""
        return self.entry is not None and self.entry.state == "posted"


class _Ended(Exception):  # noqa: N818 - read as what it says
    """No more is ordered in this run, for a reason that passes."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def _is_before(since: datetime, job: ListedJob) -> bool:
    """Tell whether a job was ordered, and changed for the last time, before a moment."""
    dates = [moment for moment in (job.created_at, job.updated_at) if moment is not None]
    return bool(dates) and max(dates) < since


def _never_looked_for(order: Order, ledger: Ledger, now: datetime) -> bool:
    """Tell whether jobs may be in the list that were there before an order had these windows."""
    has_windows = order.first <= order.last(now)
    return has_windows and (not ledger.looked_back or order.first < ledger.looked_back)
