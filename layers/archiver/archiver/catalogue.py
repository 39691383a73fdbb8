"""The catalogue: one small object in the bucket for each archived export. Pure.

    catalogue/report_type=units/format=csv/year=2026/<job id>.<checksum>.json    one line of JSON
    catalogue/report_type=units/format=csv/year=2026/2026-10.<digest>.jsonl      of a whole month

It outlives the table: what was archived when, and how it was verified, can be read from the bucket
alone (docs/operations.md), and queries tell by it which revision of a window is the newest
(docs/athena.md). A job that is archived again with other bytes has an entry more. `year` is the one
in which it was archived. Hive takes a folder with a leading underscore or dot for hidden, so the
name has none; no export's key is made below it (object_key.py).

A month that is over is compacted into few objects, named by their content, so that a query opens
hundreds and not hundreds of thousands. The lines are those of the small objects, byte for byte: as
long as both lie there, an entry is told twice, and counts once, by its place (`entry_key`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from archiver.job import UNKNOWN
from archiver.receipt import Receipt

__all__ = [
    "FOLDER",
    "MOST_MONTH_ENTRIES",
    "MOST_VALUE_BYTES",
    "RECORDS_FOLDER",
    "archiving_mark",
    "entry_key",
]
__all__ += [
    "entry_line",
    "escape_value",
    "is_closed",
    "job_of_entry",
    "month_key",
    "read_line",
    "receipt_of",
]

FOLDER = "catalogue/"  # below KeyPrefix
RECORDS_FOLDER = "catalogue-superseded/"  # beside it: superseded.py
_SCHEMA_VERSION = "1"
# What a receipt calls otherwise, because these are reserved words, functions or partitions where
# entries are queried (Athena User Guide, "Reserved keywords").
_COLUMNS = {"key": "object_key", "window": "order_window", "cycle": "order_cycle"}
_NOT_TOLD = frozenset({"emitted_at", "catalogue_key"})  # they follow the entry
MOST_VALUE_BYTES = 96  # escaped
# In one compacted object: 5 MB of lines at 1 KB, which the smallest function (128 MB) still holds
# twice, and a minute or two of reading one by one, of Lambda's fifteen (`make bench-catalogue`).
MOST_MONTH_ENTRIES = 5_000
_SETTLES = timedelta(days=1)  # a run of that month has ended long before (Lambda: 15 minutes)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_ENTRY = re.compile(r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[^/]+\.json")


def entry_key(receipt: Receipt, *, prefix: str) -> str:
    """Return where a receipt's entry lies, at most 1,024 bytes as long as the prefix is one."""
    folders = (
        f"report_type={escape_value(receipt.report_type)}",
        f"format={escape_value(receipt.output_format)}",
        f"year={receipt.archived_at[:4]}",
    )
    name = f"{receipt.job_id}.{archiving_mark(receipt)}.json"
    return f"{prefix}{FOLDER}{'/'.join(folders)}/{name}"


def entry_line(receipt: Receipt) -> bytes:
    """Return the entry: one line of JSON, flat, whose columns are the same in every entry."""
    told = {
        _COLUMNS.get(name, name): value
        for name, value in receipt.to_fields().items()
        if name not in _NOT_TOLD
    }
    entry = {"schema_version": _SCHEMA_VERSION, **told}
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def receipt_of(entry: dict[str, Any], catalogue_key: str | None = None) -> Receipt:
    """Read a receipt back out of an entry; raises TypeError where one of its fields is missing."""
    told = {
        name: entry[column]
        for name in Receipt.__slots__
        if (column := _COLUMNS.get(name, name)) in entry
    }
    return Receipt.from_fields({**told, "catalogue_key": catalogue_key})


def read_line(line: bytes, *, prefix: str) -> Receipt:
    """Read the receipt out of a line of the catalogue; its `catalogue_key` is where it belongs.

    Raises ValueError for what is no entry.
    """
    try:
        receipt = receipt_of(json.loads(line))
        return replace(receipt, catalogue_key=entry_key(receipt, prefix=prefix))
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError("that is no entry of the catalogue") from error


def job_of_entry(key: str) -> str | None:
    """Return the job of which a small object tells, by its key; None for any other object."""
    found = _ENTRY.search(key)
    return found[1] if found and found.end() == len(key) else None


def month_key(folder: str, month: str, lines: bytes | bytearray) -> str:
    """Return where a month's lines lie, by their content; `folder` is theirs, to its last slash."""
    return f"{folder}{month}.{hashlib.sha256(lines).hexdigest()[:16]}.jsonl"


def is_closed(month: str, now: datetime) -> bool:
    """Tell whether a month, as 2026-10, has been over for a day, so that nothing new is of it.

    What is catalogued of it later (`archiver audit --write-catalogue`) makes an object more.
    """
    if _MONTH.fullmatch(month) is None:
        return False
    year, number = int(month[:4]), int(month[5:])
    next_month = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return now >= next_month + _SETTLES


def escape_value(value: str) -> str:
    """Escape one partition value as Hive does, so that no "." or "/" remains; "unknown" for none.

    At most 96 bytes: real values have at most ten.
    """
    escaped = quote(value, safe="").replace(".", "%2E").replace("~", "%7E")
    return escaped if 0 < len(escaped) <= MOST_VALUE_BYTES else UNKNOWN


def archiving_mark(receipt: Receipt) -> str:
    """Return what tells two archivings of one job apart, in letters that any key may have."""
    if receipt.checksum_crc64nvme is None:  # a store that tells none
        return f"etag-{escape_value(receipt.etag)}"
    return base64.b64decode(receipt.checksum_crc64nvme).hex()
