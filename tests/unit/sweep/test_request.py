"""Payloads of sweeps: what is accepted means what it says, what is not is refused in words."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.apartmentiq.listing import Position
from archiver.sweep.request import (
    REPORT_TYPES,
    RequestRefused,
    SweepRequest,
    Window,
    read_sweep_request,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LOOK_BACK = timedelta(days=30)
SINCE = NOW - LOOK_BACK
FIELDS = ("since", "until", "report_types", "dry_run", "continue_from")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)
PAST = st.datetimes(
    min_value=datetime(2001, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
    max_value=datetime(2026, 11, 23),  # noqa: DTZ001 - likewise
    timezones=st.just(UTC),
)


def read(event: object) -> SweepRequest:
    """Read a payload at noon."""
    return read_sweep_request(event, now=NOW, look_back=LOOK_BACK)


def moment(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("source", ["aws.events", "aws.scheduler"])
def test_a_scheduled_event_means_the_whole_look_back(source: str) -> None:
    """The schedule keeps its place; what else is in its event means nothing."""
    event = {"source": source, "detail-type": "Scheduled Event", "detail": {"dry_run": True}}
    assert read(event) == SweepRequest(Window(SINCE), scheduled=True)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, SweepRequest(Window(SINCE))),
        ({"since": None, "until": None, "report_types": None}, SweepRequest(Window(SINCE))),
        ({"since": "2026-01-01"}, SweepRequest(Window(moment("2026-01-01")))),
        ({"since": " 2026-01-01 "}, SweepRequest(Window(moment("2026-01-01")))),
        (
            {"since": "2026-01-01T02:00:00+02:00", "until": "2026-01-31"},
            SweepRequest(Window(moment("2026-01-01"), moment("2026-02-01"))),
        ),
        (
            {"since": "2026-01-31", "until": "2026-01-31"},
            SweepRequest(Window(moment("2026-01-31"), moment("2026-02-01"))),
        ),
        (
            {"since": "2026-01-01", "until": "2026-01-31T00:00:00Z"},
            SweepRequest(Window(moment("2026-01-01"), moment("2026-01-31"))),
        ),
        (
            {"until": "9999-12-31"},
            SweepRequest(Window(SINCE)),
        ),
        (
            {"report_types": ["units", "units"], "dry_run": True},
            SweepRequest(Window(SINCE), frozenset({"units"}), dry_run=True),
        ),
        (
            {"continue_from": {"page": 7, "total_count": 1234}},
            SweepRequest(Window(SINCE), start=Position(7, 1234)),
        ),
        ({"continue_from": {"page": 7}}, SweepRequest(Window(SINCE), start=Position(7))),
    ],
    ids=str,
)
def test_a_payload_means_what_it_says(payload: dict[str, Any], expected: SweepRequest) -> None:
    """A date is its first moment in UTC; as the end of the window it takes its whole day in."""
    assert read(payload) == expected


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ([], "must be a JSON object such as"),
        ("since", "found 'since'"),
        (None, "found null"),
        (7, "found 7"),
        ({"Since": "2026-01-01"}, "no field 'Since'; it takes since, until,"),
        ({"dryrun": True}, "no field 'dryrun'"),
        ({"source": "aws.events"}, "no field 'source'"),
        ({"since": "yesterday"}, "`since` must be a date such as 2026-01-31"),
        ({"since": "2026-02-30"}, "found '2026-02-30'"),
        ({"since": 20260101}, "found 20260101"),
        ({"since": ["2026-01-01"]}, "found a list"),
        ({"since": {"a": 1}}, "found an object"),
        ({"since": "2027-01-01"}, "`since` lies in the future (2027-01-01T00:00:00.000Z)"),
        ({"until": ""}, "`until` must be a date"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "must be later than `since`"),
        (
            {"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"},
            "must be later than `since`",
        ),
        ({"report_types": "units"}, "must be a list of floorplans, property, units; found 'units'"),
        ({"report_types": []}, "found an empty list"),
        ({"report_types": ["unit"]}, "no report type 'unit'; there are floorplans,"),
        ({"report_types": [None]}, "no report type null"),
        ({"dry_run": "true"}, "`dry_run` must be true or false; found 'true'"),
        ({"dry_run": None}, "`dry_run` must be true or false; found null"),
        ({"continue_from": 7}, "`continue_from` must be what an unfinished sweep answered"),
        ({"continue_from": {"page": 0}}, "found an object"),
        ({"continue_from": {"page": True}}, "`continue_from`"),
        ({"continue_from": {"page": 2, "total_count": -1}}, "`continue_from`"),
        ({"continue_from": {"page": 2, "since": "x"}}, "`continue_from`"),
        ({"since": "\x1b[31mred"}, "found '?[31mred'"),
    ],
    ids=str,
)
def test_a_wrong_payload_is_refused_with_what_is_wrong(payload: object, said: str) -> None:
    """The sentence names the field, what it takes, and what was found, fit for a terminal."""
    with pytest.raises(RequestRefused) as refused:
        read(payload)
    assert said in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Nobody has to mend a payload five times."""
    with pytest.raises(RequestRefused) as refused:
        read({"since": "x", "until": "y", "report_types": ["z"], "dry_run": 1, "more": 2})
    for field in ("since", "until", "z", "dry_run", "more"):
        assert field in str(refused.value)


def test_an_until_before_the_look_back_needs_a_since() -> None:
    """The window would be empty, and an empty sweep would look like success."""
    with pytest.raises(RequestRefused, match="must be later than `since`"):
        read({"until": "2026-01-31"})


@given(JSON)
def test_any_json_is_read_or_refused(event: object) -> None:
    """Nothing else is ever raised, and a refusal stays short."""
    said = ""
    try:
        window = read(event).window
    except RequestRefused as refused:
        said = str(refused)
    else:
        assert window.until is None or window.since < window.until
    assert len(said) < 2_000
    assert said.isprintable()


@given(
    since=PAST,
    days=st.none() | st.integers(1, 1_000),
    report_types=st.none() | st.sets(st.sampled_from(REPORT_TYPES), min_size=1),
    dry_run=st.booleans(),
    position=st.builds(
        Position, st.integers(1, 1_000_000), st.none() | st.integers(0, 1_000_000_000)
    ),
)
def test_the_payload_to_go_on_with_means_the_same_sweep(
    since: datetime,
    days: int | None,
    report_types: set[str] | None,
    dry_run: bool,  # noqa: FBT001 - hypothesis hands it in by name
    position: Position,
) -> None:
    """Through JSON and back, to the millisecond."""
    since = since.replace(microsecond=0)
    until = None if days is None else since + timedelta(days=days)
    types = None if report_types is None else frozenset(report_types)
    request = SweepRequest(Window(since, until), types, dry_run)
    payload = json.loads(json.dumps(request.payload_from(position)))
    assert read(payload) == SweepRequest(Window(since, until), types, dry_run, position)


@given(st.dates(min_value=date(2001, 1, 1), max_value=date(2026, 11, 23)))
def test_a_day_is_a_window_of_a_day(day: date) -> None:
    """Since and until the same date: that day in UTC, whole."""
    window = read({"since": day.isoformat(), "until": day.isoformat()}).window
    assert window.until is not None
    assert window.until - window.since == timedelta(days=1)
    assert window.since.date() == day
