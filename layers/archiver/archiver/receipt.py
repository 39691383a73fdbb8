"""What we know of an archived export: the answer to "is it archived, and is it ours?".

A receipt is stored on the job's own item, emitted as the event's detail and kept by Powertools as
the idempotent result. It holds no secret: not the link, not the callback URL. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from archiver.job import UNKNOWN, Job

__all__ = ["ENDS_BYTES", "Ends", "Receipt", "StoredObject", "bare_etag", "iso_utc"]


def iso_utc(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds, e.g. 2026-11-23T10:00:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bare_etag(etag: str) -> str:
    """Return an ETag without the quotes that HTTP puts around it, as S3's own events write it.

    A weak one stays known as such: W/x; so reads what earlier versions wrote of it, W/"x.
    """
    weak = etag.startswith("W/")
    return ("W/" if weak else "") + etag.removeprefix("W/").strip('"')


ENDS_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ends:
    """An object's first and last bytes, at most ENDS_BYTES each, and its Content-Encoding.

    The two overlap where it is small. They are rows of a company's: nothing may show them.
    """

    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)
    content_encoding: str | None

    @classmethod
    def of(cls, body: bytearray, content_encoding: str | None) -> Ends:
        """Return a whole object's."""
        return cls(bytes(body[:ENDS_BYTES]), bytes(body[-ENDS_BYTES:]), content_encoding)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The committed object, and how we know that its bytes are right.

    `checksum_crc64nvme` is the store's word where it gives one, else our own computation.
    `verified_by` says what was compared: "crc64nvme" (the store's checksum of the whole with our
    own or the source's), "size_and_etag" (no checksum; size, and the ETag that follows from the
    bytes), "size_and_source_etag" (no checksum of ours or the source's was at hand: the size, and
    the ETag of the source under which S3 copied, or under which an earlier attempt wrote the object
    down) or "size" (a store that tells neither). `ends`: of a copy that was in our memory as a
    whole; None: whoever wants to see them must read them. `etags_agree`: True where its ETag is the
    source's, a proof from end to end; None where they count other parts or are no MD5s. Versions
    before this one wrote False, too.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    checksum_crc64nvme: str | None
    source_etag: str
    copy_method: str
    verified_by: str
    etags_agree: bool | None = None
    ends: Ends | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One archived export. Times are ISO 8601 in UTC, durations in seconds, sizes in bytes.

    One that `archiver audit --rebuild` made of an object's own metadata is verified by "metadata":
    nothing was compared, and `duration_seconds` is 0.0, because nobody knows it any more.
    """

    job_id: str
    report_type: str
    output_format: str
    start_date: str
    end_date: str
    bucket: str
    key: str
    version_id: str | None
    size_bytes: int
    etag: str
    checksum_crc64nvme: str | None
    source_etag: str
    copy_method: str
    verified_by: str
    archived_at: str
    duration_seconds: float
    emitted_at: str | None = None
    etags_agree: bool | None = None
    completed_at: str | None = None  # at the vendor; None where it does not tell
    order_name: str | None = None  # of a job that orders.yaml asked for: which order, window, cycle
    window: str | None = None
    cycle: str | None = None
    created_at: str | None = None  # the job, at the vendor: of two revisions the later is newer
    property_set: str | None = None  # the fingerprint of its property ids; of an order: its chunk
    quality_warning: str | None = None  # what is odd about the content (archiving/quality.py)
    catalogue_key: str | None = None  # of its entry (catalogue.py); None: it has none yet

    @classmethod
    def of(
        cls, job: Job, bucket: str, stored: StoredObject, *, archived_at: datetime, seconds: float
    ) -> Receipt:
        """Write the receipt for an object that has just been committed, or found committed."""
        return cls(
            job_id=job.job_id,
            report_type=job.report_type,
            output_format=job.output_format,
            start_date=job.start_date,
            end_date=job.end_date,
            bucket=bucket,
            key=stored.key,
            version_id=stored.version_id,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
            checksum_crc64nvme=stored.checksum_crc64nvme,
            source_etag=stored.source_etag,
            copy_method=stored.copy_method,
            verified_by=stored.verified_by,
            archived_at=iso_utc(archived_at),
            duration_seconds=round(seconds, 3),
            etags_agree=stored.etags_agree,
            completed_at=None if job.changed_at == UNKNOWN else job.changed_at,
            order_name=None if job.intent is None else job.intent.order_name,
            window=None if job.intent is None else job.intent.window,
            cycle=None if job.intent is None else job.intent.cycle,
            created_at=None if job.created_at == UNKNOWN else job.created_at,
            property_set=job.property_set,
        )

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Receipt:
        """Read a receipt back from the fields that `to_fields` wrote."""
        return cls(**{name: fields[name] for name in cls.__slots__ if name in fields})

    def to_fields(self) -> dict[str, Any]:
        """Return the receipt as plain JSON values."""
        return asdict(self)

    @property
    def seconds_since_completion(self) -> float | None:
        """Return how long after its completion at the vendor the export was here, if that is known.

        Two clocks are compared: what comes out below zero counts as zero.
        """
        if self.completed_at is None:
            return None
        completed_at = datetime.fromisoformat(self.completed_at)
        waited = datetime.fromisoformat(self.archived_at) - completed_at
        return max(0.0, round(waited.total_seconds(), 3))

    def event_detail(self) -> dict[str, Any]:
        """Return the detail of `Export Archived` (events/schemas, schema_version "1")."""
        revision = {"created_at": self.created_at, "property_set": self.property_set}
        told = {
            "order_name": self.order_name,
            "window": self.window,
            "cycle": self.cycle,
            "quality_warning": self.quality_warning,
        }
        return {
            "schema_version": "1",
            "job": {
                "job_id": self.job_id,
                "report_type": self.report_type,
                "output_format": self.output_format,
                "start_date": self.start_date,
                "end_date": self.end_date,
                **{name: value for name, value in revision.items() if value is not None},
            },
            "object": {
                "bucket": self.bucket,
                "key": self.key,
                "version_id": self.version_id,
                "size_bytes": self.size_bytes,
                "etag": self.etag,
                "checksum_crc64nvme": self.checksum_crc64nvme,
            },
            "source_etag": self.source_etag,
            "copy_method": self.copy_method,
            "verified_by": self.verified_by,
            "etags_agree": self.etags_agree,
            "archived_at": self.archived_at,
            "duration_seconds": self.duration_seconds,
            **{name: value for name, value in told.items() if value is not None},
        }
