"""The vendor's answers: every documented row has its outcome, and so has every undocumented one.

Bodies are those of developers.apartmentiq.io: /v1/errors, /v1/rate-limits, the results page.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from local.apartmentiq import Job
from tests.functional.aws_script import Refusal, operation
from tests.functional.company import Company, default_key

Route = Literal["token", "job", "jobs", "results"]
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = b"<html><body><h1>Sorry</h1><p>canary-token-in-a-page</p></body></html>"
INVALID_PARAMETER = {"error": "Invalid parameter", "message": "job_id must be a valid UUID"}
NOT_SUCCEEDED = {
    "error": "Invalid operation",
    "message": "Results are not available because the job has not completed successfully",
}
UNAUTHORIZED = {"error": "Unauthorized", "message": "Missing or invalid bearer token"}
FORBIDDEN = {
    "error": "Forbidden",
    "message": "You do not have permission to download results for this job",
}
NOT_FOUND = {"error": "Not Found", "message": "Job with the specified ID does not exist"}
QUOTA = {"error": "Trial API quota limit exceeded", "quota_limit": 5000, "quota_usage": 5001}
ERRORS = {"errors": ["report_type is not included in the list", "start_date is required"]}
UNKNOWN_JOB = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"


def answer(
    company: Company, job: Job, route: Route, status: int, body: object, **headers: str
) -> None:
    """Let a route always answer so; `headers` with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    assert isinstance(content, bytes)
    company.vendor.answer_next(
        route,
        status=status,
        headers=(JSON if isinstance(body, dict) else {}) | named,
        body=content,
        times=None,
        job_id=job.job_id if route in {"job", "results"} else None,
    )


def minutes_old(minutes: float) -> dict[str, str]:
    """Return the attributes of a message that was first seen so long ago."""
    seen = datetime.now(UTC) - timedelta(minutes=minutes)
    return {"first_seen_at": seen.isoformat(), "deferrals": "5"}


def outcome(company: Company, job: Job) -> tuple[str, str | None]:
    """Deliver a job and return its outcome and reason."""
    company.deliver_job(job)
    return company.outcomes()[-1]


# --- the results endpoint ---

RESULTS = [
    (400, INVALID_PARAMETER, ("rejected", "malformed_message"), "must be a valid UUID"),
    (400, NOT_SUCCEEDED, ("deferred", "not_finished"), "not available"),
    (400, ERRORS, ("rejected", "malformed_message"), "start_date is required"),
    (400, b"", ("rejected", "malformed_message"), "empty"),
    (403, FORBIDDEN, ("rejected", "forbidden"), "do not have permission"),
    (403, b"", ("rejected", "forbidden"), "empty"),
    (403, HTML, ("rejected", "forbidden"), "without a JSON"),
    (403, QUOTA, ("rejected", "quota_exceeded"), "5001 of 5000"),
    (404, NOT_FOUND, ("deferred", "no_such_job"), "does not exist"),
    (404, HTML, ("deferred", "no_such_job"), "404"),
    (429, QUOTA, ("rejected", "quota_exceeded"), "5001 of 5000"),
    (429, b"", ("deferred", "rate_limited"), "60 s"),
    (500, {"error": "Internal Server Error"}, ("failed", "vendor_error"), "500"),
    (500, b"", ("failed", "vendor_error"), "500"),
    (502, HTML, ("failed", "vendor_error"), "502"),
    (503, ERRORS, ("failed", "vendor_error"), "503"),
    (200, b"a,b\n1,2\n", ("failed", "vendor_error"), "200"),
    (204, b"", ("failed", "vendor_error"), "204"),
    (302, b"", ("failed", "vendor_error"), "without a Location"),
    (304, b"", ("failed", "vendor_error"), "304"),
    (410, b"", ("failed", "vendor_error"), "410"),
    (418, b"short and stout", ("failed", "vendor_error"), "418"),
    (422, ERRORS, ("failed", "vendor_error"), "422"),
]


@pytest.mark.parametrize(("status", "body", "expected", "said"), RESULTS, ids=str)
def test_each_answer_of_the_results_endpoint_has_its_outcome(
    company: Company,
    status: int,
    body: dict[str, object] | bytes,
    expected: tuple[str, str],
    said: str,
) -> None:
    """Status first, body second; what the vendor says reaches people, and nothing is archived."""
    job = company.vendor.add_job(b"x")
    answer(company, job, "results", status, body)
    assert outcome(company, job) == expected
    line = next(line for line in company.log_lines() if "outcome" in line)
    assert said in line["detail"]
    assert company.objects() == {}
    assert len(company.dead_letters()) == (expected[0] == "rejected")
    assert len(company.waiting()) == (expected[0] == "deferred")


def test_a_file_inline_is_not_taken_for_an_archive_however_long_it_is(company: Company) -> None:
    """The contract says 302; of a 200 with a file no more than 1 MiB is even read."""
    job = company.vendor.add_job(b"x")
    answer(company, job, "results", 200, bytes(3 << 20), Content_Type="text/csv")
    assert outcome(company, job) == ("failed", "vendor_error")
    assert company.objects() == {}


def test_a_redirect_by_another_name_is_followed_like_a_302(company: Company) -> None:
    """303 and 307 with a good link mean the same; 301 is no answer that the contract knows."""
    jobs = [company.vendor.add_job(b"%d" % status) for status in (303, 307, 301)]
    for job, status in zip(jobs, (303, 307, 301), strict=True):
        link = company.vendor.link_for(job)
        answer(company, job, "results", status, b"", Location=link)
    company.deliver_job(*jobs)
    assert company.objects() == {default_key(jobs[0]): b"303", default_key(jobs[1]): b"307"}
    assert company.outcomes()[-1] == ("failed", "vendor_error")


def test_a_400_is_explained_by_the_jobs_status(company: Company) -> None:
    """The job failed between the first question and the second: ended, not waiting for ever."""
    job = company.vendor.add_job(None, status="cancelled")
    succeeded = {**job.document(), "status": "succeeded"}
    company.vendor.answer_next("job", status=200, headers=JSON, body=succeeded, job_id=job.job_id)
    assert outcome(company, job) == ("ended_at_vendor", "job_cancelled")


def test_the_results_endpoints_401_renews_the_token_once(company: Company) -> None:
    """Revoked in between: a new token, the same invocation, archived."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=401, headers=JSON, body=UNAUTHORIZED)
    tokens = company.asked("token")
    assert company.archive(job) == b"x"
    assert company.asked("token") <= tokens + 2
    assert company.asked("results") == 2


def test_a_401_that_stays_is_for_people_to_mend_while_the_job_waits(company: Company) -> None:
    """Deferred, not dead-lettered: once the credentials are right the job goes on by itself."""
    job = company.vendor.add_job(b"x")
    company.archive(company.vendor.add_job(b"warm"))
    answer(company, job, "results", 401, UNAUTHORIZED)
    assert outcome(company, job) == ("deferred", "credentials_rejected")
    assert company.asked("results", job) <= 7
    message = company.deferred()
    assert message["delay_seconds"] >= 200
    company.vendor.clear_script()
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"x"


# --- rates and quotas ---


@pytest.mark.parametrize("route", ["job", "results", "token"])
def test_a_rate_limit_is_waited_out_wherever_it_comes_from(company: Company, route: Route) -> None:
    """At least Retry-After, as text/plain; no receive is used up."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    company.vendor.limit_rate_next(route, retry_after_seconds=120)
    assert outcome(company, job) == ("deferred", "rate_limited")
    assert 120 <= company.deferred()["delay_seconds"] <= 150
    assert company.asked(route) == 1


@pytest.mark.parametrize(
    ("headers", "at_least"),
    [
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "1.5"}, 2),
        ({"Retry-After": "86400"}, 900),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
        ({"Retry-After": "-5"}, 60),
        ({"Retry-After": "nan"}, 60),
        ({"Retry-After": "inf"}, 900),
        ({"X-RateLimit-Reset-After": "42"}, 42),
        ({}, 60),
    ],
    ids=str,
)
def test_a_rate_limit_is_waited_out_however_it_is_worded(
    company: Company, headers: dict[str, str], at_least: int
) -> None:
    """SQS delays a message by 15 minutes at most; longer waits are chained."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next(
        "results", status=429, headers={"Content-Type": "text/plain", **headers}, body="slow down"
    )
    assert outcome(company, job) == ("deferred", "rate_limited")
    assert at_least <= company.deferred()["delay_seconds"] <= min(900, at_least * 1.2 + 1)


@pytest.mark.parametrize("route", ["job", "results", "token"])
def test_a_used_up_quota_is_for_people_wherever_it_is_told(company: Company, route: Route) -> None:
    """Waiting a minute does not refill an account; the letter says how much was used."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    company.vendor.exceed_quota_next(route)
    assert outcome(company, job) == ("rejected", "quota_exceeded")
    assert "5001 of 5000" in company.dead_letter()["detail"]


# --- job details and the list ---


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, INVALID_PARAMETER, ("failed", "vendor_error")),
        (401, UNAUTHORIZED, ("deferred", "credentials_rejected")),
        (403, FORBIDDEN, ("rejected", "forbidden")),
        (403, b"", ("rejected", "forbidden")),
        (500, b"", ("failed", "vendor_error")),
        (503, HTML, ("failed", "vendor_error")),
        (200, HTML, ("failed", "vendor_error")),
        (200, b'{"job_id": "3f2b8c1e-7a54', ("failed", "vendor_error")),
        (200, b"[]", ("failed", "vendor_error")),
        (200, b"\xff\xfe\x00", ("failed", "vendor_error")),
        (200, b"[" * 100_000, ("failed", "vendor_error")),
        (200, {"job_id": UNKNOWN_JOB, "status": "succeeded"}, ("failed", "vendor_error")),
        (204, b"", ("failed", "vendor_error")),
        (301, b"", ("failed", "vendor_error")),
        (418, b"", ("failed", "vendor_error")),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("route", ["job", "jobs"])
def test_each_answer_about_a_job_has_its_outcome(
    company: Company,
    route: Literal["job", "jobs"],
    status: int,
    body: dict[str, object] | bytes,
    expected: tuple[str, str],
) -> None:
    """Only 404 and 405 mean "details unavailable"; any other error is that error."""
    job = company.vendor.add_job(b"x")
    if route == "jobs":
        company.vendor.switch_job_details(404)
    answer(company, job, route, status, body)
    assert outcome(company, job) == expected
    assert company.asked("results") == 0
    assert company.objects() == {}


@pytest.mark.parametrize("status", [404, 405])
def test_a_job_without_a_page_of_its_own_is_found_in_the_list(
    company: Company, status: Literal[404, 405]
) -> None:
    """No reference page of job details was found: a 404 or 405 there is no verdict."""
    job = company.vendor.add_job(b"x")
    company.vendor.switch_job_details(status)
    assert company.archive(job) == b"x"
    assert (company.asked("job"), company.asked("jobs")) == (1, 1)


def test_a_job_is_found_on_a_later_page_of_the_list(fresh_company: Company) -> None:
    """The list is newest first, a hundred to a page."""
    job = fresh_company.vendor.add_job(b"x")
    for _ in range(100):
        fresh_company.vendor.add_job(None, status="submitted")
    fresh_company.vendor.switch_job_details(404)
    assert fresh_company.archive(job) == b"x"
    assert fresh_company.asked("jobs") == 2


def test_a_page_of_large_jobs_is_read_whole(company: Company) -> None:
    """A hundred jobs of a company with thousands of properties take more than a mebibyte."""
    job = company.vendor.add_job(b"x")
    company.vendor.switch_job_details(404)
    properties = list(range(1_000_000, 1_003_000))
    other = {"job_id": UNKNOWN_JOB, "status": "succeeded", "property_ids": properties}
    ours = {**other, "job_id": job.job_id, "report_type": "property", "output_format": "jsonl"}
    listed = {"jobs": [other] * 99 + [ours], "pagination": {"current_page": 1, "total_pages": 1}}
    assert len(json.dumps(listed)) > 2 << 20
    answer(company, job, "jobs", 200, listed)
    assert company.deliver_job(job) == []
    (key,) = company.objects()
    assert key.startswith("report_type=property/format=jsonl/")


def test_a_status_that_only_the_list_tells_counts(company: Company) -> None:
    """A job that still runs waits, wherever we read that."""
    job = company.vendor.add_job(None, status="submitted")
    company.vendor.switch_job_details(404)
    assert outcome(company, job) == ("deferred", "not_finished")
    assert company.asked("results") == 0


def test_a_job_that_nobody_describes_is_archived_as_unknown(company: Company) -> None:
    """The export counts more than its partition: fields read "unknown", the extension is bin."""
    job = company.vendor.add_job(b"x")
    company.vendor.switch_job_details(404)
    listed = {"jobs": [], "pagination": {"current_page": 1, "total_pages": 1}}
    answer(company, job, "jobs", 200, listed)
    assert company.deliver_job(job) == []
    assert company.asked("results", job) == 1
    key = f"report_type=unknown/format=unknown/start_date=unknown/end_date=unknown/{job.job_id}.bin"
    assert company.objects() == {key: b"x"}
    assert company.head(key)["ContentType"] == "application/octet-stream"


def test_the_list_is_not_read_for_ever(company: Company) -> None:
    """One that says the same on every page cannot be read: the job gets no key from it."""
    job = company.vendor.add_job(b"x")
    company.vendor.switch_job_details(404)
    listed = {"jobs": [{"job_id": UNKNOWN_JOB}, 7, None], "pagination": {"total_pages": 10_000}}
    answer(company, job, "jobs", 200, listed)
    company.deliver_job(job)
    assert company.outcomes()[-1][1] == "vendor_error"
    assert company.asked("jobs") < 20
    assert "key" not in company.item(job.job_id)


def test_a_job_that_the_vendor_does_not_know_is_rejected(company: Company) -> None:
    """Details 404, not in the list, results 404, and minutes old: now it is a verdict."""
    assert company.deliver({"job_id": UNKNOWN_JOB}, attributes=minutes_old(6)) == []
    assert company.dead_letter()["reason"] == "no_such_job"
    assert company.asked("jobs") >= 1
    assert (company.asked("job"), company.asked("results")) == (1, 1)


def test_no_detail_of_a_job_can_leave_the_key_prefix(company: Company) -> None:
    """Values are escaped as Hive escapes them; what is too long or absent reads "unknown"."""
    company.set_environment(KEY_PREFIX="archive/vendor/")
    job = company.vendor.add_job(b"x")
    hostile = {
        **job.document(),
        "report_type": "../../etc/passwd",
        "output_format": "a/b=c ~.",
        "start_date": "x" * 500,
        "end_date": 17,
    }
    answer(company, job, "job", 200, hostile)
    assert company.deliver_job(job) == []
    (key,) = company.objects()
    assert key == (
        "archive/vendor/report_type=%2E%2E%2F%2E%2E%2Fetc%2Fpasswd/format=a%2Fb%3Dc%20%7E%2E/"
        f"start_date=unknown/end_date=unknown/{job.job_id}.bin"
    )


# --- the token endpoint ---


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "invalid_client"}, ("deferred", "credentials_rejected")),
        (401, {"error": "invalid_client"}, ("deferred", "credentials_rejected")),
        (403, b"", ("deferred", "credentials_rejected")),
        (500, b"", ("failed", "vendor_error")),
        (502, HTML, ("failed", "vendor_error")),
        (200, HTML, ("failed", "vendor_error")),
        (200, b'{"access_token": "canary-token-cut', ("failed", "vendor_error")),
        (200, {"token_type": "Bearer"}, ("failed", "vendor_error")),
        (200, {"access_token": ""}, ("failed", "vendor_error")),
        (200, {"access_token": "canary-token\r\nX: y"}, ("failed", "vendor_error")),
        (200, {"access_token": ["canary-token"]}, ("failed", "vendor_error")),
        (204, b"", ("failed", "vendor_error")),
        (302, b"", ("failed", "vendor_error")),
    ],
    ids=lambda value: str(value)[:50],
)
def test_each_answer_of_the_token_endpoint_has_its_outcome(
    company: Company, status: int, body: dict[str, object] | bytes, expected: tuple[str, str]
) -> None:
    """Wrong credentials wait for people; a broken endpoint is redelivered; no API call is made."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    answer(company, job, "token", status, body, Location="https://localhost:1/elsewhere")
    assert outcome(company, job) == expected
    assert company.asked("job") == 0


def test_refused_credentials_are_read_again_once(fresh_company: Company) -> None:
    """The client secret was rotated: the cached one is refused, the stored one is right."""
    company = fresh_company
    company.archive(company.vendor.add_job(b"warm"))
    rotated = company.vendor.tokens.rotate_secret()
    company.vendor.tokens.revoke_all()
    company.fill_secret(client_id=company.vendor.client_id, client_secret=rotated)
    reads = len(company.calls("GetSecretValue"))

    assert company.archive(company.vendor.add_job(b"after")) == b"after"

    assert len(company.calls("GetSecretValue")) == reads + 1


def test_credentials_that_stay_refused_make_jobs_wait(fresh_company: Company) -> None:
    """One more look into the secret, then "credentials rejected"; mended, the job goes on."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    company.fill_secret(client_id=company.vendor.client_id, client_secret="canary-wrong")
    assert outcome(company, job) == ("deferred", "credentials_rejected")
    assert len(company.calls("GetSecretValue")) == 2
    assert company.asked("token") == 2
    message = company.deferred()
    secret = company.vendor.client_secret
    company.fill_secret(client_id=company.vendor.client_id, client_secret=secret)
    company.deliver(message["body"], attributes=message["attributes"])
    assert company.content(default_key(job)) == b"x"


def test_a_secret_without_a_value_says_which_command_fills_it(company: Company) -> None:
    """That is how the stack is made: jobs wait, and the log has the command."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    nothing = b'{"__type": "ResourceNotFoundException", "message": "no value"}'
    company.aws_script.answer_next(operation("GetSecretValue"), Refusal.json(400, nothing))
    assert outcome(company, job) == ("deferred", "credentials_missing")
    line = company.log_lines()[-1]
    assert "aws secretsmanager put-secret-value" in line["detail"]
    assert company.secret_arn in line["detail"]
    message = company.deferred()
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"x"


@pytest.mark.parametrize(
    "code",
    [
        "InvalidRequestException",
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidParameterException",
        "KMSInvalidStateException",
        "KMSAccessDeniedException",
        "KMS.DisabledException",
    ],
)
def test_a_secret_that_may_not_be_read_makes_jobs_wait_and_names_the_code(
    company: Company, code: str
) -> None:
    """Scheduled for deletion, a disabled key, no grant for it: people mend it, and jobs go on."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    refusal = json.dumps({"__type": code, "message": "canary"}).encode()
    company.aws_script.answer_next(operation("GetSecretValue"), Refusal.json(400, refusal))
    assert outcome(company, job) == ("deferred", "credentials_missing")
    assert code in company.log_lines()[-1]["detail"]
    message = company.deferred()
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"x"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (400, "LimitExceededException"),
        (429, "TooManyRequestsException"),
        (500, "InternalServiceError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_a_secrets_manager_that_is_busy_or_broken_is_no_missing_secret(
    company: Company, status: int, code: str
) -> None:
    """Nobody has to mend the secret then, and no alarm says so."""
    job = company.vendor.add_job(b"x")
    company.runtime.restart()
    refusal = Refusal.json(status, json.dumps({"__type": code}).encode())
    company.aws_script.answer_next(operation("GetSecretValue"), refusal, times=3)
    company.deliver_job(job)
    assert company.outcomes()[-1][1] == "aws_error"
    assert code in company.log_lines()[-1]["detail"]


def test_a_binary_secret_with_a_byte_order_mark_is_read(fresh_company: Company) -> None:
    """As an editor on Windows writes a file, and `--secret-binary fileb://` takes it."""
    company = fresh_company
    fields = {"client_id": company.vendor.client_id, "client_secret": company.vendor.client_secret}
    company.people.client("secretsmanager").put_secret_value(
        SecretId=company.secret_arn, SecretBinary=json.dumps(fields).encode("utf-8-sig")
    )
    assert company.archive(company.vendor.add_job(b"x")) == b"x"


UNUSABLE_SECRETS = [
    "canary-password",
    '{"client_secret": "canary-cut',
    '["canary-password"]',
    "{}",
    '{"client_id": "only"}',
    '{"client_secret": "canary-password"}',
    '{"client_id": 7, "client_secret": 8}',
    '{"client_id": "", "client_secret": " "}',
    '{"access_token": null}',
]


def test_a_secret_that_cannot_be_used_is_said_without_being_shown(fresh_company: Company) -> None:
    """No JSON or the wrong fields: as good as missing; mended, the next try reads it anew."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    for text in UNUSABLE_SECRETS:
        company.write_secret(text)
        assert outcome(company, job) == ("deferred", "credentials_missing"), text
        assert "put-secret-value" in company.log_lines()[-1]["detail"]
    assert company.vendor.journal == []
    company.fill_secret(
        client_id=company.vendor.client_id, client_secret=company.vendor.client_secret
    )
    assert outcome(company, job) == ("archived", None)


def test_a_long_lived_access_token_works_without_a_token_request(fresh_company: Company) -> None:
    """The secret may hold an `access_token` that people made by hand."""
    company = fresh_company
    company.fill_secret(access_token=company.vendor.access_token)
    assert company.archive(company.vendor.add_job(b"x")) == b"x"
    assert company.asked("token") == 0


def test_a_refused_access_token_makes_jobs_wait(fresh_company: Company) -> None:
    """There is nothing to renew it with; a newly written one is found by itself."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    company.fill_secret(access_token="canary-access-token-revoked")
    assert outcome(company, job) == ("deferred", "credentials_rejected")
    company.fill_secret(access_token=company.vendor.access_token)
    assert outcome(company, job) == ("archived", None)


def test_a_token_is_used_for_all_invocations_while_it_lives(fresh_company: Company) -> None:
    """One token request and one look into the secret for a warm runtime."""
    company = fresh_company
    for number in range(3):
        company.archive(company.vendor.add_job(b"%d" % number))
    assert company.asked("token") == 1
    assert len(company.calls("GetSecretValue")) == 1


def test_a_token_is_renewed_before_it_expires(company: Company) -> None:
    """By its told lifetime, and not when the API refuses it: this one would still be taken."""
    company.runtime.restart()
    short_lived = {"access_token": company.vendor.access_token, "expires_in": 0.001}
    company.vendor.answer_next("token", status=200, headers=JSON, body=short_lived, times=None)
    assert company.archive(company.vendor.add_job(b"x")) == b"x"
    assert company.asked("token") == company.asked("job") + company.asked("results") == 2
    assert all(entry.status != 401 for entry in company.vendor.journal)
    company.runtime.restart()


def test_the_token_goes_to_the_api_alone(company: Company) -> None:
    """Not to the link's host, where S3 would refuse it and it would leak."""
    company.archive(company.vendor.add_job(b"x"))
    company.archive(company.vendor.add_job(bytes(17 << 20)))
    authorized = {(entry.route, entry.authorized) for entry in company.vendor.journal}
    assert authorized <= {("token", False), ("job", True), ("results", True), ("link", False)}
    assert ("link", False) in authorized
