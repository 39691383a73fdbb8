"""The vendor's protocol without I/O: requests are built, answers are deciphered.

Contract: the two OpenAPI files of tests/data; developers.apartmentiq.io, /v1/errors. The status is
read first, then the body if there is one; an answer that the contract does not know is a
vendor_error. The vendor's text reaches a detail only through `redact`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from archiver.errors import Deferral, EndedAtVendor, Failure, Rejection, redact
from archiver.intent import Intent
from archiver.job import Job, parse_job_id
from archiver.network.answer import Answer

__all__ = [
    "Credentials",
    "Token",
    "Unauthorized",
    "decipher_job",
    "decipher_jobs_and_pagination",
    "decipher_results",
    "decipher_token",
    "ended_at_vendor",
    "explained",
    "job_path",
    "jobs_page_path",
    "rate_limit_wait",
    "results_path",
    "token_form",
]

_OK = 200
_REDIRECTS = frozenset({302, 303, 307})  # the contract says 302; the others would mean the same
_DETAILS_UNAVAILABLE = frozenset({404, 405})
_DEFAULT_TOKEN_SECONDS = 300  # for an answer without expires_in: short, so that we ask again soon
_MAX_TOKEN_SECONDS = 24 * 3600  # the vendor says 7,200; what is longer is asked for again daily
_MAX_TOLD_ERRORS = 3
_MAX_QUOTA = 10**12  # what is above is no count of requests
_DEFAULT_WAIT_SECONDS = 60.0  # for a 429 that names no time
_MAX_OUTAGE_WAIT_SECONDS = 300.0  # of a 5xx, whose Retry-After is a guess: we look sooner
_MAX_WAIT_SECONDS = 24 * 3600.0  # a Retry-After beyond a day is taken for a day


class Unauthorized(Exception):  # noqa: N818 - the caller's cue to renew the token
    """A 401: the token expired or was revoked; at the token endpoint: wrong credentials."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the secret holds: a client's id and secret, or a long-lived access token."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how many seconds it is good for (None: until somebody revokes it)."""

    value: str = field(repr=False)
    lifetime_seconds: float | None


def token_form(credentials: Credentials) -> str:
    """Return the body of a token request (form-encoded, client credentials flow)."""
    return urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
    )


def job_path(job_id: str) -> str:
    """Return the path of a job's details, below the API's base."""
    return f"/bulk_api/jobs/{job_id}"


def jobs_page_path(page: int, per_page: int) -> str:
    """Return the path of one page of the job list, newest first; pages count from 1."""
    return f"/bulk_api/jobs?page={page}&per_page={per_page}"


def results_path(job_id: str) -> str:
    """Return the path that redirects to the link."""
    return f"/bulk_api/jobs/{job_id}/results"


def decipher_token(answer: Answer) -> Token:
    """Read the token endpoint's answer.

    Raises Unauthorized where the endpoint refuses the credentials (any 4xx but 429: OAuth answers
    400 or 401 with `invalid_client`), Deferral("rate_limited") and Failure("vendor_error").
    """
    if answer.status == _OK:
        fields = _json_object(answer, "the token endpoint")
        value = fields.get("access_token")
        if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
            raise _unexpected(answer, "the token endpoint", "without a usable access_token")
        lifetime: Any = fields.get("expires_in")
        usable = (
            isinstance(lifetime, int | float) and not isinstance(lifetime, bool) and lifetime > 0
        )
        seconds = min(lifetime, _MAX_TOKEN_SECONDS) if usable else _DEFAULT_TOKEN_SECONDS
        return Token(value, float(seconds))
    if 400 <= answer.status < 500 and answer.status != 429:
        raise Unauthorized
    check_status(answer, "the token endpoint")
    raise _unexpected(answer, "the token endpoint")


def decipher_job(answer: Answer, job_id: str, told: Intent | None = None) -> Job | None:
    """Read a job object; None means "details unavailable" (404 or 405), not "no such job".

    `told`: as Job.from_vendor.
    """
    if answer.status in _DETAILS_UNAVAILABLE:
        return None
    if answer.status != _OK:
        check_status(answer, "the job endpoint")
        raise _unexpected(answer, "the job endpoint")
    fields = _json_object(answer, "the job endpoint")
    inner = fields.get("job")
    if "job_id" not in fields and isinstance(inner, dict):
        fields = inner
    if parse_job_id(fields.get("job_id")) != job_id:
        raise _unexpected(
            answer, "the job endpoint", "that describes another job than was asked for"
        )
    return Job.from_vendor(job_id, fields, told)


def decipher_jobs_and_pagination(
    answer: Answer,
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Read one page of the list: its job objects, and its `pagination` as the vendor tells it.

    A list that is not there says nothing of a job: its 404 is the vendor's error.
    """
    if answer.status != _OK:
        if answer.status != 404:
            check_status(answer, "the job list")
        raise _unexpected(answer, "the job list")
    fields = _json_object(answer, "the job list")
    jobs, pagination = fields.get("jobs"), fields.get("pagination")
    if not isinstance(jobs, list):
        raise _unexpected(answer, "the job list", "without a list of jobs")
    told = pagination if isinstance(pagination, dict) else {}
    return [job for job in jobs if isinstance(job, dict)], told


def decipher_results(answer: Answer, status_now: str) -> str:
    """Return the Location of the link.

    `status_now` is the job's status as the API last told it: the 400 "Invalid operation" means one
    thing for a job that still runs and another for one that ended.
    """
    if answer.status in _REDIRECTS:
        location = answer.headers.get("location", "")
        if not location:
            raise _unexpected(answer, "the results endpoint", "without a Location")
        return location
    if answer.status == 400:
        raise _explain_bad_request(answer, status_now)
    check_status(answer, "the results endpoint")
    raise _unexpected(answer, "the results endpoint")


def ended_at_vendor(job: Job) -> EndedAtVendor | None:
    """Return the end that a job's status means, or None where the job may still have an export."""
    if job.status == "failed":
        told = redact(job.error_message) or "The vendor gave no message."
        return EndedAtVendor("job_failed", f"The job failed at the vendor: {told}")
    if job.status == "cancelled":
        return EndedAtVendor("job_cancelled", "The job was cancelled at the vendor.")
    return None


def rate_limit_wait(answer: Answer) -> float | None:
    """Return the least wait in seconds that a 429 asks for; None for any other answer.

    A quota's 429 is none: waiting does not help against it.
    """
    if answer.status != 429 or _quota(answer):
        return None
    return _wait_seconds(answer)


def check_status(answer: Answer, where: str) -> None:
    """Raise what a status means wherever it comes from; unknown statuses return."""
    told = _told(answer)
    match answer.status:
        case 401:
            raise Unauthorized
        case 403:
            if _quota(answer):
                raise Rejection("quota_exceeded", f"403 from {where}: {told}")
            raise Rejection("forbidden", f"403 from {where}: {told}")
        case 404:
            raise Rejection("no_such_job", f"404 from {where}: {told}")
        case 429:
            if _quota(answer):
                raise Rejection("quota_exceeded", f"429 from {where}: {told}")
            wait = _wait_seconds(answer)
            raise Deferral(
                "rate_limited", f"429 from {where}; wait {wait:.0f} s.", wait_seconds=wait
            )
        case status if status >= 500:
            raise Failure(
                "vendor_error", f"{status} from {where}: {told}", wait_seconds=_asked_wait(answer)
            )


def _explain_bad_request(answer: Answer, status_now: str) -> Exception:
    fields = _json_or_nothing(answer)
    if fields.get("error") == "Invalid operation":
        return Deferral(
            "not_finished",
            f"The results are not available yet (the job's status: {redact(status_now)}).",
        )
    return Rejection("malformed_message", f"400 from the results endpoint: {_told(answer)}")


def _quota(answer: Answer) -> bool:
    return "quota_limit" in _json_or_nothing(answer)


def _wait_seconds(answer: Answer) -> float:
    """Return the least wait that a 429 asks for, in seconds; `Retry-After` comes first."""
    for name in ("retry-after", "x-ratelimit-reset-after"):
        try:
            seconds = float(answer.headers.get(name, ""))
        except ValueError:  # absent, or the HTTP-date form, which this API does not document
            continue
        if seconds >= 0:
            return min(seconds, _MAX_WAIT_SECONDS)
    return _DEFAULT_WAIT_SECONDS


def _asked_wait(answer: Answer) -> float | None:
    """Return the wait in seconds that a 5xx asks for, within bounds; RFC 9110, 10.2.3.

    A date is compared with the answer's own `Date`, so that nobody's clock matters.
    """
    told = answer.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return min(float(told[:9]), _MAX_OUTAGE_WAIT_SECONDS)
    try:
        until, now = (parsedate_to_datetime(text) for text in (told, answer.headers["date"]))
        return min(max(0.0, (until - now).total_seconds()), _MAX_OUTAGE_WAIT_SECONDS)
    except (KeyError, TypeError, ValueError):  # absent, no date, or one without a zone
        return None


def explained(answer: Answer) -> str:
    """Return what the body says of an error, for people; empty where it says nothing."""
    fields = _json_or_nothing(answer)
    said = [fields.get("error"), fields.get("message")]
    errors = fields.get("errors")
    said += errors[:_MAX_TOLD_ERRORS] if isinstance(errors, list) else []
    words = [redact(text, *answer.secrets) for text in said if isinstance(text, str) and text]
    if _quota(answer):
        words.append(f"(used {_count(fields, 'quota_usage')} of {_count(fields, 'quota_limit')})")
    return ": ".join(words)


def _told(answer: Answer) -> str:
    """Return what the body says, for people; an empty or unreadable one is said to be so."""
    words = explained(answer)
    if words:
        return words
    if answer.unread:
        return f"an answer whose body could not be read ({answer.unread})"
    return "an answer without a JSON explanation" if answer.body else "an empty answer"


def _count(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return str(value) if isinstance(value, int) and 0 <= value <= _MAX_QUOTA else "an unknown count"


def _json_or_nothing(answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _json_object(answer: Answer, where: str) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        # The error's text quotes the body, and the body may hold a token: name its type alone.
        raise _unexpected(answer, where, f"that is not JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise _unexpected(answer, where, "that is not a JSON object")
    return value


def _unexpected(
    answer: Answer, where: str, how: str = "that the contract does not know"
) -> Failure:
    return Failure("vendor_error", f"{answer.status} from {where}, an answer {how}.")
