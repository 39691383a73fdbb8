"""The archived lake as a company would ask it: DuckDB over the folder that mirrors the bucket.

Only what the keys' Hive partitions say and what the files hold is used; neither events nor the
table of receipts. It must not change a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LakeRow", "read_lake"]

_READERS = {
    "csv": "read_csv({files}, all_varchar = true, union_by_name = true, {hive})",
    "jsonl": "read_json({files}, format = 'newline_delimited', union_by_name = true, {hive})",
    "parquet": "read_parquet({files}, union_by_name = true, {hive})",
}
# Dates stay text: what the vendor did not tell reads "unknown".
_HIVE = "hive_partitioning = true, hive_types_autocast = false, filename = true"


@dataclass(frozen=True, slots=True)
class LakeRow:
    """One partition of the lake."""

    report_type: str
    format: str
    start_date: str
    end_date: str
    export_count: int
    row_count: int


def read_lake(folder: Path) -> list[LakeRow]:
    """Return the partitions that hold rows, in order. An export of zero bytes holds none."""
    query = _query(folder)
    if not query:
        return []
    with duckdb.connect() as connection:
        return [LakeRow(*row) for row in connection.execute(query).fetchall()]


def _query(folder: Path) -> str:
    """Return the query over every format that the folder holds; "" if it holds none."""
    parts = []
    for output_format, reader in _READERS.items():
        pattern = f"report_type=*/format={output_format}/**/*.{output_format}"
        if any(path.stat().st_size for path in folder.glob(pattern)):
            files = "'" + f"{escape(str(folder))}/{pattern}".replace("'", "''") + "'"
            source = reader.format(files=files, hive=_HIVE)
            parts.append(
                "SELECT report_type, format, start_date, end_date,\n"
                "       count(DISTINCT filename) AS exports, count(*) AS row_count\n"
                f"FROM {source}\nGROUP BY ALL"
            )
    return "\nUNION ALL\n".join(parts) + "\nORDER BY ALL" if parts else ""
