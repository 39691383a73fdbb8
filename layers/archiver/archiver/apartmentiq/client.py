"""Asks the vendor: one method per question of the use case.

The HTTP client never follows a redirect, never retries by itself (SQS does, with backoff), reads no
answer beyond its limit, and sends nothing while the vendor's throttle holds. The token is added to
requests to the API's base alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.apartmentiq.protocol import (
    Credentials,
    decipher_job,
    decipher_results,
    ended_at_vendor,
    job_path,
    jobs_page_path,
    results_path,
    token_form,
)
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.apartmentiq.token import CredentialsSource, TokenCache
from archiver.errors import Deferral, Failure, Interruption
from archiver.intent import Intent
from archiver.job import Job
from archiver.network.answer import Answer
from archiver.telemetry import Steps

if TYPE_CHECKING:
    from archiver.apartmentiq.job_order import Outcome
    from archiver.apartmentiq.listing import JobsPage, ListedJob, Position

__all__ = ["ApartmentIq"]

# A token that the API refuses though it is seconds old was revoked by another runtime's, where the
# vendor lets each new one revoke the last. That runtime is let work for a moment before it loses
# its own: growing waits, jittered, so that all of them come through. A client that really is
# refused costs these eight seconds and six tokens once, and then a quarter second a message.
_RACE_PAUSES_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0)


class _Unanswered(Exception):  # noqa: N818 - read as what it says
    """A request went out and its answer did not come: nobody knows what was done."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.reason, self.detail = failure.reason, failure.detail


class ApartmentIq:
    """The vendor's bulk export API."""

    def __init__(
        self,
        http: ThrottledHttp,
        credentials: CredentialsSource,
        *,
        api_base_url: str,
        token_url: str,
        trusted_hosts: TrustedHosts,
        steps: Steps,
        pause: Callable[[float], None],
    ) -> None:
        self._http = http
        self._api_base_url = api_base_url
        self._token_url = token_url
        self._trusted_hosts = trusted_hosts
        self._steps = steps
        self._pause = pause
        self._tokens = TokenCache(credentials, self._request_token, http.now)

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Send nothing before then (seconds since the epoch): another run got a 429."""
        self._http.keep_away_until(epoch_seconds)

    def describe(self, job_id: str, told: Intent | None = None) -> Job:
        """Return what the vendor tells of a job; fields read "unknown" where it tells nothing.

        `told`: the intent that a callback names (Job.from_vendor).

        Raises Deferral("not_finished") for a job that still runs, EndedAtVendor for one that will
        never have an export, and what the API's errors mean.
        """
        job = self._describe_now(job_id, told)
        ended = ended_at_vendor(job)
        if ended is not None:
            raise ended
        if not job.may_have_export:
            raise Deferral("not_finished", "The job has not finished at the vendor yet.")
        return job

    def link(self, job: Job) -> Link:
        """Ask for a fresh link to the job's export: good for seven days, checked, not followed.

        Raises Rejection("untrusted_link") and what the results endpoint's errors mean.
        """
        with self._steps.step("link"):
            answer = self._get(results_path(job.job_id))
            status_now = job.status
            if answer.status == 400:
                status_now = self.describe(job.job_id).status
            return read_link(decipher_results(answer, status_now), self._trusted_hosts)

    def jobs_page(
        self,
        position: Position,
        read: Callable[[Mapping[str, Any]], ListedJob | None] | None = None,
    ) -> JobsPage | None:
        """Return one page of the job list, newest first; None for one too long to be read.

        `read` makes more of a job object than a sweep needs. Raises what the API's errors mean.
        """
        from archiver.apartmentiq.listing import decipher_listing  # noqa: PLC0415 - as in _look_in_list

        with self._steps.step("list"):
            answer = self._get(jobs_page_path(position.page, position.per_page))
            return decipher_listing(answer, position.per_page, read)

    def _describe_now(self, job_id: str, told: Intent | None) -> Job:
        job = decipher_job(self._get(job_path(job_id)), job_id, told)
        return job or self._look_in_list(job_id) or Job(job_id)

    def _look_in_list(self, job_id: str) -> Job | None:
        """Look on all pages; a list that tells no totals, and so hides its moves, is read twice."""
        # Loaded only now: few jobs are looked for, and a cold start of all others would pay 5 ms.
        from archiver.apartmentiq.listing import Walk, whole  # noqa: PLC0415

        def read(position: Position) -> JobsPage | None:
            return whole(self.jobs_page(position), position)

        for _ in range(2):
            hides_moves = False
            for number, page in enumerate(Walk(read).pages()):
                for listed in page.jobs:
                    if listed.job_id == job_id:
                        return listed.job
                hides_moves = number > 0 and (hides_moves or page.total_count is None)
            if not hides_moves:
                break
        return None

    def create_job(self, body: str) -> Outcome:
        """Order a job (job_order.job_body); tells what is certain, and raises nothing.

        It goes out once, and again only after a 401, which says that nothing was done.
        """
        from archiver.apartmentiq.job_order import (  # noqa: PLC0415 - as in _look_in_list
            JOBS_PATH,
            Outcome,
            decipher_created,
            not_sent,
        )

        with self._steps.step("order"):
            try:
                return decipher_created(self._ask(JOBS_PATH, body))
            except _Unanswered as unanswered:
                return Outcome("in_doubt", unanswered.detail, unanswered.reason)
            except Interruption as why:
                return not_sent(why)

    def _get(self, path: str) -> Answer:
        return self._ask(path, None)

    def _ask(self, path: str, body: str | None) -> Answer:
        """GET below the API's base, or POST a body; a 401 drops the token and tries with another.

        At once where the token was old; where it is seconds old, after a wait that lets others work
        (`_RACE_PAUSES_SECONDS`). Raises Deferral("credentials_rejected") where all are refused.
        """
        pauses = iter(_RACE_PAUSES_SECONDS if self._tokens.were_good else _RACE_PAUSES_SECONDS[:1])
        renewed = False
        while True:
            answer, token = self._ask_with_token(path, body)
            if answer.status != 401:
                self._tokens.were_good = True
                return answer
            is_young = self._tokens.drop(token)
            seconds = next(pauses, None) if is_young else None
            if seconds is not None:
                self._pause(random.uniform(seconds / 2, seconds))  # noqa: S311 - no secret depends on it
            elif is_young or renewed:
                break
            renewed = True
        self._tokens.were_good = False
        raise Deferral(
            "credentials_rejected",
            "The API refuses a fresh token (401). Check the credentials in the secret and the "
            "client's permissions; the job goes on by itself.",
        )

    def _ask_with_token(self, path: str, body: str | None) -> tuple[Answer, str]:
        token = self._tokens.current()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        url = self._api_base_url + path
        if body is None:
            answer = self._http.send("GET", url, headers, None)
        else:
            headers["Content-Type"] = "application/json"
            try:  # it goes out at most once: https.py repeats no POST
                answer = self._http.send("POST", url, headers, body)
            except Failure as failure:
                raise _Unanswered(failure) from failure
        return replace(answer, secrets=(token,)), token

    def _request_token(self, credentials: Credentials) -> Answer:
        with self._steps.step("token"):
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            }
            answer = self._http.send("POST", self._token_url, headers, token_form(credentials))
            return replace(answer, secrets=(credentials.client_secret,))
