"""Which archived revision of a window is current, and what is told of one that may go. Pure.

    catalogue-superseded/year=2026/<job id>.<checksum>.<archived at>.json    one line of JSON

Of jobs with equal type, format, window and properties the one that was created last is current, as
the views have it (docs/athena.md); where something of these is not told, nothing supersedes a job.
The records lie beside the catalogue and not in it: whatever reads that reads all that is below its
folder. `year` is the one in which the export was archived, so that its receipt tells the place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from archiver.catalogue import RECORDS_FOLDER, archiving_mark
from archiver.job import UNKNOWN
from archiver.receipt import Receipt

__all__ = ["TAG", "Superseded", "event_detail", "is_newer", "is_record_of"]
__all__ += ["record_key", "record_line", "window_of"]

# What the bucket's lifecycle rule looks for; template.yaml has the same words.
TAG = ("apartmentiq-archiver", "superseded")
_SCHEMA_VERSION = "1"
_JOB = ("job_id", "report_type", "output_format", "start_date", "end_date", "property_set")
_OBJECT = ("bucket", "key", "version_id", "size_bytes", "etag", "checksum_crc64nvme")
_ENDED = ("archived_at", "superseded_by", "superseded_at", "kept_days", "tagged_at")


@dataclass(frozen=True, slots=True)
class Superseded:
    """A revision that is not current any more: its receipt, by which job, and since when."""

    receipt: Receipt
    by: str
    at: str  # ISO 8601, as iso_utc writes it

    def is_over(self, days: int, now: datetime) -> bool:
        """Tell whether it has been superseded for so many days."""
        return now - datetime.fromisoformat(self.at) >= timedelta(days=days)


def window_of(receipt: Receipt) -> str | None:
    """Return the digest of what two revisions have in common; None for one that stands alone."""
    told = (
        receipt.report_type,
        receipt.output_format,
        receipt.start_date,
        receipt.end_date,
        receipt.property_set,
    )
    if any(value in {None, "", UNKNOWN} for value in told):
        return None
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def is_newer(one: Receipt, other: Receipt) -> bool:
    """Tell whether a job's revision supersedes another job's of the same window."""
    return one.job_id != other.job_id and _rank(one) > _rank(other)


def _rank(receipt: Receipt) -> tuple[str, str]:
    return (receipt.created_at or "", receipt.job_id)  # times of the vendor's compare as text


def record_key(receipt: Receipt, *, prefix: str) -> str:
    """Return where it is told that a revision may go: one place for each archiving."""
    stamp = "".join(letter for letter in receipt.archived_at if letter.isdigit())
    name = f"{receipt.job_id}.{archiving_mark(receipt)}.{stamp}.json"
    return f"{prefix}{RECORDS_FOLDER}year={receipt.archived_at[:4]}/{name}"


def record_line(superseded: Superseded, *, kept_days: int, tagged_at: str) -> bytes:
    """Return the record: one line of JSON, flat."""
    receipt = superseded.receipt.to_fields()
    told = {
        "schema_version": _SCHEMA_VERSION,
        **{name: receipt[name] for name in (*_JOB, "created_at", *_OBJECT, "archived_at")},
        "superseded_by": superseded.by,
        "superseded_at": superseded.at,
        "kept_days": kept_days,
        "tagged_at": tagged_at,
    }
    told["object_key"] = told.pop("key")  # as entries of the catalogue call it
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def is_record_of(record: object, receipt: Mapping[str, Any]) -> bool:
    """Tell whether a record, as JSON has it, says that just this object of a receipt may go."""
    if not isinstance(record, dict) or not isinstance(record.get("tagged_at"), str):
        return False
    told = {**record, "key": record.get("object_key")}
    same = ("job_id", "archived_at", "bucket", "key", "version_id", "size_bytes", "etag")
    return all(name in told and told[name] == receipt.get(name) for name in same)


def event_detail(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail of `Export Superseded` (events/schemas, schema_version "1")."""
    told = {**record, "key": record["object_key"]}
    revision = ("created_at",) if told["created_at"] is not None else ()
    return {
        "schema_version": _SCHEMA_VERSION,
        "job": {name: told[name] for name in (*_JOB, *revision)},
        "object": {name: told[name] for name in _OBJECT},
        **{name: told[name] for name in _ENDED},
    }
