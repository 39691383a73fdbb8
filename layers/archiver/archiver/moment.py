"""Moments as others write them: ours and people's in ISO 8601, the vendor's in many forms. Pure.

A date that cannot be read makes an age that nobody knows, and an alarm that cannot ring.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["read_moment", "read_vendor_moment"]

# What an epoch may mean: 2000 to 2100. No other unit of the same number falls into these years.
_FIRST_SECOND, _LAST_SECOND = 946_684_800, 4_102_444_800
_UNITS = (1, 10**3, 10**6, 10**9)  # seconds, milli-, micro- and nanoseconds, in one second
_EPOCH = re.compile(r"\d{9,19}(?:\.\d{1,9})?", re.ASCII)
# A zone behind a space, as Ruby and Go write it: "… UTC", "… +0000", "… +0000 UTC".
_WITH_ODD_ZONE = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)"
    r"\s*([+-]\d\d:?\d\d)?\s*(?:UTC|GMT|Z)?",
    re.ASCII | re.IGNORECASE,
)


def read_moment(value: object) -> datetime | None:
    """Return an ISO 8601 moment (UTC where it names no zone), or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return _in_utc(datetime.fromisoformat(value.strip()))
    except (ValueError, OverflowError):
        return None


def read_vendor_moment(value: object) -> datetime | None:
    """Return a moment that the vendor tells, or None for what is none.

    Its documents say ISO 8601. Read as well: an epoch in any unit, as a number or as text; a zone
    behind a space or by name; HTTP's three forms (RFC 9110, 5.6.7) and those of mails.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _EPOCH.fullmatch(text):
        return _from_epoch(float(text))
    return read_moment(text) or _with_odd_zone(text) or _from_http(text)


def _from_epoch(number: float) -> datetime | None:
    for unit in _UNITS:
        if _FIRST_SECOND * unit <= number < _LAST_SECOND * unit:
            return datetime.fromtimestamp(number / unit, UTC)
    return None


def _with_odd_zone(text: str) -> datetime | None:
    told = _WITH_ODD_ZONE.fullmatch(text)
    return read_moment(told[1] + (told[2] or "+00:00")) if told else None


def _from_http(text: str) -> datetime | None:
    try:
        return _in_utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _in_utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
