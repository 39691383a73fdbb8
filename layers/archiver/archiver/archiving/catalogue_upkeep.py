"""What `archiver audit` has the function write into the catalogue: its caller may not.

The bucket's policy denies writes to people. So the function adds entries of jobs that are archived,
and puts entries of a month that is over together into one object; it writes nothing that its caller
says, only what table and bucket hold, and deletes nothing. Each is done again without harm. What
does not fit into an invocation is left, and told. Not imported by a run that archives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from archiver import states
from archiver.archiving.cataloguing import Catalogue
from archiver.catalogue import (
    FOLDER,
    MOST_MONTH_ENTRIES,
    is_closed,
    job_of_entry,
    month_key,
    read_line,
)
from archiver.claim import KnownJob
from archiver.errors import Failure
from archiver.job import parse_job_id
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from archiver.transfer.contract import (
    CommitConflict,
    Committed,
    Found,
    ObjectExists,
    ObjectSpec,
    Slice,
)

__all__ = ["CatalogueUpkeep"]

_MOST_ENTRY_BYTES = 1 << 16  # one has 1 to 3 KB: a key has at most 1,024 bytes
_LEAVE_SECONDS = 10.0  # for what is under way, and the last write (deadline.py)


class Store(Protocol):
    """The archive bucket, as far as the catalogue needs it (aws/object_store.py)."""

    def find(self, key: str) -> Found | None: ...
    def read(self, key: str, first: int, last: int) -> Slice | None: ...
    def put(self, spec: ObjectSpec, body: bytearray, crc: int) -> Committed: ...


class Jobs(Protocol):
    """The items of jobs (aws/job_table.py)."""

    def read(self, job_id: str) -> KnownJob: ...
    def move(self, move: states.Move) -> bool: ...


@dataclass(frozen=True, slots=True)
class CatalogueUpkeep:
    """Writes entries and months; `remaining_seconds`: of the invocation."""

    store: Store
    jobs: Jobs
    catalogue: Catalogue
    now: Callable[[], datetime]
    remaining_seconds: Callable[[], float]

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked for, and tell what was done.

        `refused` says what cannot be done; `failed`, what went wrong before it was done to its end.
        """
        match asked:
            case {"job_ids": [*job_ids], **rest} if not rest:
                return self._write_entries(job_ids)
            case {"month": str(month), "keys": [*keys], **rest} if not rest:
                try:
                    return self._compact(month, keys)
                except Failure as failure:
                    return {"failed": failure.detail}
        return {"refused": "It is asked for by job_ids, or by a month and the keys of its entries."}

    def _write_entries(self, job_ids: Sequence[object]) -> dict[str, Any]:
        """Write the entry of each archived job, and into its item where that lies.

        Told are counts (`catalogued`: it is there now, `not_archived`, `conflict`: another object
        is at its place, `changed`: the job was archived anew meanwhile, which writes its own) and
        the jobs that are `left`.
        """
        counts: Counter[str] = Counter()
        for done, named in enumerate(job_ids):
            if self.remaining_seconds() < _LEAVE_SECONDS:
                return {**counts, "left": job_ids[done:]}
            try:
                counts[self._write_entry(parse_job_id(named))] += 1
            except Failure as failure:
                return {**counts, "left": job_ids[done:], "failed": failure.detail}
        return {**counts, "left": []}

    def _write_entry(self, job_id: str | None) -> str:
        receipt = None if job_id is None else self.jobs.read(job_id).receipt
        if receipt is None:
            return "not_archived"
        key = self.catalogue.write_entry(receipt)
        if key is None:
            return "conflict"
        if receipt.catalogue_key == key or self.jobs.move(states.catalogue(receipt, key)):
            return "catalogued"
        return "changed"

    def _compact(self, month: str, keys: Sequence[object]) -> dict[str, Any]:
        """Put entries of one folder and month together into one object, named by what it holds.

        Told are its `key` (None: nothing to write), how many `entries` it has, the keys `left`, and
        those that are `unfit`: gone, or not an entry of that month at its place.
        """
        wanted = sorted({key for key in keys if isinstance(key, str)})
        folders = {key.rpartition("/")[0] + "/" for key in wanted}
        if not (wanted and len(wanted) == len(keys) <= MOST_MONTH_ENTRIES and len(folders) == 1):
            return {"refused": f"A month has keys of one folder, up to {MOST_MONTH_ENTRIES}."}
        if not is_closed(month, self.now()):
            return {"refused": f"{month} is no month that has been over for a day."}
        (folder,) = folders
        lines = bytearray()
        fit, unfit, left = 0, [], []
        for done, key in enumerate(wanted):
            if self.remaining_seconds() < _LEAVE_SECONDS:
                left = wanted[done:]
                break
            line = self._read_entry(key, month)
            if line is None:
                unfit.append(key)
            else:
                lines += line
                fit += 1
        told = {"key": None, "entries": fit, "left": left, "unfit": unfit}
        if not fit:
            return told
        key = month_key(folder, month, lines)
        try:
            self._put(key, lines)
        except ObjectExists:
            if not self._has(key, lines):
                return {"refused": f"Another object is at {key}, which its content would name so."}
        return {**told, "key": key}

    def _read_entry(self, key: str, month: str = "") -> bytes | None:
        """Return the line of an entry that lies where it belongs; None for any other object."""
        if not key.startswith(self.catalogue.prefix + FOLDER) or job_of_entry(key) is None:
            return None
        found = self.store.read(key, 0, _MOST_ENTRY_BYTES - 1)
        line = b"" if found is None else found.content
        try:
            receipt = read_line(line, prefix=self.catalogue.prefix)
        except ValueError:
            return None
        fits = receipt.catalogue_key == key and receipt.archived_at.startswith(month)
        return line if fits and line.find(b"\n") == len(line) - 1 else None

    def _put(self, key: str, body: bytearray) -> None:
        """Commit an object; one retry after a 409, which is another write of the same."""
        spec, crc = ObjectSpec(key, "application/x-ndjson", None), crc64nvme(body)
        try:
            self.store.put(spec, body, crc)
        except CommitConflict:
            try:
                self.store.put(spec, body, crc)
            except CommitConflict as conflict:
                raise Failure("aws_error", "Writing the catalogue: a conflict.") from conflict

    def _has(self, key: str, body: bytearray) -> bool:
        found = self.store.find(key)
        if found is None or found.size_bytes != len(body):
            return False
        told = found.checksum_crc64nvme
        if told is None:  # a store that tells none
            slice_ = self.store.read(key, 0, len(body) - 1)
            return slice_ is not None and slice_.content == bytes(body)
        return told == encode_crc64nvme(crc64nvme(body))
