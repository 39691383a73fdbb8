"""Looks at an archived export and tells what is odd about it (quality.py); it must not fail a job.

Nobody waits for it for long, and what cannot be looked at is not told. Of an export that was in
memory as a whole nothing is read; of others its first bytes, and of Parquet its last ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from archiver.archiving.quality import LOOKED_AT, TAILED, is_shrunken, judge, kind_of
from archiver.errors import Failure
from archiver.receipt import ENDS_BYTES, Ends, Receipt
from archiver.transfer.contract import Slice

__all__ = ["Inspection", "Sizes", "Store"]

# Each of the three requests may be tried three times, with pauses of 3 s in all: 18 s. With less
# than this left, the entry, the event and the receipt may need it.
_PATIENCE_SECONDS = 5.0
_LEAST_SECONDS = 40.0


class Store(Protocol):
    """The archive bucket, as far as an inspection reads it (aws/object_store.py)."""

    def read(self, key: str, first: int, last: int, *, etag: str | None = None) -> Slice | None: ...  # noqa: D102 - described where it is implemented


class Sizes(Protocol):
    """How large the last export of a kind was (aws/kinds.py)."""

    def last_size(self, kind: str, job_id: str, size_bytes: int) -> int | None:
        """Return it, None for none, and make this job's the last; raises Failure."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Inspects one export at a time; `briefly`: waits within its block last that long at most."""

    store: Store
    sizes: Sizes
    seconds_left: Callable[[], float]
    briefly: Callable[[float], AbstractContextManager[None]]

    def warning(self, receipt: Receipt, ends: Ends | None) -> str | None:
        """Return what is odd, None where nothing is, or nobody could look."""
        with self.briefly(_PATIENCE_SECONDS):
            last_size_bytes = self._last_size(receipt)
            if receipt.size_bytes == 0:
                return "empty"
            ends = ends or self._ends(receipt)
        odd = None if ends is None else judge(receipt.output_format, receipt.size_bytes, ends)
        if odd is None and is_shrunken(receipt.size_bytes, last_size_bytes):
            return "shrunken"
        return odd

    def _last_size(self, receipt: Receipt) -> int | None:
        kind = kind_of(receipt)
        if kind is None or self.seconds_left() < _LEAST_SECONDS:
            return None
        try:
            return self.sizes.last_size(kind, receipt.job_id, receipt.size_bytes)
        except Failure:
            return None

    def _ends(self, receipt: Receipt) -> Ends | None:
        """Read the ends of the object that the receipt tells of, and of no other."""
        if receipt.output_format not in LOOKED_AT:
            return None
        size_bytes = receipt.size_bytes
        head = self._read(receipt, 0, min(ENDS_BYTES, size_bytes))
        if head is None:
            return None
        if size_bytes <= ENDS_BYTES or receipt.output_format not in TAILED:
            return Ends(head.content, head.content, head.content_encoding)
        tail = self._read(receipt, size_bytes - ENDS_BYTES, size_bytes)
        return None if tail is None else Ends(head.content, tail.content, head.content_encoding)

    def _read(self, receipt: Receipt, first: int, end: int) -> Slice | None:
        """Return these bytes, all of them; None where that cannot be."""
        if self.seconds_left() < _LEAST_SECONDS:
            return None
        etag = receipt.etag if receipt.etag.startswith("W/") else f'"{receipt.etag}"'
        try:
            read = self.store.read(receipt.key, first, end - 1, etag=etag)
        except Failure:
            return None
        return None if read is None or len(read.content) != end - first else read
