"""Writes an export's entry into the catalogue (catalogue.py), once, and never over another.

The function alone may write below KeyPrefix, and only what is not there yet (the bucket's policy);
so it does this for all who want an entry. What lies at an entry's place is compared, whatever S3
said of the write: a try whose answer was lost, or a run that died after it, finds its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Protocol

from archiver.catalogue import entry_key, entry_line, receipt_of
from archiver.errors import Failure
from archiver.log import Log
from archiver.receipt import Receipt
from archiver.transfer.checksum import crc64nvme
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    ObjectExists,
    ObjectSpec,
    Slice,
    UncertainCommit,
)

__all__ = ["Catalogue", "Store"]

_MOST_ENTRY_BYTES = 1 << 16  # one has 1 to 3 KB: a key has at most 1,024 bytes
_SAME = ("job_id", "key", "size_bytes", "checksum_crc64nvme")  # of the bytes that are archived
_SAME_OBJECT = ("bucket", "version_id", "etag")  # and of the archiving


class Store(Protocol):
    """The archive bucket, as far as entries need it (aws/object_store.py)."""

    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed: ...  # noqa: D102 - described where it is implemented
    def read(self, key: str, first: int, last: int, *, etag: str | None = None) -> Slice | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The catalogue below one prefix."""

    store: Store
    prefix: str
    log: Log

    def write_entry(self, receipt: Receipt) -> str | None:
        """Return the key of a receipt's entry, which is there when this returns.

        None where something else lies at its place, which the log tells and nobody touches. Raises
        Failure("aws_error") where nothing is there afterwards, or nobody can look.
        """
        return self.add(receipt).catalogue_key

    def add(self, receipt: Receipt) -> Receipt:
        """Write a receipt's entry and return the receipt as the catalogue has it.

        That of an earlier attempt, where that one wrote it of the same object: the two say the same
        of it for ever. Without a `catalogue_key`, and raising, as write_entry.
        """
        key = entry_key(receipt, prefix=self.prefix)
        line = bytearray(entry_line(receipt))
        try:
            self.store.put(ObjectSpec(key, "application/json", None), line, crc64nvme(line))
        except (ObjectExists, CommitConflict, UncertainCommit) as cue:
            return self._compare(receipt, key, cue)
        return replace(receipt, catalogue_key=key)

    def _compare(self, receipt: Receipt, key: str, cue: Exception) -> Receipt:
        found = self.store.read(key, 0, _MOST_ENTRY_BYTES - 1)
        if found is None:
            if isinstance(cue, Failure):
                raise cue
            raise Failure("aws_error", "S3 did not write the catalogue's entry, and has none.")
        told = _read(found.content, key)
        if told is None or _of(told, _SAME) != _of(receipt, _SAME):
            self.log.warning("catalogue_entry_differs", job_id=receipt.job_id, key=key)
            return replace(receipt, catalogue_key=None)
        if _of(told, _SAME_OBJECT) == _of(receipt, _SAME_OBJECT):
            return told
        return replace(receipt, catalogue_key=key)  # the same bytes, put there once more


def _read(content: bytes, key: str) -> Receipt | None:
    try:
        entry: Any = json.loads(content)
        return receipt_of(entry, key)
    except (ValueError, TypeError, RecursionError):
        return None


def _of(receipt: Receipt, names: tuple[str, ...]) -> list[object]:
    return [getattr(receipt, name) for name in names]
