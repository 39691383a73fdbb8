"""The documented tables fit the archive: DuckDB, told what they say, reads the archiver's keys.

Location, format, columns and partitions come from docs/athena.sql as a parser of Athena's SQL reads
it; the files lie at the archiver's own keys; the queries are those of docs/athena.md.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, object_key
from archiver.job import Job
from local.sample_exports import (
    SampleExport,
    empty_export,
    floorplans_parquet,
    property_jsonl,
    units_csv,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
BUCKET = "s3://example-archive/"
MANUAL = (DOCS / "athena.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", MANUAL, re.DOTALL)
DUCKDB_BLOCKS = re.findall(r"```duckdb\n(.*?)```", MANUAL, re.DOTALL)
READERS = {
    "csv": "read_csv('{}', all_varchar = true, hive_partitioning = true, union_by_name = true)",
    "jsonl": "read_json('{}', hive_partitioning = true, hive_types_autocast = false)",
    "parquet": "read_parquet('{}', hive_partitioning = true, hive_types_autocast = false)",
}


def write_as_archived(folder: Path, sample: SampleExport) -> None:
    """Write a sample to the key that the archiver gives it."""
    order = sample.order
    job = Job(
        job_id=str(uuid.uuid4()),
        report_type=order.report_type,
        output_format=order.output_format,
        start_date=order.start_date,
        end_date=order.end_date,
    )
    path = folder / object_key(job, prefix="", template=DEFAULT_KEY_TEMPLATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(sample.content.chunks(0, sample.content.size_bytes)))


def write_other_formats(folder: Path) -> None:
    """Write each kind of report in the formats that the samples do not have."""
    with duckdb.connect() as connection:
        for report_type, output_format in (("units", "parquet"), ("floorplans", "csv")):
            exports = folder.glob(f"report_type={report_type}/**/*.*")
            source = max(exports, key=lambda path: path.stat().st_size)
            target = folder / f"report_type={report_type}/format={output_format}"
            target /= "start_date=2025-01-01/end_date=2025-01-31"
            target.mkdir(parents=True)
            columns = "* EXCLUDE (report_type, format, start_date, end_date)"
            connection.sql(
                f"COPY (SELECT {columns} FROM '{source}') "  # noqa: S608 - a test's own path
                f"TO '{target}/x.{output_format}' (FORMAT {output_format})"
            )


def as_duckdb(statement: exp.Expr, folder: Path) -> str:
    """Return a table of the DDL as a view over the same folder, or a view as it is."""
    if statement.args["kind"] == "VIEW":
        statement.this.set("db", None)
        for table in statement.find_all(exp.Table):
            table.set("db", None)
        return statement.sql("duckdb")
    location = statement.find(exp.LocationProperty)
    partitions = statement.find(exp.PartitionedByProperty)
    assert location is not None
    assert partitions is not None
    name = statement.this.this.name
    output_format = name.rpartition("_")[2]
    files = location.this.name.replace(BUCKET, f"{folder}/") + f"**/*.{output_format}"
    columns = [*statement.this.expressions, *partitions.this.expressions]
    casts = [f'CAST("{c.name}" AS {c.args["kind"].sql("duckdb")}) AS "{c.name}"' for c in columns]
    reader = READERS[output_format].format(files)
    return f"CREATE VIEW {name} AS SELECT {', '.join(casts)} FROM {reader}"  # noqa: S608 - our own DDL


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the documented tables over exports at the archiver's keys."""
    folder = tmp_path_factory.mktemp("archive")
    for sample in (units_csv(), empty_export(), property_jsonl(), floorplans_parquet()):
        write_as_archived(folder, sample)
    write_other_formats(folder)
    there = {
        f"{path.parts[-2].partition('=')[2]}_{path.name.partition('=')[2]}"
        for path in folder.glob("report_type=*/format=*")
    }
    with duckdb.connect() as connection:
        for text in (DOCS / "athena.sql").read_text(encoding="utf-8").strip().split(";\n"):
            statement = sqlglot.parse_one(text, dialect="athena")
            name = statement.find(exp.Table)
            if name is not None and name.name.removesuffix("_typed") in there:
                connection.execute(as_duckdb(statement, folder))
        yield connection


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("units_csv", 200),
        ("units_csv_typed", 200),
        ("units_parquet", 200),
        ("property_jsonl", 60),
        ("floorplans_parquet", 50_000),
        ("floorplans_csv", 50_000),
        ("floorplans_csv_typed", 50_000),
    ],
)
def test_a_documented_table_reads_every_row_at_the_archivers_keys(
    lake: duckdb.DuckDBPyConnection, table: str, rows: int
) -> None:
    """With its columns, their types and both dates."""
    dates = "start_date = '2025-01-01' AND end_date = '2025-01-31'"
    counted = lake.execute(f"SELECT count(*) FROM {table} WHERE {dates}").fetchone()  # noqa: S608 - a name above
    assert counted == (rows,)


@pytest.mark.parametrize("query", QUERIES)
def test_a_documented_query_runs_over_the_same_layout(
    lake: duckdb.DuckDBPyConnection, query: str
) -> None:
    """Athena's words, translated to DuckDB's by a parser, and an answer with rows."""
    (translated,) = sqlglot.transpile(query, read="athena", write="duckdb")
    assert lake.execute(translated).fetchall()


def test_the_manual_has_queries() -> None:
    """The tests above are not satisfied by an empty manual."""
    assert len(QUERIES) >= 3


def test_the_documented_way_in_duckdb_bears_empty_files_and_unknown_dates(tmp_path: Path) -> None:
    """A Parquet of zero bytes is left out, and `unknown` is NULL as a date."""
    (block,) = DUCKDB_BLOCKS
    sample = floorplans_parquet()
    write_as_archived(tmp_path, sample)
    (real,) = tmp_path.rglob("*.parquet")
    for start_date, content in (("unknown", real.read_bytes()), ("2025-02-01", b"")):
        other = tmp_path / "report_type=floorplans/format=parquet"
        other /= f"start_date={start_date}/end_date=2025-02-28/x.parquet"
        other.parent.mkdir(parents=True)
        other.write_bytes(content)
    with duckdb.connect() as connection:
        set_files, asked, _ = block.replace("archive/", f"{tmp_path}/").split(";")
        connection.execute(set_files)
        rows = connection.execute(asked).fetchall()
    assert set(rows) == {(date(2025, 1, 1), 1, 50_000), (None, 1, 50_000)}
