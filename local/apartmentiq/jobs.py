"""The vendor's job book: what was ordered, how far it is, and what came out.

Field names are the documented ones and no others: no size, no checksum, no file name. Nothing here
knows HTTP or what a link is.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.apartmentiq.exports import Export

__all__ = [
    "OUTPUT_FORMATS",
    "REPORT_TYPES",
    "AdjustableClock",
    "Job",
    "JobBook",
    "Order",
    "Status",
    "StoredObject",
]

Status = Literal["submitted", "succeeded", "failed", "cancelled"]
REPORT_TYPES = ("floorplans", "property", "units")
OUTPUT_FORMATS = ("csv", "jsonl", "parquet")


class AdjustableClock:
    """The stand-in's time: the machine's, shifted as far as a test wishes."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, or back when negative."""
        self._ahead += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer asks for."""

    report_type: str = "units"
    output_format: str = "csv"
    property_ids: tuple[int, ...] = (99001416, 99001470)
    start_date: str = "2025-01-01"
    end_date: str = "2025-01-31"
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An export as it lies in the vendor's bucket."""

    bucket: str
    key: str
    content: Export
    etag: str
    last_modified: datetime
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One bulk export job at one moment."""

    job_id: str
    order: Order
    status: Status
    created_at: datetime
    updated_at: datetime
    error_message: str | None = None
    stored: StoredObject | None = None
    completes_at: datetime | None = None
    fails_with: str | None = None  # its error_message, if it is to fail when it would complete
    recorded_at: datetime | None = None  # until then nobody sees a job whose order runs late
    refusal: Literal["json", "empty"] | None = None

    def as_of(self, moment: datetime) -> Job | None:
        """Return the job as a copy of the book showed it at a moment; None before it was there."""
        if self.created_at > moment:
            return None
        if self.updated_at <= moment:
            return self
        return dataclasses.replace(
            self, status="submitted", error_message=None, updated_at=self.created_at
        )

    def document(self) -> dict[str, object]:
        """Return the job object as the API shows it, its fields in the documented order."""
        return {
            "report_type": self.order.report_type,
            "output_format": self.order.output_format,
            "property_ids": list(self.order.property_ids),
            "start_date": self.order.start_date,
            "end_date": self.order.end_date,
            "job_id": self.job_id,
            "status": self.status,
            "callback_url": self.order.callback_url,
            "error_message": self.error_message,
            "created_at": _timestamp(self.created_at),
            "updated_at": _timestamp(self.updated_at),
        }


class JobBook:
    """All jobs, safe to use from many threads; a job that is due completes when looked at."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._order: dict[str, int] = {}
        self._awaiting: list[str] = []

    def add(
        self,
        order: Order,
        *,
        job_id: str | None = None,
        status: Status = "submitted",
        recorded_at: datetime | None = None,
    ) -> Job:
        """Enter a new job; its id is made up unless given. Raises ValueError for a known id.

        With `recorded_at` it is in the book from then on, created at that moment.
        """
        now = recorded_at or self.now()
        job = Job(
            job_id or str(uuid.uuid4()),
            order,
            status,
            created_at=now,
            updated_at=now,
            recorded_at=recorded_at,
        )
        with self._lock:
            if job.job_id in self._jobs:
                raise ValueError(f"job {job.job_id} exists already")
            self._order[job.job_id] = len(self._order)
            self._jobs[job.job_id] = job
            if order.callback_url:
                self._awaiting.append(job.job_id)
        return job

    def take_ended(self) -> list[Job]:
        """Return the jobs that were ordered with a callback and ended since the last time."""
        with self._lock:
            jobs = [self._current(job_id) for job_id in self._awaiting]
            ended = [job for job in jobs if _has_ended(job) and self._is_recorded(job)]
            for job in ended:
                self._awaiting.remove(job.job_id)
        return ended

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """Replace a job by what `change` makes of it. Raises KeyError for an unknown id."""
        with self._lock:
            job = change(self._current(job_id))
            changed = dataclasses.replace(job, updated_at=max(self.now(), job.created_at))
            self._jobs[job_id] = changed
            return changed

    def get(self, job_id: str) -> Job | None:
        """Return the job as it is now, or None."""
        with self._lock:
            job = self._current(job_id) if job_id in self._jobs else None
            return job if job and self._is_recorded(job) else None

    def remove(self, job_id: str) -> None:
        """Forget a job, as a vendor does that keeps them for a while."""
        with self._lock:
            del self._jobs[job_id]

    def newest_first(self) -> list[Job]:
        """Return all jobs by their creation, the latest first."""
        with self._lock:
            jobs = [job for job_id in self._jobs if self._is_recorded(job := self._current(job_id))]
        return sorted(jobs, key=lambda job: (job.created_at, self._order[job.job_id]), reverse=True)

    def at_key(self, bucket: str, key: str) -> Job | None:
        """Return the job whose export lies at a key of the vendor's bucket, or None."""
        with self._lock:
            for job in self._jobs.values():
                if job.stored and (job.stored.bucket, job.stored.key) == (bucket, key):
                    return job
        return None

    def _is_recorded(self, job: Job) -> bool:
        return job.recorded_at is None or job.recorded_at <= self.now()

    def _current(self, job_id: str) -> Job:
        job = self._jobs[job_id]
        if job.status == "submitted" and job.completes_at and job.completes_at <= self.now():
            job = dataclasses.replace(
                job,
                status="failed" if job.fails_with else "succeeded",
                error_message=job.fails_with,
                completes_at=None,
                updated_at=job.completes_at,
            )
            self._jobs[job_id] = job
        return job


def _has_ended(job: Job) -> bool:
    """Say whether a job is over; one entered as succeeded gets its export a moment later."""
    return job.status in ("failed", "cancelled") or (job.status == "succeeded" and bool(job.stored))


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
