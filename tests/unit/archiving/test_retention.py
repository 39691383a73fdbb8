"""Revisions that are archived in the same moments: the newest is current, and never goes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from archiver.archiving.retention import Retention
from archiver.errors import Failure
from archiver.receipt import Receipt, iso_utc
from archiver.superseded import Superseded, is_newer, is_record_of, record_key, window_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
RECEIPT = Receipt(
    job_id="00000000-0000-4000-8000-000000000000",
    report_type="units",
    output_format="csv",
    start_date="2026-10-01",
    end_date="2026-10-31",
    bucket="archive",
    key="k/0.csv",
    version_id="v",
    size_bytes=1,
    etag="e",
    checksum_crc64nvme="AAAAAAAAAAA=",
    source_etag="e",
    copy_method="streaming",
    verified_by="crc64nvme",
    archived_at="2026-11-26T10:00:00.000Z",
    duration_seconds=1.0,
    created_at="2026-11-26T09:00:00.000000+00:00",
    property_set="b1f0c86b7f8de6f95a0c5ae7",
    catalogue_key="catalogue/0.json",
)


def drawn(seed: int) -> random.Random:
    """Return what draws."""
    return random.Random(seed)  # noqa: S311 - no secret; a seed repeats the case


@dataclass
class Table:
    """Items with the conditions of aws/superseded_items.py; others write between two calls."""

    seed: random.Random
    waiting: list[Receipt] = field(default_factory=list)
    windows: dict[str, Receipt] = field(default_factory=dict)
    superseded: dict[str, Superseded] = field(default_factory=dict)
    note: Any = None

    def current(self, window: str) -> Receipt | None:
        """Return what is current; perhaps others are noted right after."""
        found = self.windows.get(window)
        while self.waiting and self.seed.random() < 0.5:
            self.note(self.waiting.pop())
        return found

    def replace(self, window: str, current: Receipt | None, receipt: Receipt) -> bool:
        """Replace it if it is still the same."""
        if self.windows.get(window) != current:
            return False
        self.windows[window] = receipt
        return True

    def add(self, superseded: Superseded) -> None:
        """Remember what was superseded, once for each archiving."""
        known = self.superseded.get(superseded.receipt.job_id)
        if known is None or known.receipt.archived_at < superseded.receipt.archived_at:
            self.superseded[superseded.receipt.job_id] = superseded


def retention(table: Table) -> Retention:
    """Return a retention that notes, and does no more."""
    nothing = cast("Any", None)
    made = Retention(
        cast("Any", table), nothing, nothing, nothing, "", 30, lambda: NOW, lambda: 900.0
    )
    table.note = made.note
    return made


def revision(seed: random.Random) -> Receipt:
    """Return one of eight jobs of a window, archived for the first or the second time."""
    number = seed.randrange(8)
    created_at = None if number == 0 else f"2026-11-26T09:00:0{number // 2}.000000+00:00"
    return replace(
        RECEIPT,
        job_id=f"0000000{number}-0000-4000-8000-000000000000",
        key=f"k/{number}.csv",
        created_at=created_at,
        archived_at=f"2026-11-26T10:00:0{seed.randrange(2)}.000Z",
    )


@pytest.mark.parametrize("number", range(300))
def test_however_revisions_meet_the_newest_is_current_and_all_others_are_superseded(
    number: int,
) -> None:
    """As the plain rule says: the greatest creation, then the greatest job id; each job's last."""
    seed = drawn(number)
    jobs = [revision(seed) for _ in range(seed.randrange(1, 7))]
    table = Table(seed, waiting=list(jobs))
    noting = retention(table)
    while table.waiting:
        noting.note(table.waiting.pop())

    newest = max(jobs, key=lambda it: (it.created_at or "", it.job_id, it.archived_at))
    (current,) = table.windows.values()
    assert current == newest
    assert {*table.superseded} >= {it.job_id for it in jobs} - {newest.job_id}
    assert newest.job_id not in table.superseded
    assert all(is_newer(current, known.receipt) for known in table.superseded.values())


def test_a_window_at_which_others_always_win_fails_and_says_so() -> None:
    """The message comes back; nothing is written on a guess."""
    table = Table(drawn(0))
    noting = retention(table)
    table.replace = lambda *_: False  # type: ignore[method-assign] # another was there each time
    with pytest.raises(Failure, match="others did"):
        noting.note(RECEIPT)
    assert (table.windows, table.superseded) == ({}, {})


@pytest.mark.parametrize(
    "change",
    [
        {"report_type": "unknown"},
        {"output_format": "unknown"},
        {"start_date": "unknown"},
        {"end_date": "unknown"},
        {"property_set": None},
        {"catalogue_key": None},
    ],
)
def test_what_is_not_told_in_full_or_not_catalogued_is_not_noted(change: dict[str, Any]) -> None:
    """It stands alone, for ever."""
    table = Table(drawn(0))
    retention(table).note(replace(RECEIPT, **change))
    assert (table.windows, table.superseded) == ({}, {})


@pytest.mark.parametrize("name", ["job_id", "bucket", "key", "version_id", "etag", "archived_at"])
def test_a_record_speaks_of_one_object_alone(name: str) -> None:
    """One of another archiving, or another's, clears nothing of the charge that it is lost."""
    record = {**RECEIPT.to_fields(), "object_key": RECEIPT.key, "tagged_at": iso_utc(NOW)}
    assert is_record_of(record, RECEIPT.to_fields())
    other = {**RECEIPT.to_fields(), name: "2025-01-01T00:00:00.000Z"}
    assert not is_record_of(record, other)
    assert not is_record_of({**record, "tagged_at": None}, RECEIPT.to_fields())
    assert not is_record_of([], RECEIPT.to_fields())


def test_each_archiving_has_a_place_of_its_own() -> None:
    """Also of the same bytes; the year is the one in which they were archived."""
    again = replace(RECEIPT, archived_at="2027-01-01T00:00:00.001Z")
    keys = [record_key(receipt, prefix="x/") for receipt in (RECEIPT, again)]
    assert keys[0].startswith(f"x/catalogue-superseded/year=2026/{RECEIPT.job_id}.")
    assert keys[1].startswith(f"x/catalogue-superseded/year=2027/{RECEIPT.job_id}.")
    assert window_of(RECEIPT) == window_of(again)


def test_days_are_over_when_they_are_and_not_a_millisecond_before() -> None:
    """Days of 24 hours, from the moment that is written down."""
    known = Superseded(RECEIPT, "another", iso_utc(NOW))
    assert not known.is_over(30, NOW + timedelta(days=30) - timedelta(milliseconds=1))
    assert known.is_over(30, NOW + timedelta(days=30))
