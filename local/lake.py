"""The archived lake as a company would ask it: what lies in the folder that mirrors the bucket.

Only what the keys' Hive partitions say and what the files hold is used, the catalogue's among them;
neither events nor the table of receipts. It reads with the example consumer's own reader
(`export_reader.py` is a link to it) and asks docs/lake.sql what is current; it must not change a
file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from local.export_reader import FORMATS, open_export

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LakeRow", "read_lake"]

_LAKE_SQL = Path(__file__).resolve().parents[1] / "docs" / "lake.sql"

Partition = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class LakeRow:
    """One partition of the lake; a date is text, for what the vendor did not tell is `unknown`.

    `current_row_count`: without the rows of exports that were superseded by a newer revision.
    """

    report_type: str
    format: str
    start_date: str
    end_date: str
    export_count: int
    row_count: int
    current_row_count: int


def read_lake(folder: Path) -> list[LakeRow]:
    """Return the partitions that hold rows, in order; raises UnfitError for what cannot be read.

    An export of zero bytes, or with a header alone, holds none, in whatever format.
    """
    exports: Counter[Partition] = Counter()
    rows: Counter[Partition] = Counter()
    current: Counter[Partition] = Counter()
    with duckdb.connect() as connection:
        superseded = _superseded(connection, folder)
        for partition, path in _files(folder):
            with open_export(connection, path, partition[1], str(path)) as cells:
                exports[partition] += cells.row_count > 0
                rows[partition] += cells.row_count
                current[partition] += 0 if path in superseded else cells.row_count
    return [
        LakeRow(*partition, exports[partition], rows[partition], current[partition])
        for partition in sorted(exports)
        if rows[partition]
    ]


def _superseded(connection: duckdb.DuckDBPyConnection, folder: Path) -> set[Path]:
    """Return the files of which the catalogue says that a newer revision took their place."""
    if next(folder.glob("catalogue/**/*.json*"), None) is None:  # a pattern of no file is an error
        return set()
    root = str(folder).replace("'", "''")
    connection.execute(f"SET VARIABLE archive = '{root}'; SET VARIABLE key_prefix = ''")
    connection.execute(_LAKE_SQL.read_text(encoding="utf-8"))
    found = connection.execute("SELECT filename FROM exports_superseded").fetchall()
    return {Path(filename) for (filename,) in found}


def _files(folder: Path) -> Iterator[tuple[Partition, Path]]:
    """Yield each export with its partition, as the default key template's folders name it."""
    for output_format in FORMATS:
        for path in sorted(
            folder.glob(f"report_type=*/format={output_format}/**/*.{output_format}")
        ):
            folders = path.relative_to(folder).parent.parts
            told = dict(part.split("=", 1) for part in folders if "=" in part)
            dates = told["start_date"], told["end_date"]
            yield (told["report_type"], output_format, *dates), path
