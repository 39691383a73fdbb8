"""Asks the vendor: one method per question of the use case.

The HTTP client never follows a redirect, never repeats a request by itself (SQS does, with growing
delays), reads at most 1 MiB of an answer, and asks nothing while the vendor's throttle holds. The
token is added to requests to the API's base alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from archiver.apartmentiq.link import Link, TrustedHosts, read_link
from archiver.apartmentiq.protocol import (
    Answer,
    Credentials,
    decipher_job,
    decipher_jobs_page,
    decipher_results,
    ended_at_vendor,
    job_path,
    jobs_page_path,
    results_path,
    token_form,
)
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.apartmentiq.token import CredentialsSource, TokenCache
from archiver.errors import Deferral
from archiver.job import Job, parse_job_id
from archiver.telemetry import Steps

__all__ = ["ApartmentIq"]

_MAX_LIST_PAGES = 10  # 1,000 jobs, newest first: a job that has just completed is on the first


class ApartmentIq:
    """The vendor's bulk export API, for jobs that somebody else ordered."""

    def __init__(
        self,
        http: ThrottledHttp,
        credentials: CredentialsSource,
        *,
        api_base_url: str,
        token_url: str,
        trusted_hosts: TrustedHosts,
        steps: Steps,
        now: Callable[[], datetime],
    ) -> None:
        self._http = http
        self._api_base_url = api_base_url
        self._token_url = token_url
        self._trusted_hosts = trusted_hosts
        self._steps = steps
        self._tokens = TokenCache(credentials, self._request_token, now)

    def keep_away_until(self, epoch_seconds: float) -> None:
        """Ask nothing before then: somebody in the fleet was told to wait."""
        self._http.keep_away_until(epoch_seconds)

    def describe(self, job_id: str) -> Job:
        """Return what the vendor tells of a job; fields read "unknown" where it tells nothing.

        Raises Deferral("not_finished") for a job that still runs, EndedAtVendor for one that will
        never have an export, and what the API's errors mean.
        """
        job = self._describe_now(job_id)
        if job.status == "submitted":
            raise Deferral("not_finished", "The job has not finished at the vendor yet.")
        ended = ended_at_vendor(job)
        if ended is not None:
            raise ended
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

    def _describe_now(self, job_id: str) -> Job:
        job = decipher_job(self._get(job_path(job_id)), job_id)
        return job or self._look_in_list(job_id) or Job(job_id)

    def _look_in_list(self, job_id: str) -> Job | None:
        page = pages = 1
        while page <= min(pages, _MAX_LIST_PAGES):
            jobs, pages = decipher_jobs_page(self._get(jobs_page_path(page)))
            for fields in jobs:
                if parse_job_id(fields.get("job_id")) == job_id:
                    return Job.from_vendor(job_id, fields)
            page += 1
        return None

    def _get(self, path: str) -> Answer:
        """GET below the API's base; a 401 drops the token and tries once more with another."""
        answer, token = self._get_with_token(path)
        if answer.status != 401:
            return answer
        self._tokens.drop(token)
        answer, token = self._get_with_token(path)
        if answer.status == 401:
            self._tokens.drop(token)
            raise Deferral(
                "credentials_rejected",
                "The API refuses a fresh token (401). Check the credentials in the secret and the "
                "client's permissions; the job goes on by itself.",
            )
        return answer

    def _get_with_token(self, path: str) -> tuple[Answer, str]:
        token = self._tokens.current()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        answer = self._http.send("GET", self._api_base_url + path, headers, None)
        return replace(answer, secrets=(token,)), token

    def _request_token(self, credentials: Credentials) -> Answer:
        with self._steps.step("token"):
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            }
            answer = self._http.send("POST", self._token_url, headers, token_form(credentials))
            return replace(answer, secrets=(credentials.client_secret,))
