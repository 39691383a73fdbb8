"""Out of order is nobody's own fault: jobs wait for it to end, and one that fails alone does not.

What is out of order here answers, and refuses; what is silent is in test_time.py, what lasts for
hours in tests/faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from archiver.receipt import iso_utc
from local.apartmentiq import Job
from local.aws.server import RequestRecord
from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import LAST_RECEIVE, Company

Breakage = Callable[[Company], None]
DOWN = Refusal.json(500, b'{"__type": "InternalServerError", "message": "out of order"}')


def hours_ago(hours: float) -> str:
    """Return a moment as our attributes tell it."""
    return iso_utc(datetime.now(UTC) - timedelta(hours=hours))


def network(company: Company) -> None:
    """Let nobody listen where the API was."""
    company.set_environment(APARTMENTIQ_API_BASE_URL="https://localhost:1/api")


def vendor(company: Company) -> None:
    """Let every route of the API be out of order."""
    for route in ("job", "jobs", "results"):
        company.vendor.answer_next(route, status=503, body="oops", times=None)


def token_endpoint(company: Company) -> None:
    """Let nobody get a token."""
    company.runtime.restart()
    company.vendor.answer_next("token", status=502, times=None)


def bucket(company: Company) -> None:
    """Let S3 take no object."""
    put = s3_call("PUT", company.bucket)
    company.aws_script.answer_next(put, Refusal.s3(503, "SlowDown"), times=99)


def _aws(*names: str) -> Breakage:
    def break_it(company: Company) -> None:
        company.runtime.restart()  # so that the secret is read
        for name in names:
            company.aws_script.answer_next(operation(name), DOWN, times=999)

    return break_it


KINDS: dict[str, tuple[Breakage, str]] = {
    "network": (network, "network"),
    "vendor": (vendor, "vendor_error"),
    "token": (token_endpoint, "vendor_error"),
    "S3": (bucket, "aws_error"),
    "table": (_aws("BatchGetItem", "UpdateItem"), "aws_error"),
    "writes": (_aws("UpdateItem"), "aws_error"),
    "secret": (_aws("GetSecretValue"), "aws_error"),
    "bus": (_aws("PutEvents"), "aws_error"),
}


def mend(company: Company) -> None:
    """Let everything be as it was."""
    company.aws_script.clear()
    company.vendor.clear_script()
    company.set_environment()


def fail_alone(company: Company, job: Job, *, receive_count: int) -> list[str]:
    """Deliver a job that the vendor cannot give, whatever becomes of others."""
    company.vendor.answer_next("results", status=500, times=None, job_id=job.job_id)
    return company.deliver_job(job, receive_count=receive_count)


def notice(company: Company) -> None:
    """Let three jobs fail, so that the fleet knows of an outage of the vendor's."""
    for number in range(3):
        job = company.vendor.add_job(b"failing %d" % number)
        assert len(fail_alone(company, job, receive_count=1)) == 1


def not_let_in(company: Company) -> list[dict[str, Any]]:
    """Return the last lines of jobs that waited for another to try."""
    lines = [line for line in company.log_lines() if line.get("outcome") == "deferred"]
    return [line for line in lines if "One at a time tries" in line["detail"]]


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_outlast_an_outage_and_are_archived_after_it(company: Company, kind: str) -> None:
    """Five jobs, their last receives, twice more: none is set aside, each waits, all end well."""
    break_it, reason = KINDS[kind]
    break_it(company)
    jobs = [company.vendor.add_job(f"job {number}".encode()) for number in range(5)]
    attributes: dict[str, str] = {}
    for _ in range(3):
        for job in jobs:
            company.aws.forget_messages(f"{company.name}-queue", "us-east-1")
            body = {"job_id": job.job_id}
            failed = company.deliver(body, receive_count=LAST_RECEIVE, attributes=attributes)
            assert failed == []
            waits = company.deferred()
            assert json.loads(waits["body"]) == body
            assert 0 < waits["delay_seconds"] <= 600
        attributes = waits["attributes"]
        assert attributes["outage_since"] <= iso_utc(datetime.now(UTC))
    assert set(company.outcomes()) == {("deferred", reason)}
    assert company.dead_letters() == []

    mend(company)
    for job in jobs:
        company.forget_turn()
        assert company.deliver_job(job) == []
    assert len(company.objects()) == len(jobs)
    assert len(company.emitted("Export Archived")) == len(jobs)


def test_a_refused_event_of_an_end_waits_too(company: Company) -> None:
    """Told first, then set aside: a bus that is out of order makes no letter of another reason."""
    _aws("PutEvents")(company)
    bodies = [{"job_id": "0d6bfb3c-3a9a-4a3e-9df0-b0d2f7d0ad4e"}, "not JSON"]
    attributes = {"first_seen_at": hours_ago(1)}  # a younger message waits for the vendor's replica
    failed = company.deliver(*bodies, receive_count=LAST_RECEIVE, attributes=attributes)
    assert failed == []
    assert company.outcomes() == [("deferred", "aws_error")] * 2
    mend(company)
    failed = company.deliver(*bodies, receive_count=LAST_RECEIVE, attributes=attributes)
    assert failed == []
    letters = company.dead_letters()
    assert [letter["reason"] for letter in letters] == ["no_such_job", "malformed_message"]


def test_once_three_jobs_fail_one_at_a_time_tries(company: Company) -> None:
    """The others ask the vendor nothing, in this runtime and the next, and are told since when."""
    notice(company)
    jobs = [company.vendor.add_job(b"x") for _ in range(4)]
    company.vendor.answer_next("job", status=500, times=None)
    company.vendor.clear_journal()
    assert company.deliver_job(jobs[0]) == []
    assert company.asked("job") == 1
    company.runtime.restart()
    assert company.deliver_job(*jobs[1:]) == []
    assert company.asked("job") == 1
    assert company.outcomes()[-4:] == [("deferred", "vendor_error")] * 4
    assert len(not_let_in(company)) == 3
    assert "The vendor is out of order since 2" in not_let_in(company)[0]["detail"]
    assert company.calls("UpdateItem")  # and nothing else is written but notes
    assert company.item(jobs[3].job_id)["state"] == "waiting"


def test_the_first_job_that_is_archived_lets_all_in(company: Company) -> None:
    """The outage ends for the fleet with one success, not with a time."""
    notice(company)
    good = [company.vendor.add_job(b"good") for _ in range(3)]
    assert company.deliver_job(*good) == []
    assert company.outcomes()[-3:] == [("archived", None)] * 3


def test_a_job_that_the_vendor_answers_otherwise_leaves_its_turn_to_the_next(
    company: Company,
) -> None:
    """A job that is not finished tells neither that it is over nor that it lasts."""
    notice(company)
    unfinished = [company.vendor.add_job(None, status="submitted") for _ in range(3)]
    good = company.vendor.add_job(b"good")
    assert company.deliver_job(*unfinished, good) == []
    assert company.outcomes()[-4:] == [("deferred", "not_finished")] * 3 + [("archived", None)]


def test_one_poisoned_job_closes_the_vendor_for_nobody_and_is_set_aside(company: Company) -> None:
    """However often it fails; while others are archived its receives count."""
    poisoned = company.vendor.add_job(b"poison")
    for receive_count in range(1, LAST_RECEIVE):
        assert len(fail_alone(company, poisoned, receive_count=receive_count)) == 1
        assert company.deliver_job(company.vendor.add_job(b"good")) == []
    assert fail_alone(company, poisoned, receive_count=LAST_RECEIVE) == []
    letter = company.dead_letter()
    assert (letter["reason"], letter["job_id"]) == ("vendor_error", poisoned.job_id)
    assert company.waiting() == []
    assert not_let_in(company) == []


def test_a_poisoned_job_that_waited_is_found_out_when_others_are_archived(
    company: Company,
) -> None:
    """Alone it may be an outage; then its receives begin anew, and are its last."""
    poisoned = company.vendor.add_job(b"poison")
    assert fail_alone(company, poisoned, receive_count=LAST_RECEIVE) == []
    attributes = company.deferred()["attributes"]
    assert company.deliver_job(company.vendor.add_job(b"good")) == []
    body = {"job_id": poisoned.job_id}
    for receive_count in range(1, LAST_RECEIVE):
        failed = company.deliver(body, receive_count=receive_count, attributes=attributes)
        assert len(failed) == 1
    assert company.dead_letters() == []
    assert company.deliver_job(company.vendor.add_job(b"good")) == []
    assert company.deliver(body, receive_count=LAST_RECEIVE, attributes=attributes) == []
    assert company.dead_letter()["reason"] == "vendor_error"


def test_a_success_before_the_outage_goes_on_is_no_proof_against_a_job(company: Company) -> None:
    """What was archived before its last failures says nothing of these."""
    job = company.vendor.add_job(b"unlucky")
    fail_alone(company, job, receive_count=LAST_RECEIVE)
    attributes = company.deferred()["attributes"]
    assert company.deliver_job(company.vendor.add_job(b"good")) == []
    body = {"job_id": job.job_id}
    for receive_count in range(1, LAST_RECEIVE + 1):
        company.deliver(body, receive_count=receive_count, attributes=attributes)
    assert company.dead_letters() == []
    assert company.outcomes()[-1] == ("deferred", "vendor_error")


@pytest.mark.parametrize(
    ("max_wait_hours", "hours", "ends"),
    [("72", 71.0, False), ("72", 73.0, True), ("1", 23.0, False), ("1", 25.0, True)],
)
def test_a_job_that_fails_in_a_company_without_others_waits_for_a_day_or_for_max_wait_hours(
    company: Company, max_wait_hours: str, hours: float, *, ends: bool
) -> None:
    """It cannot be told from an outage; twelve hours of one set nothing aside, whatever is set."""
    company.set_environment(MAX_WAIT_HOURS=max_wait_hours)
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=500, times=None)
    since = hours_ago(hours)
    attributes = {"first_seen_at": since, "outage_since": since, "deferrals": "90"}
    assert company.deliver({"job_id": job.job_id}, attributes=attributes) == []
    if ends:
        assert company.dead_letter()["reason"] == "vendor_error"
        assert company.waiting() == []
    else:
        assert company.deferred()["attributes"]["outage_since"] == since
        assert 400 <= company.deferred()["delay_seconds"] <= 600
        assert company.dead_letters() == []


def test_the_time_of_an_outage_is_none_that_max_wait_hours_counts(company: Company) -> None:
    """Carried on by each wait that follows, and added to by the next outage."""
    company.set_environment(MAX_WAIT_HOURS="1")
    job = company.vendor.add_job(None, status="submitted")
    attributes = {"first_seen_at": hours_ago(12.5), "outage_since": hours_ago(12)}
    for _ in range(2):
        company.aws.forget_messages(f"{company.name}-queue", "us-east-1")
        assert company.deliver({"job_id": job.job_id}, attributes=attributes) == []
        attributes = company.deferred()["attributes"]
        assert "outage_since" not in attributes
        assert abs(int(attributes["outage_seconds"]) - 12 * 3600) < 60
    assert company.outcomes() == [("deferred", "not_finished")] * 2

    attributes = {"first_seen_at": hours_ago(13.5), "outage_seconds": str(12 * 3600)}
    assert company.deliver({"job_id": job.job_id}, attributes=attributes) == []
    assert company.dead_letter()["reason"] == "waited_too_long"


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "120"}, 120, 160),
        ({"Retry-After": "86400"}, 300, 600),
        (
            {
                "Date": "Thu, 26 Nov 2026 10:00:00 GMT",
                "Retry-After": "Thu, 26 Nov 2026 10:02:00 GMT",
            },
            120,
            160,
        ),
        ({"Retry-After": "Thu, 26 Nov"}, 20, 40),
        ({"Retry-After": "-5"}, 20, 40),
        ({}, 20, 40),
    ],
)
def test_a_503_is_heard_for_how_long_it_lasts_within_bounds(
    company: Company, headers: dict[str, str], least: int, most: int
) -> None:
    """By the job that met it, and in an outage by whoever tries next; no other job waits for it."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=503, headers=headers, job_id=job.job_id, times=9)
    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []
    assert least <= company.deferred()["delay_seconds"] <= most
    assert company.deliver_job(company.vendor.add_job(b"good")) == []
    assert company.outcomes()[-1] == ("archived", None)


@pytest.mark.parametrize(
    ("receive_count", "least", "most"), [(1, 5, 15), (2, 42_000, 43_200 - 900)]
)
def test_while_sqs_takes_nothing_receives_last_half_a_day(
    company: Company, receive_count: int, least: float, most: float
) -> None:
    """The copy cannot be sent, so each try uses up a receive: they are spread over twelve hours."""
    company.aws_script.answer_next(operation("SendMessage"), DOWN, times=99)
    job = company.vendor.add_job(None, status="submitted")
    (failed,) = company.deliver_job(job, receive_count=receive_count)
    assert least <= company.hidden_seconds(failed) <= most
    assert company.outcomes() == [("failed", "aws_error")]


def fleet_writes(company: Company) -> list[RequestRecord]:
    """Return the writes to the item that the whole fleet shares."""
    return [call for call in company.calls("UpdateItem") if "throttle#vendor" in call.sent]


def test_a_fleet_that_cannot_be_told_costs_nobody_anything(company: Company) -> None:
    """A job is archived though others have failed and the table does not take that they did."""
    # After the job's own claim, its end and its note.
    company.aws_script.answer_next(operation("UpdateItem"), DOWN, times=999, skip=3)
    failing = company.vendor.add_job(b"x")
    assert len(fail_alone(company, failing, receive_count=1)) == 1
    assert fleet_writes(company)
    assert not any(key.value == "throttle#vendor" for key in company._items())
    company.aws_script.clear()
    assert company.archive(company.vendor.add_job(b"good")) == b"good"
    notice(company)
    company.aws_script.answer_next(operation("UpdateItem"), DOWN, times=999)
    good = company.vendor.add_job(b"good")
    assert company.deliver_job(good) == []  # it could not take its turn
    assert company.outcomes()[-1] == ("deferred", "aws_error")


def test_a_healthy_fleet_writes_nothing_and_a_first_success_once(company: Company) -> None:
    """One write for each failure, one for the first job that is archived after it."""
    notice(company)
    for archived_before in range(3):
        writes = len(fleet_writes(company))
        assert company.deliver_job(company.vendor.add_job(b"good")) == []
        updates = len(fleet_writes(company)) - writes
        assert updates == (2 if archived_before == 0 else 0)  # its turn, and its success
