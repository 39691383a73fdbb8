"""Hold what reads current revisions to the plain rule: docs/lake.sql, Athena's views, the consumer.

The views run in DuckDB over real files, many histories in one bucket; Athena's are translated by a
parser of its SQL. The consumer is given each history's events in some order, some of them again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import duckdb
import sqlglot
from sqlglot import exp

from cli.athena import write_ddl
from cli.athena_ddl import Column
from cli.athena_ddl import Lake as AthenasLake
from export_reader import TEXT, open_export
from load_exports import Loader
from tests.lake.judge import BrokenPromiseError, Bucket
from tests.lake.revisions import BUCKET, PREFIX, consumed_cells, current_cells, draw_revisions
from tests.lake.tables import FORMATS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.lake.revisions import History

__all__ = ["LAKE_SQL", "judge_consumer", "judge_views", "run_histories"]

LAKE_SQL = (Path(__file__).resolve().parents[2] / "docs" / "lake.sql").read_text(encoding="utf-8")
_HISTORIES_A_BUCKET = 100
# Many small files: more threads only wait for one another.
_ONE: dict[str, str | bool | int | float | list[str]] = {"threads": 1}
_CONSUMED_OF = 5  # one history of so many goes through the consumer, which takes longest


def run_histories(histories: int, seed: int) -> int:
    """Judge so many histories; returns how many exports they had, or raises with the seed."""
    exports = 0
    for first in range(0, histories, _HISTORIES_A_BUCKET):
        numbers = range(first, min(first + _HISTORIES_A_BUCKET, histories))
        drawn = {number: draw_revisions(_dice(seed, number), number) for number in numbers}
        try:
            judge_views(list(drawn.values()))
            for number in numbers[::_CONSUMED_OF]:
                judge_consumer(drawn[number], _dice(seed, number))
        except Exception as error:
            error.add_note(f"again: make lake SEED={seed} N=1 HISTORIES={numbers[-1] + 1}")
            raise
        exports += sum(len(history.archivings) for history in drawn.values())
    return exports


def _dice(seed: int, number: int) -> Random:
    return Random(f"revisions {seed}.{number}")  # noqa: S311 - sample histories


def judge_views(histories: Sequence[History], lake_sql: str = LAKE_SQL) -> None:
    """Compare what the views show of histories in one bucket with the plain rule."""
    with tempfile.TemporaryDirectory() as name, duckdb.connect(config=_ONE) as connection:
        folder = Path(name)
        for history in histories:
            history.write(folder)
        if not list(folder.rglob("catalogue")):  # DuckDB reads no pattern without a file
            return
        connection.execute(
            f"SET VARIABLE archive = '{folder}'; SET VARIABLE key_prefix = '{PREFIX}'"
        )
        connection.execute(lake_sql)
        _load(connection, folder)
        for view in _athenas_views():
            connection.execute(view)
        athenas = (f"SELECT cell FROM apartmentiq.units_{each}_current" for each in FORMATS)  # noqa: S608 - names above
        for query in ("SELECT cell FROM current_rows('units')", " UNION ALL ".join(athenas)):
            found = connection.execute(query).fetchall()
            _compare([cell for (cell,) in found], histories)


def _load(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Read all exports into one table, as docs/athena.md says, and make of it those of Athena."""
    connection.execute("CREATE TABLE units (filename VARCHAR, cell VARCHAR)")
    for path in sorted(folder.glob(f"{PREFIX}report_type=*/**/*.*")):
        with open_export(connection, path, path.suffix[1:]) as cells:
            if cells.names:
                rows = cells.select({"cell": TEXT})
                connection.execute(f"INSERT INTO units SELECT ?, * FROM ({rows})", [str(path)])  # noqa: S608 - names above
    connection.execute(
        "CREATE SCHEMA apartmentiq; CREATE TABLE apartmentiq.exports AS FROM exports"
    )
    for output_format in FORMATS:
        connection.execute(
            f"CREATE VIEW apartmentiq.units_{output_format} AS SELECT cell, '' AS start_date, "  # noqa: S608 - names above
            f"'' AS end_date, replace(filename, '{folder}/', 's3://{BUCKET}/') AS \"$path\" "
            f"FROM main.units WHERE ends_with(filename, '.{output_format}')"
        )


@cache
def _athenas_views() -> tuple[str, ...]:
    """Return the views of `archiver athena-ddl` in DuckDB's words."""
    columns = [Column("cell", "string")]
    lake = AthenasLake(BUCKET, key_prefix=PREFIX)
    ddl = write_ddl(lake, [("units", each, columns) for each in FORMATS], "registered")
    parsed = [sqlglot.parse_one(text, dialect="athena") for text in ddl.strip().split(";\n")]
    return tuple(
        each.sql("duckdb")
        for each in parsed
        if isinstance(each, exp.Create) and each.args["kind"] == "VIEW"
    )


def _compare(found: Sequence[str], histories: Sequence[History]) -> None:
    seen = set(found)
    if len(seen) < len(found):
        raise BrokenPromiseError(f"{len(found) - len(seen)} rows are shown twice")
    expected = [(history, current_cells(history)) for history in histories]
    for history, cells in expected:
        there = {cell for each in history.objects.values() for cell in each.cells}
        if seen & there != cells:
            told = "\n".join(str(each.receipt) for each in history.archivings)
            raise BrokenPromiseError(f"{seen & there} is shown, {cells} is current:\n{told}")


def judge_consumer(history: History, dice: Random) -> None:
    """Give a consumer the events in some order, some of them twice, and compare its rows."""
    bucket = Bucket()
    events: list[dict[str, Any]] = []
    for archiving in history.archivings:
        receipt = archiving.receipt
        bucket.objects[f"{receipt.key}?{receipt.version_id}"] = archiving.content
        events.append(receipt.event_detail())
    events += dice.sample(events, dice.randrange(len(events) + 1))
    dice.shuffle(events)
    with closing(Loader(Path(":memory:"), cast("S3Client", bucket))) as loader:
        for event in events:
            loader.load(event)
        try:
            found = loader.connection.execute("SELECT cell FROM export_units").fetchall()
        except duckdb.BinderException:  # no export had a column
            found = []
        told = loader.connection.execute("SELECT sum(row_count) FROM loaded").fetchone()
    expected = consumed_cells(history.archivings)
    if sorted(cell for (cell,) in found) != sorted(expected) or told != (len(expected),):
        order = "\n".join(str(event) for event in events)
        raise BrokenPromiseError(f"{found} ({told}) is loaded, {expected} is current:\n{order}")
