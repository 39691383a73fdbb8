"""Outcomes: each row of README's table, and that nothing ends in any other way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from archiver.receipt import iso_utc
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import LAST_RECEIVE, Company, LambdaContext, default_key

NOT_COUNTED = Refusal.json(
    200,
    b'{"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "no"}]}',
)
DENIED = Refusal.json(400, b'{"__type": "AccessDeniedException", "message": "not allowed"}')


# --- archived, already archived ---


def test_archived_acknowledges_emits_and_remembers(company: Company) -> None:
    """Object, event, receipt and log line agree, and each says what it should."""
    job = company.vendor.add_job(b"a,b\n1,2\n")
    content = company.archive(job)
    assert content == b"a,b\n1,2\n"
    (told,) = company.emitted("Export Archived")
    (version,) = company.versions(default_key(job))
    assert told["object"] == {
        "bucket": company.bucket,
        "key": default_key(job),
        "version_id": version["VersionId"],
        "size_bytes": len(content),
        "etag": version["ETag"].strip('"'),
        "checksum_crc64nvme": encode_crc64nvme(crc64nvme(content)),
    }
    assert told["source_etag"] == job.stored.etag if job.stored else ""
    item = company.item(job.job_id)
    assert (item["state"], item["key"], item["attempts"]) == ("archived", default_key(job), "1")
    assert (item["version_id"], item["size_bytes"]) == (version["VersionId"], str(len(content)))
    assert item["checksum_crc64nvme"] == told["object"]["checksum_crc64nvme"]
    assert item["emitted_at"] >= item["archived_at"] >= item["first_seen_at"][:10]
    assert "expiration" not in item, "a receipt has no TTL"
    assert company.outcomes() == [("archived", None)]


def test_a_small_job_asks_aws_eight_times(company: Company) -> None:
    """Read, claim, receipt, beat, object, size, entry, event: nothing is asked twice."""
    company.archive(company.vendor.add_job(b"the credentials are read now"))
    company.stand_for_aws()
    calls = len(company.calls())
    company.archive(company.vendor.add_job(b"x"))
    assert Counter(call.action for call in company.calls()[calls:]) == {
        "BatchGetItem": 1,
        "UpdateItem": 3,
        "ChangeMessageVisibility": 1,
        "PutObject": 2,
        "PutEvents": 1,
    }


def test_the_same_job_again_is_already_archived(company: Company) -> None:
    """The table answers: nobody else is asked, nothing is emitted."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    company.emitted()
    company.vendor.clear_journal()
    calls = len(company.calls())

    assert company.deliver_job(job) == []

    assert company.outcomes()[-1] == ("already_archived", None)
    assert {call.service for call in company.calls()[calls:]} == {"dynamodb", "sqs"}
    assert company.vendor.journal == []
    assert company.emitted() == []


def test_a_job_stays_archived(company: Company) -> None:
    """Months later the job's own item answers: no vendor, no S3, no event."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    company.emitted()
    company.vendor.clear_journal()
    calls = len(company.calls())

    assert company.deliver_job(job) == []

    assert company.outcomes()[-1] == ("already_archived", None)
    actions = [call.action for call in company.calls()[calls:]]
    assert sorted(actions) == ["BatchGetItem", "ChangeMessageVisibility"]
    assert company.vendor.journal == []
    assert company.emitted() == []


# --- deferred ---


def test_a_running_job_waits_longer_each_time_without_using_up_receives(company: Company) -> None:
    """A delayed copy carries when the job was first seen, and how often it waited."""
    job = company.vendor.add_job(None, status="submitted")
    an_hour_ago = iso_utc(datetime.now(UTC) - timedelta(hours=1))
    attributes = {"first_seen_at": an_hour_ago}
    delays = []
    for deferral in range(1, 8):
        company.aws.forget_messages(f"{company.name}-queue", "us-east-1")
        failed = company.deliver(
            {"job_id": job.job_id}, receive_count=LAST_RECEIVE, attributes=attributes
        )
        assert failed == []
        message = company.deferred()
        attributes = message["attributes"]
        assert json.loads(message["body"]) == {"job_id": job.job_id}
        deferred_at = datetime.fromisoformat(attributes["deferred_at"])
        assert datetime.now(UTC) - deferred_at < timedelta(minutes=1)
        assert attributes == {
            "first_seen_at": an_hour_ago,
            "deferrals": str(deferral),
            "deferred_at": attributes["deferred_at"],
            "asked_by": company.delivered[0],
        }
        delays.append(message["delay_seconds"])
    assert 20 <= delays[0] <= 40
    assert delays[3] > delays[1] > delays[0] - 1
    assert all(600 <= delay <= 900 for delay in delays[-2:])
    assert company.outcomes() == [("deferred", "not_finished")] * 7
    assert company.dead_letters() == []
    assert company.held() == []


def test_a_deferred_job_is_archived_once_it_has_finished(company: Company) -> None:
    """What was put on the queue is a message like any other."""
    job = company.vendor.add_job(None, status="submitted")
    company.deliver_job(job)
    message = company.deferred()
    company.vendor.complete_job(job.job_id, b"done")
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"done"
    first_seen = datetime.fromisoformat(company.item(job.job_id)["first_seen_at"])
    assert first_seen == datetime.fromisoformat(message["attributes"]["first_seen_at"])


def test_a_deferred_message_has_lost_its_callback_url(company: Company) -> None:
    """The token in it must not go round and round in the queue."""
    job = company.vendor.add_job(None, status="submitted")
    url = "https://hooks.example.com/?token=canary-callback"
    company.deliver({"detail": {"job_id": job.job_id, "callback_url": url}})
    assert json.loads(company.deferred()["body"]) == {"detail": {"job_id": job.job_id}}


def test_a_job_that_waited_too_long_is_rejected(company: Company) -> None:
    """MaxWaitHours bounds every wait; the letter says why it last waited."""
    job = company.vendor.add_job(None, status="submitted")
    seen = datetime.now(UTC) - timedelta(hours=72, minutes=1)
    attributes = {"first_seen_at": seen.isoformat(), "deferrals": "300"}
    assert company.deliver({"job_id": job.job_id}, attributes=attributes) == []
    letter = company.dead_letter()
    assert (letter["reason"], letter["job_id"]) == ("waited_too_long", job.job_id)
    assert "72 hours" in letter["detail"]
    assert "not finished" in letter["detail"]
    assert [told["reason"] for told in company.emitted("Export Rejected")] == ["waited_too_long"]
    assert company.waiting() == []


def test_a_job_within_its_time_waits_on(company: Company) -> None:
    """The limit is the one of the settings, and it is not reached a minute before."""
    job = company.vendor.add_job(None, status="submitted")
    seen = datetime.now(UTC) - timedelta(hours=71, minutes=59)
    company.deliver({"job_id": job.job_id}, attributes={"first_seen_at": seen.isoformat()})
    assert company.outcomes() == [("deferred", "not_finished")]


def test_a_job_that_is_archived_elsewhere_right_now_waits(company: Company) -> None:
    """Two at once for one job: the second comes back in seconds, and then has nothing to do."""
    job = company.vendor.add_job(b"once")
    company.hold(job.job_id)

    assert company.deliver_job(job) == []

    assert company.outcomes()[-1] == ("deferred", "in_progress_elsewhere")
    assert company.deferred()["delay_seconds"] <= 10
    assert company.versions(default_key(job)) == []


def test_a_large_copy_without_time_left_waits_and_leaves_no_upload(company: Company) -> None:
    """The next invocation has its full time; parts without an owner would cost money."""
    job = company.vendor.add_job(bytes(17 << 20))
    context = LambdaContext(remaining_ms=10_000)
    assert company.deliver({"job_id": job.job_id}, context=context) == []
    assert company.outcomes() == [("deferred", "out_of_time")]
    assert company.uploads() == []
    assert company.objects() == {}


# --- ended at the vendor ---


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("failed", "job_failed", "property 17 has no data"),
        ("cancelled", "job_cancelled", "cancelled"),
    ],
)
def test_a_job_that_ended_at_the_vendor_is_told_and_acknowledged(
    company: Company, status: str, reason: str, said: str
) -> None:
    """Nobody here can mend it: an event, no dead letter, nothing waits."""
    job = company.vendor.add_job(None, status="cancelled")
    if status == "failed":
        company.vendor.fail_job(job.job_id, "property 17 has no data; see https://x.example/?a=b")
    assert company.deliver_job(job) == []
    (told,) = company.emitted("Export Failed At Vendor")
    assert (told["job_id"], told["reason"]) == (job.job_id, reason)
    assert said in told["detail"]
    assert "x.example" not in told["detail"]
    assert company.dead_letters() == []
    assert company.waiting() == []
    assert company.objects() == {}


def refused(code: str) -> Refusal:
    """Return DynamoDB's refusal of a write."""
    fault = f"com.amazonaws.dynamodb.v20120810#{code}"
    return Refusal.json(400, json.dumps({"__type": fault, "message": "canary"}).encode())


# DynamoDB API Reference, UpdateItem, "Errors", and "Common Errors".
@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ValidationException",
        "ItemCollectionSizeLimitExceededException",
        "AccessDeniedException",
    ],
)
@pytest.mark.parametrize("receipt", [False, True], ids=["the claim", "the receipt"])
def test_a_write_that_no_other_run_is_the_cause_of_is_awss_error(
    company: Company, code: str, *, receipt: bool
) -> None:
    """Throttled, too large or wrong: nobody is archiving the job, and the code is told."""
    job = company.vendor.add_job(b"x")
    company.aws_script.answer_next(
        operation("UpdateItem"), refused(code), times=9, skip=int(receipt)
    )
    company.deliver_job(job)
    assert company.outcomes()[-1][1] == "aws_error"
    assert code in next(line for line in company.log_lines() if "outcome" in line)["detail"]
    company.aws_script.clear()
    # With the receipt, the job could not be freed either, and a lease of a minute holds it.
    company.write_item(job.job_id, {"held_until": "2026-01-01T00:00:00.000Z"})
    assert company.deliver_job(job, receive_count=2) == []
    assert company.content(default_key(job)) == b"x"


@pytest.mark.parametrize(
    "code", ["ConditionalCheckFailedException", "TransactionConflictException"]
)
def test_a_write_that_another_run_is_in_the_way_of_waits(company: Company, code: str) -> None:
    """A failed condition means that, and a conflict with a transaction of an older version's."""
    job = company.vendor.add_job(b"x")
    company.aws_script.answer_next(operation("UpdateItem"), refused(code), times=9)
    assert company.deliver_job(job) == []
    assert company.outcomes()[-1] == ("deferred", "in_progress_elsewhere")


# --- failed ---


def unplug_network(company: Company, _job_id: str) -> None:
    """Let nobody listen where the API was."""
    company.set_environment(APARTMENTIQ_API_BASE_URL="https://localhost:1/api")


def break_vendor(company: Company, job_id: str) -> None:
    """Let the results endpoint answer 500."""
    company.vendor.answer_next("results", status=500, body="oops", times=None, job_id=job_id)


def refuse_bucket(company: Company, _job_id: str) -> None:
    """Let S3 refuse the write, as for a role that lacks the permission."""
    put = s3_call("PUT", company.bucket)
    company.aws_script.answer_next(put, Refusal.s3(403, "AccessDenied"), times=9)


def refuse_table(company: Company, _job_id: str) -> None:
    """Let the job's item be unreadable."""
    company.aws_script.answer_next(operation("BatchGetItem"), DENIED, times=9)


def refuse_records(company: Company, _job_id: str) -> None:
    """Let every write to the job's item be refused."""
    company.aws_script.answer_next(operation("UpdateItem"), DENIED, times=9)


def break_secrets_manager(company: Company, _job_id: str) -> None:
    """Let Secrets Manager be out of order; a secret that may not be read waits for people."""
    company.runtime.restart()
    company.aws_script.answer_next(operation("GetSecretValue"), Refusal.json(500, b"{}"), times=9)


def break_our_code(company: Company, job_id: str) -> None:
    """Let the job's item hold what our code never wrote."""
    item = {"id": {"S": f"job#{job_id}"}, "state": {"S": "archived"}}
    odd = json.dumps({"Responses": {company.table: [item]}, "UnprocessedKeys": {}}).encode()
    company.aws_script.answer_next(operation("BatchGetItem"), Refusal.json(200, odd), times=9)


FAILURES = [
    (unplug_network, "network"),
    (break_vendor, "vendor_error"),
    (refuse_bucket, "aws_error"),
    (refuse_table, "aws_error"),
    (refuse_records, "aws_error"),
    (break_secrets_manager, "aws_error"),
    (break_our_code, "bug"),
]
OUTAGES = [failure for failure in FAILURES if failure[1] != "bug"]


@pytest.mark.parametrize(("go_wrong", "reason"), FAILURES, ids=lambda v: getattr(v, "__name__", v))
def test_a_failure_comes_back_soon(
    company: Company, go_wrong: Callable[[Company, str], None], reason: str
) -> None:
    """SQS redelivers with a growing delay."""
    job = company.vendor.add_job(b"x")
    go_wrong(company, job.job_id)

    failed = company.deliver_job(job, receive_count=1)
    assert failed == company.delivered
    assert 5 <= company.hidden_seconds(failed[0]) <= 15
    failed = company.deliver_job(job, receive_count=2)
    assert 12 <= company.hidden_seconds(failed[0]) <= 30
    assert company.dead_letters() == []
    assert company.outcomes() == [("failed", reason)] * 2


@pytest.mark.parametrize(("go_wrong", "reason"), OUTAGES, ids=lambda v: getattr(v, "__name__", v))
def test_a_failure_that_may_be_an_outage_s_waits_on_its_last_receive(
    company: Company, go_wrong: Callable[[Company, str], None], reason: str
) -> None:
    """Nobody was archived since: it is sent on, its receives begin anew, no letter is written."""
    job = company.vendor.add_job(b"x")
    go_wrong(company, job.job_id)
    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []
    assert company.outcomes() == [("deferred", reason)]
    assert company.dead_letters() == []
    assert company.deferred()["attributes"].keys() == {
        "first_seen_at",
        "deferrals",
        "deferred_at",
        "asked_by",
        "outage_since",
    }


@pytest.mark.parametrize(
    ("go_wrong", "reason"), [(break_vendor, "vendor_error"), (break_our_code, "bug")]
)
def test_a_failure_of_the_job_s_own_becomes_a_dead_letter_on_its_last_receive(
    company: Company, go_wrong: Callable[[Company, str], None], reason: str
) -> None:
    """Another was archived since it began to fail: we set it aside, with the reason."""
    job = company.vendor.add_job(b"x")
    go_wrong(company, job.job_id)
    assert len(company.deliver_job(job)) == 1
    company.aws_script.clear()
    assert company.deliver_job(company.vendor.add_job(b"another")) == []
    go_wrong(company, job.job_id)

    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []

    letter = company.dead_letter()
    assert (letter["reason"], letter["job_id"]) == (reason, job.job_id)
    assert letter["detail"]
    assert json.loads(letter["body"]) == {"job_id": job.job_id}
    assert company.outcomes()[-1] == ("failed", reason)


@pytest.mark.parametrize("receive_count", [0, 2_147_483_648, 999_999_999_999_999])
def test_a_receive_count_that_no_queue_would_reach_still_has_an_outcome(
    company: Company, receive_count: int
) -> None:
    """The delay doubles with each receive: two to the power of this would fill the memory."""
    job = company.vendor.add_job(b"x")
    break_vendor(company, job.job_id)

    failed = company.deliver_job(job, receive_count=receive_count)

    outcome = "failed" if receive_count < 1 else "deferred"
    assert company.outcomes() == [(outcome, "vendor_error")]
    assert (len(failed), len(company.waiting())) == ((1, 0) if receive_count < 1 else (0, 1))
    assert company.emitted() == []
    assert company.objects() == {}


def test_a_failure_leaves_nothing_that_blocks_the_next_try(company: Company) -> None:
    """Nobody holds the job, and the retry archives the export."""
    job = company.vendor.add_job(b"second time lucky")
    company.vendor.answer_next("results", status=503)
    assert len(company.deliver_job(job)) == 1
    assert company.held() == []
    assert company.archive(job) == b"second time lucky"


def test_a_dead_letter_queue_that_refuses_loses_nothing(company: Company) -> None:
    """The message is reported as failed, so that SQS's own redrive is what remains."""
    company.aws_script.answer_next(operation("SendMessage"), DENIED)
    assert company.deliver("not JSON") == company.delivered
    assert company.dead_letters() == []


# --- the event ---


def test_an_event_that_the_bus_counts_as_failed_is_emitted_on_the_retry(company: Company) -> None:
    """A 200 with FailedEntryCount is a failure; the object is not written a second time."""
    job = company.vendor.add_job(b"committed")
    company.aws_script.answer_next(operation("PutEvents"), NOT_COUNTED)

    failed = company.deliver_job(job)
    assert failed == company.delivered
    assert company.outcomes() == [("failed", "aws_error")]
    assert company.item(job.job_id)["state"] != "archived"
    assert company.emitted() == []
    assert company.deliver_job(job, receive_count=2) == []

    (told,) = company.emitted("Export Archived")
    (version,) = company.versions(default_key(job))
    assert told["object"]["version_id"] == version["VersionId"]
    assert company.outcomes()[-1] == ("archived", None)


def test_a_bus_that_was_down_after_the_commit_hears_of_it_on_the_retry(company: Company) -> None:
    """A crash between commit and emission emits later; also when the export needed many parts."""
    job = company.vendor.add_job(bytes(17 << 20))
    company.aws_script.answer_next(operation("PutEvents"), DENIED)
    assert len(company.deliver_job(job)) == 1
    assert company.deliver_job(job, receive_count=2) == []
    (told,) = company.emitted("Export Archived")
    (version,) = company.versions(default_key(job))
    assert told["object"]["version_id"] == version["VersionId"]
    assert told["object"]["size_bytes"] == 17 << 20
    assert company.uploads() == []


def test_a_receipt_that_could_not_be_stored_is_stored_on_the_retry(company: Company) -> None:
    """The event may come twice; consumers deduplicate by job and version, which are the same."""
    job = company.vendor.add_job(b"x")
    # After the claim and the size of its kind.
    company.aws_script.answer_next(operation("UpdateItem"), DENIED, skip=2)
    assert len(company.deliver_job(job)) == 1
    assert company.deliver_job(job, receive_count=2) == []
    told = company.emitted("Export Archived")
    assert len({(d["job"]["job_id"], d["object"]["version_id"]) for d in told}) == 1
    assert company.item(job.job_id)["state"] == "archived"
    assert len(company.versions(default_key(job))) == 1


@pytest.mark.parametrize(
    ("detail_type", "status"),
    [("Export Failed At Vendor", "cancelled"), ("Export Rejected", None)],
)
def test_an_end_that_could_not_be_told_is_told_on_the_retry(
    company: Company, detail_type: str, status: str | None
) -> None:
    """No job ends in silence because the bus was down for a moment."""
    job_id = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
    if status == "cancelled":
        job_id = company.vendor.add_job(None, status="cancelled").job_id
    company.aws_script.answer_next(operation("PutEvents"), NOT_COUNTED)
    long_ago = {"first_seen_at": iso_utc(datetime.now(UTC) - timedelta(hours=1))}
    assert len(company.deliver({"job_id": job_id}, attributes=long_ago)) == 1
    assert company.dead_letters() == []
    assert company.deliver({"job_id": job_id}, receive_count=2, attributes=long_ago) == []
    assert len(company.emitted(detail_type)) == 1


# --- what is at the key already ---


def test_a_different_object_at_the_key_is_never_touched(company: Company) -> None:
    """A person must decide; the letter says what to do."""
    job = company.vendor.add_job(b"the export")
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")

    assert company.deliver_job(job) == []

    letter = company.dead_letter()
    assert letter["reason"] == "object_conflict"
    assert default_key(job) in letter["detail"]
    assert company.objects() == {default_key(job): b"somebody's own"}
    assert len(company.versions(default_key(job))) == 1
    assert company.emitted("Export Archived") == []


def test_a_different_object_at_a_large_exports_key_is_never_touched(company: Company) -> None:
    """The conditional Complete is refused, and no part remains."""
    job = company.vendor.add_job(bytes(17 << 20))
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.objects() == {default_key(job): b"somebody's own"}
    assert company.uploads() == []


def test_the_same_export_that_is_there_already_is_archived_without_a_second_version(
    company: Company,
) -> None:
    """Its metadata names the same job and source: the table was lost, the object was not."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    company.emitted()
    company.forget_table()

    assert company.deliver_job(job) == []

    assert company.outcomes()[-1] == ("archived", None)
    (version,) = company.versions(default_key(job))
    (told,) = company.emitted("Export Archived")
    assert told["object"]["version_id"] == version["VersionId"]


@pytest.mark.parametrize("size_bytes", [5, 17 << 20])
def test_a_commit_whose_answer_was_lost_is_found_again(company: Company, size_bytes: int) -> None:
    """S3 did the work and answered 503: one version, archived, no failure."""
    job = company.vendor.add_job(bytes(size_bytes))
    commit = (
        s3_call("PUT", company.bucket)
        if size_bytes == 5
        else s3_call("POST", company.bucket, "uploadId=")
    )
    company.aws_script.answer_next(commit, Refusal.s3(503, "SlowDown", too_late=True))
    assert company.archive(job) == bytes(size_bytes)
    assert len(company.versions(default_key(job))) == 1
    assert len(company.emitted("Export Archived")) == 1


def test_a_conflicting_write_under_way_is_tried_again(company: Company) -> None:
    """409 means that another conditional write was under way, not that it won."""
    job = company.vendor.add_job(b"x")
    conflict = Refusal.s3(409, "ConditionalRequestConflict")
    company.aws_script.answer_next(s3_call("PUT", company.bucket), conflict)
    assert company.archive(job) == b"x"


def test_a_conflicting_complete_begins_the_upload_anew(company: Company) -> None:
    """409 at Complete gives the upload up; every part is sent again, none is orphaned."""
    job = company.vendor.add_job(bytes(17 << 20))
    conflict = Refusal.s3(409, "ConditionalRequestConflict")
    complete = s3_call("POST", company.bucket, "uploadId=")
    company.aws_script.answer_next(complete, conflict)
    assert company.archive(job) == bytes(17 << 20)
    assert company.s3_actions().count("CreateMultipartUpload") == 2
    assert company.uploads() == []


# --- metrics ---


def test_every_outcome_is_counted_with_its_reason(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and dimensions are the settled ones."""
    good = company.vendor.add_job(b"12345")
    running = company.vendor.add_job(None, status="submitted")
    ended = company.vendor.add_job(None, status="cancelled")
    broken = company.vendor.add_job(b"")
    company.vendor.answer_next("results", status=500, job_id=broken.job_id)
    company.deliver_job(good, running, ended, broken)
    company.deliver_job(good)
    company.deliver("{")
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counted = {
        (metric["Name"], blob.get("reason"), blob[metric["Name"]][0])
        for blob in blobs
        for directive in blob["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
        if directive["Namespace"] == "ApartmentIqArchiver"
    }
    assert counted >= {
        ("Archived", None, 1.0),
        ("ArchivedBytes", None, 5.0),
        ("AlreadyArchived", None, 1.0),
        ("Deferred", "not_finished", 1.0),
        ("EndedAtVendor", "job_cancelled", 1.0),
        ("Failed", "vendor_error", 1.0),
        ("Rejected", "malformed_message", 1.0),
    }
    assert "ArchiveSeconds" in {name for name, _, _ in counted}
