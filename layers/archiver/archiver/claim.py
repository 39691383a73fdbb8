"""What an attempt starts with: the claim on a job, its key, its checkpoint. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from archiver.outage import Trouble
from archiver.receipt import Receipt, bare_etag

__all__ = ["Checkpoint", "Claim", "KnownJob"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's right to a job; `owner` is a token that nobody else has.

    `asked_by` names the message, through all its delayed copies.
    """

    job_id: str
    key: str
    attempt: int  # from 1; above it an earlier attempt may have committed the object
    first_seen_at: str
    claimed_at: str  # so that whoever finds the job "copying" can tell whether anybody still is
    owner: str
    asked_by: str
    upload_id: str | None = None  # as it was read
    instead_of: str | None = None  # the key that was fixed before, where this one takes its place


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What an attempt writes down before its first part, so that the next can go on.

    `disputed_checksum`: what an earlier full copy of this source had, where the source tells
    another. Items of versions before this one have none.
    """

    upload_id: str
    part_size_bytes: int
    source_etag: str
    size_bytes: int
    copy_method: str
    disputed_checksum: str | None = None

    def continues(self, source_etag: str, size_bytes: int, copy_method: str) -> bool:
        """Tell whether this is an upload of the same bytes in the same way."""
        ours = (bare_etag(self.source_etag), self.size_bytes, self.copy_method)
        return ours == (source_etag, size_bytes, copy_method)

    def of(self, upload_id: str) -> Checkpoint:
        """Return the same for an upload."""
        return replace(self, upload_id=upload_id)


@dataclass(frozen=True, slots=True)
class KnownJob:
    """What the table says before an attempt: nothing, a fixed key, or that it is archived.

    `checkpoint` is the upload that an earlier attempt left; `vendor_closed_until` (epoch seconds)
    is the fleet's: until then nobody may ask the vendor anything; so is `trouble`. `failing_since`
    is the job's own: when it last began to fail.
    """

    key: str | None = None
    attempts: int = 0
    receipt: Receipt | None = None
    checkpoint: Checkpoint | None = None
    vendor_closed_until: float = 0.0
    trouble: Trouble = field(default_factory=Trouble)
    failing_since: datetime | None = None
    asked_by: str | None = None  # the message that the item speaks of

    @property
    def upload_id(self) -> str | None:
        """Return the id of the upload that an earlier attempt left, if it left one."""
        return None if self.checkpoint is None else self.checkpoint.upload_id

    def failing_since_of(self, asked_by: str) -> datetime | None:
        """Return when a message began to fail; of another's failures it may not be judged.

        The item keeps one message's story (states.py, "its own"): what it says of failures does not
        end when a second message of the job gets on.
        """
        return self.failing_since if self.asked_by in {None, asked_by} else None
