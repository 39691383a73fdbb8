"""A 429 to one job is a 429 to all: nobody knocks before the time that the vendor named."""

from __future__ import annotations

import json
import time

import pytest

from tests.functional.aws_script import Refusal, operation
from tests.functional.company import Company, default_key

ROUTES = ["token", "job", "jobs", "results"]


def throttled(company: Company, *, retry_after_seconds: int = 300) -> None:
    """Let one job meet the vendor's limit."""
    job = company.vendor.add_job(b"first")
    company.vendor.limit_rate_next("job", retry_after_seconds=retry_after_seconds)
    assert company.deliver_job(job) == []
    assert company.outcomes()[-1] == ("deferred", "rate_limited")
    company.vendor.clear_journal()


def item_until(company: Company) -> float:
    """Return until when the fleet keeps away, in epoch seconds."""
    items = {key.value: item for key, item in company._items().items()}
    return float(items["throttle#vendor"].attrs["until"].value)


def reopen(company: Company) -> None:
    """Let the time pass that the vendor named."""
    items = {key.value: item for key, item in company._items().items()}
    items["throttle#vendor"].attrs["until"].value = str(time.time() - 1)
    company.runtime.restart()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this_runtime", "another_runtime"])
def test_all_other_jobs_wait_too_without_asking_the_vendor(
    company: Company, *, elsewhere: bool
) -> None:
    """In this runtime by memory, in the rest of the fleet by one item of the table."""
    throttled(company)
    if elsewhere:
        company.runtime.restart()
    other = company.vendor.add_job(b"second")
    before = len(company.waiting())

    assert company.deliver_job(other) == []

    assert company.outcomes()[-1] == ("deferred", "rate_limited")
    assert [company.asked(route) for route in ROUTES] == [0, 0, 0, 0]
    message = company.waiting()[before]
    assert 295 <= message["delay_seconds"] <= 362  # what is left, and up to a fifth more
    reopen(company)
    assert company.archive(other) == b"second"


def test_an_archived_job_is_answered_while_the_vendor_is_throttled(company: Company) -> None:
    """The table knows: nothing is asked, so nothing waits."""
    done = company.vendor.add_job(b"done")
    assert company.archive(done) == b"done"
    throttled(company)
    assert company.deliver_job(done) == []
    assert company.outcomes()[-1] == ("already_archived", None)


def test_the_time_moves_only_forward(company: Company) -> None:
    """A shorter wait that is told later does not shorten the longer one."""
    throttled(company, retry_after_seconds=900)
    until = item_until(company)
    assert 890 <= until - time.time() <= 901
    company.runtime.restart()  # another one, which read the table before the first 429
    job = company.vendor.add_job(b"x")
    stale = Refusal.json(200, b'{"Responses": {}, "UnprocessedKeys": {}}')
    company.aws_script.answer_next(operation("BatchGetItem"), stale)
    company.vendor.limit_rate_next("job", retry_after_seconds=60)
    assert company.deliver_job(job) == []
    assert item_until(company) == until


def test_a_throttle_that_cannot_be_written_down_holds_in_this_runtime(company: Company) -> None:
    """The others knock once and learn it themselves."""
    denied = Refusal.json(400, b'{"__type": "AccessDeniedException"}')
    company.aws_script.answer_next(operation("UpdateItem"), denied)
    throttled(company)
    company.aws_script.clear()
    job = company.vendor.add_job(b"x")
    assert company.deliver_job(job) == []
    assert [company.asked(route) for route in ROUTES] == [0, 0, 0, 0]
    company.runtime.restart()
    assert company.archive(job) == b"x"


@pytest.mark.parametrize("unread", ["job#{job_id}", "throttle#vendor"])
def test_what_the_table_left_unread_is_not_taken_for_absent(company: Company, unread: str) -> None:
    """Without the job's item a key could be chosen twice; without the other we might knock."""
    job = company.vendor.add_job(b"x")
    key = {"id": {"S": unread.format(job_id=job.job_id)}}
    busy = {"Responses": {}, "UnprocessedKeys": {company.table: {"Keys": [key]}}}
    answer = Refusal.json(200, json.dumps(busy).encode())
    company.aws_script.answer_next(operation("BatchGetItem"), answer)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "aws_error")]
    assert [company.asked(route) for route in ROUTES] == [0, 0, 0, 0]
    assert company.deliver_job(job, receive_count=2) == []
    assert company.content(default_key(job)) == b"x"
