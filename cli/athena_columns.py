"""What columns an export has: read off archived files, or written by a person.

Text is read by the example consumer's own reader, which guesses nothing; a Parquet file says its
types itself. The vendor documents no columns, so nobody may invent them: a type that Athena has no
word for is refused by name, and so are files that one table cannot read. Nothing is changed.
"""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from cli.athena_ddl import Column, LayoutError
from local.export_reader import TEXT, UnfitError, open_export, wider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["find_exports", "parse_columns", "read_columns"]

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
_IN_ATHENA = {"TIMESTAMP": "TIMESTAMP_MS"}
# An entry of the catalogue goes on with its year.
_PARTITIONS = re.compile(r"(?:^|/)report_type=([^/]+)/format=([^/]+)/(?!year=)")
_WRITTEN_COLUMN = re.compile(r"\s*(?P<name>[^\s,]+)\s+(?P<type>[a-z][a-z0-9_<>:(),]*)\s*")


def read_columns(exports: Path | Sequence[Path], output_format: str) -> list[Column]:
    """Return the columns of one export, or of several of a kind, from every row of every file.

    Raises LayoutError for what cannot be read and for what Athena cannot say.
    """
    paths = [exports] if isinstance(exports, Path) else exports
    filled = [path for path in paths if path.stat().st_size]
    if not filled:
        raise LayoutError(f"{paths[0]} is empty, so it names no columns; take another export")
    with duckdb.connect() as connection:
        if output_format == "parquet":
            return _parquet_columns(connection, filled)
        try:
            types = _text_types(connection, filled, output_format)
        except UnfitError as error:
            raise LayoutError(str(error)) from error
    return [Column(name, kind) for name, kind in types.items()]


def _text_types(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], output_format: str
) -> dict[str, str]:
    """Return the names and Athena's types of text exports; what has no value anywhere is text."""
    found: dict[str, str | None] = {}
    for path in paths:
        with open_export(connection, path, output_format, str(path)) as cells:
            if output_format == "csv" and found and cells.names and tuple(found) != cells.names:
                raise LayoutError(
                    f"{path} has other columns than {paths[0]}, and Athena reads CSV by position: "
                    "make a table for each shape, from its own files, or order Parquet"
                )
            types = cells.types()
            # Athena cuts a time at milliseconds, and rounds a decimal where a later export has
            # more digits; a double keeps 15 of them.
            asked = {name: _IN_ATHENA[kind] for name, kind in types.items() if kind in _IN_ATHENA}
            asked |= {name: "DOUBLE" for name, kind in types.items() if _has_fraction(kind)}
            cut = cells.unfit(asked)
            for name, kind in types.items():
                kept = kind and (TEXT if name in cut else asked.get(name, kind))
                before = found.get(name)
                found[name] = wider(before, kept) if before or kept else None
    return {name: _text_type(kind, output_format) for name, kind in found.items()}


def _has_fraction(kind: str | None) -> bool:
    return kind is not None and kind.startswith("DECIMAL(") and not kind.endswith(",0)")


def _text_type(kind: str | None, output_format: str) -> str:
    """Return Athena's type; text for what is nested, long whole numbers, or without a value."""
    if kind == "TIMESTAMP_MS":  # the JSON SerDe takes one spelling of times only
        return "string" if output_format == "jsonl" else "timestamp"
    return kind.lower() if kind in {"BOOLEAN", "BIGINT", "DOUBLE", "DATE"} else "string"


def _parquet_columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[Column]:
    found: dict[str, tuple[str, Path]] = {}
    for path in paths:
        try:
            relation = connection.read_parquet(escape(str(path)), hive_partitioning=False)
        except duckdb.Error as error:
            raise LayoutError(f"{path}: {error}") from error
        for name, kind in zip(relation.columns, relation.types, strict=True):
            told = _hive_type(kind, name)
            first, where = found.setdefault(name, (told, path))
            if told != first:
                raise LayoutError(
                    f"{name} is {first} in {where} and {told} in {path}, and a table has one type "
                    "for a column: make a table for each, from its own files"
                )
    return [Column(name, kind) for name, (kind, _) in found.items()]


def find_exports(folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Yield report type, format and all files of each kind, from a copy of the archive.

    The keys must have the default template's first two folders.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        match = _PARTITIONS.search(path.relative_to(folder).as_posix())
        if match and path.is_file():
            found.setdefault((match[1], match[2]), []).append(path)
    for (report_type, output_format), paths in sorted(found.items()):
        yield report_type, output_format, paths


def parse_columns(text: str) -> list[Column]:
    """Read what a person wrote: "date date, rent decimal(8,2), unit_id string"."""
    columns = []
    for part in re.split(r",(?![^(<]*[)>])", text):
        match = _WRITTEN_COLUMN.fullmatch(part)
        if match is None:
            raise LayoutError(f"{part.strip()!r} is not a name and a type, such as: rent double")
        columns.append(Column(match["name"], match["type"]))
    return columns


def _hive_type(kind: Any, column: str) -> str:  # noqa: ANN401 - duckdb ships no types
    children = dict(kind.children) if kind.id in {"decimal", "list", "struct", "map"} else {}
    if kind.id == "decimal":
        return f"decimal({children['precision']},{children['scale']})"
    if kind.id == "list":
        return f"array<{_hive_type(children['child'], column)}>"
    if kind.id == "map":
        parts = [_hive_type(children[part], column) for part in ("key", "value")]
        return f"map<{','.join(parts)}>"
    if kind.id == "struct":
        fields = [f"{n}:{_hive_type(k, column)}" for n, k in children.items()]
        return f"struct<{','.join(fields)}>"
    if kind.id not in _TYPES:
        raise LayoutError(
            f"Athena has no type for {kind} ({column}); give the columns yourself, with --columns"
        )
    return _TYPES[kind.id]
