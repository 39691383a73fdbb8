"""The example consumer has the current revision of each window in, in whatever order it is told."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import pytest

from load_exports import Loader
from tests.lake.judge import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SET, OTHER_SET = "0" * 24, "1" * 24


class Archive:
    """A bucket with versions, and the events about what was put there."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self._moments = 0

    def put(
        self, job_id: str, *units: int, day: int | None = None, **job: str | None
    ) -> dict[str, Any]:
        """Archive an export with these units; returns the detail of its event."""
        self._moments += 1
        version, content = f"v{self._moments}", "unit\n" + "".join(f"{each}\n" for each in units)
        self.bucket.objects[f"{job_id}?{version}"] = content.encode()
        told = {
            "job_id": job_id,
            "report_type": "units",
            "output_format": "csv",
            "start_date": "2026-10-01",
            "end_date": "2026-10-31",
            "property_set": SET,
            "created_at": None if day is None else f"2026-11-{day:02}T00:00:00.000000+00:00",
            **job,
        }
        return {
            "schema_version": "1",
            "job": {name: value for name, value in told.items() if value is not None},
            "object": {
                "bucket": "archive",
                "key": job_id,
                "version_id": version,
                "size_bytes": len(content),
            },
            "archived_at": f"2026-11-26T10:00:{self._moments:02}.000Z",
        }

    def loader(self, database: Path | str = ":memory:") -> Loader:
        """Open a consumer's database."""
        return Loader(Path(database), cast("S3Client", self.bucket))


@pytest.fixture
def archive() -> Archive:
    """Return an archive without an export."""
    return Archive()


def units(loader: Loader) -> list[tuple[str, int]]:
    """Return which job's units are in."""
    found = loader.connection.execute("SELECT _job_id, unit FROM export_units ORDER BY ALL")
    return [(job_id, int(unit)) for job_id, unit in found.fetchall()]


def test_any_order_of_events_ends_the_same(archive: Archive) -> None:
    """A restatement that was archived again, what it restates, and a job of other properties."""
    events = [
        archive.put("b", 20, day=2),
        archive.put("a", 1, 2, 3, day=1),
        archive.put("b", 21, 22, day=2),
        archive.put("c", 4, day=1, property_set=OTHER_SET),
    ]
    for order in permutations(events):  # more histories, in one order each: tests/lake
        loader = archive.loader()
        for detail in (*order, order[0]):
            loader.load(detail)
        assert units(loader) == [("b", 21), ("b", 22), ("c", 4)]
        said = loader.connection.execute("SELECT job_id, row_count FROM loaded ORDER BY 1")
        assert said.fetchall() == [("b", 2), ("c", 1)]
        loader.close()


@pytest.mark.parametrize(
    ("first", "second", "current"),
    [
        ({"day": 1}, {"day": 2}, {"b"}),
        ({"day": 2}, {"day": 1}, {"a"}),
        ({"day": 1}, {"day": 1}, {"b"}),  # the greater job id
        ({"day": 1}, {}, {"a"}),  # when b was created is not told
        ({"day": 1}, {"day": 2, "end_date": "2026-11-01"}, {"a", "b"}),
        ({"day": 1}, {"day": 2, "report_type": "property"}, {"a", "b"}),
        ({"day": 1}, {"day": 2, "property_set": None}, {"a", "b"}),
        (
            {"day": 1, "start_date": "unknown"},
            {"day": 2, "start_date": "unknown"},
            {"a", "b"},
        ),
    ],
)
def test_the_job_that_was_created_last_is_current(
    archive: Archive, first: dict[str, Any], second: dict[str, Any], current: set[str]
) -> None:
    """Of those whose windows and properties are told, and equal; in either order."""
    events = [archive.put("a", 1, **first), archive.put("b", 2, **second)]
    for order in (events, events[::-1]):
        loader = archive.loader()
        said = [loader.load(detail) for detail in order]
        found = loader.connection.execute("SELECT job_id FROM loaded").fetchall()
        assert {job_id for (job_id,) in found} == current
        assert ("superseded" in said) == (order[1]["job"]["job_id"] not in current)
        assert [loader.load(detail) for detail in order] == [
            "already loaded" if detail["job"]["job_id"] in current else "superseded"
            for detail in order
        ]
        loader.close()


def test_what_is_superseded_is_not_even_fetched(archive: Archive) -> None:
    """An older revision that does not fit, or is gone, harms nothing."""
    older = archive.put("a", 1, day=1)
    archive.bucket.objects.clear()
    newer = archive.put("b", 2, day=2)
    loader = archive.loader()
    assert [loader.load(newer), loader.load(older)] == ["loaded", "superseded"]


def test_a_newer_revision_that_cannot_be_loaded_takes_nothing_out(archive: Archive) -> None:
    """Nothing is done of it: the older revision stays in, and is current until it comes again."""
    loader = archive.loader()
    loader.load(archive.put("a", 1, day=1))
    newer = archive.put("b", 2, day=2)
    good = archive.bucket.objects["b?v2"]
    archive.bucket.objects["b?v2"] = b"unit\n1,2\n"
    newer["object"]["size_bytes"] = 9
    with pytest.raises(ValueError, match="cells"):
        loader.load(newer)
    assert units(loader) == [("a", 1)]
    archive.bucket.objects["b?v2"] = good
    newer["object"]["size_bytes"] = len(good)
    assert loader.load(newer) == "loaded"
    assert units(loader) == [("b", 2)]


def test_a_revision_whose_successor_turns_out_to_be_another_s_comes_back(archive: Archive) -> None:
    """Archived again, the later job is told to have other properties: both are current then."""
    loader = archive.loader()
    loader.load(archive.put("a", 1, day=1))
    loader.load(archive.put("b", 2, day=2))
    assert units(loader) == [("b", 2)]
    loader.load(archive.put("b", 3, day=2, property_set=OTHER_SET))
    assert units(loader) == [("a", 1), ("b", 3)]


def test_types_and_columns_of_a_superseded_revision_do_not_bind_the_next(archive: Archive) -> None:
    """Its text column may hold numbers afterwards, and the other way round."""
    loader = archive.loader()
    first = archive.put("a", day=1)
    archive.bucket.objects["a?v1"] = content = b"unit,rent\n12B,1.5\n"
    first["object"]["size_bytes"] = len(content)
    loader.load(first)
    loader.load(archive.put("b", 2, day=2))
    assert units(loader) == [("b", 2)]
    assert loader.schema()["units"]["unit"] == "BIGINT"


def test_a_database_of_the_version_before_is_opened_and_kept(
    archive: Archive, tmp_path: Path
) -> None:
    """It knows of no revisions: what it has stays, until an event says what it is a revision of."""
    path = tmp_path / "exports.duckdb"
    older, unheard = archive.put("a", 1, day=1), archive.put("c", 7, day=1)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE loaded (job_id VARCHAR PRIMARY KEY, version_id VARCHAR NOT NULL, "
            "report_type VARCHAR NOT NULL, row_count BIGINT NOT NULL, archived_at VARCHAR);"
            "CREATE TABLE export_units (_job_id VARCHAR, _start_date VARCHAR, _end_date VARCHAR, "
            "_version_id VARCHAR, unit BIGINT);"
        )
        for detail, unit in ((older, 1), (unheard, 7)):
            job_id, version = detail["job"]["job_id"], detail["object"]["version_id"]
            connection.execute(
                "INSERT INTO loaded VALUES (?, ?, 'units', 1, ?)",
                [job_id, version, detail["archived_at"]],
            )
            connection.execute(
                "INSERT INTO export_units VALUES (?, '', '', ?, ?)", [job_id, version, unit]
            )
    loader = archive.loader(path)
    assert loader.load(archive.put("b", 2, day=2)) == "loaded"
    assert units(loader) == [("a", 1), ("b", 2), ("c", 7)]
    assert loader.load(older) == "superseded"
    assert units(loader) == [("b", 2), ("c", 7)]
    loader.close()
