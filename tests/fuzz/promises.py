"""What must hold of a case, said once and without the archiver's own code where that can be."""

from __future__ import annotations

import json
import re
import traceback
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from archiver.apartmentiq.protocol import Unauthorized
from archiver.errors import Deferral, EndedAtVendor, Failure, Interruption, Rejection
from tests.fuzz.canaries import leaks

__all__ = [
    "MAX_DETAIL_CHARACTERS",
    "check_classified",
    "check_shown",
    "is_canonical",
    "is_trusted",
    "requested_job_id",
]

MAX_DETAIL_CHARACTERS = 2_000  # far below what an attribute may hold; a person is to read it
_REASONS = {
    reason for kind in (Deferral, EndedAtVendor, Rejection, Failure) for reason in kind.reasons
}


def is_canonical(value: object) -> bool:
    """Tell whether this is a job id as we pass it on: a UUID, hyphenated, in lower case."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def requested_job_id(body: str) -> str | None:
    """Return the job id that a body asks for by the settled words, if it asks for one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for asked in (value, value.get("detail") if isinstance(value, dict) else None):
        found = asked.get("job_id") if isinstance(asked, dict) else None
        given = found.strip().lower() if isinstance(found, str) else None
        if is_canonical(given):
            return given
    return None


def check_shown(texts: Iterable[str]) -> None:
    """Hold that what people are shown has no secret in it, and can be sent and stored at all."""
    shown = list(texts)
    assert not leaks(shown), f"a secret is shown: {leaks(shown)}"
    for text in shown:
        text.encode()  # a lone surrogate can be neither sent nor stored


def check_classified(error: Exception, *reasons: str) -> None:
    """Hold that an exception is one that the caller knows, and shows no secret with its causes.

    `reasons` are those that can be true here; without any, all that are settled but "bug".
    """
    assert isinstance(error, Interruption | Unauthorized), f"not classified: {error!r}"
    assert not leaks(traceback.format_exception(error)), f"a secret in an exception: {error!r}"
    if isinstance(error, Interruption):
        assert error.reason in (reasons or _REASONS - {"bug"}), error.detail
        check_shown([error.detail])
        assert error.detail.isprintable(), error.detail
        assert 0 < len(error.detail) <= MAX_DETAIL_CHARACTERS


_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_S3_NAMES = {"s3", "s3-fips"}


def is_trusted(location: str, exact: Any, suffixes: Any) -> bool:  # noqa: ANN401 - sets of pairs
    """Tell by the library's parser whether a link's host is trusted, name by name."""
    parts = urlsplit(location)
    host, port = parts.hostname or "", parts.port or 443
    if (host, port) in exact or any(
        host.endswith("." + suffix) and port == at for suffix, at in suffixes
    ):
        return True
    return port == 443 and _is_s3(host)


def _is_s3(host: str) -> bool:
    """Read a name from its end, as DNS does: amazonaws.com, then S3's own labels, then a bucket."""
    labels = host.removesuffix(".cn").split(".")
    if labels[-2:] != ["amazonaws", "com"]:
        return False
    labels = labels[:-2]
    if labels and _REGION.fullmatch(labels[-1]):
        before = labels[:-1]
        if before and before[-1] == "dualstack":
            before = before[:-1]
        return bool(before) and (
            before[-1] in _S3_NAMES
            or (len(before) == 2 and before[-1] in {"s3-accesspoint", "s3-accesspoint-fips"})
        )
    last = labels[-1] if labels else ""
    legacy = last.removeprefix("s3-")
    return last in {"s3", "s3-external-1"} or (last != legacy and bool(_REGION.fullmatch(legacy)))
