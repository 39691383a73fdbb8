"""Days, weeks and months as numbers, and when each is complete in any zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.orders.windows import (
    EVERY,
    Every,
    Ready,
    label_of,
    number_of,
    read_label,
    window_dates,
)

KINDS = st.sampled_from(EVERY)
DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
MOMENTS = st.integers(946_857_600, 2_145_830_400).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)  # 2000 to 2037
)
READY = st.builds(
    Ready,
    time=st.times().map(lambda time: time.strftime("%H:%M")),
    zone=st.sampled_from(sorted(available_timezones())),
    days_after=st.integers(0, 5),
)


@given(KINDS, DAYS)
def test_every_day_lies_in_one_window(every: Every, day: date) -> None:
    """Windows follow each other without gap or overlap, leap days and month ends included."""
    number = number_of(every, day)
    first, last = window_dates(every, number)
    assert first <= day <= last
    assert window_dates(every, number + 1)[0] == last + timedelta(days=1)
    assert number_of(every, last + timedelta(days=1)) == number + 1


@given(KINDS, DAYS)
def test_a_label_names_its_window(every: Every, day: date) -> None:
    """Read back, it is the same window of the same kind."""
    number = number_of(every, day)
    assert read_label(label_of(every, number)) == (every, number)


@pytest.mark.parametrize(
    ("every", "day", "first", "last", "label"),
    [
        ("day", "2024-02-29", "2024-02-29", "2024-02-29", "2024-02-29"),
        ("month", "2024-02-10", "2024-02-01", "2024-02-29", "2024-02"),
        ("month", "2023-12-31", "2023-12-01", "2023-12-31", "2023-12"),
        ("week", "2021-01-03", "2020-12-28", "2021-01-03", "2020-W53"),
        ("week", "2024-12-30", "2024-12-30", "2025-01-05", "2025-W01"),
    ],
)
def test_windows_are_the_calendar_s(
    every: Every, day: str, first: str, last: str, label: str
) -> None:
    """Leap days, the year's last week and its last month are what ISO 8601 says."""
    number = number_of(every, date.fromisoformat(day))
    assert [each.isoformat() for each in window_dates(every, number)] == [first, last]
    assert label_of(every, number) == label


@pytest.mark.parametrize("text", ["", "2024-13", "2024-W60", "2023-02-29", "24-01-01", "2024-1"])
def test_what_is_no_label_names_nothing(text: str) -> None:
    """A window that is not in the calendar is none."""
    assert read_label(text) is None


@given(KINDS, READY, MOMENTS)
def test_the_last_complete_window_is_the_last(every: Every, ready: Ready, now: datetime) -> None:
    """It is complete, the next one is not: in every zone, at every change of its clocks."""
    last = ready.last(every, now)
    assert ready.at(every, last) <= now < ready.at(every, last + 1)


@given(KINDS, READY, DAYS)
def test_no_window_is_complete_before_its_time(every: Every, ready: Ready, day: date) -> None:
    """At that moment the zone's clocks show the time or a later one; windows keep their order."""
    number = number_of(every, day)
    moment = ready.at(every, number)
    local = moment.astimezone(ZoneInfo(ready.zone)).replace(tzinfo=None)
    assert local >= datetime.fromisoformat(f"{ready.day(every, number)}T{ready.time}")
    assert moment <= ready.at(every, number + 1)


@pytest.mark.parametrize(
    ("day", "time", "moment"),
    [
        ("2026-03-07", "02:30", "2026-03-08T08:30"),  # skipped: 02:30 CST is 03:30 CDT
        ("2026-10-31", "01:30", "2026-11-01T07:30"),  # shown twice: the second time
        ("2026-07-01", "11:00", "2026-07-02T16:00"),
        ("2026-12-01", "11:00", "2026-12-02T17:00"),
    ],
)
def test_a_change_of_the_clocks_is_taken_at_its_later_reading(
    day: str, time: str, moment: str
) -> None:
    """What is skipped comes after it, what comes twice the second time, and summer counts."""
    number = number_of("day", date.fromisoformat(day))
    at = Ready(time, "America/Chicago", 1).at("day", number)
    assert at == datetime.fromisoformat(moment).replace(tzinfo=UTC)
