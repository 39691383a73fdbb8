"""A callback of the vendor's: from an HTTP request to one message for each job that it names.

A callback is a hint. No status in it is used, no address in it is requested, and nothing of it is
kept but the job ids and, of the query, the id of an order of ours (intent.order_id_in): not its
body, which may hold the `callback_url` and so our token. A request with an unknown token learns
nothing, whatever else is wrong with it.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from archiver.callbacks.function_url import Answer, BodyTooLargeError, BodyUnreadableError, Request
from archiver.callbacks.job_ids import LOOKED_FOR, MOST_JOBS, find_job_ids
from archiver.errors import Failure
from archiver.intent import order_id_in
from archiver.log import Log

__all__ = ["CallbackReception"]

_MOST_BODY_BYTES = 64 * 1024  # a job object has half a KiB
# The vendor documents none; POST is the custom. HEAD and OPTIONS could not carry anything.
_METHODS = ("GET", "POST", "PUT")
_RETRY_AFTER_SECONDS = "60"
_BATCH_MESSAGES = 10  # the most that SQS takes at once

_ACCEPTED = 202
_UNKNOWN = Answer(404, {"error": "Not Found"})
_WRONG_METHOD = Answer(405, {"error": "Method Not Allowed"}, {"allow": ", ".join(_METHODS)})
_TOO_LARGE = Answer(
    413, {"error": "Content Too Large", "message": f"The most is {_MOST_BODY_BYTES} bytes."}
)
_UNREADABLE = Answer(400, {"error": "Bad Request", "message": "The body is not base64."})
_NO_JOB = Answer(400, {"error": "No job id", "message": f"Looked for {LOOKED_FOR}."})
_LATER = Answer(503, {"error": "Service Unavailable"}, {"retry-after": _RETRY_AFTER_SECONDS})
_BROKEN = Answer(500, {"error": "Internal Server Error"})


class Counts(Protocol):
    """The metrics of callbacks."""

    def count(self, name: str) -> None: ...
    def count_reason(self, name: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CallbackReception:
    """Answers callbacks; built once per runtime."""

    knows_token: Callable[[str], bool]
    send_batch: Callable[[Sequence[str]], Sequence[bool]]  # up to ten bodies; which were taken
    counts: Counts
    log: Log

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an event of the Function URL; raises nothing, and its answer holds no secret."""
        try:
            return self._answer(Request.from_event(event)).as_payload()
        except Failure as failure:
            self._tell_failure(failure.reason, failure.detail)
            return _LATER.as_payload()
        except Exception as error:  # noqa: BLE001 - a bug must not show strangers anything
            self._tell_failure("bug", f"{type(error).__name__} at {_place(error)}")
            return _BROKEN.as_payload()

    def _answer(self, request: Request) -> Answer:
        if not self.knows_token(request.path.strip("/")):
            # Counted, not logged: a flood of these must cost next to nothing.
            self.counts.count_reason("CallbackRefused", "unknown_token")
            return _UNKNOWN
        if request.method not in _METHODS:
            return self._refuse("wrong_method", _WRONG_METHOD)
        try:
            body = request.read_body(_MOST_BODY_BYTES)
        except BodyTooLargeError:
            return self._refuse("too_large", _TOO_LARGE)
        except BodyUnreadableError:
            return self._refuse("unreadable", _UNREADABLE)
        job_ids = find_job_ids(request.query, body)
        if not job_ids:
            return self._refuse("no_job_id", _NO_JOB, body_bytes=len(body))
        return self._queue(job_ids, order_id_in(f"?{request.query}"))

    def _queue(self, job_ids: list[str], order_id: str | None) -> Answer:
        queued, left = job_ids[:MOST_JOBS], len(job_ids[MOST_JOBS:])
        # One request orders one job: of several, which it is of cannot be told.
        self._send(queued, order_id if len(job_ids) == 1 else None)
        self.counts.count("CallbackAccepted")
        tell = self.log.warning if left else self.log.info  # the sweep finds those that are left
        tell("callback_accepted", job_ids=queued, jobs_left=left)
        return Answer(_ACCEPTED, {"queued": len(queued)})

    def _send(self, job_ids: list[str], order_id: str | None) -> None:
        """Send a message for each job; raises Failure, after all were tried, if any is left."""
        more = {} if order_id is None else {"order_id": order_id}
        bodies = [json.dumps({"job_id": job_id} | more) for job_id in job_ids]
        taken: list[bool] = []
        for start in range(0, len(bodies), _BATCH_MESSAGES):
            taken += self.send_batch(bodies[start : start + _BATCH_MESSAGES])
        if not all(taken):
            detail = f"The queue did not take {taken.count(False)} of {len(taken)} messages."
            raise Failure("aws_error", detail)

    def _refuse(self, reason: str, answer: Answer, **fields: object) -> Answer:
        self.counts.count_reason("CallbackRefused", reason)
        self.log.warning("callback_refused", reason=reason, **fields)
        return answer

    def _tell_failure(self, reason: str, detail: str) -> None:
        self.counts.count_reason("CallbackFailed", reason)
        self.log.error("callback_failed", reason=reason, detail=detail)


def _place(error: Exception) -> str:
    """Return file and line of what was raised: an exception's text may quote the request."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(frame.filename).name}:{frame.lineno}"
