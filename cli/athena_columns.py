"""What columns an export has: read off an archived file by DuckDB, or written by a person.

The vendor documents no columns, so nobody may invent them: a type that Athena has no word for is
refused by name. Nothing is changed, and nothing is read but the file that is named.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from cli.athena_ddl import Column, LayoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_exports", "parse_columns", "read_columns"]

# All rows are looked at: types and names that show late in a file count, too.
_READERS = {
    "csv": "read_csv(?, header = true, sample_size = -1, hive_partitioning = false)",
    "jsonl": (
        "read_json(?, format = 'newline_delimited', sample_size = -1, hive_partitioning = false)"
    ),
    "parquet": "read_parquet(?, hive_partitioning = false)",
}
_TYPES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "utinyint": "int",  # Hive has no unsigned types: the next larger one holds every value
    "usmallint": "int",
    "uinteger": "bigint",
    "ubigint": "decimal(20,0)",
    "hugeint": "decimal(38,0)",
    "float": "float",
    "double": "double",
    "varchar": "string",
    "enum": "string",
    "blob": "binary",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "timestamp with time zone": "timestamp",
}
_PARTITIONS = re.compile(r"(?:^|/)report_type=([^/]+)/format=([^/]+)/")
_WRITTEN_COLUMN = re.compile(r"\s*(?P<name>[^\s,]+)\s+(?P<type>[a-z][a-z0-9_<>:(),]*)\s*")


def read_columns(path: Path, output_format: str) -> list[Column]:
    """Return the columns of one export file; raises LayoutError for what Athena cannot say."""
    if output_format not in _READERS:
        raise LayoutError(f"{path.name}: no reader for the format {output_format!r}")
    if not path.stat().st_size:
        raise LayoutError(f"{path} is empty, so it names no columns; take another export")
    with duckdb.connect() as connection:
        relation = connection.sql(
            f"SELECT * FROM {_READERS[output_format]}",  # noqa: S608 - fixed texts
            params=[str(path)],
        )
        described = zip(relation.columns, relation.types, strict=True)
        return [Column(name, _hive_type(kind, name, output_format)) for name, kind in described]


def find_exports(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield report type, format and the largest file of each, from a copy of the archive.

    The largest, because types are read off values. The keys must have the default template's
    first two folders.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.rglob("*")):
        match = _PARTITIONS.search(path.relative_to(folder).as_posix())
        if match and path.is_file():
            kind = (match[1], match[2])
            if kind not in found or path.stat().st_size > found[kind].stat().st_size:
                found[kind] = path
    for (report_type, output_format), path in sorted(found.items()):
        yield report_type, output_format, path


def parse_columns(text: str) -> list[Column]:
    """Read what a person wrote: "date date, rent decimal(8,2), unit_id string"."""
    columns = []
    for part in re.split(r",(?![^(<]*[)>])", text):
        match = _WRITTEN_COLUMN.fullmatch(part)
        if match is None:
            raise LayoutError(f"{part.strip()!r} is not a name and a type, such as: rent double")
        columns.append(Column(match["name"], match["type"]))
    return columns


def _hive_type(kind: Any, column: str, output_format: str) -> str:  # noqa: ANN401 - duckdb ships no types
    children = dict(kind.children) if kind.id in {"decimal", "list", "struct", "map"} else {}
    if kind.id == "decimal":
        return f"decimal({children['precision']},{children['scale']})"
    if kind.id == "list":
        return f"array<{_hive_type(children['child'], column, output_format)}>"
    if kind.id == "map":
        parts = [_hive_type(children[part], column, output_format) for part in ("key", "value")]
        return f"map<{','.join(parts)}>"
    if kind.id == "struct":
        fields = [f"{n}:{_hive_type(k, column, output_format)}" for n, k in children.items()]
        return f"struct<{','.join(fields)}>"
    if output_format == "jsonl" and kind.id.startswith("timestamp"):
        return "string"  # the JSON SerDe takes one spelling of times only
    if kind.id not in _TYPES:
        raise LayoutError(
            f"Athena has no type for {kind} ({column}); give the columns yourself, with --columns"
        )
    return _TYPES[kind.id]
