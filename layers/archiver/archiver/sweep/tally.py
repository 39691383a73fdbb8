"""A sweep's counts, to be reported, published as metrics, and continued by the next run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from archiver.apartmentiq.listing import ListedJob
from archiver.moment import read_moment
from archiver.receipt import iso_utc

__all__ = ["Tally"]

_STATUSES = ("submitted", "succeeded", "failed", "cancelled")  # as documented (job.py)
_OTHER = "other"
# An answer of Lambda's ends at 6 MB and a log line at 256 KB: people read the first of a list, and
# the count beside it.
_MOST_LISTED = 100
_MOST_FAILED_LISTED = 20


@dataclass
class Tally:
    """Counts of the jobs in the window; each job once per invocation."""

    pages: int = 0
    unreadable: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_end: Counter[str] = field(default_factory=Counter)
    by_why: Counter[str] = field(default_factory=Counter)
    queued_count: int = 0
    refused_count: int = 0  # by the queue; the next sweep finds them again
    oldest_completed_at: datetime | None = None
    failed: list[str] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)

    def add(self, job: ListedJob, end: str | None, known_since: datetime | None) -> None:
        """Count a job; `end` says which end its item tells of, None that it has none yet.

        A job that tells no date is as old as what we know of it (`known_since`), at the least.
        """
        # A name that is not documented is not kept: it would be somebody else's text in our table.
        status = job.job.status
        self.by_status[status if status in _STATUSES else _OTHER] += 1
        if status == "failed" and len(self.failed) < _MOST_FAILED_LISTED:
            self.failed.append(job.job_id)
        if not job.job.may_have_export:
            return
        if end is not None:
            self.by_end[end] += 1
            return
        completed_at = job.completed_at or known_since
        if completed_at is not None:
            oldest = self.oldest_completed_at or completed_at
            self.oldest_completed_at = min(oldest, completed_at)

    def add_page(self, unreadable_count: int) -> None:
        """Count a page that was read, and its entries without a job id."""
        self.pages += 1
        self.unreadable += unreadable_count

    def add_missing(self, missing: Sequence[tuple[ListedJob, str]]) -> None:
        """Count what is queued, or would be; the first of it is listed."""
        for job, why in missing:
            self.by_why[why] += 1
            if len(self.missing) < _MOST_LISTED:
                self.missing.append(
                    {
                        "job_id": job.job_id,
                        "report_type": job.job.report_type,
                        "completed_at": job.completed_at and iso_utc(job.completed_at),
                        "why": why,
                    }
                )

    @property
    def unarchived(self) -> int:
        """How many jobs with an export have no end here: not archived, and not a person's either.

        A status that nobody knows may mean one.
        """
        return self.by_status["succeeded"] + self.by_status[_OTHER] - self.by_end.total()

    def oldest_seconds(self, now: datetime) -> float:
        """Return for how long the oldest of them has been complete; 0 when there is none."""
        if self.oldest_completed_at is None:
            return 0.0
        return max(0.0, round((now - self.oldest_completed_at).total_seconds(), 3))

    def by_known_status(self) -> dict[str, int]:
        """Return the counts by documented status, zeros too; all others are "other"."""
        return {status: self.by_status[status] for status in (*_STATUSES, _OTHER)}

    def summary(self, now: datetime, *, dry_run: bool) -> dict[str, Any]:
        """Return all of it for the last log line and the answer."""
        counts: dict[str, Any] = {
            "pages": self.pages,
            "jobs": self.by_known_status(),
            "unreadable_entries": self.unreadable,
            "archived": self.by_end["archived"],
            "dead_lettered": self.by_end["dead_lettered"],
            "ended_at_vendor": self.by_end["ended_at_vendor"],
            "unarchived": self.unarchived,
            "oldest_unarchived_seconds": self.oldest_seconds(now),
            "never_seen": self.by_why["unknown"],
            "lost": self.by_why["lost"],
            "taken_up": self.by_why["disproved"],
            "queued": self.queued_count,
            "refused_by_the_queue": self.refused_count,
            "failed_at_vendor": self.failed,
        }
        if dry_run:
            counts["would_queue"] = self.missing
        return counts

    def to_fields(self) -> dict[str, Any]:
        """Return it as plain values, for the place of an unfinished sweep; without lists."""
        oldest = self.oldest_completed_at
        return {
            "pages": self.pages,
            "unreadable": self.unreadable,
            "by_status": dict(self.by_status),
            "by_end": dict(self.by_end),
            "by_why": dict(self.by_why),
            "queued_count": self.queued_count,
            "refused_count": self.refused_count,
            "oldest_completed_at": None if oldest is None else iso_utc(oldest),
            "failed": list(self.failed),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Tally:
        """Read it back."""
        return cls(
            pages=fields["pages"],
            unreadable=fields["unreadable"],
            by_status=Counter(fields["by_status"]),
            by_end=Counter(fields["by_end"]),
            by_why=Counter(fields["by_why"]),
            queued_count=fields["queued_count"],
            refused_count=fields["refused_count"],
            oldest_completed_at=read_moment(fields["oldest_completed_at"]),
            failed=list(fields["failed"]),
        )
