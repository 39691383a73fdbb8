"""The use case: archive one job's export. Read this first.

It knows neither boto3 nor HTTP nor SQS; what becomes of the message is delivery.py's business.
Everything but an archived export leaves here as an exception of errors.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from archiver.apartmentiq.link import Link
from archiver.job import Job
from archiver.object_key import object_key
from archiver.receipt import Receipt, StoredObject, bare_etag, iso_utc
from archiver.telemetry import Steps
from archiver.transfer.contract import Found
from archiver.transfer.copier import Destination

__all__ = ["Archived", "ExportArchiver"]


class Vendor(Protocol):
    """ApartmentIQ, as far as the use case needs it (apartmentiq/client.py)."""

    def describe(self, job_id: str) -> Job:
        """Return what the vendor tells of a job that may have an export."""

    def link(self, job: Job) -> Link:
        """Return a fresh link to its export."""


class Claimed(Protocol):
    """What an attempt begins with."""

    @property
    def key(self) -> str:
        """The object key, fixed at the first claim."""

    @property
    def attempt(self) -> int:
        """The attempt's number, from 1."""


class Jobs(Protocol):
    """The items of jobs (aws/job_table.py)."""

    def receipt(self, job_id: str) -> Receipt | None:
        """Return the receipt of an archived job."""

    def claim(self, job_id: str, key: str, first_seen_at: str) -> Claimed:
        """Write the key down before the first byte is copied."""

    def remember(self, receipt: Receipt) -> None:
        """Store the receipt."""


class Bucket(Protocol):
    """The archive bucket, to look at what is there."""

    @property
    def bucket(self) -> str:
        """Its name."""

    def find(self, key: str) -> Found | None:
        """Return what is at a key."""


class Copies(Protocol):
    """Puts an export at its key (transfer/copier.py)."""

    def copy(
        self, link: Link, ask_for_link: Callable[[], Link], destination: Destination
    ) -> StoredObject:
        """Copy, verify, commit."""


class Events(Protocol):
    """Tells the company (aws/events.py)."""

    def emit(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Emit one event; it is accepted when this returns."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A job whose export is archived; `now` tells whether this call did it."""

    receipt: Receipt
    now: bool


@dataclass(frozen=True, slots=True)
class ExportArchiver:
    """Archives exports, one job at a time."""

    vendor: Vendor
    jobs: Jobs
    store: Bucket
    copier: Copies
    events: Events
    steps: Steps
    key_prefix: str
    key_template: str
    now: Callable[[], datetime]

    def archive(self, job_id: str, first_seen_at: datetime, *, recheck: bool = False) -> Archived:
        """Archive a job's export, unless it is archived already.

        The receipt is stored after the event was accepted, so that a crash in between emits again
        rather than never; consumers deduplicate (vocabulary, "Event").
        """
        known = self.jobs.receipt(job_id)
        if known is not None and not (recheck and self._is_gone(known)):
            return Archived(known, now=False)
        started_at = self.now()
        job = self.vendor.describe(job_id)
        key = object_key(job, prefix=self.key_prefix, template=self.key_template)
        claim = self.jobs.claim(job_id, key, iso_utc(first_seen_at))
        link = self.vendor.link(job)
        with self.steps.step("copy"):
            stored = self.copier.copy(
                link,
                lambda: self.vendor.link(job),
                Destination(job, claim.key, claim.attempt, archived_at=started_at),
            )
        receipt = self._receipt(job, stored, started_at)
        with self.steps.step("emit"):
            self.events.emit("Export Archived", receipt.event_detail())
        receipt = replace(receipt, emitted_at=iso_utc(self.now()))
        self.jobs.remember(receipt)
        return Archived(receipt, now=True)

    def _is_gone(self, receipt: Receipt) -> bool:
        """Compare a receipt with the bucket; another object at the key is found out by the copy."""
        found = self.store.find(receipt.key)
        return found is None or (found.size_bytes, bare_etag(found.etag)) != (
            receipt.size_bytes,
            receipt.etag,
        )

    def _receipt(self, job: Job, stored: StoredObject, started_at: datetime) -> Receipt:
        archived_at = self.now()
        return Receipt.of(
            job,
            self.store.bucket,
            stored,
            archived_at=archived_at,
            seconds=(archived_at - started_at).total_seconds(),
        )
