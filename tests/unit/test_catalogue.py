"""An entry of the catalogue: its place, its line, and the receipt that is read back from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from archiver.catalogue import (
    entry_key,
    entry_line,
    is_closed,
    job_of_entry,
    month_key,
    read_line,
    receipt_of,
)
from archiver.receipt import Receipt

RECEIPT = Receipt(
    job_id="7d4fd9c1-3c7c-4a2e-9a51-6f3c8a3a2c11",
    report_type="units",
    output_format="csv",
    start_date="2026-10-01",
    end_date="2026-10-31",
    bucket="archive",
    key="exports/report_type=units/7d4fd9c1.csv",
    version_id="v1",
    size_bytes=12,
    etag="a" * 32,
    checksum_crc64nvme="AAAAAAAAAP8=",
    source_etag="a" * 32,
    copy_method="streaming",
    verified_by="crc64nvme",
    archived_at="2026-11-26T10:00:00.000Z",
    duration_seconds=1.5,
    emitted_at="2026-11-26T10:00:01.000Z",
    etags_agree=True,
    completed_at="2026-11-26T09:59:00+00:00",
    order_name="monthly-units",
    window="2026-10",
    cycle="2026-11-26",
    created_at="2026-11-26T09:50:00.000000+00:00",
    property_set="0" * 24,
)
# Athena User Guide, "Reserved keywords": of DDL and of SELECT, as far as a receipt could meet them.
RESERVED = {"order", "window", "date", "timestamp", "format", "start", "end", "values", "key"}


def test_an_entry_lies_by_type_format_year_job_and_checksum() -> None:
    """Below the prefix, in a folder that Hive does not hide."""
    assert entry_key(RECEIPT, prefix="exports/") == (
        "exports/catalogue/report_type=units/format=csv/year=2026/"
        "7d4fd9c1-3c7c-4a2e-9a51-6f3c8a3a2c11.00000000000000ff.json"
    )


def test_what_is_archived_again_with_other_bytes_has_an_entry_of_its_own() -> None:
    """The same bytes have the same one, whenever they were archived within its year."""
    again = replace(RECEIPT, archived_at="2026-12-01T00:00:00.000Z")
    assert entry_key(again, prefix="") == entry_key(RECEIPT, prefix="")
    other = replace(RECEIPT, checksum_crc64nvme="AAAAAAAAAAE=")
    assert entry_key(other, prefix="") != entry_key(RECEIPT, prefix="")


@pytest.mark.parametrize("etag", ['W/"../x"', "a/b", "b0b-12"])
def test_without_a_checksum_its_etag_tells_it_apart(etag: str) -> None:
    """And cannot add a folder."""
    key = entry_key(replace(RECEIPT, checksum_crc64nvme=None, etag=etag), prefix="")
    assert key.count("/") == entry_key(RECEIPT, prefix="").count("/")
    assert "/.." not in key


def test_a_report_type_cannot_leave_the_catalogue() -> None:
    """It is escaped as in the key of its export."""
    key = entry_key(replace(RECEIPT, report_type="../../x"), prefix="p/")
    assert key.startswith("p/catalogue/report_type=%2E%2E%2F%2E%2E%2Fx/format=csv/")


def test_an_entry_is_one_line_and_gives_its_receipt_back() -> None:
    """All of it but what follows the entry: when it was told, and where the entry lies."""
    line = entry_line(RECEIPT)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    entry = json.loads(line)
    assert not entry.keys() & RESERVED
    assert receipt_of(entry) == replace(RECEIPT, emitted_at=None)
    assert receipt_of(entry, "k").catalogue_key == "k"


def test_a_field_of_a_later_version_is_left_alone() -> None:
    """Readers of this version read on."""
    entry = {**json.loads(entry_line(RECEIPT)), "added_later": 1}
    assert receipt_of(entry) == replace(RECEIPT, emitted_at=None)


def test_an_entry_without_its_key_is_no_receipt() -> None:
    """It raises instead of making one up."""
    entry = json.loads(entry_line(RECEIPT))
    del entry["object_key"]
    with pytest.raises(TypeError, match="key"):
        receipt_of(entry)


def test_a_line_is_read_with_the_place_where_it_belongs() -> None:
    """So that one that lies elsewhere is found out, and one that lies twice counts once."""
    read = read_line(entry_line(RECEIPT), prefix="p/")
    assert read == replace(RECEIPT, emitted_at=None, catalogue_key=entry_key(RECEIPT, prefix="p/"))


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{", b"[]", b"{}", b"7", b"\xff", b'"job_id"', b'{"job_id": 1}']
)
def test_what_is_no_entry_is_told(line: bytes) -> None:
    """It raises, whatever it is."""
    with pytest.raises(ValueError, match="no entry"):
        read_line(line, prefix="")


@pytest.mark.parametrize(
    ("name", "value"), [("archived_at", None), ("report_type", 7), ("checksum_crc64nvme", [])]
)
def test_an_entry_whose_place_cannot_be_told_is_none(name: str, value: object) -> None:
    """A value of another kind is not made to fit."""
    entry = {**json.loads(entry_line(RECEIPT)), name: value}
    with pytest.raises(ValueError, match="no entry"):
        read_line(json.dumps(entry).encode(), prefix="")


def test_small_objects_are_told_from_months() -> None:
    """By their keys alone, which name the job."""
    key = entry_key(RECEIPT, prefix="p/")
    assert job_of_entry(key) == RECEIPT.job_id
    folder = key.rpartition("/")[0] + "/"
    month = month_key(folder, "2026-10", b"lines")
    assert month.startswith("p/catalogue/report_type=units/format=csv/year=2026/2026-10.")
    assert month == month_key(
        "p/catalogue/report_type=units/format=csv/year=2026/", "2026-10", b"lines"
    )
    assert month != month_key(
        "p/catalogue/report_type=units/format=csv/year=2026/", "2026-10", b"line"
    )
    for other in (month, key + ".bak", f"{RECEIPT.job_id}.0.json", "p/catalogue/x.json"):
        assert job_of_entry(other) is None


@pytest.mark.parametrize(
    ("month", "now", "closed"),
    [
        ("2026-10", datetime(2026, 11, 2, tzinfo=UTC), True),
        ("2026-10", datetime(2026, 11, 1, 23, 59, tzinfo=UTC), False),
        ("2025-12", datetime(2026, 1, 2, tzinfo=UTC), True),
        ("2026-12", datetime(2026, 12, 31, tzinfo=UTC), False),
        ("2026-13", datetime(2030, 1, 1, tzinfo=UTC), False),
        ("2026-1", datetime(2030, 1, 1, tzinfo=UTC), False),
        ("", datetime(2030, 1, 1, tzinfo=UTC), False),
    ],
)
def test_a_month_is_over_a_day_after_its_end(month: str, now: datetime, closed: bool) -> None:  # noqa: FBT001 - of a table
    """Nothing is archived in it any more; what is no month is never over."""
    assert is_closed(month, now) == closed
