"""The catalogue: one small object in the bucket for each archived export. Pure.

    catalogue/report_type=units/format=csv/year=2026/<job id>.<checksum>.json    one line of JSON

It outlives the table: what was archived when, and how it was verified, can be read from the bucket
alone (docs/operations.md), and queries tell by it which revision of a window is the newest
(docs/athena.md). A job that is archived again with other bytes has an entry more. `year` is the one
in which it was archived. Hive takes a folder with a leading underscore or dot for hidden, so the
name has none; no export's key is made below it (object_key.py).
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from archiver.job import UNKNOWN
from archiver.receipt import Receipt

__all__ = ["FOLDER", "MOST_VALUE_BYTES", "entry_key", "entry_line", "escape_value", "receipt_of"]

FOLDER = "catalogue/"  # below KeyPrefix
_SCHEMA_VERSION = "1"
# What a receipt calls otherwise, because these are reserved words, functions or partitions where
# entries are queried (Athena User Guide, "Reserved keywords").
_COLUMNS = {"key": "object_key", "window": "order_window", "cycle": "order_cycle"}
_NOT_TOLD = frozenset({"emitted_at", "catalogue_key"})  # they follow the entry
MOST_VALUE_BYTES = 96  # escaped


def entry_key(receipt: Receipt, *, prefix: str) -> str:
    """Return where a receipt's entry lies, at most 1,024 bytes as long as the prefix is one."""
    folders = (
        f"report_type={escape_value(receipt.report_type)}",
        f"format={escape_value(receipt.output_format)}",
        f"year={receipt.archived_at[:4]}",
    )
    name = f"{receipt.job_id}.{_mark(receipt)}.json"
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


def escape_value(value: str) -> str:
    """Escape one partition value as Hive does, so that no "." or "/" remains; "unknown" for none.

    At most 96 bytes: real values have at most ten.
    """
    escaped = quote(value, safe="").replace(".", "%2E").replace("~", "%7E")
    return escaped if 0 < len(escaped) <= MOST_VALUE_BYTES else UNKNOWN


def _mark(receipt: Receipt) -> str:
    """Return what tells two archivings of one job apart, in letters that any key may have."""
    if receipt.checksum_crc64nvme is None:  # a store that tells none
        return f"etag-{escape_value(receipt.etag)}"
    return base64.b64decode(receipt.checksum_crc64nvme).hex()
