"""Random histories of revisions, and what must be read of them at the end.

Windows are exported again and again: restatements, jobs by hand with the same properties or others,
jobs of which the vendor does not tell all, and jobs that were archived again with other bytes under
the same key or, once their dates are told, another. Their catalogue has entries twice, as
compaction leaves them, and none of what was archived before there was a catalogue. `current_cells`
is the rule of docs/athena.md, in plain steps over plain values; it shares nothing with the SQL.
Everything is drawn from one `Random`.
"""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
from pyarrow import parquet

from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, object_key
from archiver.catalogue import entry_key, entry_line
from archiver.intent import fingerprint
from archiver.job import Job
from archiver.receipt import Receipt, iso_utc
from tests.lake.tables import FORMATS

__all__ = ["BUCKET", "PREFIX", "Archiving", "History", "consumed_cells", "current_cells"]
__all__ += ["draw_revisions"]

BUCKET, PREFIX = "archive", "p/"
_BEGAN = datetime(2025, 11, 1, tzinfo=UTC)
_WINDOWS = (
    *(("2025-01-01", "2025-01-31"), ("2025-02-01", "2025-02-28"), ("2025-01-15", "2025-02-14")),
    *(("unknown", "2025-01-31"), ("unknown", "unknown")),
)
_CREATED = (*(_BEGAN + timedelta(hours=hour) for hour in (0, 0, 1, 5)), None)


@dataclass(frozen=True, slots=True)
class Archiving:
    """One archiving of a job: its receipt, and the cells of its export's one column."""

    receipt: Receipt
    cells: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class History:
    """What lies in the bucket in the end, and how it came to be."""

    archivings: list[Archiving] = field(default_factory=list)
    objects: dict[str, Archiving] = field(default_factory=dict)  # by key: the last one written
    entries: dict[str, Receipt] = field(default_factory=dict)  # by key: the first one written
    compacted: dict[str, list[Receipt]] = field(default_factory=dict)  # by key

    def write(self, folder: Path) -> None:
        """Write all objects into a folder that mirrors the bucket."""
        for key, archiving in self.objects.items():
            _write(folder / key, archiving.content)
        for key, receipt in self.entries.items():
            _write(folder / key, entry_line(receipt))
        for key, receipts in self.compacted.items():
            _write(folder / key, b"".join(map(entry_line, receipts)))

    def known(self) -> Iterator[Receipt]:
        """Yield what the catalogue has, each entry as often as it lies there."""
        yield from self.entries.values()
        for receipts in self.compacted.values():
            yield from receipts


def current_cells(history: History) -> set[str]:
    """Return the cells that a reader of current revisions sees in the lake."""
    last: dict[str, Receipt] = {}
    for receipt in history.known():
        known = last.get(receipt.job_id)
        if known is None or known.archived_at <= receipt.archived_at:
            last[receipt.job_id] = receipt
    current = {receipt.key for receipt in _newest(last.values())}
    superseded = {receipt.key for receipt in history.known()} - current
    return {
        cell
        for key, archiving in history.objects.items()
        if key not in superseded
        for cell in archiving.cells
    }


def consumed_cells(archivings: Iterable[Archiving]) -> set[str]:
    """Return the cells that a consumer of all events has, whatever order they came in."""
    last = {each.receipt.job_id: each for each in archivings}  # they were archived in this order
    newest = {receipt.job_id for receipt in _newest(each.receipt for each in last.values())}
    return {cell for job_id in newest for cell in last[job_id].cells}


def _newest(jobs: Iterable[Receipt]) -> Iterable[Receipt]:
    """Return of each window and set of properties the job that was created last."""
    newest: dict[tuple[str | None, ...], Receipt] = {}
    for job in jobs:
        told = (job.report_type, job.output_format, job.start_date, job.end_date, job.property_set)
        by_itself = None in told or "unknown" in told
        window = (job.job_id,) if by_itself else told
        known = newest.get(window)
        if known is None or _rank(known) < _rank(job):
            newest[window] = job
    return newest.values()


def _rank(job: Receipt) -> tuple[str, str]:
    return job.created_at or "", job.job_id


# --- drawing ---


def draw_revisions(dice: Random, number: int, report_type: str = "units") -> History:
    """Draw a history; `number` makes its properties its own, so that several share a bucket."""
    history = History()
    sets = [fingerprint([number * 10 + each]) for each in range(dice.randrange(1, 3))]
    windows = dice.sample(_WINDOWS, dice.randrange(1, 3))
    formats = dice.sample(FORMATS, dice.randrange(1, 3))
    jobs = [
        (_job(dice, report_type, dice.choice(formats), dice.choice(windows), sets), lies_there)
        for _ in range(dice.randrange(1, 6))
        for lies_there in [dice.random() > 0.1]
    ]
    turns = [n for n in range(len(jobs)) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    dice.shuffle(turns)
    now = _BEGAN + timedelta(days=dice.randrange(60))
    for turn, n in enumerate(turns):
        now += timedelta(days=dice.choice((0, 0, 1, 40)), milliseconds=1)
        job, is_catalogued = jobs[n]
        if dice.random() < 0.3:  # what the vendor tells at one time, and not at another
            jobs[n] = _told_otherwise(dice, job, sets), is_catalogued
            if jobs[n][0].start_date != job.start_date:  # a recheck that found no object
                history.objects.pop(_key(job), None)
            job = jobs[n][0]
        _archive(history, _archiving(dice, job, turn, now), is_catalogued=is_catalogued)
    _compact(dice, history)
    return history


def _job(
    dice: Random, report_type: str, output_format: str, window: tuple[str, str], sets: list[str]
) -> Job:
    created_at = dice.choice(_CREATED)
    return Job(
        str(uuid.UUID(int=dice.getrandbits(128))),
        report_type,
        output_format,
        *window,
        created_at="unknown"
        if created_at is None
        else created_at.isoformat(timespec="microseconds"),
        property_set=dice.choice((*sets, *sets, None)),
    )


def _told_otherwise(dice: Random, job: Job, sets: list[str]) -> Job:
    """Tell other properties, or none; and dates where there were none."""
    job = replace(job, property_set=dice.choice((*sets, None)))
    if "unknown" in {job.start_date, job.end_date} and dice.random() < 0.5:
        start_date, end_date = dice.choice(_WINDOWS[:2])
        return replace(job, start_date=start_date, end_date=end_date)
    return job


def _key(job: Job) -> str:
    return object_key(job, prefix=PREFIX, template=DEFAULT_KEY_TEMPLATE)


def _archiving(dice: Random, job: Job, turn: int, now: datetime) -> Archiving:
    same = dice.random() < 0.2  # the same bytes as each time that this is so
    name = f"{job.job_id[:8]}.{'same' if same else turn}"
    cells = tuple(f"{name}.{row}" for row in range(2 if same else dice.randrange(4)))
    content = _WRITERS[job.output_format](cells)
    mark = Random(content).randbytes(8)  # noqa: S311 - stands for a checksum
    receipt = Receipt(
        job_id=job.job_id,
        report_type=job.report_type,
        output_format=job.output_format,
        start_date=job.start_date,
        end_date=job.end_date,
        bucket=BUCKET,
        key=_key(job),
        version_id=f"v{turn}",
        size_bytes=len(content),
        etag=mark.hex(),
        checksum_crc64nvme=base64.b64encode(mark).decode(),
        source_etag=mark.hex(),
        copy_method="streaming",
        verified_by="crc64nvme",
        archived_at=iso_utc(now),
        duration_seconds=0.5,
        created_at=None if job.created_at == "unknown" else job.created_at,
        property_set=job.property_set,
    )
    return Archiving(receipt, cells, content)


def _archive(history: History, archiving: Archiving, *, is_catalogued: bool) -> None:
    receipt = archiving.receipt
    history.archivings.append(archiving)
    history.objects[receipt.key] = archiving
    if is_catalogued:  # If-None-Match: an entry that is there stays
        history.entries.setdefault(entry_key(receipt, prefix=PREFIX), receipt)


def _compact(dice: Random, history: History) -> None:
    """Write entries of a folder once more into one object; sometimes the small ones are gone."""
    for folder in {key.rpartition("/")[0] for key in history.entries}:
        if dice.random() < 0.4:
            continue
        some = [key for key in sorted(history.entries) if key.startswith(f"{folder}/")]
        dice.shuffle(some)
        some = some[dice.randrange(2) :]
        name = f"{folder}/{dice.getrandbits(32):08x}.jsonl"
        history.compacted[name] = [history.entries[key] for key in some]
        if dice.random() < 0.7:
            for key in some:
                del history.entries[key]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _csv(cells: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in ("cell", *cells)).encode()


def _jsonl(cells: Iterable[str]) -> bytes:
    return "".join(json.dumps({"cell": cell}) + "\n" for cell in cells).encode()


def _parquet(cells: Iterable[str]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"cell": pa.array(list(cells), type=pa.string())}), sink)
    return sink.getvalue()


_WRITERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
