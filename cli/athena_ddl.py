"""The archive as tables of Athena: key template and columns → DDL. Pure.

One table per report type and format, because that is what a table of Athena can read: one schema,
one format. Dates are partitions that are either registered (a partition is told to the catalogue
when its first export arrives) or injected (the query says both dates). They are never projected:
every start with every end makes millions of partitions (docs/athena.md). It must not ask anybody
anything: columns are given, and a layout that Athena cannot read is refused in a sentence.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DEFAULT_KEY_TEMPLATE",
    "FORMATS",
    "REPORT_TYPES",
    "Column",
    "Lake",
    "LayoutError",
    "Partitions",
    "add_partition",
    "create_current_view",
    "create_database",
    "create_table",
    "create_typed_view",
]

Partitions = Literal["registered", "injected"]

# template.yaml's KeyTemplate; tests/template holds the two together
DEFAULT_KEY_TEMPLATE = (
    "report_type={report_type}/format={output_format}"
    "/start_date={start_date}/end_date={end_date}/{job_id}.{extension}"
)
REPORT_TYPES = ("floorplans", "property", "units")
FORMATS = ("csv", "jsonl", "parquet")

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,127}")  # what Athena and Glue take without surprises
_TRINO_TYPES = {"float": "real", "binary": "varbinary"}  # where queries say it otherwise than DDL
_HIVE_SEGMENT = re.compile(r"(?P<name>[a-z][a-z0-9_]*)=\{(?P<field>[a-z_]+)\}")


class LayoutError(ValueError):
    """Athena cannot read this; the text says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the export names it, and its type in Hive's words."""

    source_name: str
    type: str

    @property
    def name(self) -> str:
        """The name in Athena, which knows small letters, digits and underscores."""
        return re.sub(r"[^a-z0-9]+", "_", self.source_name.lower()).strip("_")

    @property
    def is_renamed(self) -> bool:
        """Whether more than capitals differ; those Athena ignores."""
        return self.name != self.source_name.lower()


@dataclass(frozen=True, slots=True)
class Lake:
    """Where the archive is, and the database that its tables belong to."""

    bucket: str
    database: str = "apartmentiq"
    key_prefix: str = ""
    key_template: str = DEFAULT_KEY_TEMPLATE


@dataclass(frozen=True, slots=True)
class _Layout:
    """One report type's and format's place: a fixed folder, and a varying path below it."""

    table: str
    location: str
    varying_path: str
    partitions: tuple[str, ...]
    is_hive: bool


def create_database(lake: Lake) -> str:
    """Return the statement that makes the database."""
    _check_identifier(lake.database, "database")
    return f"CREATE DATABASE IF NOT EXISTS `{lake.database}`;\n"


def create_table(
    lake: Lake,
    report_type: str,
    output_format: str,
    columns: Sequence[Column],
    partitions: Partitions = "registered",
) -> str:
    """Return `CREATE EXTERNAL TABLE` for one report type and format; raises LayoutError.

    In a CSV table every column is a string, by position: the only SerDe that knows quotes takes an
    empty field for no number. `create_typed_view` gives them their types.
    """
    layout = _layout(lake, report_type, output_format)
    if partitions == "registered" and not layout.is_hive:
        raise LayoutError(
            "this key template's folders are not of the form name=value, so a partition cannot be "
            "registered by its dates alone; use injected partitions"
        )
    _check_columns(columns, layout, output_format)
    typed = output_format != "csv"
    described = [f"  `{item.name}` {item.type if typed else 'string'}" for item in columns]
    lines = [
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{lake.database}`.`{layout.table}` (",
        ",\n".join(described),
        ")",
    ]
    if layout.partitions:
        lines.append(f"PARTITIONED BY ({_typed(layout.partitions)})")
    lines += [*_storage(output_format, columns), f"LOCATION '{layout.location}'"]
    properties = _properties(layout, output_format, partitions)
    if properties:
        lines.append("TBLPROPERTIES (\n" + ",\n".join(properties) + "\n)")
    return "\n".join(lines) + ";\n"


def create_typed_view(lake: Lake, report_type: str, columns: Sequence[Column]) -> str:
    """Return the view that gives a CSV table's columns their types; an empty field is NULL.

    A value that is not of its type fails the query instead of vanishing.
    """
    layout = _layout(lake, report_type, "csv")
    selected = _selected(columns, layout, "csv")
    return (
        f'CREATE OR REPLACE VIEW "{lake.database}"."{layout.table}_typed" AS SELECT\n'
        f'{selected}\nFROM "{lake.database}"."{layout.table}";\n'
    )


def create_current_view(
    lake: Lake, report_type: str, output_format: str, columns: Sequence[Column]
) -> str:
    """Return the view of a table's rows without those of superseded exports; of a CSV, with types.

    A file that the catalogue does not name stays: nothing is known that would supersede it.
    """
    layout = _layout(lake, report_type, output_format)
    selected = _selected(columns, layout, output_format)
    # No column of an export begins with an underscore (_check_identifier). "$path" is the object
    # that a row lies in: Athena User Guide, "SELECT", "Getting the file locations for source data".
    return (
        f'CREATE OR REPLACE VIEW "{lake.database}"."{layout.table}_current" AS SELECT\n'  # noqa: S608 - identifiers
        f'{selected}\nFROM "{lake.database}"."{layout.table}"\n'
        'LEFT JOIN (SELECT "path" AS "_superseded" '
        f'FROM "{lake.database}"."exports_superseded") AS "_paths"\n'
        'ON "$path" = "_superseded"\n'
        'WHERE "_superseded" IS NULL;\n'
    )


def add_partition(lake: Lake, report_type: str, output_format: str, **values: str) -> str:
    """Return the statement that registers one partition; to run it again changes nothing."""
    layout = _layout(lake, report_type, output_format)
    if not layout.is_hive or values.keys() != set(layout.partitions):
        raise LayoutError(f"the partitions of {layout.table} are {list(layout.partitions)}")
    if any("'" in value for value in values.values()):
        raise LayoutError("a partition's value has a quote")
    told = ", ".join(f"{name} = '{values[name]}'" for name in layout.partitions)
    return f"ALTER TABLE {layout.table} ADD IF NOT EXISTS PARTITION ({told})"


def _layout(lake: Lake, report_type: str, output_format: str) -> _Layout:
    for name, value in (
        ("report type", report_type),
        ("format", output_format),
        ("database", lake.database),
    ):
        _check_identifier(value, name)
    if output_format not in FORMATS:
        raise LayoutError(f"Athena has no reader here for {output_format!r}; known: {FORMATS}")
    folder, _, _ = (lake.key_prefix + lake.key_template).rpartition("/")
    fixed = {"report_type": report_type, "output_format": output_format, "extension": output_format}
    if not _fields(folder) & {"report_type"} or not _fields(folder) & {
        "output_format",
        "extension",
    }:
        raise LayoutError(
            "this key template does not keep report types and formats in folders of their own, and "
            "Athena reads whole folders: name {report_type} and {output_format} before the last /"
        )
    segments = [_fill(segment, fixed) for segment in folder.split("/")]
    first = next((n for n, item in enumerate(segments) if _fields(item)), len(segments))
    below = segments[first:]
    matches = [_HIVE_SEGMENT.fullmatch(segment) for segment in below]
    names = [
        [match["name"]] if match else _in_order(segment)
        for match, segment in zip(matches, below, strict=True)
    ]
    return _Layout(
        table=f"{report_type}_{output_format}",
        location="/".join((f"s3://{lake.bucket}", *segments[:first], "")),
        varying_path="".join(f"{segment}/" for segment in below),
        partitions=tuple(name for group in names for name in group),
        is_hive=all(matches),
    )


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _fill(segment: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        segment = segment.replace(f"{{{name}}}", value)
    return segment


def _storage(output_format: str, columns: Sequence[Column]) -> list[str]:
    if output_format == "parquet":
        return ["STORED AS PARQUET"]
    if output_format == "csv":
        serde = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
        options = [("separatorChar", ","), ("quoteChar", '"'), ("escapeChar", "\\\\")]
    else:
        serde = "org.openx.data.jsonserde.JsonSerDe"
        options = [
            (f"mapping.{column.name}", column.source_name.lower())
            for column in columns
            if column.is_renamed
        ]
    lines = [f"ROW FORMAT SERDE '{serde}'"]
    if options:
        told = ", ".join(f"'{name}' = '{value}'" for name, value in options)
        lines.append(f"WITH SERDEPROPERTIES ({told})")
    return [*lines, "STORED AS TEXTFILE"]


def _properties(layout: _Layout, output_format: str, partitions: Partitions) -> list[str]:
    told = {"skip.header.line.count": "1"} if output_format == "csv" else {}
    if partitions == "injected" and layout.partitions:
        path = layout.varying_path.replace("{", "${")
        told["projection.enabled"] = "true"
        for name, field in zip(layout.partitions, _in_order(layout.varying_path), strict=True):
            told[f"projection.{name}.type"] = "injected"
            path = path.replace(f"${{{field}}}", f"${{{name}}}")
        told["storage.location.template"] = layout.location + path
    return [f"  '{name}' = '{value}'" for name, value in told.items()]


def _in_order(path: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(path) if name]


def _typed(partitions: Sequence[str]) -> str:
    """Write partitions as strings: "unknown" is a value, and injected ones know no other type."""
    return ", ".join(f"`{name}` string" for name in partitions)


def _selected(columns: Sequence[Column], layout: _Layout, output_format: str) -> str:
    _check_columns(columns, layout, output_format)
    told = [_cast(column) if output_format == "csv" else f'"{column.name}"' for column in columns]
    return ",\n".join(f"  {each}" for each in [*told, *(f'"{name}"' for name in layout.partitions)])


def _cast(column: Column) -> str:
    """Return a column of a CSV view, in Trino's words for types. Its casts know no T in a time."""
    told = f"NULLIF(\"{column.name}\", '')"
    if column.type == "timestamp":
        told = f"REPLACE({told}, 'T', ' ')"
    kind = _TRINO_TYPES.get(column.type, column.type)
    cast = told if column.type == "string" else f"CAST({told} AS {kind})"
    return f'{cast} AS "{column.name}"'


def _check_columns(columns: Sequence[Column], layout: _Layout, output_format: str) -> None:
    if not columns:
        raise LayoutError(f"{layout.table} needs at least one column")
    names = [*(column.name for column in columns), *layout.partitions]
    for name in names:
        if names.count(name) > 1:
            raise LayoutError(
                f"{layout.table} would have two columns {name!r}, with its partitions"
            )
    for column in columns:
        _check_identifier(column.name, f"name of the column {column.source_name!r},")
        if output_format == "parquet" and column.is_renamed:
            raise LayoutError(
                f"Athena finds Parquet columns by name and cannot say {column.source_name!r}; "
                "leave it out by giving the other columns yourself"
            )
        if output_format == "csv" and not re.fullmatch(r"[a-z]+(\(\d+,\d+\))?", column.type):
            raise LayoutError(f"a CSV column cannot be of the type {column.type!r}")


def _check_identifier(text: str, what: str) -> None:
    if not _IDENTIFIER.fullmatch(text):
        raise LayoutError(
            f"the {what} {text!r} is no name in Athena: small letters, digits and underscores"
        )
