"""`archiver athena-ddl`: prints the statements that make the archive's tables in Athena.

It runs nothing: whoever owns the database runs what it prints. Columns come from one's own exports
or by hand; `--samples` writes docs/athena.sql, whose columns are the stand-in's and only plausible.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.athena_catalogue import create_exports, create_revisions, create_superseded
from cli.athena_columns import find_exports, parse_columns, read_columns
from cli.athena_ddl import (
    FORMATS,
    Column,
    Lake,
    LayoutError,
    create_current_view,
    create_database,
    create_table,
    create_typed_view,
)
from cli.failure import USAGE, Failure
from local.sample_exports import floorplans_parquet, property_jsonl, units_csv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.athena_ddl import Partitions

__all__ = ["Source", "sample_tables", "show_ddl", "write_ddl"]

_SAMPLES = (floorplans_parquet, property_jsonl, units_csv)

Table = tuple[str, str, list[Column]]  # report type, format, columns


@dataclass(frozen=True, slots=True)
class Source:
    """Where columns come from: just one of a file or folder, a text, and the samples."""

    path: Path | None = None
    columns: str | None = None
    samples: bool = False
    report_type: str | None = None  # of one export, or of `columns`
    format: str | None = None


def show_ddl(lake: Lake, source: Source, partitions: Partitions) -> int:
    """Print the DDL; raises Failure, with a sentence, for what cannot be a table."""
    try:
        print(write_ddl(lake, _tables(source), partitions), end="")
    except (LayoutError, OSError) as error:
        raise Failure(str(error), USAGE) from error
    return 0


def write_ddl(lake: Lake, tables: Iterable[Table], partitions: Partitions) -> str:
    """Return the database, the catalogue's table and views, and those of each kind of export."""
    statements = [
        create_database(lake),
        create_exports(lake.bucket, lake.database, lake.key_prefix),
        create_revisions(lake.database),
        create_superseded(lake.database),
    ]
    for report_type, output_format, columns in tables:
        statements.append(create_table(lake, report_type, output_format, columns, partitions))
        if output_format == "csv":
            statements.append(create_typed_view(lake, report_type, columns))
        statements.append(create_current_view(lake, report_type, output_format, columns))
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


def _tables(source: Source) -> list[Table]:
    if source.samples + (source.path is not None) + (source.columns is not None) != 1:
        raise LayoutError("say where columns come from: one of --from, --columns and --samples")
    if source.samples:
        return sample_tables()
    if source.path and source.path.is_dir():
        found = list(find_exports(source.path))
        if not found:
            raise LayoutError(f"{source.path} has no report_type=…/format=…/ folders")
        return [(kind, fmt, read_columns(paths, fmt)) for kind, fmt, paths in found]
    if not source.report_type or not source.format:
        raise LayoutError("say which table it is: --report-type and --format")
    if source.path:
        columns = read_columns(source.path, source.format)
    else:
        columns = parse_columns(source.columns or "")
    return [(source.report_type, source.format, columns)]
