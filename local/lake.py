"""The archived lake as a company would ask it: what lies in the folder that mirrors the bucket.

Only what the keys' Hive partitions say and what the files hold is used; neither events nor the
table of receipts. It reads with the example consumer's own reader (`export_reader.py` is a link to
it), and must not change a file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from local.export_reader import FORMATS, open_export

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LakeRow", "read_lake"]

Partition = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class LakeRow:
    """One partition of the lake; a date is text, for what the vendor did not tell is `unknown`."""

    report_type: str
    format: str
    start_date: str
    end_date: str
    export_count: int
    row_count: int


def read_lake(folder: Path) -> list[LakeRow]:
    """Return the partitions that hold rows, in order; raises UnfitError for what cannot be read.

    An export of zero bytes, or with a header alone, holds none, in whatever format.
    """
    exports: Counter[Partition] = Counter()
    rows: Counter[Partition] = Counter()
    with duckdb.connect() as connection:
        for partition, path in _files(folder):
            with open_export(connection, path, partition[1], str(path)) as cells:
                exports[partition] += cells.row_count > 0
                rows[partition] += cells.row_count
    return [
        LakeRow(*partition, exports[partition], rows[partition])
        for partition in sorted(exports)
        if rows[partition]
    ]


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
