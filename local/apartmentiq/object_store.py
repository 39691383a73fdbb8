"""What S3 answers to a GET once the link was found good: ranges, preconditions, headers.

Only what a download needs. It says nothing about who may read; links.py does that.
"""

from __future__ import annotations

import base64
import re
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local.apartmentiq.exports import crc64nvme_of
from local.apartmentiq.messages import Answer, Slice, xml_error

if TYPE_CHECKING:
    from local.apartmentiq.jobs import Job, JobBook, StoredObject
    from local.apartmentiq.messages import Request
    from local.apartmentiq.script import LinkFault

__all__ = ["answer_object", "find_job"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_FORMS = {"response-content-type": "Content-Type", "response-content-encoding": "Content-Encoding"}


def find_job(request: Request, jobs: JobBook) -> Job | None:
    """Return the job whose export the request's path names, or None."""
    bucket, _, key = unquote(request.raw_path).lstrip("/").partition("/")
    return jobs.at_key(bucket, key)


def answer_object(request: Request, job: Job | None, fault: LinkFault | None) -> Answer:
    """Return the object or the range that was asked for, bent as `fault` wishes."""
    if job is None or job.stored is None:
        return xml_error(404, "NoSuchKey", "The specified key does not exist.")
    stored = job.stored
    etag = fault.etag if fault and fault.etag else stored.etag
    if refusal := _check_precondition(request, etag, told=bool(fault and fault.etag)):
        return refusal
    wanted = None if fault and fault.ignore_range else _wanted(request, stored.content.size_bytes)
    if wanted is not None and not wanted:
        return _not_satisfiable(request, stored.content.size_bytes)
    start, length = (wanted.start, len(wanted)) if wanted else (0, stored.content.size_bytes)
    headers = _headers(request, stored, etag, whole=not wanted)
    if wanted:
        truth = f"bytes {wanted.start}-{wanted.stop - 1}/{stored.content.size_bytes}"
        headers["Content-Range"] = (fault and fault.content_range) or truth
    headers["Content-Length"] = str(length)
    headers |= fault.headers if fault else {}
    body = Slice(job.job_id, stored.content, start, length)
    interim = fault.interim if fault else b""
    return Answer(206 if wanted else 200, tuple(headers.items()), stream=body, interim=interim)


def _check_precondition(request: Request, etag: str, *, told: bool) -> Answer | None:
    condition = request.headers.get("If-Match")
    if condition is None or told or condition.strip() == "*":
        return None
    if etag in [choice.strip().strip('"') for choice in condition.split(",")]:
        return None
    message = "At least one of the pre-conditions you specified did not hold"
    return xml_error(412, "PreconditionFailed", message, Condition="If-Match")


def _wanted(request: Request, size_bytes: int) -> range | None:
    """Return the range asked for, empty if it cannot be had, or None for the whole object."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size_bytes - int(last)), size_bytes)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)


def _not_satisfiable(request: Request, size_bytes: int) -> Answer:
    return xml_error(
        416,
        "InvalidRange",
        "The requested range is not satisfiable",
        RangeRequested=request.headers.get("Range", ""),
        ActualObjectSize=size_bytes,
    )


def _headers(request: Request, stored: StoredObject, etag: str, *, whole: bool) -> dict[str, str]:
    headers = {
        "x-amz-id-2": "STANDIN0HOST0",
        "x-amz-request-id": "STANDIN0REQUEST0",
        "Last-Modified": format_datetime(stored.last_modified, usegmt=True),
        "ETag": f'"{etag}"',
        "x-amz-server-side-encryption": "AES256",
        "Accept-Ranges": "bytes",
        **dict(stored.headers),
    }
    if whole and request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        checksum = base64.b64encode(crc64nvme_of(stored.content)).decode()
        headers |= {
            "x-amz-checksum-crc64nvme": checksum,
            "x-amz-checksum-type": "FULL_OBJECT",
        }
    asked = request.query()
    return headers | {_FORMS[name]: asked[name] for name in _FORMS if name in asked}
