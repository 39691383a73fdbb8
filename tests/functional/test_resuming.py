"""An attempt that ended early, and the one that goes on: no finished part twice, no lost job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.apartmentiq import Job, LinkFault, SyntheticExport, sha256_of
from tests.functional.aws_script import Refusal, operation, s3_call
from tests.functional.company import Company, LambdaContext, default_key

MIB = 1 << 20
PARTS = 4
EXPORT = SyntheticExport(PARTS * 16 * MIB - 5, seed=4)
SLOW_DOWN = Refusal.s3(503, "SlowDown")


@dataclass
class TimeThatRunsOut(LambdaContext):
    """Has time until S3 holds a part, and then none for another."""

    company: Company = field(kw_only=True)
    job: Job = field(kw_only=True)

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        begun = self.company.uploads()
        return 9_000 if begun and finished_parts(self.company, self.job) else 300_000


def finished_parts(company: Company, job: Job) -> dict[int, int]:
    """Return the parts that S3 holds of the job's only unfinished upload, by number."""
    (upload,) = company.uploads()
    listed = company.people.client("s3").list_parts(
        Bucket=company.bucket, Key=default_key(job), UploadId=upload["UploadId"]
    )
    return {part["PartNumber"]: part["Size"] for part in listed.get("Parts", [])}


def bytes_read(company: Company) -> int:
    """Return how many bytes of exports the link's host has sent."""
    return sum(entry.bytes_served for entry in company.vendor.journal if entry.route == "link")


def part_fails(company: Company, number: int) -> None:
    """Let S3 refuse a part for as long as one attempt tries."""
    call = s3_call("PUT", company.bucket, f"partNumber={number}&")
    company.aws_script.answer_next(call, SLOW_DOWN, times=5)


def assert_whole(company: Company, job: Job) -> None:
    """Make sure that the export is archived once, byte for byte, with nothing left over."""
    content = company.content(default_key(job))
    assert hashlib.sha256(content).hexdigest() == sha256_of(EXPORT)
    assert len(company.versions(default_key(job))) == 1
    assert company.uploads() == []
    assert len(company.emitted("Export Archived")) == 1


def test_a_failed_copy_is_gone_on_with_and_reads_no_finished_part_again(company: Company) -> None:
    """The second delivery reads what is missing, and one byte to learn what the export is."""
    job = company.vendor.add_job(EXPORT)
    part_fails(company, PARTS)
    assert len(company.deliver_job(job)) == 1
    finished = finished_parts(company, job)
    assert finished
    company.vendor.clear_journal()

    assert company.deliver_job(job, receive_count=2) == []

    missing = EXPORT.size_bytes - sum(finished.values())
    assert bytes_read(company) == missing + 1
    assert company.s3_actions().count("CreateMultipartUpload") == 1
    assert_whole(company, job)


def test_a_copy_that_runs_out_of_time_is_handed_on_at_once(company: Company) -> None:
    """No receive is used up, nothing waits: the next invocation goes on from S3's list."""
    job = company.vendor.add_job(EXPORT)
    context = TimeThatRunsOut(company=company, job=job)
    assert company.deliver({"job_id": job.job_id}, context=context) == []
    assert company.outcomes() == [("deferred", "out_of_time")]
    message = company.deferred()
    assert message["delay_seconds"] <= 1
    assert message["attributes"]["deferrals"] == "1"
    finished = finished_parts(company, job)
    company.vendor.clear_journal()

    assert company.deliver(message["body"], attributes=message["attributes"]) == []

    assert bytes_read(company) == EXPORT.size_bytes - sum(finished.values()) + 1
    assert company.s3_actions().count("CreateMultipartUpload") == 1
    assert_whole(company, job)


def test_a_copy_that_gets_on_is_not_waiting_too_long(company: Company) -> None:
    """MaxWaitHours is for jobs that nothing happens to; this one ends by itself."""
    job = company.vendor.add_job(EXPORT)
    context = TimeThatRunsOut(company=company, job=job)
    long_ago = {"first_seen_at": "2020-01-01T00:00:00.000Z"}
    body = {"job_id": job.job_id}
    assert company.deliver(body, attributes=long_ago, context=context) == []
    assert company.outcomes() == [("deferred", "out_of_time")]
    message = company.deferred()
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert_whole(company, job)


def test_an_export_made_anew_between_two_deliveries_is_copied_afresh(company: Company) -> None:
    """The old upload is aborted: parts of two exports never meet in one object."""
    job = company.vendor.add_job(SyntheticExport(EXPORT.size_bytes, seed=9))
    part_fails(company, PARTS)
    assert len(company.deliver_job(job)) == 1
    (before,) = company.uploads()
    company.vendor.store_export(job.job_id, EXPORT)
    assert company.deliver_job(job, receive_count=2) == []
    assert before["UploadId"] not in {upload["UploadId"] for upload in company.uploads()}
    assert_whole(company, job)


def test_an_upload_that_vanished_is_begun_again(company: Company) -> None:
    """A lifecycle rule or a person aborted it: the copy starts afresh in the same delivery."""
    job = company.vendor.add_job(EXPORT)
    part_fails(company, PARTS)
    assert len(company.deliver_job(job)) == 1
    (upload,) = company.uploads()
    company.people.client("s3").abort_multipart_upload(
        Bucket=company.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
    )
    assert company.deliver_job(job, receive_count=2) == []
    assert_whole(company, job)


def test_a_complete_whose_answer_was_lost_is_found_and_not_copied_again(company: Company) -> None:
    """NoSuchUpload after a lost answer means "committed": the bucket is asked, not the source."""
    job = company.vendor.add_job(EXPORT)
    complete = s3_call("POST", company.bucket, "uploadId=")
    company.aws_script.answer_next(complete, Refusal.s3(500, "InternalError", too_late=True))
    assert company.deliver_job(job) == []
    assert company.s3_actions().count("UploadPart") == PARTS
    assert_whole(company, job)


def test_an_upload_that_nobody_wrote_down_is_aborted_by_the_next_attempt(company: Company) -> None:
    """A kill between creating an upload and writing it down leaves nothing that costs money."""
    job = company.vendor.add_job(EXPORT)
    refused = Refusal.json(400, b"{}")
    company.aws_script.answer_next(operation("UpdateItem"), refused, skip=1)  # after the claim
    company.aws_script.answer_next(s3_call("DELETE", company.bucket), SLOW_DOWN, times=9)
    assert len(company.deliver_job(job)) == 1
    assert len(company.uploads()) == 1
    company.aws_script.clear()
    assert company.deliver_job(job, receive_count=2) == []
    assert_whole(company, job)


# --- two runtimes on one job ---


def test_the_claim_of_a_run_that_was_killed_lapses_within_the_lease(company: Company) -> None:
    """The job is held for 45 seconds, however long the invocation might have run."""
    job = company.vendor.add_job(EXPORT)
    seen: list[float] = []
    hidden: list[float] = []

    def look(job_id: str, _bytes: int) -> None:
        if job_id == job.job_id and not seen:
            held_until = datetime.fromisoformat(company.item(job_id)["held_until"])
            seen.append((held_until - datetime.now(UTC)).total_seconds())

    company.vendor.on_link_bytes = look
    assert company.deliver_job(job) == []
    company.vendor.on_link_bytes = None
    hidden.append(company.hidden_seconds(company.delivered[-1]))
    assert 30 <= seen[0] <= 46
    assert 30 <= hidden[0] <= 45


def test_a_run_that_was_overtaken_ends_quietly_and_leaves_the_others_claim(
    company: Company,
) -> None:
    """It takes no further part, waits as the duplicate that it is, and frees nobody's job."""
    company.set_environment(LEASE_SECONDS="3")  # a beat each second
    job = company.vendor.add_job(EXPORT)
    company.vendor.disturb_link(LinkFault(bytes_per_second=4 * MIB), times=None, job_id=job.job_id)

    def overtake(job_id: str, _bytes: int) -> None:
        company.write_item(job_id, {"owner": "another"})

    company.vendor.on_link_bytes = overtake
    assert company.deliver_job(job) == []
    company.vendor.on_link_bytes = None
    assert company.outcomes() == [("deferred", "in_progress_elsewhere")]
    item = company.item(job.job_id)
    assert (item["owner"], item["state"]) == ("another", "copying")
    assert company.objects() == {}


def test_a_claim_that_was_read_too_early_is_refused(company: Company) -> None:
    """Between reading the item and claiming the job another attempt came and went."""
    job = company.vendor.add_job(b"x")

    company.people.client("dynamodb").put_item(
        TableName=company.table,
        Item={"id": {"S": f"job#{job.job_id}"}, "attempts": {"N": "7"}},
    )
    nothing = json.dumps({"Responses": {company.table: []}, "UnprocessedKeys": {}}).encode()
    company.aws_script.answer_next(operation("BatchGetItem"), Refusal.json(200, nothing))
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("deferred", "in_progress_elsewhere")]
    assert company.archive(job) == b"x"
    assert company.item(job.job_id)["attempts"] == "8"


def test_a_message_that_is_rejected_leaves_the_upload_of_the_run_that_holds_the_job(
    company: Company,
) -> None:
    """A duplicate that the vendor refuses must not abort what another run is copying."""
    job = company.vendor.add_job(EXPORT)
    part_fails(company, PARTS)
    assert len(company.deliver_job(job)) == 1
    finished = finished_parts(company, job)
    company.vendor.answer_next("job", status=403, body="", times=2, job_id=job.job_id)
    company.hold(job.job_id)

    assert company.deliver_job(job) == []

    assert company.dead_letter()["reason"] == "forbidden"
    assert finished_parts(company, job) == finished
    assert company.item(job.job_id)["state"] == "copying"
    company.write_item(job.job_id, {"held_until": "2026-01-01T00:00:00.000Z"})  # it was killed
    own = {"asked_by": company.item(job.job_id)["asked_by"]}
    assert company.deliver({"job_id": job.job_id}, attributes=own) == []
    assert company.uploads() == []
    assert company.item(job.job_id)["state"] == "dead_lettered"
