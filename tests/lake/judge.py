"""Load a history by the example consumer, and hold the database to what strict readers see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from export_reader import Schema, UnfitError, quoted
from load_exports import Loader
from tests.lake.strict import is_same_cell, see

if TYPE_CHECKING:
    import duckdb
    from mypy_boto3_s3 import S3Client

    from tests.lake.tables import Export

__all__ = ["BrokenPromiseError", "Bucket", "Lake"]


class BrokenPromiseError(AssertionError):
    """A cell that a strict reader sees is not in the table, and nothing was raised."""


class Bucket:
    """S3 as far as the loader asks it: objects by key, or by key and version (`key?version`)."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:  # noqa: N803, ARG002 - S3's own words
        """Answer as S3 does."""
        return {"Body": _Body(self.objects[f"{Key}?{VersionId}" if VersionId else Key])}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def iter_chunks(self, size_bytes: int) -> Sequence[bytes]:
        return [self._content[n : n + size_bytes] for n in range(0, len(self._content), size_bytes)]


class Lake:
    """A consumer with a database in memory; each history is a report type of its own in it."""

    def __init__(self, schema: Schema | None = None) -> None:
        self._bucket = Bucket()
        self._loader = Loader(Path(":memory:"), cast("S3Client", self._bucket), schema)
        self._histories = 0

    def close(self) -> None:
        """Forget all that was loaded."""
        self._loader.close()

    def judge(self, history: Sequence[Export]) -> list[str]:
        """Load each file, then compare all that were loaded; returns what became of each."""
        self._histories += 1
        report_type = f"units{self._histories}"
        endings, loaded = [], {}
        for number, export in enumerate(history):
            key = f"{report_type}-{number}.{export.format}"
            self._bucket.objects[key] = export.content
            try:
                self._loader.load(_detail(report_type, key, export))
            except UnfitError as error:
                if error.file != key:
                    raise BrokenPromiseError(f"{error} names another file") from error
                endings.append(f"{export.format} raised")
            else:
                endings.append(f"{export.format} loaded")
                loaded[key] = export
        connection, table = self._loader.connection, f"export_{report_type}"
        for key, export in loaded.items():
            _compare(connection, table, key, export)
        _compare_jobs(connection, report_type, set(loaded))
        return endings


def _detail(report_type: str, key: str, export: Export) -> dict[str, Any]:
    return {
        "job": {
            "job_id": key,
            "report_type": report_type,
            "output_format": export.format,
            "start_date": "2025-01-01",
            "end_date": "unknown",
        },
        "object": {
            "bucket": "archive",
            "key": key,
            "version_id": None,
            "size_bytes": len(export.content),
        },
        "archived_at": "2026-11-26T10:00:00+00:00",
    }


def _compare(connection: duckdb.DuckDBPyConnection, table: str, key: str, export: Export) -> None:
    """Hold one export's rows to what a strict reader sees."""
    seen = see(export.content, export.format)
    if seen is None:
        return
    kinds = dict(row[:2] for row in connection.execute(f"DESCRIBE {table}").fetchall())
    columns = {_folded(name): name for name in kinds}
    if missing := [name for name in seen.names if _folded(name) not in columns]:
        raise BrokenPromiseError(f"{key}: no column {missing}")
    names = [columns[_folded(name)] for name in seen.names]
    asked = [
        f"epoch_us({quoted(name)})" if "WITH TIME ZONE" in kinds[name] else quoted(name)
        for name in names
    ]
    query = f"SELECT {', '.join(asked) or '1'} FROM {table} WHERE _job_id = ? ORDER BY rowid"  # noqa: S608 - quoted
    loaded, there = connection.execute(query, [key]).fetchall(), seen.rows
    if export.format == "csv" and len(names) == 1:  # a blank line, of which csv makes no row
        loaded, there = [row for row in loaded if row != (None,)], [r for r in there if r != ("",)]
    if len(loaded) != len(there) and names:
        raise BrokenPromiseError(f"{key}: {len(there)} rows are there, {len(loaded)} are loaded")
    for cells, row in zip(there, loaded, strict=False):
        if len(cells) != len(names):
            raise BrokenPromiseError(f"{key}: a row of another width was loaded: {cells}")
        for name, cell, value in zip(names, cells, row, strict=True):
            if not is_same_cell(cell, value, export.format):
                raise BrokenPromiseError(
                    f"{key}, {name!r} ({kinds[name]}): {cell!r} became {value!r}"
                )


def _compare_jobs(connection: duckdb.DuckDBPyConnection, report_type: str, keys: set[str]) -> None:
    """Find nothing of what raised."""
    told = "SELECT job_id FROM loaded WHERE report_type = ?"
    said = {row[0] for row in connection.execute(told, [report_type]).fetchall()}
    if said != keys:
        raise BrokenPromiseError(f"{said} are said to be loaded, not {keys}")
    if keys:
        query = f"SELECT DISTINCT _job_id FROM export_{report_type}"  # noqa: S608 - a name of ours
        found = {row[0] for row in connection.execute(query).fetchall()}
        if not found <= keys:
            raise BrokenPromiseError(f"rows of {found}, though {keys} were loaded")


def _folded(name: str) -> str:
    """Fold a name as DuckDB does: the letters of ASCII and no others."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in name)
