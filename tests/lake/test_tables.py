"""A little of `make lake` within `make test`, and that it bites."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest

import export_reader
from tests.lake.__main__ import run_tables
from tests.lake.judge import BrokenPromiseError, Lake
from tests.lake.strict import see
from tests.lake.tables import FORMATS, Export

_TABLES = 200
_SEED = 4  # any; a fixed one, so that `make test` does the same each time


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each widened column says so; here nobody reads it."""
    caplog.set_level(logging.ERROR, "load_exports")


def test_no_cell_of_a_random_table_is_lost_without_a_word() -> None:
    """What a strict reader sees is in the loaded table, or the load raised; most are loaded."""
    endings = run_tables(_TABLES, _SEED)
    for output_format in FORMATS:
        loaded, raised = (endings[f"{output_format} {end}"] for end in ("loaded", "raised"))
        assert loaded > raised > 0


def test_a_row_that_is_taken_for_a_comment_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge bites: DuckDB's reader with comments, and without our count, loses `#102`."""
    broken = export_reader._DUCKDB_CSV.replace("comment = ''", "comment = '#'")
    monkeypatch.setattr(export_reader, "_DUCKDB_CSV", broken)
    history = [Export("csv", b"unit,rent\n101,1000\n#102,1100\n103,1200\n")]
    with closing(Lake()) as lake:
        assert lake.judge(history) == ["csv raised"]  # the reader counts rows itself
        monkeypatch.setattr(export_reader, "_count", lambda _: 3)
        with pytest.raises(BrokenPromiseError, match="3 rows are there, 2 are loaded"):
            lake.judge(history)


@pytest.mark.parametrize(
    ("content", "output_format"),
    [
        (b"a,b\n1,\xff\n", "csv"),
        (b'a,b\n1,"2\n', "csv"),
        (b'{"a":1,"a":2}\n', "jsonl"),
        (b'{"a":NaN}\n', "jsonl"),
        (b"[1]\n", "jsonl"),
        (b"PAR1", "parquet"),
    ],
)
def test_the_strict_reader_is_strict(content: bytes, output_format: str) -> None:
    """It refuses what it could only guess, so that nothing guessed is asked of ours."""
    assert see(content, output_format) is None
