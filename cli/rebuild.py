"""`archiver audit --rebuild`: the table's receipts anew, from catalogue and bucket.

For a table that is empty, or lacks items. Only where a job has no item one is written, on the
condition that there is still none (states.py, rebuild): what lives in the table is left alone. Each
object is looked at before (one HEAD, as an audit does); the newest entry of a job whose object is
there counts. An object without an entry is taken if its own metadata say that this archiver wrote
it for the job in its key; whatever else lies below the prefix is counted and left.

Interrupted, the same command goes on. Held are some bytes for each entry and object (marks.py), and
the receipts of jobs that have several.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from archiver import states
from archiver.catalogue import job_of_entry, read_line
from archiver.errors import Failure as AwsFailure
from archiver.job import UNKNOWN, job_ids_in
from archiver.moment import read_moment
from archiver.receipt import Receipt, bare_etag, iso_utc
from cli.athena_ddl import DEFAULT_KEY_TEMPLATE
from cli.audit import EXPLAINED, FINE, compare
from cli.catalogue import AT_ONCE, archive_of, progress
from cli.failure import NO
from cli.job_items import scan_keys
from cli.marks import Marks, mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cli.catalogue import Archive

__all__ = ["rebuild", "receipt_of_object"]

# As archived, in any case; of one that was to go the item says that it is not asked for again.
_THERE = (*FINE, "other MD5")
_SAID = {
    "rebuilt": "items were written anew from the catalogue",
    "from_object": "items were written anew from objects that have no entry",
    "has_item": "entries, or objects, are of jobs that have an item: it was left as it is",
    "not_ours": "objects below the prefix are not this archiver's, by key or metadata: left alone",
    "ambiguous": "objects are of jobs with several, none where a template has it: left alone",
    "unseen": "objects could NOT be looked at, because S3 refused: left alone",
    "unreadable_entries": "lines of the catalogue cannot be read",
}


def rebuild(stack: str, *, as_json: bool) -> int:
    """Write the items that the table lacks; 1 if an object is not there, or cannot be looked at.

    As JSON: a line for each entry that was not written for that reason, and one with the counts.
    Raises Failure.
    """
    told: Counter[str] = Counter()
    bad = 0
    rebuilding = _Rebuilding(archive_of(stack), told)
    for receipt, found in rebuilding.run():
        bad += 1
        if as_json:
            print(json.dumps({"found": found, **receipt.to_fields()}))
        else:
            print(f"{found:<11} job {receipt.job_id}  s3://{receipt.bucket}/{receipt.key}")
    if as_json:
        print(json.dumps({**{name: told[name] for name in _SAID}, "not_written": bad}))
    else:
        for name, said in _SAID.items():
            if told[name]:
                print(f"{told[name]:>11} {said}")
        print(
            f"{bad} jobs of the catalogue were NOT written, because the bucket does not bear their "
            "entries out: keep the vendor's copies"
            if bad
            else "every job of the catalogue has its item"
        )
    return NO if bad or told["unseen"] else 0


@dataclass
class _Rebuilding:
    """One run; `told` counts by the words of _SAID."""

    archive: Archive
    told: Counter[str]
    _items: Marks = field(default_factory=Marks)  # jobs that have one
    _told_objects: Marks = field(default_factory=Marks)  # keys that an item or an entry names

    def run(self) -> Iterator[tuple[Receipt, str]]:
        """Yield the receipts that the bucket does not bear out, with what was found there."""
        for items in scan_keys(self.archive.table):
            for item in items:
                self._items.add(item["job_id"])
                if item["key"]:
                    self._told_objects.add(item["key"])
        entries, in_months, several = self._overview()
        held: dict[str, list[Receipt]] = {}
        for receipts in self._read(in_months):
            alone = []
            for receipt in receipts:
                entry = mark(str(receipt.catalogue_key))
                if entry not in entries:  # told before, by another object
                    continue
                entries.remove(entry)
                self._told_objects.add(receipt.key)
                if receipt.job_id in self._items:
                    self.told["has_item"] += 1
                elif receipt.job_id in several:
                    held.setdefault(receipt.job_id, []).append(receipt)
                else:
                    alone.append([receipt])
            yield from self._write(alone)
        yield from self._write(list(held.values()))
        self._take_objects()

    def _overview(self) -> tuple[set[int], Marks, Marks]:
        """Return the marks of all entries; which of them months hold; jobs that have several."""
        entries: set[int] = set()
        in_months, jobs = Marks(), Marks()

        def add(key: str, job_id: str) -> None:
            if (entry := mark(key)) not in entries:
                entries.add(entry)
                jobs.add(job_id)

        for page in self.archive.pages(self.archive.catalogue):
            for listed in page:
                if not listed.is_month:
                    if (job_id := job_of_entry(listed.key)) is not None:
                        add(listed.key, job_id)
                    continue
                for _, told in self.archive.lines(listed.key):
                    if told is None or told.catalogue_key is None:
                        self.told["unreadable_entries"] += 1
                    else:
                        in_months.add(told.catalogue_key)
                        add(told.catalogue_key, told.job_id)
        return entries, in_months, jobs.repeated()

    def _read(self, in_months: Marks) -> Iterator[list[Receipt]]:
        """Yield all entries, some at a time; of those that a month holds its lines alone."""
        for page in self.archive.pages(self.archive.catalogue):
            small = []
            for listed in page:
                if listed.is_month:
                    lines = self.archive.lines(listed.key)
                    yield [told for _, told in lines if told is not None]
                elif job_of_entry(listed.key) is not None and listed.key not in in_months:
                    small.append(listed.key)
            read = [self._receipt(*each) for each in self.archive.read_many(small)]
            yield [receipt for receipt in read if receipt is not None]

    def _receipt(self, key: str, line: bytes | None) -> Receipt | None:
        """Read an entry, which must be of the job and the bytes that its own key names."""
        try:
            receipt = read_line(line or b"", prefix=self.archive.prefix)
        except ValueError:
            receipt = None
        if receipt is None or receipt.catalogue_key != key:
            self.told["unreadable_entries"] += 1
            return None
        return receipt

    def _write(self, jobs: Sequence[list[Receipt]]) -> Iterator[tuple[Receipt, str]]:
        """Write the item of each job from the newest of its entries whose object is there."""
        if not jobs:
            return
        with ThreadPoolExecutor(AT_ONCE) as workers:
            for receipt, found in workers.map(self._write_one, jobs):
                if found in EXPLAINED:
                    yield receipt, found
                else:
                    self.told[found] += 1
        progress(f"{self.told['rebuilt']} items written")

    def _write_one(self, entries: list[Receipt]) -> tuple[Receipt, str]:
        newest, *_ = ordered = sorted(entries, key=lambda one: one.archived_at, reverse=True)
        verdicts = []
        for receipt in ordered:
            verdicts.append(compare(self.archive.s3, receipt.to_fields(), self.archive.prefix))
            if verdicts[-1] in _THERE:
                return receipt, "rebuilt" if self._is_put(receipt) else "has_item"
        return newest, verdicts[0]

    def _take_objects(self) -> None:
        """Write the items of jobs whose objects lie in the bucket without an entry.

        First of those at a key as the templates make it; a copy that somebody put elsewhere has the
        same metadata. Elsewhere only the one object of its job is taken, of several none.
        """
        elsewhere: dict[str, list[str]] = {}
        for page in self.archive.pages(self.archive.prefix):
            fitting = []
            for key in (listed.key for listed in page):
                ours = (self.archive.catalogue, self.archive.records)
                if key.startswith(ours) or key in self._told_objects:
                    continue
                job_ids = job_ids_in(key)
                if not job_ids:
                    self.told["not_ours"] += 1
                elif self._named(key, job_ids[-1]) is None:
                    elsewhere.setdefault(job_ids[-1], []).append(key)
                else:
                    fitting.append(key)
            self._take(fitting)
        self.told["ambiguous"] += sum(len(keys) for keys in elsewhere.values() if len(keys) > 1)
        self._take([keys[0] for keys in elsewhere.values() if len(keys) == 1])

    def _named(self, key: str, job_id: str) -> dict[str, str] | None:
        rest = key.removeprefix(self.archive.prefix)
        return _named_in(rest, self.archive.key_template, job_id)

    def _take(self, keys: Sequence[str]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as workers:
            self.told.update(workers.map(self._take_object, keys))

    def _take_object(self, key: str) -> str:
        try:
            head = self.archive.s3.head_object(
                Bucket=self.archive.bucket, Key=key, ChecksumMode="ENABLED"
            )
        except ClientError as error:  # of others, perhaps, under a key of theirs
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            return "unseen"
        receipt = receipt_of_object(self.archive, key, head)
        if receipt is None:
            return "not_ours"
        return "from_object" if self._is_put(receipt) else "has_item"

    def _is_put(self, receipt: Receipt) -> bool:
        if receipt.job_id in self._items:
            return False
        move = states.rebuild(receipt, datetime.now(UTC))
        try:
            return self.archive.items.is_made(move, "Writing an item anew")
        except AwsFailure as failure:  # what boto3 raised says more to a person
            raise failure.__cause__ or failure from None


def receipt_of_object(archive: Archive, key: str, head: Mapping[str, Any]) -> Receipt | None:
    """Return what an object's own metadata say of it; None where it is not surely ours.

    transfer/copier.py writes them, in every version. What they do not tell, and the key neither, is
    "unknown"; of how it was verified nothing is known any more: "metadata".
    """
    said = head.get("Metadata", {})
    job_id, archived_at = said.get("job-id"), read_moment(said.get("archived-at"))
    told = all(said.get(name) for name in ("source-etag", "copy-method", "archiver-version"))
    if not told or archived_at is None or job_id not in job_ids_in(key):
        return None
    named = _named_in(key.removeprefix(archive.prefix), archive.key_template, job_id) or {}
    etag, source_etag = bare_etag(head.get("ETag", "")), bare_etag(said["source-etag"])
    return Receipt(
        job_id=job_id,
        report_type=named.get("report_type", UNKNOWN),
        output_format=named.get("output_format", UNKNOWN),
        start_date=named.get("start_date", UNKNOWN),
        end_date=named.get("end_date", UNKNOWN),
        bucket=archive.bucket,
        key=key,
        version_id=head.get("VersionId"),
        size_bytes=head["ContentLength"],
        etag=etag,
        checksum_crc64nvme=head.get("ChecksumCRC64NVME"),
        source_etag=source_etag,
        copy_method=said["copy-method"],
        verified_by="metadata",
        archived_at=iso_utc(archived_at),
        duration_seconds=0.0,
        etags_agree=True if etag == source_etag else None,
    )


def _named_in(key: str, key_template: str, job_id: str) -> dict[str, str] | None:
    """Return the fields of a job that its key names, by the stack's template or the default one.

    Only a field that has a segment of the key to itself is read: between slashes nothing is left to
    guess. None for a key that neither template makes.
    """
    for template in (key_template, DEFAULT_KEY_TEMPLATE):
        wanted, there = template.split("/"), key.split("/")
        if len(wanted) != len(there):
            continue
        found: dict[str, str] = {}
        for pattern, segment in zip(wanted, there, strict=True):
            parts = list(string.Formatter().parse(pattern))
            names = [name for _, name, _, _ in parts if name]
            if len(names) > 1 or "job_id" in names:
                if job_id not in segment:
                    break
                continue
            before = parts[0][0] if parts else ""
            after = parts[1][0] if len(parts) > 1 else ""
            if not (segment.startswith(before) and segment.endswith(after)):
                break
            value = segment.removeprefix(before).removesuffix(after)
            if names:
                found[names[0]] = unquote(value)
            elif value:
                break
        else:
            return found
    return None
