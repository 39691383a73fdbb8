"""What a plan may say, what is told of one that cannot be, and its chunks."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.plan import Plan, PlanRefused, Problem, read_plan
from tests.unit.orders.plans import NOW, applied, written

PROJECT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((PROJECT / "events/schemas/orders.schema.json").read_text(encoding="utf-8"))

GOOD: list[dict[str, Any]] = [
    {"orders": [written()]},
    {"orders": [written(ready={"time": "00:00", "zone": "UTC", "days_after": 0}, restate=366)]},
    {
        "orders": [written(every="day"), written(name="b", output_format="csv", every="week")],
        "limits": {"open_jobs": 1, "jobs_per_day": 9, "tries": 1, "order_again_after": "90m"},
        "end_date": "exclusive",
    },
]
# What is written, where it is wrong, and whether the schema can say so, too.
BAD: list[tuple[Any, tuple[str | int, ...], bool]] = [
    ([], (), True),
    ({}, (), True),
    ({"orders": []}, ("orders",), True),
    ({"orders": [written()], "limit": {}}, ("limit",), True),
    ({"orders": [written()], "end_date": "open"}, ("end_date",), True),
    ({"orders": [written()], "limits": {"open_jobs": 0}}, ("limits", "open_jobs"), True),
    ({"orders": [written()], "limits": {"tries": True}}, ("limits", "tries"), True),
    (
        {"orders": [written()], "limits": {"order_again_after": "soon"}},
        ("limits", "order_again_after"),
        True,
    ),
    (
        {"orders": [written()], "limits": {"order_again_after": "5m"}},
        ("limits", "order_again_after"),
        False,
    ),
    ({"orders": ["units"]}, ("orders", 0), True),
    ({"orders": [written(name=None)]}, ("orders", 0), True),
    ({"orders": [written(colour="red")]}, ("orders", 0, "colour"), True),
    ({"orders": [written(name="Monthly Units")]}, ("orders", 0, "name"), True),
    ({"orders": [written(name="a.b")]}, ("orders", 0, "name"), True),
    ({"orders": [written(report_type="rents")]}, ("orders", 0, "report_type"), True),
    ({"orders": [written(output_format="xlsx")]}, ("orders", 0, "output_format"), True),
    ({"orders": [written(every="year")]}, ("orders", 0, "every"), True),
    ({"orders": [written(properties=[])]}, ("orders", 0, "properties"), True),
    ({"orders": [written(properties=[1, "2"])]}, ("orders", 0, "properties", 1), True),
    ({"orders": [written(properties=[1, 1])]}, ("orders", 0, "properties", 1), True),
    ({"orders": [written(properties=[True])]}, ("orders", 0, "properties", 0), True),
    ({"orders": [written(properties=[-1])]}, ("orders", 0, "properties", 0), True),
    ({"orders": [written(**{"from": "01/02/2023"})]}, ("orders", 0, "from"), True),
    ({"orders": [written(**{"from": "2023-02-29"})]}, ("orders", 0, "from"), False),
    ({"orders": [written(**{"from": "1023-01-01"})]}, ("orders", 0, "from"), False),
    ({"orders": [written(ready={"time": 660})]}, ("orders", 0, "ready", "time"), True),
    ({"orders": [written(ready={"time": "24:00"})]}, ("orders", 0, "ready", "time"), True),
    ({"orders": [written(ready={"zone": "Chicago"})]}, ("orders", 0, "ready", "zone"), False),
    ({"orders": [written(ready="11:00")]}, ("orders", 0, "ready"), True),
    ({"orders": [written(restate=367)]}, ("orders", 0, "restate"), True),
    ({"orders": [written(), written()]}, ("orders", 1, "name"), False),
    ({"orders": [written(), written(name="b")]}, ("orders", 1, "properties"), False),
    ({"orders": [written(), written(name="b", every="day")]}, ("orders", 1, "properties"), False),
]


def problems(document: object) -> tuple[Problem, ...]:
    """Return what is wrong with a plan."""
    with pytest.raises(PlanRefused) as refused:
        read_plan(document)
    return refused.value.problems


@pytest.mark.parametrize("document", GOOD)
def test_what_people_may_write_is_read(document: dict[str, Any]) -> None:
    """And by the schema as well."""
    jsonschema.validate(document, SCHEMA)
    assert len(read_plan(document).orders) == len(document["orders"])


@pytest.mark.parametrize(("document", "path", "in_schema"), BAD)
def test_what_cannot_be_is_told_with_its_place_and_a_remedy(
    document: object, path: tuple[str | int, ...], *, in_schema: bool
) -> None:
    """The schema refuses it as well, where a schema can."""
    (problem, *_) = [each for each in problems(document) if each.path == path]
    assert problem.message
    assert problem.remedy.endswith(".")
    is_valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    assert is_valid != in_schema


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Nobody mends a plan line by line."""
    wrong = written(every="year", restate=-1, ready={"zone": "Mars", "hour": 1})
    told = {problem.path for problem in problems({"orders": [wrong], "limits": {"tries": "3"}})}
    at = ("orders", 0)
    assert told == {
        (*at, "every"),
        (*at, "restate"),
        (*at, "ready", "zone"),
        (*at, "ready", "hour"),
        ("limits", "tries"),
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(written())), _JSON)
def test_whatever_stands_there_is_read_or_refused(name: str, value: object) -> None:
    """Nothing that a file can hold breaks the reader."""
    try:
        plan = read_plan({"orders": [written(**{name: value})], "limits": value})
    except PlanRefused:
        return
    assert plan.orders


def test_the_same_properties_may_be_ordered_as_other_reports_and_formats() -> None:
    """Only what would be the same bytes twice is refused."""
    plan = read_plan({"orders": [written(), written(name="b", output_format="csv")]})
    assert [order.name for order in plan.orders] == ["monthly-units", "b"]


def test_a_demand_above_the_limit_is_refused_and_counts_restatements() -> None:
    """Two chunks a day, each three times, are six jobs a day."""
    daily = written(every="day", restate=2)
    assert applied(daily, jobs_per_day=6, properties_per_job=1).jobs_a_day == 6
    with pytest.raises(PlanRefused, match=r"6\.0 jobs a day") as refused:
        applied(daily, jobs_per_day=5, properties_per_job=1)
    assert refused.value.problems[0].path == ("limits", "jobs_per_day")


@pytest.mark.parametrize(
    ("end_date", "dates"),
    [("inclusive", ("2024-02-01", "2024-02-29")), ("exclusive", ("2024-02-01", "2024-03-01"))],
)
def test_one_setting_turns_the_end_date(end_date: str, dates: tuple[str, str]) -> None:
    """Inclusive sends a window's last day, exclusive the day after."""
    order = written(**{"from": "2024-02-10"})
    (read,) = read_plan({"orders": [order], "end_date": end_date}).orders
    assert read.dates(read.first) == dates


_SETS = st.sets(st.integers(1, 40), min_size=1, max_size=40)


@given(st.lists(_SETS, min_size=1, max_size=5), st.integers(1, 7))
def test_chunks_are_stable(sets: list[set[int]], size: int) -> None:
    """Each property is in one chunk, no chunk is larger than a job, and none ever gains any."""
    before: Plan | None = None
    known: dict[str, set[int]] = {}
    for number, properties in enumerate(sets):
        order = written(name=f"name-{number}", properties=sorted(properties))
        plan = read_plan({"orders": [order], "limits": {"properties_per_job": size}})
        before = plan.applied(before, NOW + timedelta(days=number))
        chunks = {chunk.id: set(chunk.properties) for _, chunk in before.chunks()}
        assert sorted(each for chunk in chunks.values() for each in chunk) == sorted(properties)
        assert all(0 < len(chunk) <= size for chunk in chunks.values())
        for chunk_id in chunks.keys() & known.keys():
            assert chunks[chunk_id] == known[chunk_id] & properties
        assert plan.applied(before, NOW + timedelta(days=99)) == before, "applied again: the same"
        assert Plan.from_fields(json.loads(json.dumps(before.to_fields()))) == before
        known = chunks


def test_a_new_property_makes_a_new_chunk_and_another_kind_makes_all_new() -> None:
    """So nothing is ordered again that is there, and everything that is another thing."""
    first = applied(written(properties=[1, 2]))
    more = read_plan({"orders": [written(properties=[1, 2, 3])]}).applied(first, NOW)
    old, new = (chunk for _, chunk in more.chunks())
    assert (old, new.properties) == (first.orders[0].chunks[0], (3,))
    for change in ({"every": "week"}, {"output_format": "csv"}, {"report_type": "property"}):
        other = read_plan({"orders": [written(properties=[1, 2], **change)]}).applied(first, NOW)
        assert other.orders[0].chunks[0].id != old.id
    exclusive = {"orders": [written(properties=[1, 2])], "end_date": "exclusive"}
    assert read_plan(exclusive).applied(first, NOW).orders[0].chunks[0].id != old.id


def test_more_history_of_an_old_chunk_gets_time_of_its_own() -> None:
    """Windows that nobody asked for before are not late at once."""
    first = applied(written())
    later = NOW + timedelta(days=90)
    earlier = read_plan({"orders": [written(**{"from": "2025-01-01"})]}).applied(first, later)
    ((_, was),), ((_, now_is),) = list(first.chunks()), list(earlier.chunks())
    assert was.history_by < later < now_is.history_by
    assert now_is.since == was.since
