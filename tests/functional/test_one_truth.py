"""What a job's item says is true, and only whoever owns the job changes it (archiver/states.py)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from archiver.receipt import iso_utc
from local.apartmentiq import Job
from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import Company, LambdaContext, default_key
from tests.functional.test_resuming import EXPORT, PARTS, assert_whole, finished_parts, part_fails

DENIED = Refusal.json(400, b'{"__type":"com.amazon.coral.service#AccessDeniedException"}')
LOST = replace(Refusal.json(500, b"{}"), too_late=True)  # done, and the answer was lost


def archived_and_gone(company: Company) -> Job:
    """Return a job whose object somebody deleted after it was archived."""
    job = company.vendor.add_job(b"gone")
    company.archive(job)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(job))
    return job


def recheck(job: Job) -> dict[str, object]:
    """Return a recheck."""
    return {"job_id": job.job_id, "recheck": True}


def state(company: Company, job: Job) -> str:
    """Return what the job's item says."""
    return str(company.item(job.job_id)["state"])


# --- the object is gone ---


def test_a_recheck_that_fails_before_its_claim_leaves_no_receipt(company: Company) -> None:
    """It is written down that the object is gone before anything is asked of the vendor."""
    job = archived_and_gone(company)
    company.vendor.answer_next("job", status=500, times=9, job_id=job.job_id)
    assert company.deliver(recheck(job)) == company.delivered[-1:]
    assert state(company, job) != "archived"
    company.vendor.clear_script()
    assert company.deliver_job(job) == []
    assert company.outcomes()[-1] == ("archived", None)
    assert company.objects() == {default_key(job): b"gone"}


def test_a_recheck_that_dies_at_the_vendor_leaves_a_job_that_is_missing(company: Company) -> None:
    """The claim is refused for as long as the run lives; then any message archives the export."""
    job = archived_and_gone(company)
    company.aws_script.answer_next(operation("UpdateItem"), DENIED, times=9, skip=1)
    assert company.deliver(recheck(job)) == company.delivered[-1:]
    assert state(company, job) == "missing"
    company.aws_script.clear()
    assert company.deliver_job(job) == []
    assert company.objects() == {default_key(job): b"gone"}


def test_a_recheck_that_claimed_and_did_not_finish_leaves_no_receipt(company: Company) -> None:
    """No record of 90 days answers a plain message for an object that is gone."""
    job = archived_and_gone(company)
    company.aws_script.answer_next(s3_call("PUT", company.bucket), Refusal.s3(403, "No"), times=9)
    assert company.deliver(recheck(job)) == company.delivered[-1:]
    company.aws_script.clear()
    assert company.deliver_job(job) == []
    assert company.outcomes()[-1] == ("archived", None)
    assert company.objects() == {default_key(job): b"gone"}


def test_a_second_recheck_on_a_stale_receipt_waits(company: Company) -> None:
    """Another has archived the job meanwhile: its receipt is not touched."""
    job = archived_and_gone(company)
    table = company.people.client("dynamodb")
    key = {"id": {"S": f"job#{job.job_id}"}}
    stale = table.get_item(TableName=company.table, Key=key)["Item"]
    assert company.deliver(recheck(job)) == []
    receipt = company.item(job.job_id)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(job))
    answer = json.dumps({"Responses": {company.table: [stale]}, "UnprocessedKeys": {}}).encode()
    company.aws_script.answer_next(operation("BatchGetItem"), Refusal.json(200, answer))
    assert company.deliver(recheck(job)) == []
    assert company.outcomes()[-1] == ("deferred", "in_progress_elsewhere")
    assert company.item(job.job_id) == receipt


def test_a_job_whose_item_was_deleted_gets_a_new_one(company: Company) -> None:
    """No record beside it calls the job archived: a sweep would queue it for ever."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    left = company.item(job.job_id)
    company.forget_table()
    digest = hashlib.sha256(json.dumps(job.job_id).encode()).hexdigest()
    company.people.client("dynamodb").put_item(  # as versions before this one wrote it
        TableName=company.table,
        Item={
            "id": {"S": f"archive#{digest}"},
            "status": {"S": "COMPLETED"},
            "expiration": {"N": "4000000000"},
            "data": {"S": json.dumps({"job_id": job.job_id})},
        },
    )
    assert company.deliver_job(job) == []
    assert company.item(job.job_id)["version_id"] == left["version_id"]
    assert state(company, job) == "archived"
    assert len(company.versions(default_key(job))) == 1


# --- one owner ---


def test_a_recheck_that_arrives_during_the_first_copy_waits(company: Company) -> None:
    """It meets the same claim as any other message, and copies nothing beside it."""
    job = company.vendor.add_job(EXPORT)
    company.hold(job.job_id)
    company.write_item(job.job_id, {"key": default_key(job)})
    before = company.item(job.job_id)
    assert company.deliver(recheck(job)) == []
    assert company.outcomes()[-1] == ("deferred", "in_progress_elsewhere")
    assert company.item(job.job_id) == before
    assert company.s3_actions() == []


def test_a_duplicate_that_waits_for_the_vendor_leaves_a_running_copy_alone(
    company: Company,
) -> None:
    """It comes back by itself; that it waits is not what the job does."""
    job = company.vendor.add_job(EXPORT)
    company.hold(job.job_id)
    before = company.item(job.job_id)
    company.vendor.answer_next("job", status=429, headers={"Retry-After": "60"})
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("deferred", "rate_limited")]
    assert company.item(job.job_id) == before


def test_a_second_message_that_is_set_aside_leaves_what_the_first_goes_on_with(
    company: Company,
) -> None:
    """The first waits between two invocations; its upload and its state are its own."""
    job = company.vendor.add_job(EXPORT)
    part_fails(company, PARTS)
    context = LambdaContext()
    assert len(company.deliver({"job_id": job.job_id}, context=context)) == 1
    first, finished, before = (
        company.delivered[-1],
        finished_parts(company, job),
        company.item(job.job_id),
    )
    company.vendor.answer_next("job", status=403, body="", times=2, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "forbidden"
    assert finished_parts(company, job) == finished
    assert company.item(job.job_id) == before
    company.vendor.clear_script()
    company.vendor.clear_journal()
    own = {"asked_by": first}
    assert company.deliver({"job_id": job.job_id}, attributes=own, receive_count=2) == []
    assert company.s3_actions().count("CreateMultipartUpload") == 1
    assert_whole(company, job)


def test_a_delayed_copy_still_has_its_job(company: Company) -> None:
    """It is the same message: what it is set aside for, is said of the job."""
    job = company.vendor.add_job(None, status="submitted")
    assert company.deliver_job(job) == []
    waits = company.deferred()
    assert waits["attributes"]["asked_by"] == company.delivered[-1]
    company.vendor.answer_next("job", status=403, body="", times=2, job_id=job.job_id)
    assert company.deliver(waits["body"], attributes=waits["attributes"]) == []
    assert company.dead_letter()["reason"] == "forbidden"
    assert state(company, job) == "dead_lettered"


def test_a_message_that_nobody_has_seen_for_hours_has_its_job_no_more(company: Company) -> None:
    """It is lost: another that is set aside says so."""
    job = company.vendor.add_job(None, status="submitted")
    assert company.deliver_job(job) == []
    long_ago = iso_utc(datetime.now(UTC) - timedelta(hours=6, seconds=1))
    company.write_item(job.job_id, {"updated_at": long_ago})
    company.vendor.answer_next("job", status=403, body="", times=2, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert state(company, job) == "dead_lettered"


def test_a_run_that_is_overtaken_before_its_receipt_stores_none(company: Company) -> None:
    """Whoever has the job finds the object; the item stays as that run has it."""
    job = company.vendor.add_job(b"x")

    def overtake(_: str, __: int) -> None:
        company.write_item(job.job_id, {"owner": "another"})

    company.vendor.on_link_bytes = overtake
    assert company.deliver_job(job) == []
    company.vendor.on_link_bytes = None
    assert company.outcomes() == [("deferred", "in_progress_elsewhere")]
    item = company.item(job.job_id)
    assert (item["owner"], item["state"]) == ("another", "copying")
    assert "archived_at" not in item


# --- the table's answers ---


@pytest.mark.parametrize("write", range(3), ids=["the claim", "the upload", "the receipt"])
def test_a_write_whose_answer_was_lost_counts(company: Company, write: int) -> None:
    """boto3 sends it again, and it meets itself: that is no other run."""
    job = company.vendor.add_job(EXPORT)
    company.aws_script.answer_next(operation("UpdateItem"), LOST, skip=write)
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("archived", None)]
    assert_whole(company, job)


def test_a_lost_answer_to_a_receipt_that_is_gone_counts(company: Company) -> None:
    """The object is missing, whoever wrote that down."""
    job = archived_and_gone(company)
    company.aws_script.answer_next(operation("UpdateItem"), LOST)
    assert company.deliver(recheck(job)) == []
    assert company.outcomes()[-1] == ("archived", None)
    assert company.objects() == {default_key(job): b"gone"}


def test_no_item_of_a_job_expires(company: Company) -> None:
    """DynamoDB would delete it by the table's TTL, which versions before this one gave records."""
    archived = company.vendor.add_job(b"x")
    waits = company.vendor.add_job(None, status="submitted")
    rejected = company.vendor.add_job(b"y")
    company.vendor.forbid(rejected.job_id)
    half = company.vendor.add_job(EXPORT)
    part_fails(company, PARTS)
    for job in (archived, waits, rejected, half):
        company.deliver_job(job)
    items = [company.item(job.job_id) for job in (archived, waits, rejected, half)]
    states = [item["state"] for item in items]
    assert states == ["archived", "waiting", "dead_lettered", "failing"]
    assert not any("expiration" in item for item in items)


# --- versions before this one ---


def claimed_by_an_older_version(company: Company, job: Job, *, minutes_ago: float) -> None:
    """Write a claim as the released version wrote it."""
    at = iso_utc(datetime.now(UTC) - timedelta(minutes=minutes_ago))
    company.people.client("dynamodb").put_item(
        TableName=company.table,
        Item={
            "id": {"S": f"job#{job.job_id}"},
            "key": {"S": default_key(job)},
            "state": {"S": "copying"},
            "job_id": {"S": job.job_id},
            "updated_at": {"S": at},
            "first_seen_at": {"S": at},
            "attempts": {"N": "1"},
        },
    )


def test_a_claim_without_an_owner_holds_for_as_long_as_a_run_may_last(company: Company) -> None:
    """An older version may still be at work: fifteen minutes, and then the job is free."""
    job = company.vendor.add_job(b"x")
    claimed_by_an_older_version(company, job, minutes_ago=14)
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("deferred", "in_progress_elsewhere")]
    claimed_by_an_older_version(company, job, minutes_ago=16)
    assert company.archive(job) == b"x"


def test_a_run_that_an_older_version_overtook_takes_no_further_part(company: Company) -> None:
    """It counts the attempt and leaves our owner there; the count tells."""
    job = company.vendor.add_job(EXPORT)

    def overtake(_: str, __: int) -> None:
        company.people.client("dynamodb").update_item(
            TableName=company.table,
            Key={"id": {"S": f"job#{job.job_id}"}},
            UpdateExpression="SET updated_at = :at, attempts = :two",
            ExpressionAttributeValues={
                ":at": {"S": iso_utc(datetime.now(UTC))},
                ":two": {"N": "2"},
            },
        )
        company.vendor.on_link_bytes = None

    company.vendor.on_link_bytes = overtake
    assert company.deliver_job(job) == []
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("deferred", "in_progress_elsewhere")] * 2
    assert company.objects() == {}
    assert company.item(job.job_id)["attempts"] == "2"
