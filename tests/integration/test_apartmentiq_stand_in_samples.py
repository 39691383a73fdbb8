"""The demo's sample exports are what their names say, and readable by what a company would use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from local.apartmentiq import BytesExport
from local.sample_exports import (
    SampleExport,
    empty_export,
    floorplans_parquet,
    large_csv,
    property_jsonl,
    units_csv,
)

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


def count_rows(sample: SampleExport, reader: str, folder: Path) -> int:
    """Write a sample down and let DuckDB count its rows."""
    path = folder / "export"
    with path.open("wb") as file:
        for chunk in sample.content.chunks(0, sample.content.size_bytes):
            file.write(chunk)
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT count(*) FROM {reader}(?)", [str(path)]).fetchone()  # noqa: S608 - the reader's name is ours
    return int(rows[0]) if rows else -1


@pytest.mark.parametrize(
    ("sample", "reader", "rows"),
    [
        (units_csv(), "read_csv", 200),
        (property_jsonl(), "read_json", 60),
        (floorplans_parquet(), "read_parquet", 50_000),
        (large_csv(1), "read_csv", MIB // 64 - 1),
    ],
    ids=lambda value: value.title if isinstance(value, SampleExport) else str(value),
)
def test_samples_open_in_duckdb(
    sample: SampleExport, reader: str, rows: int, tmp_path: Path
) -> None:
    """Each format is the real format, with as many rows as promised."""
    assert count_rows(sample, reader, tmp_path) == rows


def test_samples_have_the_sizes_that_the_demo_shows() -> None:
    """Nothing at all, a few kilobytes, and a quarter of a GiB to the byte."""
    assert empty_export().content.size_bytes == 0
    assert 5_000 < units_csv().content.size_bytes < 50_000
    assert large_csv(256).content.size_bytes == 256 * MIB


def test_samples_are_the_same_each_time() -> None:
    """Two runs can be compared byte for byte."""
    first, second = units_csv().content, units_csv().content
    assert isinstance(first, BytesExport)
    assert first == second
    assert large_csv(2).content.etag() == large_csv(2).content.etag()
