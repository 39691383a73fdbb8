"""Exports such as the vendor makes them, small and large, for the demo and the end-to-end tests.

Every call makes the same bytes again, but for the Parquet file, whose bytes are DuckDB's affair.
Nothing here is real: no property, no rent, no resident.
"""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from local.apartmentiq import BytesExport, Order, SyntheticExport

if TYPE_CHECKING:
    from local.apartmentiq import Export

__all__ = [
    "SampleExport",
    "empty_export",
    "floorplans_parquet",
    "large_csv",
    "property_jsonl",
    "units_csv",
]

_MIB = 1024 * 1024
_ROW_BYTES = 64  # a power of two, so that rows never straddle the synthetic block's edge
_UNITS = 200
_LARGE_PROPERTIES = tuple(range(99001416, 99001416 + 700))
_FLOORPLANS = ("Studio", "One Bed", "Two Bed", "Townhome")
_COLUMNS = ("date", "property_id", "unit_id", "floorplan", "beds", "sqft", "market_rent")

_FLOORPLAN_ROWS = """
    SELECT DATE '2025-01-01' + CAST(i % 31 AS INTEGER) AS date,
           99001416 + i % 700 AS property_id,
           ['Studio', 'One Bed', 'Two Bed'][1 + i % 3] AS floorplan,
           CAST(900 + hash(i) % 2600 AS DECIMAL(8, 2)) AS market_rent
    FROM range(50000) AS numbers(i)
"""


@dataclass(frozen=True, slots=True)
class SampleExport:
    """An export, what it shows, and the order that would have produced it."""

    title: str
    order: Order
    content: Export


def empty_export() -> SampleExport:
    """Return a job without a single row: zero bytes."""
    return SampleExport("empty CSV", Order(report_type="units"), BytesExport(b""))


def units_csv() -> SampleExport:
    """Return a CSV of 200 units with a header, quotes and an accent, about 10 kB."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_unit_rows())
    return SampleExport(
        "small CSV", Order(report_type="units"), BytesExport(text.getvalue().encode())
    )


def property_jsonl() -> SampleExport:
    """Return 60 lines of JSON, one property and day each."""
    first = date(2025, 1, 1)
    lines = [
        json.dumps(
            {
                "date": str(first + timedelta(days=day)),
                "property_id": 99001416 + 54 * (day % 2),
                "name": "Résidence du Parc" if day % 2 else "Oak & Elm",
                "occupancy_percent": round(93 + day / 20, 2),
            },
            ensure_ascii=False,
        )
        for day in range(60)
    ]
    order = Order(report_type="property", output_format="jsonl")
    return SampleExport("JSON lines", order, BytesExport(("\n".join(lines) + "\n").encode()))


def floorplans_parquet() -> SampleExport:
    """Return a real Parquet file of 50,000 rows, written by DuckDB."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder, "floorplans.parquet")
        rows = connection.sql(_FLOORPLAN_ROWS)
        rows.write_parquet(str(path))
        content = path.read_bytes()
    order = Order(report_type="floorplans", output_format="parquet")
    return SampleExport("Parquet", order, BytesExport(content))


def large_csv(size_mib: int = 256) -> SampleExport:
    """Return a CSV of exactly so many MiB, in rows of 64 bytes, never held in memory."""
    header = f"{'date,property_id,unit_id,floorplan,beds,sqft,market_rent,note':<63}\n".encode()
    content = SyntheticExport(
        size_bytes=size_mib * _MIB, prefix=header, block=_row_block(), stride_bytes=_ROW_BYTES
    )
    order = Order(
        report_type="units",
        property_ids=_LARGE_PROPERTIES,
        start_date="2020-01-01",
        end_date="2025-12-31",
    )
    return SampleExport(f"{size_mib} MiB CSV", order, content)


def _row_block() -> bytes:
    """Return 1 MiB of rows; the last column fills each up to its fixed length."""
    dice = random.Random(1)  # noqa: S311 - sample rows, not a secret
    rows = []
    for number in range(_MIB // _ROW_BYTES):
        beds = dice.randrange(4)
        rent = dice.randrange(90_000, 450_000) / 100
        day = date(2020, 1, 1) + timedelta(days=dice.randrange(2190))
        fields = f"{day},{_LARGE_PROPERTIES[number % 700]},{number:08d},{_FLOORPLANS[beds]},{beds}"
        row = f"{fields},{dice.randrange(400, 1900)},{rent:.2f},"
        rows.append(row.ljust(_ROW_BYTES - 1, "x") + "\n")
    return "".join(rows).encode()


def _unit_rows() -> list[tuple[object, ...]]:
    dice = random.Random(2)  # noqa: S311 - sample rows, not a secret
    rows: list[tuple[object, ...]] = []
    for number in range(_UNITS):
        beds = dice.randrange(4)
        name = f'{_FLOORPLANS[beds]}, "Café"' if number % 50 == 0 else _FLOORPLANS[beds]
        rent = f"{dice.randrange(90_000, 450_000) / 100:.2f}"
        rows.append(("2025-01-31", 99001416, number, name, beds, dice.randrange(400, 1900), rent))
    return rows
