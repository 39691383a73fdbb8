"""The vendor's own protocol: tokens, jobs and results, each answer as the vendor documents it.

The results endpoint is held to the OpenAPI fragment in tests/data; the others to the document there
that has what the vendor's pages say. Where those are silent (the text of a validation error,
cancelling a finished job) the answer is our guess, and a comment says so. No sockets, no files.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import secrets
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from local.apartmentiq.control import CONTROL_PATH
from local.apartmentiq.jobs import Job, JobBook
from local.apartmentiq.messages import Answer, Request, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from local.apartmentiq.order_desk import OrderDesk
    from local.apartmentiq.script import Route

__all__ = ["API_PATH", "TOKEN_PATH", "UNAUTHORIZED", "JobRoutes", "TokenOffice", "find_route"]

API_PATH = "/apartmentiq/api/v1"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path, not a password
_JOBS = f"{API_PATH}/bulk_api/jobs"
_PATHS: tuple[tuple[Route, re.Pattern[str]], ...] = (
    ("token", re.compile(re.escape(TOKEN_PATH))),
    ("control", re.compile(re.escape(CONTROL_PATH))),
    ("jobs", re.compile(re.escape(_JOBS))),
    ("results", re.compile(re.escape(_JOBS) + r"/(?P<job_id>[^/]+)/results")),
    ("job", re.compile(re.escape(_JOBS) + r"/(?P<job_id>[^/]+)")),
)
Document = dict[str, object]
UNAUTHORIZED = json_answer(
    401, {"error": "Unauthorized", "message": "Missing or invalid bearer token"}
)
_NOT_FOUND = {"error": "Not Found", "message": "Job with the specified ID does not exist"}


def find_route(request: Request) -> tuple[Route, str | None]:
    """Return which endpoint a request means, and the job id in its path if there is one.

    An order (POST) has a route of its own, apart from the list at the same path.
    """
    for route, pattern in _PATHS:
        if match := pattern.fullmatch(request.raw_path):
            if route == "jobs" and request.method == "POST":
                return "order", None
            return route, match.groupdict().get("job_id")
    return "unknown", None


class TokenOffice:
    """Gives out and recognises access tokens, by the OAuth client credentials flow.

    A long-lived token, as people make one by hand in the account settings, is accepted as well.
    """

    def __init__(
        self, now: Callable[[], datetime], note_secret: Callable[[str, str], None]
    ) -> None:
        self._note_secret = note_secret  # called with a secret's name and value, when it is made
        self.client_id = f"canary-client-id-{secrets.token_hex(8)}"
        self.client_secret = self.rotate_secret()
        self.access_token = f"canary-access-token-{secrets.token_urlsafe(24)}"
        note_secret("access token", self.access_token)
        self.expires_in_seconds = 7200
        self.revokes_earlier = False  # as Doorkeeper can be set up: a new token revokes the last
        self._now = now
        self._lock = threading.Lock()
        self._expiry: dict[str, float] = {self.access_token: math.inf}

    def answer(self, request: Request) -> Answer:
        """Answer `POST /oauth/token`, in a form or in JSON."""
        if request.method != "POST":
            return json_answer(405, {"error": "Method Not Allowed"}, Allow="POST")
        fields = _read_fields(request)
        if "grant_type" not in fields:
            return _oauth_error(400, "invalid_request", "Missing required parameter: grant_type.")
        if fields["grant_type"] != "client_credentials":
            text = "The authorization grant type is not supported."
            return _oauth_error(400, "unsupported_grant_type", text)
        if not self._knows(fields.get("client_id"), fields.get("client_secret")):
            return _oauth_error(401, "invalid_client", "Client authentication failed.")
        return self._issue()

    def recognises(self, request: Request) -> bool:
        """Say whether a request bears a token that is valid now."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            expiry = self._expiry.get(token.strip(), -math.inf)
        return scheme.lower() == "bearer" and self._now().timestamp() < expiry

    def revoke_all(self) -> None:
        """Make every token that was given out invalid; the long-lived one too."""
        with self._lock:
            self._expiry.clear()

    def rotate_secret(self) -> str:
        """Replace the client secret and return the new one."""
        self.client_secret = f"canary-client-secret-{secrets.token_urlsafe(24)}"
        self._note_secret("client secret", self.client_secret)
        return self.client_secret

    def _knows(self, client_id: object, client_secret: object) -> bool:
        known = f"{self.client_id}\n{self.client_secret}".encode()
        return hmac.compare_digest(known, f"{client_id}\n{client_secret}".encode())

    def _issue(self) -> Answer:
        token = f"canary-token-{secrets.token_urlsafe(32)}"
        self._note_secret("token", token)
        now = self._now().timestamp()
        with self._lock:
            if self.revokes_earlier:
                for earlier in self._expiry.keys() - {self.access_token}:
                    del self._expiry[earlier]
            self._expiry[token] = now + self.expires_in_seconds
        document = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.expires_in_seconds,
            "scope": "api",
            "created_at": int(now),
        }
        return json_answer(200, document, Cache_Control="no-store")


class JobRoutes:
    """Answers the calls on jobs, for whoever bears a valid token."""

    def __init__(
        self,
        jobs: JobBook,
        orders: OrderDesk,
        tokens: TokenOffice,
        make_link: Callable[[Job], str],
    ) -> None:
        self.details_status = 200  # 404 or 405: no such page, as some accounts may find
        self.on_list: Callable[[int], None] = lambda page: None  # noqa: ARG005 - what moves it then
        self.tell_pagination: Callable[[Document], object] = lambda pagination: pagination
        self.hidden_until: dict[str, datetime] = {}  # jobs that its replica does not know yet
        self._jobs = jobs
        self._orders = orders
        self._tokens = tokens
        self._make_link = make_link

    def answer(self, route: Route, job_id: str | None, request: Request) -> Answer:
        """Answer one call; 401 comes before everything else, as in the vendor's pages."""
        if not self._tokens.recognises(request):
            return UNAUTHORIZED
        calls: dict[tuple[Route, str], Callable[[], Answer]] = {
            ("jobs", "GET"): lambda: self._list(request),
            ("order", "POST"): lambda: self._orders.answer(request),
            ("job", "GET"): lambda: self._details(job_id or ""),
            ("job", "DELETE"): lambda: self._cancel(job_id or ""),
            ("results", "GET"): lambda: self._results(job_id or ""),
        }
        call = calls.get((route, request.method))
        if call is None:
            return json_answer(405, {"error": "Method Not Allowed"})
        return call()

    def _list(self, request: Request) -> Answer:
        query = request.query()
        page, per_page = query.get("page", "1"), query.get("per_page", "50")
        if not (page.isdecimal() and int(page) >= 1):
            return _invalid("page must be at least 1")  # the words are our guess
        if not (per_page.isdecimal() and 1 <= int(per_page) <= 100):
            return _invalid("per_page must be between 1 and 100")  # the words are our guess
        self.on_list(int(page))
        jobs, size = list(filter(self._is_known, self._orders.listed())), int(per_page)
        start = (int(page) - 1) * size
        pagination: Document = {
            "current_page": int(page),
            "total_pages": max(1, -(-len(jobs) // size)),
            "total_count": len(jobs),
            "per_page": size,
        }
        listed = [self._orders.shown(job) for job in jobs[start : start + size]]
        return json_answer(200, {"jobs": listed, "pagination": self.tell_pagination(pagination)})

    def _is_known(self, job: Job) -> bool:
        until = self.hidden_until.get(job.job_id)
        return until is None or self._jobs.now() >= until

    def _details(self, job_id: str) -> Answer:
        if self.details_status != 200:
            return json_answer(self.details_status, {"error": "Not Found"})
        job = self._known(job_id)
        return job if isinstance(job, Answer) else json_answer(200, self._orders.shown(job))

    def _known(self, job_id: str) -> Job | Answer:
        job = _uuid_or_answer(job_id, self._jobs)
        if isinstance(job, Job) and not self._is_known(job):
            return json_answer(404, _NOT_FOUND)
        return job

    def _cancel(self, job_id: str) -> Answer:
        job = _uuid_or_answer(job_id, self._jobs)
        if isinstance(job, Answer):
            return job
        if job.status != "submitted":  # how the vendor answers this is not documented: a guess
            return _invalid("Only submitted jobs can be cancelled", error="Invalid operation")
        cancelled = self._jobs.change(job.job_id, lambda job: replace(job, status="cancelled"))
        return json_answer(200, self._orders.shown(cancelled))

    def _results(self, job_id: str) -> Answer:
        job = self._known(job_id)
        if isinstance(job, Answer):
            return job
        if job.refusal == "empty":
            return Answer(403)
        if job.refusal == "json":
            message = "You do not have permission to download results for this job"
            return json_answer(403, {"error": "Forbidden", "message": message})
        if job.status != "succeeded" or job.stored is None:
            return _invalid(
                "Results are not available because the job has not completed successfully",
                error="Invalid operation",
            )
        return Answer(302, (("Location", self._make_link(job)),))


def _uuid_or_answer(job_id: str, jobs: JobBook) -> Job | Answer:
    """Return the job, or the documented refusal of an id that is none or that nobody knows."""
    try:
        canonical = str(uuid.UUID(job_id))
    except ValueError:
        return _invalid("job_id must be a valid UUID")
    return jobs.get(canonical) or json_answer(404, _NOT_FOUND)


def _invalid(message: str, *, error: str = "Invalid parameter") -> Answer:
    return json_answer(400, {"error": error, "message": message})


def _oauth_error(status: int, error: str, description: str) -> Answer:
    document = {"error": error, "error_description": description}
    return json_answer(status, document, Cache_Control="no-store")


def _read_fields(request: Request) -> Mapping[str, object]:
    if request.headers.get_content_type() == "application/json":
        try:
            fields = json.loads(request.body)
        except ValueError:
            return {}
        return cast("dict[str, object]", fields) if isinstance(fields, dict) else {}
    return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
