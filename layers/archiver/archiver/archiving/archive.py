"""The use case: archive one job's export. Read this first.

It knows neither boto3 nor HTTP nor SQS; what becomes of the message is delivery.py's business.
Everything but an archived export leaves here as an exception of errors.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from archiver import states
from archiver.apartmentiq.link import Link
from archiver.archiving.object_key import is_of_unknowns, object_key
from archiver.claim import Checkpoint, Claim, KnownJob
from archiver.errors import Deferral, Failure, Interruption, Rejection
from archiver.intent import Intent
from archiver.job import Job
from archiver.outage import Outages
from archiver.receipt import Ends, Receipt, StoredObject, bare_etag, iso_utc
from archiver.telemetry import Steps
from archiver.transfer.contract import Found, Upload
from archiver.transfer.copier import Destination

__all__ = ["Archived", "ExportArchiver", "Request"]

# So long a 404 may be a callback that was quicker than the vendor's replica, and is no verdict.
_REPLICAS_LAG = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Request:
    """What one message asks for. `recheck` compares receipt and bucket first.

    `told` is the order that a callback named; the vendor's own answer is to confirm it.
    `asked_by` names the message, through all its delayed copies.
    `hold` renews the lease and hides the message for as long as the block lasts: once the run is
    killed both expire, and another run resumes within a minute.
    """

    job_id: str
    asked_by: str
    first_seen_at: datetime
    recheck: bool
    told: Intent | None
    hold: Callable[[], AbstractContextManager[None]]


class Vendor(Protocol):
    """ApartmentIQ, as far as the use case needs it (apartmentiq/client.py)."""

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Send the vendor nothing before then (seconds since the epoch)."""

    def describe(self, job_id: str, told: Intent | None) -> Job:
        """Return what the vendor tells of a job that may have an export."""

    def link(self, job: Job) -> Link:
        """Return a fresh link to its export."""


class Jobs(Protocol):
    """The items of jobs (aws/job_table.py)."""

    def read(self, job_id: str) -> KnownJob:
        """Return a job's item, and the fleet's: the vendor's throttle, and what fails."""

    def keep(self, claim: Claim, checkpoint: Checkpoint | None) -> None:
        """Store a checkpoint, or remove it; raises Deferral if the claim was taken over."""

    def miss(self, receipt: Receipt, at: datetime) -> None:
        """Store that a receipt's object is gone; raises Deferral where there is another receipt."""

    def move(self, move: states.Move) -> bool:
        """Make a move, and tell whether it was made."""


class OneAtATime(Protocol):
    """Lets one attempt at a time work on a job, and stores the receipt (aws/once.py)."""

    def run(self, claim: Claim, attempt: Callable[[], Receipt]) -> Receipt:
        """Claim the job with its key, run the attempt, store its receipt.

        Raises Deferral("in_progress_elsewhere") while another attempt has the lease.
        """


class Bucket(Protocol):
    """The archive bucket, as far as the use case reads it."""

    @property
    def bucket(self) -> str:
        """Its name."""

    def find(self, key: str) -> Found | None:
        """Return the object at a key, or None."""

    def uploads_at(self, key: str) -> list[Upload]:
        """Return the unfinished uploads at a key."""

    def abort_upload(self, upload: Upload) -> None:
        """Abort an upload; its parts are deleted."""


class Copies(Protocol):
    """Puts an export at its key (transfer/copier.py)."""

    def copy(
        self, link: Link, ask_for_link: Callable[[], Link], destination: Destination
    ) -> StoredObject:
        """Copy, verify, commit; raises what Copier.copy raises."""


class Inspects(Protocol):
    """Looks at what was archived (inspection.py)."""

    def warning(self, receipt: Receipt, ends: Ends | None) -> str | None:
        """Return what is odd about it; raises nothing that fails a job."""


class Catalogues(Protocol):
    """The catalogue in the bucket (cataloguing.py)."""

    def add(self, receipt: Receipt) -> Receipt:
        """Write a receipt's entry; return the receipt as the catalogue has it."""


class Retains(Protocol):
    """Has what is superseded expire (retention.py)."""

    def note(self, receipt: Receipt) -> None:
        """Write down what a revision supersedes; raises Failure("aws_error")."""

    def retire_due(self) -> None:
        """Tag what has been superseded for long enough; raises nothing that fails a job."""


class Events(Protocol):
    """Emits events on the bus (aws/events.py)."""

    def emit(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Emit one event; EventBridge has accepted it when this returns."""


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
    once: OneAtATime
    store: Bucket
    copier: Copies
    inspection: Inspects
    catalogue: Catalogues
    retention: Retains | None  # None: everything is kept for ever
    events: Events
    outages: Outages
    steps: Steps
    key_prefix: str
    key_template: str
    now: Callable[[], datetime]
    seconds_left: Callable[[], float]  # for archiving; what telling the outcome takes is beyond it

    def archive(self, request: Request) -> Archived:
        """Archive a job's export, unless it is archived already.

        Raises an Interruption of errors.py for every other outcome. What fails because the
        invocation's time is up is a Deferral("out_of_time"): the next run resumes it.
        """
        with request.hold():  # from the start: a run may be killed before it has read anything
            try:
                archived = self._archive(request)
            except Rejection as rejection:
                self.outages.left()
                if rejection.reason != "no_such_job" or not self._is_young(request):
                    raise
                raise Deferral("no_such_job", rejection.detail) from rejection
            except Failure as failure:
                if self.seconds_left() > 0:
                    raise
                raise Deferral(
                    "out_of_time", f"The invocation's time was up. The last thing: {failure.detail}"
                ) from failure
            except Interruption:
                self.outages.left()
                raise
            if archived.now:
                self.outages.archived()
                if self.retention is not None:
                    self.retention.retire_due()
            return archived

    def _is_young(self, request: Request) -> bool:
        return self.now() - request.first_seen_at < _REPLICAS_LAG

    def give_up(self, job_id: str, asked_by: str) -> None:
        """Abort what attempts at a job have left unfinished: this message will not resume it.

        Where a run holds the job, or another message has it, its upload is needed. What is there
        before it is forgotten is nobody's afterwards.
        """
        known = self.jobs.read(job_id)
        left = [] if known.key is None else self.store.uploads_at(known.key)
        if left and self.jobs.move(states.forget(job_id, asked_by, known, self.now())):
            for upload in left:
                self.store.abort_upload(upload)

    def _archive(self, request: Request) -> Archived:
        known = self.jobs.read(request.job_id)
        if known.receipt is not None:
            if not request.recheck:
                return Archived(known.receipt, now=False)
            if not self._is_gone(known.receipt):
                self._note(known.receipt)  # it may be of before KeepSupersededDays was set
                return Archived(known.receipt, now=False)
            # Before anything else can fail: from now on nobody is told that it is archived.
            self.jobs.miss(known.receipt, self.now())
        self.outages.enter(known.trouble, known.failing_since_of(request.asked_by))
        self.vendor.keep_away_until(known.vendor_closed_until)
        return self._archive_now(request, known)

    def _archive_now(self, request: Request, known: KnownJob) -> Archived:
        job = self.vendor.describe(request.job_id, request.told)
        key = object_key(job, prefix=self.key_prefix, template=self.key_template)
        instead_of = known.key if self._takes_anew(request, known.key, key) else None
        link = None
        if known.key is None or instead_of is not None:
            # The claim fixes the key for good: one of unknowns only for a job that has an export.
            link = self.vendor.link(job) if job.is_vague else None
        else:
            key = known.key
        claim = Claim(
            job_id=job.job_id,
            key=key,
            instead_of=instead_of,
            attempt=known.attempts + 1,
            first_seen_at=iso_utc(request.first_seen_at),
            claimed_at=iso_utc(self.now()),
            owner=uuid.uuid4().hex,
            asked_by=request.asked_by,
            upload_id=known.upload_id,
        )
        now: list[Receipt] = []
        left: list[Upload] = []

        def attempt() -> Receipt:
            if instead_of is not None:  # by the claim nobody goes on with what was begun there
                self._abort(self._uploads_at(instead_of))
            checkpoint = known.checkpoint if instead_of is None else None
            now.append(self._attempt(job, link, claim, checkpoint, left))
            return now[0]

        receipt = self.once.run(claim, attempt)
        self._abort(left)
        return Archived(receipt, now=bool(now))

    def _takes_anew(self, request: Request, fixed: str | None, key: str) -> bool:
        """Tell whether a recheck gives its job a better key than the one that is fixed.

        That is one of unknowns, which versions before this one fixed before they had a link; at it
        lies nothing, and nobody is about to put something there.
        """
        if not request.recheck or fixed is None or fixed == key:
            return False
        return is_of_unknowns(fixed, prefix=self.key_prefix) and self.store.find(fixed) is None

    def _attempt(
        self,
        job: Job,
        link: Link | None,
        claim: Claim,
        checkpoint: Checkpoint | None,
        left: list[Upload],
    ) -> Receipt:
        """Link, unless there is one, copy, inspect, catalogue, emit. The caller stores the receipt.

        In this order, so that a crash in between emits again rather than never; consumers
        deduplicate (docs/events.md). Nobody is told of an export that has no entry.
        What earlier attempts have left unfinished is put into `left`: only the receipt tells that
        no other run goes on with it.
        """
        started_at = self.now()
        link = link or self.vendor.link(job)
        with self.steps.step("copy"):
            stored = self.copier.copy(
                link,
                lambda: self.vendor.link(job),
                Destination(
                    job,
                    claim.key,
                    claim.attempt,
                    archived_at=started_at,
                    checkpoint=checkpoint,
                    save=partial(self.jobs.keep, claim),
                ),
            )
        if claim.attempt > 1:
            left += self._uploads_at(claim.key)
        receipt = self._receipt(job, stored, started_at)
        with self.steps.step("inspect"):
            odd = self.inspection.warning(receipt, stored.ends)
        with self.steps.step("catalogue"):
            receipt = self.catalogue.add(replace(receipt, quality_warning=odd))
        self._note(receipt)
        with self.steps.step("emit"):
            self.events.emit("Export Archived", receipt.event_detail())
        return replace(receipt, emitted_at=iso_utc(self.now()))

    def _note(self, receipt: Receipt) -> None:
        if self.retention is not None:
            self.retention.note(receipt)

    def _uploads_at(self, key: str) -> list[Upload]:
        """Return the unfinished uploads at a key, if the store tells; the sweep takes the rest."""
        try:
            return self.store.uploads_at(key)
        except Failure:
            return []

    def _abort(self, uploads: Iterable[Upload]) -> None:
        for upload in uploads:
            with suppress(Failure):
                self.store.abort_upload(upload)

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
