"""The documented tables fit the archive: DuckDB, told what they say, reads the archiver's keys.

Location, format, columns and partitions come from docs/athena.sql as a parser of Athena's SQL reads
it; the files lie at the archiver's own keys; the queries are those of docs/athena.md.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, object_key
from archiver.catalogue import entry_key, entry_line
from archiver.intent import fingerprint
from archiver.job import Job
from local.sample_exports import (
    SampleExport,
    empty_export,
    floorplans_parquet,
    property_jsonl,
    units_csv,
)
from tests.unit.test_catalogue import RECEIPT

DOCS = Path(__file__).resolve().parents[2] / "docs"
BUCKET = "s3://example-archive/"
MANUAL = (DOCS / "athena.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", MANUAL, re.DOTALL)
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)
DUCKDB_BLOCKS = re.findall(r"```duckdb\n(.*?)```", MANUAL, re.DOTALL)
READERS = {
    "csv": "read_csv('{}', all_varchar = true, union_by_name = true, ",
    "jsonl": "read_json('{}', hive_types_autocast = false, ",
    "parquet": "read_parquet('{}', hive_types_autocast = false, ",
}


def write_as_archived(folder: Path, sample: SampleExport, created_at: str | None = None) -> None:
    """Write a sample to the key that the archiver gives it, and its entry into the catalogue."""
    order = sample.order
    job = Job(
        job_id=str(uuid.uuid4()),
        report_type=order.report_type,
        output_format=order.output_format,
        start_date=order.start_date,
        end_date=order.end_date,
    )
    key = object_key(job, prefix="", template=DEFAULT_KEY_TEMPLATE)
    receipt = replace(
        RECEIPT,
        job_id=job.job_id,
        report_type=job.report_type,
        output_format=job.output_format,
        start_date=job.start_date,
        end_date=job.end_date,
        bucket="example-archive",
        key=key,
        created_at=created_at,
        property_set=fingerprint(order.property_ids) if created_at else None,
    )
    content = b"".join(sample.content.chunks(0, sample.content.size_bytes))
    for path, written in ((key, content), (entry_key(receipt, prefix=""), entry_line(receipt))):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(written)


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
    name = statement.this.this.name
    output_format = "json" if name == "exports" else name.rpartition("_")[2]
    files = location.this.name.replace(BUCKET, f"{folder}/") + f"**/*.{output_format}*"
    columns = [*statement.this.expressions, *(partitions.this.expressions if partitions else ())]
    casts = [f'CAST("{c.name}" AS {c.args["kind"].sql("duckdb")}) AS "{c.name}"' for c in columns]
    casts.append(f"replace(filename, '{folder}/', '{BUCKET}') AS \"$path\"")
    if name == "exports":
        kinds = {c.name: c.args["kind"].sql("duckdb") for c in columns}
        reader = f"read_json('{files}', format = 'newline_delimited', columns = {kinds}, "
    else:
        reader = READERS[output_format].format(files)
    reader += f"hive_partitioning = {partitions is not None}, filename = true)"
    return f"CREATE VIEW {name} AS SELECT {', '.join(casts)} FROM {reader}"  # noqa: S608 - our own DDL


def documented(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the documented tables and views, as far as there are exports of their kind."""
    there = {
        f"{path.parts[-2].partition('=')[2]}_{path.name.partition('=')[2]}"
        for path in folder.glob("report_type=*/format=*")
    }
    for text in (DOCS / "athena.sql").read_text(encoding="utf-8").strip().split(";\n"):
        statement = sqlglot.parse_one(text, dialect="athena")
        name = statement.find(exp.Table)
        assert name is not None
        kind = re.sub(r"_(typed|current)$", "", name.name)
        if kind in there or name.name.startswith("exports"):
            connection.execute(as_duckdb(statement, folder))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the documented tables over exports at the archiver's keys."""
    folder = tmp_path_factory.mktemp("archive")
    for sample in (units_csv(), empty_export(), property_jsonl(), floorplans_parquet()):
        write_as_archived(folder, sample)
    write_other_formats(folder)
    for day in ("15", "31"):  # two windows that overlap; their exports are elsewhere
        entry = replace(
            RECEIPT, job_id=f"job {day}", start_date="2024-01-01", end_date=f"2024-01-{day}"
        )
        path = folder / entry_key(entry, prefix="")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry_line(entry))
    with duckdb.connect() as connection:
        documented(connection, folder)
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
        ("units_csv_current", 200),
        ("units_parquet_current", 200),
        ("floorplans_parquet_current", 50_000),
    ],
)
def test_a_documented_table_reads_every_row_at_the_archivers_keys(
    lake: duckdb.DuckDBPyConnection, table: str, rows: int
) -> None:
    """With its columns, their types and both dates."""
    dates = "start_date = '2025-01-01' AND end_date = '2025-01-31'"
    counted = lake.execute(f"SELECT count(*) FROM {table} WHERE {dates}").fetchone()  # noqa: S608 - a name above
    assert counted == (rows,)


@pytest.mark.parametrize("sample", [units_csv, property_jsonl, floorplans_parquet])
def test_a_window_that_was_exported_again_is_read_once(
    tmp_path: Path, sample: Callable[[], SampleExport]
) -> None:
    """The table has the rows of both jobs, its `_current` view those of the later."""
    export = sample()
    for day in (1, 2):
        write_as_archived(tmp_path, export, f"2026-11-0{day}T00:00:00.000000+00:00")
    table = f"{export.order.report_type}_{export.order.output_format}"
    with duckdb.connect() as connection:
        documented(connection, tmp_path)
        queries = (f"SELECT count(*) FROM {name}" for name in (table, f"{table}_current"))  # noqa: S608 - names above
        all_rows, current = (connection.execute(query).fetchone() for query in queries)
        assert all_rows
        assert current
        assert all_rows[0] == 2 * current[0] > 0
        newest = "SELECT created_at FROM exports_revisions WHERE is_current"
        assert connection.execute(newest).fetchall() == [("2026-11-02T00:00:00.000000+00:00",)]


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
    block, _ = DUCKDB_BLOCKS
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


def test_the_documented_ways_to_what_is_current_in_duckdb_read_each_window_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet by files that are chosen first, CSV by the reader; over a copy of the bucket."""
    for sample in (floorplans_parquet(), units_csv()):
        for day in (1, 2):
            write_as_archived(tmp_path / "archive", sample, f"2026-11-0{day}T00:00:00.000000+00:00")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/lake.sql").write_text((DOCS / "lake.sql").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    _, block = DUCKDB_BLOCKS
    block = block.replace(".read docs/lake.sql", Path("docs/lake.sql").read_text(encoding="utf-8"))
    with duckdb.connect() as connection:
        assert connection.execute(block).fetchall() == [(1, 50_000)]
    (program,) = PYTHON_BLOCKS
    exec(program, {})  # noqa: S102 - the manual's own
    with duckdb.connect("lake.duckdb") as connection:
        assert connection.execute("SELECT count(*) FROM units").fetchall() == [(200,)]
