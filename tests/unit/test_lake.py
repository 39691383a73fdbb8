"""The lake in the archive's folder is read as the example consumer reads it, file by file."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.catalogue import entry_key, entry_line
from local.export_reader import UnfitError
from local.lake import LakeRow, read_lake
from local.sample_exports import floorplans_parquet
from tests.unit.test_catalogue import RECEIPT


def write(folder: Path, kind: str, output_format: str, content: bytes, start: str = "x") -> Path:
    """Write an export to a key of the default template."""
    partition = f"report_type={kind}/format={output_format}/start_date={start}/end_date=y"
    path = folder / partition
    path.mkdir(parents=True, exist_ok=True)
    path = path / f"{len(list(path.iterdir()))}.{output_format}"
    path.write_bytes(content)
    return path


def test_every_row_counts(tmp_path: Path) -> None:
    """A row that looks like a comment, a line break inside quotes, a file of other columns."""
    write(tmp_path, "units", "csv", b"unit,rent\n101,1000\n#102,1100\n103,1200\n")
    write(tmp_path, "units", "csv", b'a;b\r\n"x\r\ny"\r\n;\r\n')
    write(tmp_path, "units", "jsonl", b'{"a": 1}\n\n{"b": "#"}\n')
    assert read_lake(tmp_path) == [
        LakeRow("units", "csv", "x", "y", 2, 5, 5),
        LakeRow("units", "jsonl", "x", "y", 1, 2, 2),
    ]


def test_exports_without_rows_are_no_trouble(tmp_path: Path) -> None:
    """Zero bytes, in Parquet too, and a header alone; a partition that has no row is not shown."""
    sample = floorplans_parquet().content
    content = b"".join(sample.chunks(0, sample.size_bytes))
    write(tmp_path, "floorplans", "parquet", b"")
    write(tmp_path, "floorplans", "parquet", content)
    write(tmp_path, "floorplans", "parquet", b"", start="z")
    write(tmp_path, "units", "csv", b"unit,rent\n")
    assert read_lake(tmp_path) == [LakeRow("floorplans", "parquet", "x", "y", 1, 50_000, 50_000)]


def test_a_superseded_export_counts_among_all_rows_and_not_among_the_current(
    tmp_path: Path,
) -> None:
    """By the catalogue's entries, which are no exports; what they do not name is current."""
    folder = tmp_path / "it's [a] lake"
    for number, rows in enumerate((b"1\n", b"2\n3\n", b"4\n5\n6\n4\n")):
        path = write(folder, "units", "csv", b"unit\n" + rows)
        receipt = replace(
            RECEIPT,
            job_id=f"{number}",
            key=path.relative_to(folder).as_posix(),
            created_at=f"2026-11-0{number + 1}T00:00:00.000000+00:00",
        )
        if number < 2:
            entry = folder / entry_key(receipt, prefix="")
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_bytes(entry_line(receipt))
    assert read_lake(folder) == [LakeRow("units", "csv", "x", "y", 3, 7, 6)]


def test_a_packed_export_and_an_unknown_date_are_read(tmp_path: Path) -> None:
    """What the source had packed is kept packed; what the vendor does not tell reads `unknown`."""
    write(tmp_path, "units", "csv", gzip.compress(b"unit\n1\n2\n"), start="unknown")
    assert read_lake(tmp_path) == [LakeRow("units", "csv", "unknown", "y", 1, 2, 2)]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The lake is not counted without it."""
    write(tmp_path, "units", "csv", b"unit,rent\n1,2\n")
    path = write(tmp_path, "units", "csv", b"unit,rent\n1,2\n3\n")
    with pytest.raises(UnfitError, match=rf"{path}, line 3: 1 cells"):
        read_lake(tmp_path)
