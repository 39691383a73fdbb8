"""`archiver coverage` tells of every window what has become of it, and changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.demand import missing
from archiver.orders.ledger import Entry, Ledger
from archiver.orders.plan import Plan
from archiver.orders.spans import Spans
from archiver.orders.windows import number_of, read_label
from cli.coverage import STATES, calendar, describe, gather
from tests.unit.orders.plans import NOW, applied, written

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[3] / "events/schemas/coverage.schema.json").read_text(
        encoding="utf-8"
    )
)
JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"


def month(label: str) -> int:
    """Return a month's number."""
    found = read_label(label)
    assert found is not None
    return found[1]


def entry(label: str, **changes: Any) -> Entry:  # noqa: ANN401 - any field
    """Return a window of monthly-units that is on its way."""
    order_id = f"monthly-units.{label}.2026-11-01.1.{'a' * 24}"
    return replace(Entry(order_id, month(label), 1, "f" * 24, NOW), **changes)


def ledgers(plan: Plan, *changes: dict[str, Any]) -> dict[str, Ledger]:
    """Return the windows of a plan's chunks, changed one after the other."""
    ids = [chunk.id for _, chunk in plan.chunks()]
    given_changes = [*changes, *([{}] * (len(ids) - len(changes)))]
    return {
        chunk_id: replace(Ledger(chunk_id), **told)
        for chunk_id, told in zip(ids, given_changes, strict=True)
    }


def states(found: dict[str, Any], order: int = 0) -> dict[str, str]:
    """Return each window's state."""
    jsonschema.validate(
        {"schema_version": "1", "stack": "s", "as_of": "now", "plan_version": 1, **found}, SCHEMA
    )
    return {window["window"]: window["state"] for window in found["orders"][order]["windows"]}


def test_each_window_is_told_by_what_has_become_of_it() -> None:
    """From the first of the order to the one that is not over yet."""
    plan = applied(written(**{"from": "2026-05-15"}))
    known = ledgers(
        plan,
        {
            "done": Spans.of([month("2026-05")]),
            "fresh": {month("2026-10"): month("2026-10")},
            "failed": {month("2026-06"): 5},
            "open": {
                month("2026-07"): entry("2026-07", posted_at=NOW, posts=1),
                month("2026-08"): entry("2026-08", job_id=JOB),
            },
        },
    )
    found = gather(plan, known, [], NOW)
    assert states(found) == {
        "2026-05": "archived",
        "2026-06": "failed",
        "2026-07": "on_its_way",
        "2026-08": "on_its_way",
        "2026-09": "missing",
        "2026-10": "archived",
        "2026-11": "not_due",
    }
    order = found["orders"][0]
    assert order["windows"][3]["jobs"] == [
        {"job_id": JOB, "cycle": "2026-11-01", "state": "on_its_way"}
    ]
    assert (order["windows"][1]["from"], order["windows"][1]["to"]) == ("2026-06-01", "2026-06-30")
    assert found["missing_windows"] == order["missing_windows"] == 4


def test_of_several_chunks_the_worst_counts() -> None:
    """A window of which one half is archived is not."""
    plan = applied(written(**{"from": "2026-07-01"}), properties_per_job=1)
    assert len(list(plan.chunks())) == 2
    months = [month(f"2026-{number:02}") for number in (7, 8, 9, 10)]
    known = ledgers(
        plan,
        {"done": Spans.of(months)},
        {"failed": {months[0]: 5}, "open": {months[1]: entry("2026-08", job_id=JOB)}},
    )
    told = states(gather(plan, known, [], NOW))
    assert list(told.values()) == ["failed", "on_its_way", "missing", "missing", "not_due"]


def test_a_restatement_on_its_way_takes_nothing_from_a_window() -> None:
    """It is archived already; the newer job is named."""
    plan = applied(written(**{"from": "2026-10-01"}))
    number = month("2026-10")
    known = ledgers(
        plan, {"fresh": {number: number}, "open": {number: entry("2026-10", job_id=JOB)}}
    )
    found = gather(plan, known, [], NOW)
    assert states(found)["2026-10"] == "archived"
    assert [job["job_id"] for job in found["orders"][0]["windows"][0]["jobs"]] == [JOB]


def job(job_id: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Return an archived job's item, as far as coverage reads it."""
    told = {
        "job_id": job_id,
        "report_type": "units",
        "output_format": "parquet",
        "start_date": "2026-09-01",
        "end_date": "2026-09-30",
    }
    return told | changes


def test_jobs_are_told_with_their_window_and_strangers_by_themselves() -> None:
    """An order's own carry its name; of others the dates are all that is known."""
    plan = applied(written(**{"from": "2026-09-01"}))
    ours = {"order_name": "monthly-units", "window": "2026-09", "cycle": "2026-10-02"}
    ((_, chunk),) = plan.chunks()
    mine = chunk.fingerprint
    found = gather(
        plan,
        ledgers(plan, {"done": Spans.of([month("2026-09")])}),
        [
            job("b", **{**ours, "cycle": "2026-11-02"}),
            job("a", **ours),
            job("c", property_set=mine),
            job("d", property_set="0" * 24, start_date="2026-08-15", end_date="2026-12-31"),
            job("e", start_date="2026-08-01", end_date="2026-08-31"),
            job("f", report_type="property"),
            job("g", output_format="csv"),
            job("h", start_date="unknown"),
            job("i", start_date="2026-10-31", end_date="2026-10-01"),
            job("j", order_name="of-an-earlier-plan", window="2026-09", cycle="2026-10-02"),
            job("k", order_name="monthly-units", window="2026-W36", cycle="2026-10-02"),
            {"job_id": "l"},
            job("m", start_date="2026-08-15", end_date="2026-12-31"),
        ],
        NOW,
    )
    states(found)
    order = found["orders"][0]
    assert order["windows"][0]["jobs"] == [
        {"job_id": "a", "cycle": "2026-10-02", "state": "archived"},
        {"job_id": "b", "cycle": "2026-11-02", "state": "archived"},
    ]
    assert [list(each.values()) for each in order["by_hand"]] == [
        ["d", "2026-08-15", "2026-12-31", 3, False],
        ["m", "2026-08-15", "2026-12-31", 3, None],
        ["c", "2026-09-01", "2026-09-30", 1, True],
    ]
    said = [line.plain for line in describe(found)]
    assert "    c  2026-09-01 to 2026-09-30  a chunk's" in said
    assert "    d  2026-08-15 to 2026-12-31  others'" in said


def test_windows_that_overlap_are_named() -> None:
    """Of one kind and set of properties, where they are not equal; those that hang together."""
    both = [
        job("a", start_date="2026-09-01", end_date="2026-09-30"),
        job("b", start_date="2026-09-01", end_date="2026-09-30"),
        job("c", start_date="2026-09-30", end_date="2026-10-02"),
        job("d", start_date="2026-10-03", end_date="2026-10-31"),
        job("e", start_date="2026-09-10", end_date="2026-09-12"),
    ]
    plan = applied(written(**{"from": "2026-09-01"}))
    jobs = [each | {"property_set": "0" * 24} for each in both]
    others = [
        job("f", start_date="2026-10-31", end_date="2026-11-30", property_set="1" * 24),
        job("g", start_date="2026-10-31", end_date="2026-11-30"),
        job("h", start_date="2026-10-31", end_date="unknown", property_set="0" * 24),
        jobs[3] | {"job_id": "i", "output_format": "csv", "start_date": "2026-09-01"},
    ]
    found = gather(plan, ledgers(plan), [*jobs, *others], NOW)
    states(found)
    assert found["overlaps"] == [
        {
            "report_type": "units",
            "output_format": "parquet",
            "property_set": "0" * 24,
            "windows": [
                {"from": "2026-09-01", "to": "2026-09-30", "jobs": 2},
                {"from": "2026-09-10", "to": "2026-09-12", "jobs": 1},
                {"from": "2026-09-30", "to": "2026-10-02", "jobs": 1},
            ],
        }
    ]
    said = [line.plain for line in describe(found)]
    begins = said.index(f"  units as parquet, properties {'0' * 24}:")
    assert said[begins + 1 : begins + 3] == [
        "    2026-09-01 to 2026-09-30, 2026-09-10 to 2026-09-12",
        "    2026-09-30 to 2026-10-02",
    ]
    assert max(map(len, said)) <= 80


def test_windows_whose_last_day_is_not_in_them_may_touch() -> None:
    """With `end_date: exclusive` each month ends on the day on which the next begins."""
    jobs = [
        job("a", start_date="2026-09-01", end_date="2026-10-01", property_set="0" * 24),
        job("b", start_date="2026-10-01", end_date="2026-11-01", property_set="0" * 24),
    ]
    plan = applied(written(**{"from": "2026-09-01"}))
    exclusive = replace(plan, orders=tuple(replace(o, end_date="exclusive") for o in plan.orders))
    assert gather(plan, ledgers(plan), jobs, NOW)["overlaps"]
    assert not gather(exclusive, ledgers(plan), jobs, NOW)["overlaps"]


def test_where_nothing_is_missing_nothing_has_an_age() -> None:
    """And where something is, it is the age that the metric tells."""
    plan = applied(written(every="day", **{"from": "2026-11-24"}))
    days = [number_of("day", datetime(2026, 11, day, tzinfo=UTC).date()) for day in (24, 25, 26)]
    whole = gather(plan, ledgers(plan, {"done": Spans.of(days[:2])}), [], NOW)
    assert (whole["missing_windows"], whole["oldest_missing_seconds"]) == (0, None)
    later = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    known = ledgers(plan, {"done": Spans.of(days[:2])})
    gap = gather(plan, known, [], later)
    assert gap["oldest_missing_seconds"] == missing(plan, known, later).oldest_seconds > 0


@given(
    st.sampled_from(["day", "week", "month"]),
    st.lists(st.sampled_from(["done", "failed", "open", "none"]), min_size=1, max_size=90),
)
def test_the_counts_add_up_and_every_window_is_in_the_calendar(
    every: str, kinds: list[str]
) -> None:
    """Whatever has become of them: a sign each, or a row that is told as a whole."""
    begins = {"day": "2026-06-01", "week": "2025-01-06", "month": "2019-06-01"}[every]
    plan = applied(written(every=every, **{"from": begins}))
    order = plan.orders[0]
    numbers = dict(zip(range(order.first, order.last(NOW) + 1), kinds, strict=False))
    known = ledgers(
        plan,
        {
            "done": Spans.of(n for n, kind in numbers.items() if kind == "done"),
            "failed": {n: 5 for n, kind in numbers.items() if kind == "failed"},
            "open": {n: entry("2026-07") for n, kind in numbers.items() if kind == "open"},
        },
    )
    found = gather(plan, known, [], NOW)
    counts, windows = found["orders"][0]["counts"], found["orders"][0]["windows"]
    assert sum(counts.values()) == len(windows) == len(states(found))
    assert found["missing_windows"] == sum(
        counts[state] for state in STATES if state not in {"archived", "not_due"}
    )
    lines = [line.plain for line in calendar(every, windows)]
    assert all(len(line) <= 80 for line in lines)
    signs = sum(line[10:].count(sign) for line in lines for sign in "=>x!." if " to " not in line)
    told = sum(int(line.split(" all ")[1].split()[0]) for line in lines if " to " in line)
    assert signs + told == len(windows)


def test_a_calendar_folds_what_is_whole() -> None:
    """Ten years of days are a line, and the gap stands out in its own row, under its day."""
    plan = applied(written(every="day", **{"from": "2016-01-01"}))
    order = plan.orders[0]
    hole = number_of("day", datetime(2026, 9, 3, tzinfo=UTC).date())
    done = Spans.between(order.first, order.last(NOW)) - Spans.of([hole])
    windows = gather(plan, ledgers(plan, {"done": done}), [], NOW)["orders"][0]["windows"]
    lines = [line.plain for line in calendar("day", windows)]
    assert lines == [
        "  2016-01 to 2026-08  all 3896 archived",
        "  2026-09 ==!===========================",
        "  2026-10 " + "=" * 31,
        "  2026-11 " + "=" * 24 + "..",
    ]


@pytest.mark.parametrize(
    ("every", "row"),
    [("week", "  2026    " + " " * 9 + "!" * 38 + "."), ("month", "  2026      " + "!" * 8 + ".")],
)
def test_a_row_is_a_year_of_weeks_or_months(every: str, row: str) -> None:
    """And begins where the order does."""
    plan = applied(written(every=every, **{"from": "2026-03-02"}))
    windows = gather(plan, ledgers(plan), [], NOW)["orders"][0]["windows"]
    assert [line.plain for line in calendar(every, windows)] == [row]
