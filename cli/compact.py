"""`archiver audit --compact`: the entries of months that are over, put together; then read back.

The function writes each month's object (catalogue.py). What it wrote is read again here, and only
what every line of it bears out may go: `--delete-compacted` deletes small objects with its caller's
own permissions, because no function has a right to delete. Both kinds may lie there side by side:
readers count an entry once.

A folder (a report type, format and year) is held at a time: some 200 bytes for each of its entries.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from archiver.catalogue import MOST_MONTH_ENTRIES, is_closed, job_of_entry, read_line
from cli.catalogue import archive_of, progress
from cli.failure import NO, USAGE, Failure
from cli.marks import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.catalogue import Archive, Listed

__all__ = ["compact"]

_MOST_DELETED = 1_000  # in one request (API reference, DeleteObjects)
_SAID = {
    "compacted": "entries were put together",
    "months": "objects were made of them",
    "open": "entries are of months that are not over, or not asked for",
    "deleted": "small objects were deleted, whose lines the months' objects bear out",
    "unfit": "small objects are NOT entries at their place: left alone",
    "unproved": "entries were NOT found as they are in their month's object: nothing of them goes",
    "undeleted": "small objects could NOT be deleted",
}
_BAD = ("unfit", "unproved", "undeleted")


def compact(stack: str, month: str | None, *, delete: bool, as_json: bool) -> int:
    """Compact months that are over, or one; 1 if an entry is not borne out. Raises Failure."""
    if month is not None and not is_closed(month, datetime.now(UTC)):
        raise Failure(f"{month} is no month, as 2026-10, that has been over for a day", USAGE)
    archive = archive_of(stack)
    counts: Counter[str] = Counter()
    for folder, listed in _folders(archive):
        _Folder(archive, folder, month, counts).compact(listed, delete=delete)
        progress(f"{folder}: {counts['compacted']} entries put together so far")
    bad = sum(counts[name] for name in _BAD)
    if as_json:
        print(json.dumps({name: counts[name] for name in _SAID}))
    else:
        for name, said in _SAID.items():
            if counts[name]:
                print(f"{counts[name]:>11} {said}")
        if not bad:
            print("every entry of a month that is over is in an object of that month")
    return NO if bad else 0


def _folders(archive: Archive) -> Iterator[tuple[str, list[Listed]]]:
    """Yield the folders of the catalogue with what lies in them, one at a time."""
    everything = (each for page in archive.pages(archive.catalogue) for each in page)
    for folder, listed in groupby(everything, key=lambda each: each.folder):
        yield folder, list(listed)


@dataclass
class _Folder:
    """A report type, format and year."""

    archive: Archive
    name: str
    only: str | None  # a month, or all
    counts: Counter[str]
    # By the key at which an entry lies, or lay: a digest of its line, as the months' objects, read
    # from the bucket, have it. Two that differ prove neither.
    _proofs: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def compact(self, listed: Sequence[Listed], *, delete: bool) -> None:
        """Put together what is in no month's object yet; delete what is proved, if asked to."""
        for each in listed:
            if each.is_month:
                self._read_back(each.key)
        small = [each.key for each in listed if job_of_entry(each.key) is not None]
        months: dict[str, list[str]] = defaultdict(list)
        lines: dict[str, bytes] = {}
        wanted = small if delete else [key for key in small if key not in self._proofs]
        for key, line in self.archive.read_many(wanted):
            month = self._month_of(key, line)
            if month is None:
                self.counts["unfit"] += 1
            elif not is_closed(month, datetime.now(UTC)) or self.only not in {None, month}:
                self.counts["open"] += 1
            else:
                lines[key] = digest(line or b"")
                if key not in self._proofs:
                    months[month].append(key)
        for month, keys in months.items():
            self._put_together(month, sorted(keys))
        proved = [key for key, line in lines.items() if self._proofs.get(key) == {line}]
        self.counts["unproved"] += len(lines) - len(proved)
        if delete:
            for first in range(0, len(proved), _MOST_DELETED):
                self._delete(proved[first : first + _MOST_DELETED])

    def _month_of(self, key: str, line: bytes | None) -> str | None:
        try:
            receipt = read_line(line or b"", prefix=self.archive.prefix)
        except ValueError:
            return None
        return receipt.archived_at[:7] if receipt.catalogue_key == key else None

    def _put_together(self, month: str, keys: Sequence[str]) -> None:
        """Have the function write a month, in as many objects as it takes, and read them back."""
        waiting = list(keys)
        while waiting:
            now, later = waiting[:MOST_MONTH_ENTRIES], waiting[MOST_MONTH_ENTRIES:]
            told = self.archive.ask(month=month, keys=now)
            if told["left"] == now:
                raise Failure("the function had no time to read: raise its FunctionTimeout", NO)
            if told["key"] is not None:
                self._read_back(told["key"])
                self.counts["months"] += 1
            self.counts["compacted"] += told["entries"]
            waiting = [*told["left"], *later]

    def _read_back(self, key: str) -> None:
        for line, receipt in self.archive.lines(key):
            if receipt is not None and receipt.catalogue_key is not None:
                self._proofs[receipt.catalogue_key].add(digest(line))

    def _delete(self, keys: Sequence[str]) -> None:
        answer = self.archive.s3.delete_objects(
            Bucket=self.archive.bucket,
            Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
        )
        errors = len(answer.get("Errors", []))
        self.counts["undeleted"] += errors
        self.counts["deleted"] += len(keys) - errors
