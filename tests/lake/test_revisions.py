"""A little of the histories of `make lake` within the tests, and that they bite."""

from __future__ import annotations

import logging
from random import Random

import pytest

import load_exports
from tests.lake.current import LAKE_SQL, judge_consumer, judge_views, run_histories
from tests.lake.judge import BrokenPromiseError
from tests.lake.revisions import draw_revisions

_HISTORIES = 40
_SEED = 3  # any; a fixed one, so that each run is the same


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each new column says so; here nobody reads it."""
    caplog.set_level(logging.ERROR, "load_exports")


def test_what_is_current_is_read_once_and_nothing_else() -> None:
    """By docs/lake.sql, by the views of athena-ddl and by the example consumer."""
    assert run_histories(_HISTORIES, _SEED) > _HISTORIES


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('ORDER BY "created_at" DESC NULLS LAST', 'ORDER BY "archived_at" DESC NULLS LAST'),
        ('"created_at" DESC NULLS LAST', '"created_at" DESC NULLS FIRST'),
        ("THEN '' ELSE \"job_id\" END", "THEN '' ELSE '' END"),
        ("'unknown' NOT IN", "'' NOT IN"),
        ('"property_set", CASE', "CASE"),
        ('ORDER BY "archived_at" DESC, "object_key"', 'ORDER BY "archived_at", "object_key"'),
        ("HAVING NOT bool_or", "HAVING bool_or"),
        (".json*'", ".json'"),
    ],
)
def test_another_rule_is_caught(right: str, wrong: str) -> None:
    """Each part of the query matters to some history, so none may be left out."""
    assert LAKE_SQL.count(right) == 1
    histories = [draw_revisions(Random(f"{_SEED}.{n}"), n) for n in range(_HISTORIES)]  # noqa: S311 - sample histories
    with pytest.raises(BrokenPromiseError):
        judge_views(histories, LAKE_SQL.replace(right, wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        property(lambda self: (self.archived_at, self.job_id)),
        property(lambda self: (self.job.get("created_at") or "9", self.job_id)),
    ],
)
def test_a_consumer_that_ranks_otherwise_is_caught(
    monkeypatch: pytest.MonkeyPatch, wrong: property
) -> None:
    """The later archiving is not the later revision, and an unknown time is not the last."""
    monkeypatch.setattr(load_exports._Revision, "rank", wrong)
    with pytest.raises(BrokenPromiseError):
        consume_all()


def consume_all() -> None:
    """Give the consumer some histories."""
    for n in range(_HISTORIES):
        dice = Random(f"{_SEED}.{n}")  # noqa: S311 - sample histories
        judge_consumer(draw_revisions(dice, n), dice)
