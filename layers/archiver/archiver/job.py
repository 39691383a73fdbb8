"""What the vendor says of a job. Pure: it must not ask anybody anything.

The fields are those of the vendor's job object (tests/data/apartmentiq-jobs-openapi.yaml).
`callback_url` is dropped here, at the first boundary, because it carries a token of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from archiver.errors import redact
from archiver.intent import Intent, Parameters, fingerprint, order_id_in, read_order_id
from archiver.moment import read_vendor_moment

__all__ = [
    "UNKNOWN",
    "Job",
    "cut_callback_url",
    "job_ids_in",
    "parameters_of",
    "parse_job_id",
    "strip_callback_url",
]

UNKNOWN = "unknown"  # settled: what a field reads when the vendor does not tell it
# The documented words for a job that has no export, or none yet (as above).
# Whatever else a status says, the results endpoint knows better.
_WITHOUT_EXPORT = frozenset({"submitted", "failed", "cancelled"})

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_ANYWHERE = re.compile(f"(?=({_UUID.pattern}))")  # two may overlap
# The name as JSON may write it: each character as it is or escaped, also several times over.
_CALLBACK_URL = re.compile(
    "".join(rf"(?:{c}|\\{{1,8}}u00(?:{ord(c):02x}|{ord(c.upper()):02x}))" for c in "callback_url"),
    re.IGNORECASE,
)
_LABELLED_JOB_ID = re.compile(rf"job_id\W{{1,12}}{_UUID.pattern}", re.IGNORECASE)


def parse_job_id(value: object) -> str | None:
    """Return the job id in lower case, or None if `value` is no UUID in the canonical form.

    Only the hyphenated form is taken: the id becomes part of a URL and of an object key.
    """
    if not isinstance(value, str):
        return None
    candidate = value.strip().lower()
    return candidate if _UUID.fullmatch(candidate) else None


def job_ids_in(key: str) -> list[str]:
    """Return what can be a job id in an object's key, wherever the key template puts it."""
    return _UUID_ANYWHERE.findall(key)


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
    changed_at: str = UNKNOWN  # of a job that has succeeded: when it did
    created_at: str = UNKNOWN
    property_set: str | None = None  # the fingerprint of its property ids; None: not told in full
    intent: Intent | None = None  # of ours, if its own parameters prove that it was ordered by it

    @classmethod
    def from_vendor(cls, job_id: str, fields: Mapping[str, Any], told: Intent | None = None) -> Job:
        """Read a job object of the API, forgiving fields that are missing or of another type.

        `told`: the intent of which a callback spoke; it counts where the vendor itself shows none.

        What `redact` would change (a link, key material, characters that no store takes) is no
        report type, and must not become part of a key or an event.
        """

        def text(name: str) -> str:
            value = fields.get(name)
            return value if isinstance(value, str) and value == redact(value) else UNKNOWN

        message = fields.get("error_message")
        changed_at = read_vendor_moment(fields.get("updated_at"))
        created_at = read_vendor_moment(fields.get("created_at"))
        job = cls(
            job_id=job_id,
            report_type=text("report_type"),
            output_format=text("output_format"),
            start_date=_date(fields.get("start_date")),
            end_date=_date(fields.get("end_date")),
            status=text("status").strip().lower(),
            error_message=message if isinstance(message, str) else "",
            changed_at=UNKNOWN if changed_at is None else changed_at.isoformat(),
            created_at=UNKNOWN
            if created_at is None
            else created_at.isoformat(timespec="microseconds"),  # in UTC: they compare as text
            property_set=_property_set(fields.get("property_ids")),
        )
        intent = read_order_id(order_id_in(fields.get("callback_url"))) or told
        if intent is None:
            return job
        parameters = parameters_of(job)
        is_proven = parameters is not None and intent.is_of(parameters)
        return replace(job, intent=intent) if is_proven else job

    @property
    def may_have_export(self) -> bool:
        """Tell whether the results endpoint is to be asked; a status that nobody knows may be."""
        return self.status not in _WITHOUT_EXPORT

    @property
    def is_vague(self) -> bool:
        """Tell whether something that a key is made of is not known."""
        return UNKNOWN in {self.report_type, self.output_format, self.start_date, self.end_date}


def parameters_of(job: Job) -> Parameters | None:
    """Return what a job was ordered with; None where something is not told."""
    if job.is_vague or job.property_set is None:
        return None
    return Parameters(
        job.report_type, job.output_format, job.property_set, job.start_date, job.end_date
    )


def _property_set(told: object) -> str | None:
    if not isinstance(told, list):
        return None
    ids = [each for value in told if (each := _property_id(value)) is not None]
    return fingerprint(ids) if ids and len(ids) == len(told) else None


def _property_id(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 17 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _date(value: object) -> str:
    """Return a date as YYYY-MM-DD, also out of a timestamp; what is no date reads "unknown"."""
    try:
        return date.fromisoformat(value[:10] if isinstance(value, str) else "").isoformat()
    except ValueError:
        moment = read_vendor_moment(value)
        return UNKNOWN if moment is None else moment.date().isoformat()


def strip_callback_url(value: Any) -> Any:  # noqa: ANN401 - any JSON in, the same JSON out
    """Return a copy of a JSON value in which no `callback_url` is left, at any depth.

    Members of that name go, and so does the rest of a text that mentions it: SNS and others put
    one JSON text into another.
    """
    if isinstance(value, dict):
        return {
            name: strip_callback_url(item)
            for name, item in value.items()
            if _CALLBACK_URL.search(name) is None
        }
    if isinstance(value, list):
        return [strip_callback_url(item) for item in value]
    return cut_callback_url(value) if isinstance(value, str) else value


def cut_callback_url(text: str) -> str:
    """Return a text up to where it first mentions a `callback_url`, and the job id after it.

    Where its value ends cannot be told in a text that is no JSON (or is escaped JSON inside JSON),
    so the rest goes; what people need of it, the job id, is kept.
    """
    match = _CALLBACK_URL.search(text)
    if match is None:
        return text
    job_id = _LABELLED_JOB_ID.search(text, match.end())
    return f"{text[: match.start()]}[removed]{' ' + job_id[0] if job_id else ''}"
