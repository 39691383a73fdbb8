"""Why an export was not archived, by what happens to its message next.

    Interruption                  the attempt ended without an archived export
    ├── Deferral                  a delayed copy of the message comes back; no receive is used up
    ├── EndedAtVendor             the job has no export: acknowledged, and told by an event
    ├── Rejection                 a person must decide: to the dead-letter queue at once
    └── Failure                   redelivered by SQS with backoff; deferred instead where it is an
        │                         outage's (delivery.py)
        └── Transient             retried inside the attempt first

Anything else that is raised is a bug, and is treated as a Failure with the reason "bug".
The reasons are settled names (docs/operations.md): people filter dead letters and alarm on them.

`detail` is shown to people and travels in events and dead letters. It must never hold a secret, a
link's query string or text of the vendor's that has not been through `redact`.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

__all__ = [
    "Deferral",
    "DeferralReason",
    "EndReason",
    "EndedAtVendor",
    "Failure",
    "FailureReason",
    "Interruption",
    "OutageReason",
    "Rejection",
    "RejectionReason",
    "Transient",
    "redact",
]

DeferralReason = Literal[
    "no_such_job",
    "network",
    "vendor_error",
    "aws_error",
    "not_finished",
    "rate_limited",
    "in_progress_elsewhere",
    "out_of_time",
    "credentials_missing",
    "credentials_rejected",
]
EndReason = Literal["job_failed", "job_cancelled"]
RejectionReason = Literal[
    "malformed_message",
    "no_such_job",
    "forbidden",
    "quota_exceeded",
    "untrusted_link",
    "object_conflict",
    "vendor_error",
    "waited_too_long",
]
OutageReason = Literal["network", "vendor_error", "aws_error"]  # a failure's, and a deferral's
FailureReason = Literal["network", "vendor_error", "aws_error", "bug"]


class Interruption(Exception):  # noqa: N818 - an outcome, read as a noun; not every one is an error
    """The attempt ended without an archived export; `reason` is one of the settled names."""

    reasons: tuple[str, ...] = ()

    def __init__(self, reason: str, detail: str) -> None:
        if reason not in self.reasons:
            raise ValueError(f"{reason!r} is not a reason of {type(self).__name__}")
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Deferral(Interruption):
    """Come back later, without a receive being used up.

    `wait_seconds` is the least time to wait if the other side named one (Retry-After).
    """

    reasons = get_args(DeferralReason)

    def __init__(
        self, reason: DeferralReason, detail: str, *, wait_seconds: float | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.wait_seconds = wait_seconds


class EndedAtVendor(Interruption):
    """The job will never have an export: it failed or was cancelled at the vendor."""

    reasons = get_args(EndReason)

    def __init__(self, reason: EndReason, detail: str) -> None:
        super().__init__(reason, detail)


class Rejection(Interruption):
    """Trying again changes nothing until a person has done something."""

    reasons = get_args(RejectionReason)

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(reason, detail)


class Failure(Interruption):
    """Something that passes by itself, more often than not.

    `wait_seconds` is the least time to wait if the other side named one (Retry-After).
    """

    reasons = get_args(FailureReason)

    def __init__(
        self, reason: FailureReason, detail: str, *, wait_seconds: float | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.wait_seconds = wait_seconds


class Transient(Failure):
    """A Failure that often passes within seconds: a part that meets one is copied again first."""


# The scheme's length is bounded, so that a long text costs no more than its length.
_URL = re.compile(r"[a-z0-9+.-]{0,20}://\S+", re.IGNORECASE)
# Tokens, signatures and secrets are long runs without a space; many are URL-safe base64, whose
# hyphens cut them into short pieces. A UUID is the one such run that people need to see.
_LONG_RUN = re.compile(r"[A-Za-z0-9_~+/=%.-]{24,}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[.]?", re.IGNORECASE)
_MAX_REDACTED_CHARACTERS = 200


def redact(text: str, *secrets: str) -> str:
    """Make text of somebody else's fit to be shown: one line, short, without links or secrets.

    Known `secrets` go first, then whatever looks like a URL or like key material. What is left is
    printable: SQS refuses messages with control characters or halves of surrogate pairs.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[hidden]")
    text = _LONG_RUN.sub(_hide, _URL.sub("[link]", text))
    text = " ".join(text.split())[:_MAX_REDACTED_CHARACTERS]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _hide(run: re.Match[str]) -> str:
    return run[0] if _UUID.fullmatch(run[0]) else "[hidden]"
