"""The vendor's job list: what a page says, which jobs a sweep means, and where it reads on. Pure.

The list is newest first, in pages, and it moves while it is read. A new job pushes others to later
pages: they are seen twice, which costs nothing. A job that vanishes pulls others forward, and one
of them may cross to a page that was read already: it would be seen by nobody. `Position.after` says
when that can have happened, and reads back (docs/decisions, "The sweep reads back").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from archiver.job import Job, parse_job_id

__all__ = ["JobsPage", "ListedJob", "Position", "Window", "read_moment"]


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job of the list; a date that cannot be read is None and excludes nothing."""

    job_id: str
    status: str
    report_type: str
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def from_vendor(cls, fields: Mapping[str, Any]) -> ListedJob | None:
        """Read a job object of the list; None for one without a job id that could be asked for."""
        job_id = parse_job_id(fields.get("job_id"))
        if job_id is None:
            return None
        job = Job.from_vendor(job_id, fields)
        return cls(
            job_id=job_id,
            status=job.status,
            report_type=job.report_type,
            created_at=read_moment(fields.get("created_at")),
            updated_at=read_moment(fields.get("updated_at")),
        )

    @property
    def completed_at(self) -> datetime | None:
        """When it completed, as near as the API tells: it documents no such date but these two."""
        return self.updated_at or self.created_at


@dataclass(frozen=True, slots=True)
class JobsPage:
    """One page as the vendor told it; what its `pagination` leaves out is None."""

    jobs: tuple[ListedJob, ...]
    unreadable_count: int
    total_pages: int | None
    total_count: int | None
    jobs_per_page: int


@dataclass(frozen=True, slots=True)
class Window:
    """The jobs that a sweep means: those whose life, from creation to last change, touches it.

    `since` belongs to it, `until` does not; None is open.
    """

    since: datetime
    until: datetime | None = None

    def holds(self, job: ListedJob) -> bool:
        """Tell whether a job is meant."""
        begun = job.created_at or job.updated_at
        too_young = begun is not None and self.until is not None and begun >= self.until
        return not self.is_after(job) and not too_young

    def is_after(self, job: ListedJob) -> bool:
        """Tell whether the window begins after a job's last change.

        By the later of its dates, whichever of them the list is sorted by: a page on which this is
        true of all ends the list's part that matters.
        """
        dates = [moment for moment in (job.created_at, job.updated_at) if moment is not None]
        return bool(dates) and max(dates) < self.since


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sweep reads next, and how many jobs there were when it read last."""

    page: int = 1
    total_count: int | None = None

    def after(self, read: JobsPage) -> Position:
        """Return where to read on after this page.

        What stands before the boundary grows by new jobs (they come first) and shrinks by those
        that vanish there; the total changes by both and by those that vanish elsewhere. So where
        the total has not fallen nothing has come forward; where it has fallen by n, at most n have,
        and they are at the end of the pages before.
        """
        fallen = 0
        if self.total_count is not None and read.total_count is not None:
            fallen = self.total_count - read.total_count
        total_count = self.total_count if read.total_count is None else read.total_count
        if fallen > 0 and self.page > 1:
            pages_back = -(-fallen // read.jobs_per_page)
            return Position(max(1, self.page - pages_back), total_count)
        return Position(self.page + 1, total_count)


def read_moment(value: object) -> datetime | None:
    """Return an ISO 8601 moment (UTC where it names no zone), or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
