"""What an attempt begins with: which job, which key, which try. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from archiver.outage import Trouble
from archiver.receipt import Receipt
from archiver.transfer.contract import Checkpoint

__all__ = ["Claim", "KnownJob"]


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

    @property
    def upload_id(self) -> str | None:
        """Return the id of the upload that an earlier attempt left, if it left one."""
        return None if self.checkpoint is None else self.checkpoint.upload_id
