"""Has superseded revisions expire, where KeepSupersededDays says so; it deletes nothing itself.

At once it is written down what supersedes what (`note`). A revision that has been superseded for
so many days is tagged by a later run, after a job of its own is archived (`retire_due`), and the
bucket's lifecycle rule expires what has the tag. The tag comes late, because S3 counts a rule's
days from the object's creation (S3 API Reference, LifecycleExpiration: "the lifetime, in days, of
the objects"), and never from a tag: one set at once would let an old object go the next night.

A tag is set only where all of this is so, read anew before each: another job's revision of the same
window is current, newer by the rule of superseded.py, catalogued, not odd, and its object lies in
the bucket; the superseded object is the one of the job's receipt. In doubt the object stays. No
message names what is tagged. Not imported where the parameter is 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from archiver.errors import Failure
from archiver.log import Log
from archiver.receipt import Receipt, bare_etag, iso_utc
from archiver.superseded import (
    TAG,
    Superseded,
    event_detail,
    is_newer,
    is_record_of,
    record_key,
    record_line,
    window_of,
)
from archiver.transfer.checksum import crc64nvme
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    Found,
    ObjectExists,
    ObjectSpec,
    Slice,
    UncertainCommit,
)

__all__ = ["Retention"]

_MOST_RECORD_BYTES = 1 << 16  # one has 1 to 3 KB, as an entry
_MOST_TAGS = 10  # of an object (S3 API Reference, PutObjectTagging)
_MOST_AT_A_TIME = 5  # a job supersedes one at most: so what has piled up is made up for
_LEAST_SECONDS = 60.0  # for a dozen requests that take three tries each; a later run does the rest
_TRIES = 8  # each is lost to another revision of the same window, at the same moment
_PUT_OFF = timedelta(days=1)


class Items(Protocol):
    """What is current and what is superseded (aws/superseded_items.py)."""

    def current(self, window: str) -> Receipt | None: ...
    def replace(self, window: str, current: Receipt | None, receipt: Receipt) -> bool: ...
    def add(self, superseded: Superseded) -> None: ...
    def due(self, until: str, most: int) -> list[str]: ...
    def read(self, job_id: str) -> tuple[Superseded | None, Receipt | None, Receipt | None]: ...
    def put_off(self, superseded: Superseded, counts_from: str) -> None: ...
    def settle(self, superseded: Superseded, tagged_at: str | None) -> None: ...


class Store(Protocol):
    """The archive bucket, as far as tags need it (aws/object_store.py)."""

    @property
    def bucket(self) -> str: ...
    def find(self, key: str) -> Found | None: ...
    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed: ...
    def read(self, key: str, first: int, last: int) -> Slice | None: ...
    def tags(self, key: str, version_id: str | None) -> dict[str, str]: ...
    def tag(self, key: str, version_id: str | None, tags: Mapping[str, str]) -> None: ...


class Events(Protocol):
    """Emits events on the bus (aws/events.py)."""

    def emit(self, detail_type: str, detail: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps what is superseded for `days`, at least 1."""

    items: Items
    store: Store
    events: Events
    log: Log
    key_prefix: str
    days: int
    now: Callable[[], datetime]
    seconds_left: Callable[[], float]

    def note(self, receipt: Receipt) -> None:
        """Write down whether a revision is current, and what it supersedes or is superseded by.

        It must lie in the bucket and, to count, in the catalogue. What is superseded is written
        first: a run that dies before the second write is made up for by the next one of the job,
        and what is still current is never tagged. Raises Failure("aws_error").
        """
        window = window_of(receipt)
        if window is None or receipt.catalogue_key is None:
            return
        for _ in range(_TRIES):
            current = self.items.current(window)
            if current is not None:
                if current.job_id == receipt.job_id:
                    if current.archived_at >= receipt.archived_at:
                        return
                elif is_newer(receipt, current):
                    self.items.add(Superseded(current, receipt.job_id, iso_utc(self.now())))
                else:
                    self.items.add(Superseded(receipt, current.job_id, iso_utc(self.now())))
                    return
            if self.items.replace(window, current, receipt):
                return
        raise Failure("aws_error", "Writing down the current revision: others did, each time.")

    def retire_due(self) -> None:
        """Tag some of what has been superseded for long enough; what fails is tried again later."""
        until = iso_utc(self.now() - timedelta(days=self.days))
        try:
            for job_id in self._due(until):
                if self.seconds_left() < _LEAST_SECONDS:
                    return
                superseded, own, current = self.items.read(job_id)
                if superseded is not None:
                    self._look_at(superseded, own, current)
        except Failure as failure:
            self.log.warning("superseded_not_looked_at", detail=failure.detail)

    def _due(self, until: str) -> list[str]:
        if self.seconds_left() < _LEAST_SECONDS:
            return []
        return self.items.due(until, _MOST_AT_A_TIME)

    def _look_at(
        self, superseded: Superseded, own: Receipt | None, current: Receipt | None
    ) -> None:
        job_id = superseded.receipt.job_id
        try:
            why = self._why_not(superseded, own, current)
            if why is None:
                self._retire(superseded)
                return
            if why == "gone":
                self._tell_of_one_that_is_gone(superseded)
                return
        except Failure as failure:
            why = failure.detail
        self.log.warning("superseded_is_kept", job_id=job_id, why=why)
        later = iso_utc(self.now() - timedelta(days=self.days) + _PUT_OFF)
        with suppress(Failure):
            self.items.put_off(superseded, later)

    def _why_not(
        self, superseded: Superseded, own: Receipt | None, current: Receipt | None
    ) -> str | None:
        """Return why a revision is not to be tagged now, "gone" where nothing is there any more."""
        receipt = superseded.receipt
        if current is None or not is_newer(current, receipt):
            return "no newer revision is known"
        said = {
            "its time is not over": not superseded.is_over(self.days, self.now()),
            "the current revision is of another window": (
                window_of(current) != window_of(receipt) or current.key == receipt.key
            ),
            f"the current revision is {current.quality_warning}": (
                current.quality_warning is not None
            ),
            "its job was archived anew": own is None or _object_of(own) != _object_of(receipt),
            "it lies in another bucket": ({receipt.bucket, current.bucket} != {self.store.bucket}),
        }
        return next((why for why, is_so in said.items() if is_so), None) or self._missing(
            receipt, current
        )

    def _missing(self, receipt: Receipt, current: Receipt) -> str | None:
        """Return which of the two is not in the bucket as it was archived."""
        if not _is(self.store.find(current.key), current):
            return "the current revision is not in the bucket as it was archived"
        found = self.store.find(receipt.key)
        if found is None:
            return "gone"
        return None if _is(found, receipt) else "another object is at its key"

    def _retire(self, superseded: Superseded) -> None:
        """Record, tag, tell, in this order: a run that dies in between does them again."""
        receipt = superseded.receipt
        tags = self.store.tags(receipt.key, receipt.version_id)
        name, value = TAG
        if tags.get(name) != value and len(tags.keys() | {name}) > _MOST_TAGS:
            raise Failure("aws_error", "The object has as many tags as S3 takes.")
        record = self._record(superseded)
        if tags.get(name) != value:  # a write replaces all: those of others stay
            self.store.tag(receipt.key, receipt.version_id, {**tags, name: value})
        self._tell(superseded, record)

    def _tell(self, superseded: Superseded, record: Mapping[str, Any]) -> None:
        self.events.emit("Export Superseded", event_detail(record))
        self.items.settle(superseded, record["tagged_at"])
        job_id = superseded.receipt.job_id
        self.log.info("superseded_is_tagged", job_id=job_id, superseded_by=superseded.by)

    def _tell_of_one_that_is_gone(self, superseded: Superseded) -> None:
        """Look no more at one that expired before it was told, or that somebody deleted."""
        record = self._read_record(superseded)
        if record is None:
            self.items.settle(superseded, None)
        else:
            self._tell(superseded, record)

    def _record(self, superseded: Superseded) -> dict[str, Any]:
        """Write the record, once; return the one that is there. Without it nothing is tagged."""
        line = bytearray(
            record_line(superseded, kept_days=self.days, tagged_at=iso_utc(self.now()))
        )
        key = record_key(superseded.receipt, prefix=self.key_prefix)
        with suppress(ObjectExists, CommitConflict, UncertainCommit):
            self.store.put(ObjectSpec(key, "application/json", None), line, crc64nvme(line))
        record = self._read_record(superseded)
        if record is None:
            raise Failure("aws_error", "Its record is not in the catalogue.")
        return record

    def _read_record(self, superseded: Superseded) -> dict[str, Any] | None:
        key = record_key(superseded.receipt, prefix=self.key_prefix)
        found = self.store.read(key, 0, _MOST_RECORD_BYTES - 1)
        try:
            record: Any = json.loads(b"" if found is None else found.content)
        except (ValueError, RecursionError):
            return None
        return record if is_record_of(record, superseded.receipt.to_fields()) else None


def _object_of(receipt: Receipt) -> tuple[object, ...]:
    return (receipt.bucket, receipt.key, receipt.version_id, receipt.size_bytes, receipt.etag)


def _is(found: Found | None, receipt: Receipt) -> bool:
    """Tell whether what lies at a receipt's key is the very object of the receipt."""
    if found is None or receipt.version_id not in {None, found.version_id}:
        return False
    return (found.size_bytes, bare_etag(found.etag)) == (receipt.size_bytes, receipt.etag)
