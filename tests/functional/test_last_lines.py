"""Each message's last log line, and the note on its job's item: what happened, what is next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.functional.aws_script import Refusal, operation
from tests.functional.company import LAST_RECEIVE, Company
from tests.functional.test_sweeps import hours_ago
from tests.template.resolved import read_template

# What every last line has, whatever the outcome; `reason`, `detail` and `next_try_at` come with it
# where they apply. The saved queries of template.yaml name these.
FIELDS = {
    "job_id",
    "outcome",
    "then",
    "message_id",
    "receive_count",
    "deferrals",
    "first_seen_at",
}


def archive(company: Company) -> str:
    """Archive a job."""
    job = company.vendor.add_job(b"x")
    company.deliver_job(job)
    return job.job_id


def archive_twice(company: Company) -> str:
    """Send an archived job again."""
    job = company.vendor.add_job(b"x")
    company.deliver_job(job)
    company.log.truncate(0)
    company.log.seek(0)
    company.deliver_job(job)
    return job.job_id


def wait(company: Company) -> str:
    """Send a job that is not finished."""
    job = company.vendor.add_job(None, status="submitted")
    company.deliver_job(job)
    return job.job_id


def end(company: Company) -> str:
    """Send a job that was cancelled."""
    job = company.vendor.add_job(None, status="cancelled")
    company.deliver_job(job)
    return job.job_id


def reject(company: Company) -> str:
    """Send a job that nobody knows."""
    job_id = "0d6bfb3c-3a9a-4a3e-9df0-b0d2f7d0ad4e"
    company.deliver({"job_id": job_id}, attributes={"first_seen_at": hours_ago(1)})
    return job_id


def fail(company: Company) -> str:
    """Let the vendor answer 500."""
    return fail_on_receive(company, 1)


def fail_for_good(company: Company) -> str:
    """Let the function meet what it never wrote, on the last receive."""
    job_id = company.vendor.add_job(b"x").job_id
    item = {"id": {"S": f"job#{job_id}"}, "state": {"S": "archived"}}
    odd = json.dumps({"Responses": {company.table: [item]}, "UnprocessedKeys": {}}).encode()
    company.aws_script.answer_next(operation("BatchGetItem"), Refusal.json(200, odd))
    company.deliver({"job_id": job_id}, receive_count=LAST_RECEIVE)
    return job_id


def wait_out(company: Company) -> str:
    """Let the vendor answer 500 to the only job, on the last receive."""
    return fail_on_receive(company, LAST_RECEIVE)


def fail_on_receive(company: Company, receive_count: int) -> str:
    """Let the vendor answer 500."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=500, times=None, job_id=job.job_id)
    company.deliver_job(job, receive_count=receive_count)
    return job.job_id


def queue(company: Company) -> str:
    """Let an event invoke the function directly."""
    job = company.vendor.add_job(b"x")
    company.invoke(
        {"detail-type": "Job Completed", "source": "x", "detail": {"job_id": job.job_id}}
    )
    return job.job_id


OUTCOMES = [
    (archive, "archived", None, "deleted"),
    (archive_twice, "already_archived", None, "deleted"),
    (wait, "deferred", "not_finished", "comes_back"),
    (end, "ended_at_vendor", "job_cancelled", "deleted"),
    (reject, "rejected", "no_such_job", "dead_letter"),
    (fail, "failed", "vendor_error", "comes_back"),
    (fail_for_good, "failed", "bug", "dead_letter"),
    (wait_out, "deferred", "vendor_error", "comes_back"),
    (queue, "queued", None, "queued"),
]


def last_line(company: Company, job_id: str) -> dict[str, Any]:
    """Return the only line with an outcome that names the job."""
    lines = [line for line in company.log_lines() if "outcome" in line]
    (line,) = [line for line in lines if line["job_id"] == job_id]
    return line


@pytest.mark.parametrize(
    ("do", "outcome", "reason", "then"), OUTCOMES, ids=lambda v: getattr(v, "__name__", None)
)
def test_every_outcome_has_one_last_line_with_the_same_fields(
    company: Company,
    do: Callable[[Company], str],
    outcome: str,
    reason: str | None,
    then: str,
) -> None:
    """One query answers "what happened to job X", however it ended."""
    line = last_line(company, do(company))
    assert line.keys() >= FIELDS
    assert (line["outcome"], line.get("reason"), line["then"]) == (outcome, reason, then)
    assert ("next_try_at" in line) == (then == "comes_back")
    assert bool(line.get("detail")) == (reason is not None)


@pytest.mark.parametrize(("do", "state"), [(wait, "waiting"), (fail, "failing")])
def test_the_item_of_a_job_that_comes_back_says_when(
    company: Company, do: Callable[[Company], str], state: str
) -> None:
    """Log line and item name the same moment, which is when the message is visible again."""
    before = datetime.now(UTC)
    job_id = do(company)
    item = company.item(job_id)
    assert item["state"] == state
    next_try_at = datetime.fromisoformat(item["next_try_at"])
    told = datetime.fromisoformat(last_line(company, job_id)["next_try_at"])
    assert abs(next_try_at - told) < timedelta(seconds=2)
    waits = (
        company.deferred()["delay_seconds"]
        if state == "waiting"
        else company.hidden_seconds(company.delivered[-1])
    )
    assert abs((next_try_at - before).total_seconds() - waits) < 5


@pytest.mark.parametrize("ends", ["archived", "dead_lettered"])
def test_a_moment_that_has_passed_does_not_stay_on_the_item(company: Company, ends: str) -> None:
    """Neither an archived job nor a dead letter is tried again, and none says so."""
    job_id = wait(company)
    message = company.deferred()
    if ends == "archived":
        company.vendor.complete_job(job_id, b"done")
        company.deliver(message["body"], attributes=message["attributes"])
    else:
        company.vendor.answer_next("results", status=403, times=None, job_id=job_id)
        company.vendor.answer_next("job", status=403, times=None, job_id=job_id)
        company.deliver(message["body"], attributes=message["attributes"])
    item = company.item(job_id)
    assert item["state"] == ends
    assert "next_try_at" not in item


def test_an_archived_export_tells_how_long_ago_it_was_complete(company: Company) -> None:
    """From the vendor's own moment of completion to ours of archiving, in log, item and metric."""
    job = company.vendor.add_job(b"x")
    company.deliver_job(job)
    waited = last_line(company, job.job_id)["seconds_since_completion"]
    assert 0 <= waited < 120
    item = company.item(job.job_id)
    completed_at = datetime.fromisoformat(item["completed_at"])
    archived_at = datetime.fromisoformat(item["archived_at"])
    assert waited == pytest.approx(max(0, (archived_at - completed_at).total_seconds()), abs=0.01)


def test_a_vendor_that_tells_no_moment_keeps_nothing_from_being_archived(company: Company) -> None:
    """Where no details are to be had, the age is unknown and not told."""
    company.vendor.switch_job_details(404)
    job = company.vendor.add_job(b"x")
    nobody = json.dumps({"jobs": [], "pagination": {"total_count": 0, "current_page": 1}})
    company.vendor.answer_next("jobs", status=200, body=nobody, times=None)
    company.deliver_job(job)
    assert "seconds_since_completion" not in last_line(company, job.job_id)
    assert company.item(job.job_id)["state"] == "archived"


WORDS_OF_THE_LANGUAGE = {
    *("fields", "filter", "sort", "stats", "limit", "and", "in", "by", "as", "desc", "asc"),
    *("ispresent", "count", "count_distinct", "bin", "h", "messages", "jobs"),
}
ONLY_SOMETIMES = {"next_try_at", "reason", "detail", "exception"}


@pytest.mark.parametrize(
    "name", [n for n, r in read_template()["Resources"].items() if "QueryDefinition" in r["Type"]]
)
def test_the_saved_queries_name_fields_that_the_lines_have(company: Company, name: str) -> None:
    """A query for a field that was renamed finds nothing, and nobody would know why."""
    query = read_template()["Resources"][name]["Properties"]["QueryString"]
    words = set(re.findall(r"[a-z_]+", re.sub(r'"[^"]*"', "", query)))
    line = last_line(company, archive(company))
    assert words - WORDS_OF_THE_LANGUAGE - ONLY_SOMETIMES - {"timestamp"} <= line.keys()
