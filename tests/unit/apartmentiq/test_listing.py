"""The job list as values: odd pages are read as far as they can be, windows mean what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.apartmentiq.listing import JobsPage, ListedJob, Position, decipher_listing
from archiver.errors import Interruption
from archiver.job import Job
from archiver.moment import read_moment
from archiver.network.answer import Answer
from archiver.sweep.request import Window

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["jobs", "pagination", "total_pages", "total_count", "per_page", "job_id", "status"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def page(value: object) -> JobsPage | None:
    """Decipher a page of this JSON."""
    return decipher_listing(Answer(200, {}, json.dumps(value).encode()), 100)


def job(created_at: datetime | None, updated_at: datetime | None) -> ListedJob:
    """Return a completed job with these dates."""
    changed_at = "unknown" if updated_at is None else updated_at.isoformat()
    created = "unknown" if created_at is None else created_at.isoformat(timespec="microseconds")
    described = Job(JOB_ID, "units", status="succeeded", changed_at=changed_at, created_at=created)
    return ListedJob(described, created_at, updated_at)


def test_a_documented_page_is_read_whole() -> None:
    """Ids in lower case, dates in UTC, and the pagination."""
    entry = {
        "job_id": JOB_ID.upper(),
        "status": "succeeded",
        "report_type": "units",
        "created_at": "2026-11-24T13:00:00+01:00",
        "updated_at": "2026-11-24T12:00:00Z",
    }
    pagination = {"current_page": 1, "total_pages": 3, "total_count": 201, "per_page": 100}
    assert page({"jobs": [entry], "pagination": pagination}) == JobsPage(
        (job(NOON, NOON),), 0, total_pages=3, total_count=201, jobs_per_page=100
    )


@pytest.mark.parametrize(
    "pagination",
    [
        None,
        [],
        "x",
        {},
        {"total_pages": "3", "total_count": -1, "per_page": 0},
        {"total_pages": True, "total_count": 1.5, "per_page": None},
    ],
    ids=str,
)
def test_a_pagination_that_cannot_be_read_tells_nothing(pagination: object) -> None:
    """Nothing is made up: an unknown total is None, and pages are as large as was asked for."""
    assert page({"jobs": [{}], "pagination": pagination}) == JobsPage((), 1, None, None, 100)


@given(JSON)
def test_any_page_is_read_or_refused_with_a_reason(value: object) -> None:
    """Nothing but a settled reason is ever raised."""
    try:
        read = page(value)
    except Interruption as why:
        reason = why.reason
    else:
        reason = "vendor_error"
        assert read is not None
        assert read.jobs_per_page >= 1
    assert reason == "vendor_error"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24T12:00:00.000Z", NOON),
        ("2026-11-24T12:00:00", NOON),
        (" 2026-11-24T07:00:00-05:00\n", NOON),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("24.11.2026", None),
        ("", None),
        (None, None),
        (1_800_000_000, None),
    ],
    ids=str,
)
def test_a_moment_is_in_utc_or_none(text: object, moment: datetime | None) -> None:
    """Zones are honoured, a missing one means UTC, and nonsense is nothing."""
    assert read_moment(text) == moment


@pytest.mark.parametrize(
    ("created_at", "updated_at", "held"),
    [
        (NOON, NOON, True),
        (NOON - DAY, NOON - DAY, True),
        (NOON - 2 * DAY, NOON - DAY, True),
        (NOON - 2 * DAY, NOON - DAY - timedelta(seconds=1), False),
        (NOON + DAY - timedelta(seconds=1), NOON + 9 * DAY, True),
        (NOON + DAY, NOON + DAY, False),
        (NOON - 9 * DAY, NOON + 9 * DAY, True),
        (None, None, True),
        (None, NOON, True),
        (NOON, None, True),
        (None, NOON - 2 * DAY, False),
        (NOON - 2 * DAY, None, False),
        (None, NOON + DAY, False),
    ],
)
def test_a_window_holds_every_job_whose_life_touches_it(
    created_at: datetime | None,
    updated_at: datetime | None,
    held: bool,  # noqa: FBT001 - the table's last column
) -> None:
    """Its beginning belongs to it, its end does not; a missing date excludes nothing by itself."""
    assert Window(NOON - DAY, NOON + DAY).holds(job(created_at, updated_at)) is held


def read(total_count: int | None, *, jobs_per_page: int = 100) -> JobsPage:
    """Return a page that tells this total."""
    return JobsPage((), 0, None, total_count, jobs_per_page)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        (Position(1), 250, Position(2, 250)),
        (Position(2, 250), 250, Position(3, 250)),
        (Position(2, 250), 260, Position(3, 260)),
        (Position(2, 250), 249, Position(1, 249)),
        (Position(9, 900), 800, Position(8, 800)),
        (Position(9, 900), 799, Position(7, 799)),
        (Position(3, 900), 0, Position(1, 0)),
        (Position(1, 250), 100, Position(2, 100)),
        (Position(2, 250), None, Position(3, 250)),
        (Position(2, None), 250, Position(3, 250)),
    ],
    ids=str,
)
def test_reading_goes_on_or_back_by_what_the_total_tells(
    before: Position, told: int | None, after: Position
) -> None:
    """Fallen by n: at most n jobs came forward, and they are at the end of the pages before."""
    assert before.after(read(told)) == after


def test_smaller_pages_are_read_back_by_their_own_size() -> None:
    """The vendor may give fewer a page than it was asked for."""
    assert Position(9, 900, 50).after(read(800, jobs_per_page=50)) == Position(7, 800, 50)
