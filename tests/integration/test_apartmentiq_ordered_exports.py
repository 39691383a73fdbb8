"""What an ordered job brings is what was ordered, and a lake of many exports says what one says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from local.apartmentiq import BytesExport, Order, export_for
from local.apartmentiq.jobs import OUTPUT_FORMATS, REPORT_TYPES

if TYPE_CHECKING:
    from pathlib import Path

READERS = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}
ROWS_OF_A_DAY = {"property": 1, "floorplans": 4, "units": 12}


def content(order: Order) -> bytes:
    """Return the bytes of an order's export."""
    export = export_for(order)
    assert isinstance(export, BytesExport)
    return export.content


def rows_of(folder: Path, *orders: Order) -> list[tuple[object, ...]]:
    """Return the rows of orders of one report, as a lake has them: whatever their formats."""
    folder.mkdir()
    parts = []
    for number, order in enumerate(orders):
        path = folder / f"{number}.{order.output_format}"
        path.write_bytes(content(order))
        parts.append(f"SELECT * FROM {READERS[order.output_format]}('{path}')")  # noqa: S608 - ours
    with duckdb.connect() as lake:
        columns = "CAST(date AS DATE) AS date, * EXCLUDE (date)"
        numbers = {"property": "occupancy_percent"}.get(orders[0].report_type, "market_rent")
        return lake.execute(
            f"SELECT {columns} REPLACE (CAST({numbers} AS DECIMAL(8, 2)) AS {numbers}) "  # noqa: S608 - ours
            f"FROM ({' UNION ALL BY NAME '.join(parts)}) ORDER BY ALL"
        ).fetchall()


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
@pytest.mark.parametrize("report_type", REPORT_TYPES)
def test_an_export_has_each_day_and_property_that_was_ordered(
    tmp_path: Path, report_type: str, output_format: str
) -> None:
    """From the first day to the last, in the format, and the same bytes at the next time."""
    order = Order(report_type, output_format, (7, 5, 7), "2024-02-27", "2024-03-01")
    rows = rows_of(tmp_path / "lake", order)
    assert {row[:2] for row in rows} == {
        (date(2024, 2, 27) + timedelta(days=day), property_id)
        for day in range(4)
        for property_id in (5, 7)
    }
    assert len(rows) == len(set(rows)) == 8 * ROWS_OF_A_DAY[report_type]
    assert content(order) == content(order)


@pytest.mark.parametrize("report_type", REPORT_TYPES)
def test_twelve_months_in_chunks_say_what_one_year_says(tmp_path: Path, report_type: str) -> None:
    """Whatever the windows, the chunks of properties and the formats were."""
    year = Order(report_type, "parquet", (1, 2, 3), "2024-01-01", "2024-12-31")
    months = []
    for month in range(1, 13):
        first = date(2024, month, 1)
        last = date(2024 + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        window = replace(year, start_date=str(first), end_date=str(last))
        output_format = OUTPUT_FORMATS[month % 3]
        months += [
            replace(window, output_format=output_format, property_ids=chunk)
            for chunk in ((1, 2), (3,))
        ]
    whole = rows_of(tmp_path / "year", year)
    assert rows_of(tmp_path / "months", *months) == whole
    assert len(whole) == 366 * 3 * ROWS_OF_A_DAY[report_type]


def test_a_vendor_may_leave_the_last_day_out() -> None:
    """Its pages do not say: a company finds out with one order."""
    two = Order("property", "csv", (5,), "2024-02-27", "2024-02-28")
    without = export_for(two, end_date_counts=False)
    assert without == export_for(replace(two, end_date="2024-02-27"))


def test_a_report_of_ten_years_stays_within_reason() -> None:
    """A unit of each day and property is there still, and no more."""
    decade = Order("units", "csv", tuple(range(1, 301)), "2015-01-01", "2024-12-31")
    assert content(decade).count(b"\n") == 1 + 300 * 3653
