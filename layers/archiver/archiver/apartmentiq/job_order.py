"""Ordering a job: the request's body, and what an answer to it says for certain. Pure.

The vendor documents no idempotency key (apartmentiq-api, "Ordering"): whether there is a job now is
the one thing that matters in an answer. What does not say so for certain is `in_doubt`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from archiver.apartmentiq.protocol import Unauthorized, check_status, explained
from archiver.errors import Deferral, Failure, Interruption
from archiver.job import parse_job_id
from archiver.network.answer import Answer

__all__ = ["JOBS_PATH", "Outcome", "Verdict", "decipher_created", "job_body", "not_sent"]

JOBS_PATH = "/bulk_api/jobs"
# Of a request that is wrong as it is; a framework answers so before it does anything. With another
# 4xx the vendor's own words must say so, for a proxy or a gateway may have answered in its place.
_WRONG = frozenset({400, 413, 415, 422})
_WRONG_IF_EXPLAINED = frozenset({404, 409})

Verdict = Literal["ordered", "refused", "closed", "not_sent", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request to order.

    ordered: `job_id` is its job. refused: the vendor does not take it as it is, and says why.
    closed: it takes none of this account's now. not_sent: nothing went out, or none was taken, for
    a reason that passes. in_doubt: there may be a job.
    """

    verdict: Verdict
    detail: str = ""
    reason: str = ""
    job_id: str | None = None
    wait_seconds: float | None = None


def job_body(
    report_type: str,
    output_format: str,
    dates: tuple[str, str],
    property_ids: Sequence[int],
    callback_url: str | None,
) -> str:
    """Return the body of a request that creates a job."""
    fields: dict[str, Any] = {
        "report_type": report_type,
        "output_format": output_format,
        "start_date": dates[0],
        "end_date": dates[1],
        "property_ids": list(property_ids),
    }
    if callback_url is not None:
        fields["callback_url"] = callback_url
    return json.dumps(fields, separators=(",", ":"))


def decipher_created(answer: Answer) -> Outcome:
    """Read the answer to a request that creates a job; raises nothing."""
    where = "the job list's POST"
    if 200 <= answer.status < 300:
        job_id = _job_id_in(answer)
        if job_id is not None:
            return Outcome("ordered", job_id=job_id)
        told = f"{answer.status} from {where}, without a job id that can be read."
        return Outcome("in_doubt", told, "vendor_error")
    told = explained(answer)
    if answer.status in _WRONG or (answer.status in _WRONG_IF_EXPLAINED and told):
        return Outcome("refused", f"{answer.status} from {where}: {told or 'no explanation'}")
    why: Interruption = Failure("vendor_error", f"{answer.status} from {where}.")
    try:
        check_status(answer, where)
    except Unauthorized:
        why = Deferral("credentials_rejected", f"401 from {where}.")
    except Interruption as told_by_status:
        why = told_by_status
    if isinstance(why, Deferral):  # among them the rate limit, which comes before all else
        return not_sent(why)
    is_closed = why.reason in {"quota_exceeded", "forbidden"}
    return Outcome("closed" if is_closed else "in_doubt", why.detail, why.reason)


def not_sent(why: Interruption) -> Outcome:
    """Return the outcome of a request that never went out."""
    wait_seconds = getattr(why, "wait_seconds", None)
    return Outcome("not_sent", why.detail, why.reason, wait_seconds=wait_seconds)


def _job_id_in(answer: Answer) -> str | None:
    try:
        fields = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if isinstance(fields, dict) and "job_id" not in fields:
        fields = fields.get("job")  # as the job endpoint may wrap it (protocol.py)
    return parse_job_id(fields.get("job_id")) if isinstance(fields, dict) else None
