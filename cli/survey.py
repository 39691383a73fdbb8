"""What `archiver audit` counts beside the receipts: what of table, catalogue and bucket is alone.

Eight bytes for each receipt, entry and object are held, whatever their number (marks.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archiver.catalogue import entry_key, job_of_entry
from archiver.job import job_ids_in
from archiver.receipt import Receipt
from cli.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cli.catalogue import Archive, Listed

__all__ = ["Alone", "Survey"]


@dataclass(frozen=True, slots=True)
class Alone:
    """How many there are of each; all 0 is as it should be, but for `other_objects`.

    Receipts without an entry; jobs with an entry and without a receipt; objects that have a job's
    id in their key, and of which neither tells; lines of the catalogue that cannot be read; objects
    without any job's id, which no stack of ours has archived (its key template must name the id).
    """

    receipts_without_entry: int
    jobs_without_receipt: int
    objects_untold: int
    unreadable_entries: int
    other_objects: int

    def to_fields(self) -> dict[str, int]:
        """Return them as JSON has them."""
        return asdict(self)

    def sentences(self, stack: str) -> Iterator[str]:
        """Yield what a person should know, each with the command that mends it."""
        mend = f"archiver audit --stack {stack}"
        if self.receipts_without_entry:
            yield (
                f"{self.receipts_without_entry} receipts have no entry in the catalogue: "
                f"{mend} --write-catalogue"
            )
        if self.jobs_without_receipt:
            yield (
                f"{self.jobs_without_receipt} jobs are in the catalogue, and not in the table: "
                f"{mend} --rebuild"
            )
        if self.objects_untold:
            yield (
                f"{self.objects_untold} objects have a job's id in their key, and neither table "
                f"nor catalogue tells of them: {mend} --rebuild looks at each"
            )
        if self.unreadable_entries:
            yield f"{self.unreadable_entries} lines of the catalogue cannot be read"


class Survey:
    """Takes first every receipt, then every object, and counts.

    In this order: an entry is written before its receipt, and so is its object. What is younger
    than `before` may be an export that is being archived just now, and is not counted.
    """

    def __init__(self, archive: Archive, before: datetime) -> None:
        self._archive, self._before = archive, before
        self._due = Marks()  # keys of the entries that the receipts should have
        self._jobs = Marks()  # with a receipt
        self._objects = Marks()  # that a receipt or a line of a month tells of
        self._entries = Marks()
        self._entered = Marks()  # jobs with an entry
        self._untold: list[str] = []  # jobs in the keys of objects of which no receipt tells
        self._nameless = self._others = self._unreadable = 0

    def add_receipt(self, receipt: Mapping[str, Any]) -> None:
        """Take a receipt, as it lies in the table."""
        self._jobs.add(receipt["job_id"])
        if receipt["bucket"] == self._archive.bucket:
            self._objects.add(receipt["key"])
        key = due_entry(receipt, self._archive.prefix)
        if key is None:
            self._nameless += 1
        else:
            self._due.add(key)

    def add_object(self, listed: Listed) -> None:
        """Take an object below the prefix; of the catalogue's months the lines are read."""
        if listed.key.startswith(self._archive.records):
            return
        if not listed.key.startswith(self._archive.catalogue):
            self._add_export(listed)
        elif listed.is_month:
            for _, told in self._archive.lines(listed.key):
                if told is None or told.catalogue_key is None:
                    self._unreadable += 1
                    continue
                self._entries.add(told.catalogue_key)
                self._entered.add(told.job_id)
                self._objects.add(told.key)
        elif (job_id := job_of_entry(listed.key)) is not None:
            self._entries.add(listed.key)
            self._entered.add(job_id)
        else:
            self._others += 1

    def _add_export(self, listed: Listed) -> None:
        if listed.key in self._objects or listed.modified >= self._before:
            return
        named = job_ids_in(listed.key)
        if named:
            self._untold.append(named[-1])
        else:
            self._others += 1

    def result(self) -> Alone:
        """Return the counts of all that was taken."""
        return Alone(
            receipts_without_entry=self._due.less(self._entries) + self._nameless,
            jobs_without_receipt=self._entered.less(self._jobs),
            objects_untold=sum(1 for job_id in self._untold if job_id not in self._entered),
            unreadable_entries=self._unreadable,
            other_objects=self._others,
        )


def due_entry(receipt: Mapping[str, Any], prefix: str) -> str | None:
    """Return where the entry of a receipt belongs, None for one that says too little for that."""
    try:
        return entry_key(Receipt.from_fields(receipt), prefix=prefix)
    except TypeError:
        return None
