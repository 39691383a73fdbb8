"""What the vendor says of a job. Pure: it must not ask anybody anything.

The fields are those of the vendor's job object (apartmentiq-api). `callback_url` is dropped here,
at the first boundary, because it carries a token of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

__all__ = ["UNKNOWN", "Job", "JobState", "parse_job_id", "strip_callback_url"]

# Why a job is not archived now, as its item says; its other states are "copying" and "archived".
JobState = Literal["waiting", "failing", "dead_lettered", "ended_at_vendor"]

UNKNOWN = "unknown"  # settled: what a field reads when the vendor does not tell it

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def parse_job_id(value: object) -> str | None:
    """Return the job id in lower case, or None if `value` is no UUID in the canonical form.

    Only the hyphenated form is taken: the id becomes part of a URL and of an object key.
    """
    if not isinstance(value, str):
        return None
    candidate = value.strip().lower()
    return candidate if _UUID.fullmatch(candidate) else None


@dataclass(frozen=True, slots=True)
class Job:
    """A bulk export job as the vendor describes it; what it does not tell reads "unknown"."""

    job_id: str
    report_type: str = UNKNOWN
    output_format: str = UNKNOWN
    start_date: str = UNKNOWN
    end_date: str = UNKNOWN
    status: str = UNKNOWN
    error_message: str = ""

    @classmethod
    def from_vendor(cls, job_id: str, fields: Mapping[str, Any]) -> Job:
        """Read a job object of the API, forgiving fields that are missing or of another type."""

        def text(name: str) -> str:
            value = fields.get(name)
            return value if isinstance(value, str) and value else UNKNOWN

        message = fields.get("error_message")
        return cls(
            job_id=job_id,
            report_type=text("report_type"),
            output_format=text("output_format"),
            start_date=_date(text("start_date")),
            end_date=_date(text("end_date")),
            status=text("status"),
            error_message=message if isinstance(message, str) else "",
        )


def _date(value: str) -> str:
    """Return a date as YYYY-MM-DD, also out of a timestamp; what is no date reads "unknown"."""
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        return UNKNOWN


def strip_callback_url(value: Any) -> Any:  # noqa: ANN401 - any JSON in, the same JSON out
    """Return a copy of a JSON value in which no object at any depth has a `callback_url`."""
    if isinstance(value, dict):
        return {
            name: strip_callback_url(item)
            for name, item in value.items()
            if name.lower() != "callback_url"
        }
    if isinstance(value, list):
        return [strip_callback_url(item) for item in value]
    return value
