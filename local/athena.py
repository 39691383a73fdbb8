"""`python -m local athena-ddl`: prints the statements that make the archive's tables in Athena.

It runs nothing: whoever owns the database runs what it prints. Columns come from one's own exports
or by hand; `--samples` writes docs/athena.sql, whose columns are the stand-in's and only plausible.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from local.athena_columns import find_exports, parse_columns, read_columns
from local.athena_ddl import (
    DEFAULT_KEY_TEMPLATE,
    FORMATS,
    Column,
    Lake,
    LayoutError,
    create_database,
    create_table,
    create_typed_view,
)
from local.sample_exports import floorplans_parquet, property_jsonl, units_csv

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from local.athena_ddl import Partitions

__all__ = ["add_options", "run_athena_ddl", "sample_tables", "write_ddl"]

_USAGE_ERROR = 2
_SAMPLES = (floorplans_parquet, property_jsonl, units_csv)

Table = tuple[str, str, list[Column]]  # report type, format, columns


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("--bucket", required=True, help="the stack's output ArchiveBucketName")
    parser.add_argument("--database", default="apartmentiq", help="default: apartmentiq")
    parser.add_argument("--key-prefix", default="", help="the stack's KeyPrefix")
    parser.add_argument("--key-template", default=DEFAULT_KEY_TEMPLATE, help="and KeyTemplate")
    parser.add_argument(
        "--partitions",
        choices=["registered", "injected"],
        default="registered",
        help="see docs/athena.md (default: registered)",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="a copy of the archive (or of one export), whose columns are read",
    )
    source.add_argument("--columns", metavar="TEXT", help='such as "date date, rent decimal(8,2)"')
    source.add_argument("--samples", action="store_true", help="the stand-in's plausible columns")
    parser.add_argument("--report-type", help="of one export, or of --columns")
    parser.add_argument("--format", choices=FORMATS, help="of one export, or of --columns")


def run_athena_ddl(arguments: argparse.Namespace) -> int:
    """Print the DDL; returns 2, with a sentence, for what cannot be a table."""
    lake = Lake(arguments.bucket, arguments.database, arguments.key_prefix, arguments.key_template)
    try:
        text = write_ddl(lake, _tables(arguments), arguments.partitions)
    except (LayoutError, OSError) as error:
        print(f"athena-ddl: {error}", file=sys.stderr)
        return _USAGE_ERROR
    print(text, end="")
    return 0


def write_ddl(lake: Lake, tables: Iterable[Table], partitions: Partitions) -> str:
    """Return the database, each table, and for a CSV the view with its types."""
    statements = [create_database(lake)]
    for report_type, output_format, columns in tables:
        statements.append(create_table(lake, report_type, output_format, columns, partitions))
        if output_format == "csv":
            statements.append(create_typed_view(lake, report_type, columns))
    return "\n".join(statements)


def sample_tables() -> list[Table]:
    """Return every report type in every format, with the columns of the stand-in's exports."""
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for make in _SAMPLES:
            order, content = make().order, make().content
            path = Path(folder, f"{order.report_type}.{order.output_format}")
            path.write_bytes(b"".join(content.chunks(0, content.size_bytes)))
            columns = read_columns(path, order.output_format)
            tables += [(order.report_type, output_format, columns) for output_format in FORMATS]
    return tables


def _tables(arguments: argparse.Namespace) -> list[Table]:
    if arguments.samples:
        return sample_tables()
    if arguments.source and arguments.source.is_dir():
        found = list(find_exports(arguments.source))
        if not found:
            raise LayoutError(f"{arguments.source} has no report_type=…/format=…/ folders")
        return [(kind, fmt, read_columns(path, fmt)) for kind, fmt, path in found]
    if not arguments.report_type or not arguments.format:
        raise LayoutError("say which table it is: --report-type and --format")
    if arguments.columns:
        columns = parse_columns(arguments.columns)
    else:
        columns = read_columns(arguments.source, arguments.format)
    return [(arguments.report_type, arguments.format, columns)]
