"""A vendor's list, a table and a queue in memory, for sweeps: they move, and they can refuse.

They stand behind the interfaces of archiver/sweep/reconcile.py, so that pages can shift at the very
moment between two reads, and so that every request is counted.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from archiver.apartmentiq.listing import JobsPage, ListedJob, Position
from archiver.errors import Deferral
from archiver.job import Job
from archiver.states import ENDS
from archiver.sweep.reconcile import JobRecord, Place, Reconciler
from archiver.sweep.request import SweepRequest, read_sweep_request

__all__ = ["NOW", "SCHEDULED", "World", "listed"]

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


def listed(
    *,
    status: str = "succeeded",
    age: timedelta = timedelta(hours=1),
    finished: timedelta | None = None,
    report_type: str = "units",
    number: int | None = None,
) -> ListedJob:
    """Return a job of the list: ordered `age` ago, last changed `finished` ago or then, too."""
    job_id = str(uuid.uuid4() if number is None else uuid.UUID(int=number))
    job = Job(job_id, report_type, status=status)
    return ListedJob(job, NOW - age, NOW - (finished or age))


@dataclass
class World:
    """Everything that a sweep touches; `jobs` is the vendor's list, newest first."""

    jobs: list[ListedJob] = field(default_factory=list)
    items: dict[str, JobRecord] = field(default_factory=dict)
    kept: Place | None = None
    closed_until: float = 0.0
    now: datetime = NOW
    left_seconds: float = 300.0
    page_size: int = 100  # at the most, whatever is asked for
    longest_page: float = float("inf")  # jobs that an answer can hold before it is cut
    page_seconds: float = 0.0
    tells_totals: bool = True
    asked: Counter[str] = field(default_factory=Counter)
    pages: list[int] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # bodies that the queue does not take
    pauses: list[float] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    before_page: Callable[[int], None] = lambda page: None  # noqa: ARG005 - a hook for what moves
    on_send: Callable[[], None] = lambda: None
    throttled: float = 0.0  # what this runtime itself was told

    def sweep(self, event: object = None, *, days: int = 30) -> dict[str, Any]:
        """Run one sweep, as the function does."""
        request = read_sweep_request(
            SCHEDULED if event is None else event, now=self.now, look_back=timedelta(days=days)
        )
        return self.run(request)

    def run(self, request: SweepRequest) -> dict[str, Any]:
        """Run one sweep that was read already."""
        return Reconciler(
            vendor=self,
            items=self,
            queue=self,
            gauges=self,
            log=self,
            now=lambda: self.now,
            pause=self.pause,
            remaining_seconds=lambda: self.left_seconds,
        ).reconcile(request)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and use up the invocation."""
        self.now += timedelta(seconds=seconds)
        self.left_seconds -= seconds

    # --- the vendor ---

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Take over what the fleet knows."""
        self.throttled = max(self.throttled, epoch_seconds)

    def jobs_page(self, position: Position) -> JobsPage | None:
        """Serve one page of the list as it is now; None where it would be too long."""
        left = self.throttled - self.now.timestamp()
        if left > 0:
            self.asked["held back"] += 1
            raise Deferral("rate_limited", "held", wait_seconds=left)
        self.asked["pages"] += 1
        self.pages.append(position.page)
        self.before_page(position.page)
        self.pass_time(self.page_seconds)
        size = min(self.page_size, position.per_page)
        start = (position.page - 1) * size
        jobs = tuple(self.jobs[start : start + size])
        if len(jobs) > self.longest_page:
            return None
        told = len(self.jobs) if self.tells_totals else None
        return JobsPage(
            jobs=jobs,
            unreadable_count=0,
            total_pages=max(1, -(-len(self.jobs) // size)) if self.tells_totals else None,
            total_count=told,
            jobs_per_page=size,
        )

    # --- the table ---

    def vendor_closed_until(self) -> float:
        """Return the fleet's throttle."""
        self.asked["throttle"] += 1
        return self.closed_until

    def records(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """BatchGetItem."""
        assert job_ids
        assert len(set(job_ids)) == len(job_ids), "DynamoDB refuses a key twice"
        self.asked["batch reads"] += 1
        return {job_id: self.items[job_id] for job_id in job_ids if job_id in self.items}

    def mark_queued(self, job_id: str, known: JobRecord | None, at: datetime) -> None:
        """UpdateItem with a condition."""
        self.asked["marks"] += 1
        if self.items.get(job_id) == known:
            taken_up = 0 if known is None else known.taken_up + (known.state in ENDS)
            self.items[job_id] = JobRecord("queued", at, at.isoformat(), taken_up=taken_up)

    def place(self) -> Place | None:
        """GetItem."""
        self.asked["place"] += 1
        return self.kept

    def keep_place(self, place: Place) -> None:
        """PutItem; a copy, as the table has one."""
        self.kept = replace(place, tally=type(place.tally).from_fields(place.tally.to_fields()))

    def forget_place(self, place: Place) -> None:
        """DeleteItem with a condition."""
        if self.kept is not None and self.kept.started_at == place.started_at:
            self.kept = None

    def know(
        self,
        jobs: Sequence[ListedJob],
        state: str,
        ago: timedelta = timedelta(),
        reason: str | None = None,
    ) -> None:
        """Give jobs an item that was touched some time ago."""
        at = self.now - ago
        record = JobRecord(state, at, at.isoformat(), reason=reason)
        self.items |= dict.fromkeys((job.job_id for job in jobs), record)

    # --- the queue ---

    def send_batch(self, bodies: Sequence[str]) -> Sequence[bool]:
        """SendMessageBatch."""
        assert 0 < len(bodies) <= 10
        self.asked["sends"] += 1
        self.on_send()
        taken = [not any(job_id in body for job_id in self.refused) for body in bodies]
        self.queued += [body for body, was in zip(bodies, taken, strict=True) if was]
        return taken

    def queued_ids(self) -> list[str]:
        """Return the jobs that were queued, in order."""
        return [body.removeprefix('{"job_id":"').removesuffix('"}') for body in self.queued]

    # --- what people see ---

    def count(self, name: str, value: int) -> None:
        """Note a metric."""
        self.metrics[name] = value

    def seconds(self, name: str, value: float) -> None:
        """Note a metric."""
        self.metrics[name] = value

    def count_by(self, name: str, dimension: str, numbers: Mapping[str, int]) -> None:
        """Note a metric with a dimension."""
        self.metrics[name] = {dimension: dict(numbers)}

    def info(self, msg: object, **fields: object) -> None:
        """Note a log line."""
        self.lines.append((str(msg), fields))

    def warning(self, msg: object, **fields: object) -> None:
        """Note a log line."""
        self.lines.append((str(msg), fields))

    error = exception = warning
