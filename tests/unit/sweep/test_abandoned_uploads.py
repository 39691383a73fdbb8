"""Aborting what was abandoned is bounded in requests and time, and raises nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from archiver.sweep.abandoned_uploads import AbandonedUploads, UnfinishedUpload, UploadsPage
from archiver.sweep.reconcile import RESERVE_SECONDS, JobRecord
from tests.unit.sweep.fakes import NOW, World

LONG_AGO = NOW - timedelta(days=8)


@dataclass
class Bucket(World):
    """A bucket full of uploads, all of jobs that are archived; each request takes a second."""

    uploads: list[UnfinishedUpload] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    fails_after: int = 1_000_000

    def fill(self, count: int) -> None:
        """Leave so many uploads behind."""
        for _ in range(count):
            job_id = str(uuid.uuid4())
            self.uploads.append(UnfinishedUpload(f"{job_id}.csv", job_id, LONG_AGO))
            self.items[job_id] = JobRecord("archived", NOW, None, f"{job_id}.csv", None)

    def page(self, which: Mapping[str, str]) -> UploadsPage:
        """Return 1,000 uploads."""
        self.asked["uploads"] += 1
        self.pass_time(1)
        start = int(which.get("start", 0))
        following = {"start": str(start + 1000)} if start + 1000 < len(self.uploads) else None
        return UploadsPage(self.uploads[start : start + 1000], following)

    def records(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Return items."""
        self.asked["items"] += len(job_ids)
        return super().records(job_ids)

    def abort(self, upload: UnfinishedUpload) -> None:
        """Note it."""
        if len(self.aborted) >= self.fails_after:
            raise KeyError(upload.key)
        self.aborted.append(upload.key)
        self.pass_time(1)

    def tidy(self) -> None:
        """Abort what was abandoned, as the sweep does."""
        AbandonedUploads(
            uploads=self,
            items=self,
            gauges=self,
            log=self,
            now=lambda: self.now,
            remaining_seconds=lambda: self.left_seconds,
        ).abort()


def test_a_sweep_aborts_a_hundred_at_most() -> None:
    """And says how many, in a metric and in a line; the next one goes on."""
    bucket = Bucket()
    bucket.fill(150)
    bucket.tidy()
    assert bucket.metrics == {"AbandonedUploads": 100}
    assert [(name, fields["aborted"]) for name, fields in bucket.lines] == [
        ("abandoned_uploads", 100)
    ]
    assert bucket.asked["uploads"] == 1


def test_nothing_is_begun_when_the_time_runs_out() -> None:
    """The sweep's own end comes first."""
    bucket = Bucket(left_seconds=RESERVE_SECONDS + 10)
    bucket.fill(50)
    bucket.tidy()
    assert len(bucket.aborted) == 10
    assert bucket.left_seconds >= RESERVE_SECONDS - 1
    none = Bucket(left_seconds=RESERVE_SECONDS - 1)
    none.fill(1)
    none.tidy()
    assert (none.aborted, none.asked.total(), none.lines) == ([], 0, [])


def test_ten_pages_at_most_are_read_and_young_uploads_cost_no_item() -> None:
    """A fleet of thousands of copies under way costs ten requests an hour."""
    bucket = Bucket()
    bucket.fill(12_000)
    bucket.uploads = [
        UnfinishedUpload(upload.key, upload.upload_id, NOW - timedelta(days=6))
        for upload in bucket.uploads
    ]
    bucket.tidy()
    assert bucket.asked == {"uploads": 10}
    assert (bucket.aborted, bucket.metrics, bucket.lines) == ([], {}, [])


def test_even_a_bug_is_only_said() -> None:
    """By its kind: what is done is counted, and the sweep has its end."""
    bucket = Bucket(fails_after=2)
    bucket.fill(3)
    bucket.tidy()
    assert bucket.metrics == {"AbandonedUploads": 2}
    left, done = bucket.lines
    assert left == ("abandoned_uploads_left", {"detail": "KeyError"})
    assert done[1]["keys"] == bucket.aborted
