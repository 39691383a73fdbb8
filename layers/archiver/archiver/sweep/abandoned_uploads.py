"""The use case beside the sweep: abort abandoned multipart uploads.

Parts of an upload cost like objects until it is aborted. A job that ends unarchived has its upload
aborted; what a killed runtime leaves behind is found here, a week later. The bucket's lifecycle
rule cannot tell it from a copy of many terabytes, which lives longer than a week, and so is the
last resort (30 days).

Only what the table knows to be ours is touched: the upload's key must be the one in a job's item,
because others may write to the same bucket. Nothing here may keep a sweep from finishing. It knows
neither boto3 nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from archiver.errors import Failure
from archiver.job import job_ids_in
from archiver.log import Log
from archiver.states import GOES_ON
from archiver.sweep.reconcile import RESERVE_SECONDS, Gauges, JobRecord

__all__ = ["ABANDONED_AFTER", "AbandonedUploads", "UnfinishedUpload", "UploadsPage"]

# As long as a message lives in the queue. A job that is worked on touches its item at each claim,
# and so at least every 15 minutes while it copies (Lambda's limit for a run), whatever its size.
ABANDONED_AFTER = timedelta(days=7)
_MOST_PAGES = 10  # of 1,000 uploads; what is beyond waits for the next sweep, or for the rule
_MOST_ABORTED = 100  # in one sweep, likewise: at 50 ms each, some 5 s


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """A page of them. `next_page` is what asks for the next one; None: this was the last."""

    uploads: Sequence[UnfinishedUpload]
    next_page: Mapping[str, str] | None


class Uploads(Protocol):
    """The bucket (aws/unfinished_uploads.py)."""

    def page(self, which: Mapping[str, str]) -> UploadsPage:
        """Return a page of the uploads below our prefix; an empty mapping asks for the first."""

    def abort(self, upload: UnfinishedUpload) -> None:
        """Give one up; one that is gone already is fine."""


class Items(Protocol):
    """The table (aws/sweep_items.py)."""

    def records(self, job_ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Return what is known of these jobs; a job without an item is left out."""


@dataclass(frozen=True, slots=True)
class AbandonedUploads:
    """Aborts them; built once per runtime."""

    uploads: Uploads
    items: Items
    gauges: Gauges
    log: Log
    now: Callable[[], datetime]
    remaining_seconds: Callable[[], float]

    def abort(self) -> None:
        """Abort what was abandoned, as far as time allows. Raises nothing: the sweep is done."""
        aborted: list[str] = []
        try:
            self._abort(aborted)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            why = error.detail if isinstance(error, Failure) else type(error).__name__
            self.log.warning("abandoned_uploads_left", detail=why)
        if aborted:
            self.gauges.count("AbandonedUploads", len(aborted))
            self.log.info("abandoned_uploads", aborted=len(aborted), keys=aborted)

    def _abort(self, aborted: list[str]) -> None:
        for upload in self._abandoned():
            if len(aborted) >= _MOST_ABORTED or self.remaining_seconds() < RESERVE_SECONDS:
                return
            self.uploads.abort(upload)
            aborted.append(upload.key)

    def _abandoned(self) -> Iterator[UnfinishedUpload]:
        which: Mapping[str, str] | None = {}
        for _ in range(_MOST_PAGES):
            if which is None or self.remaining_seconds() < RESERVE_SECONDS:
                return
            page = self.uploads.page(which)
            yield from self._of_page(page.uploads)
            which = page.next_page

    def _of_page(self, uploads: Sequence[UnfinishedUpload]) -> Iterator[UnfinishedUpload]:
        now = self.now()
        old = [upload for upload in uploads if now - upload.begun_at > ABANDONED_AFTER]
        job_ids = dict.fromkeys(job_id for upload in old for job_id in job_ids_in(upload.key))
        records = self.items.records(list(job_ids)) if job_ids else {}
        by_key = {record.key: record for record in records.values()}
        for upload in old:
            record = by_key.get(upload.key)
            if record is not None and not _goes_on(upload, record, now):
                yield upload


def _goes_on(upload: UnfinishedUpload, record: JobRecord, now: datetime) -> bool:
    """Tell whether somebody still copies into an upload, or is going to."""
    lately = record.touched_at is None or now - record.touched_at <= ABANDONED_AFTER
    return record.upload_id == upload.upload_id and record.state in GOES_ON and lately
