"""The windows of an order: days, ISO weeks and months, and when each is complete. Pure.

A window is a number: so many days, weeks or months since the calendar's first. From numbers dates
are computed and not searched, so that ten years of windows cost no more than one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

__all__ = ["EVERY", "Every", "Ready", "label_of", "number_of", "read_label", "window_dates"]

Every = Literal["day", "week", "month"]
EVERY: tuple[Every, ...] = get_args(Every)
_DAYS_OF_A_WEEK = 7
_MONTHS = 12
_WEEK_LABEL = re.compile(r"(\d{4})-W(\d\d)", re.ASCII)
_MONTH_LABEL = re.compile(r"(\d{4})-(\d\d)", re.ASCII)
_DAY_LABEL = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def number_of(every: Every, day: date) -> int:
    """Return the number of the window that holds a day."""
    if every == "day":
        return day.toordinal()
    if every == "week":  # 1 January of the year 1 is a Monday (Python's `date.toordinal`)
        return (day.toordinal() - 1) // _DAYS_OF_A_WEEK
    return day.year * _MONTHS + day.month - 1


def window_dates(every: Every, number: int) -> tuple[date, date]:
    """Return a window's first and last day; both belong to it."""
    if every == "day":
        day = date.fromordinal(number)
        return day, day
    if every == "week":
        monday = date.fromordinal(number * _DAYS_OF_A_WEEK + 1)
        return monday, monday + timedelta(days=_DAYS_OF_A_WEEK - 1)
    return _month(number), _month(number + 1) - timedelta(days=1)


def _month(number: int) -> date:
    year, month = divmod(number, _MONTHS)
    return date(year, month + 1, 1)


def label_of(every: Every, number: int) -> str:
    """Return what people call a window: 2026-11-26, 2026-W48 or 2026-11."""
    first, _ = window_dates(every, number)
    if every == "day":
        return first.isoformat()
    if every == "week":
        year, week, _ = first.isocalendar()
        return f"{year:04}-W{week:02}"
    return f"{first.year:04}-{first.month:02}"


def read_label(label: str) -> tuple[Every, int] | None:
    """Return which window a label names; None for what is none."""
    try:
        if week := _WEEK_LABEL.fullmatch(label):
            monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
            return "week", number_of("week", monday)
        if month := _MONTH_LABEL.fullmatch(label):
            return "month", number_of("month", date(int(month[1]), int(month[2]), 1))
        if _DAY_LABEL.fullmatch(label):
            return "day", number_of("day", date.fromisoformat(label))
    except ValueError:
        return None
    return None


@dataclass(frozen=True, slots=True)
class Ready:
    """When a window is complete at the vendor: so many days after its last, at a time of a zone.

    The default is the vendor's own hint, "by 11 AM CST" on the morning after (apartmentiq-api,
    "Ordering").
    """

    time: str = "11:00"
    zone: str = "America/Chicago"
    days_after: int = 1

    def day(self, every: Every, number: int) -> date:
        """Return the local date on which a window is complete: its cycle's date."""
        return window_dates(every, number)[1] + timedelta(days=self.days_after)

    def at(self, every: Every, number: int) -> datetime:
        """Return from which moment (UTC) on a window is complete.

        A time that a change of the clocks skips or repeats is taken at its later reading: what is
        not yet complete must not be ordered.
        """
        local = datetime.combine(
            self.day(every, number), time.fromisoformat(self.time), tzinfo=_zone(self.zone)
        )
        return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))

    def last(self, every: Every, now: datetime) -> int:
        """Return the number of the last window that is complete now."""
        local_day = now.astimezone(_zone(self.zone)).date()
        number = number_of(every, local_day - timedelta(days=self.days_after)) + 1
        while self.at(every, number) > now:  # two or three steps: a zone may skip a day
            number -= 1
        return number


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
