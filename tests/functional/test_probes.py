"""A probe shows what the bucket does with the function's writes, and leaves all as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.functional.aws_script import Refusal, s3_call
from tests.functional.company import Company, default_key

UNKNOWN_JOB = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"


def probe(company: Company, job_id: str = UNKNOWN_JOB) -> dict[str, str]:
    """Invoke the function as `archiver verify` does."""
    answer: dict[str, str] = company.invoke({"probe": "writes", "job_id": job_id})
    return answer


def everything_in(company: Company) -> tuple[list[Any], list[Any]]:
    """Return all versions, markers and unfinished uploads."""
    listed = company.people.client("s3").list_object_versions(Bucket=company.bucket)
    entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
    return [(entry["Key"], entry["VersionId"]) for entry in entries], company.uploads()


def test_a_probe_tells_what_the_bucket_does_and_leaves_it_as_it_was(company: Company) -> None:
    """The trailer is confirmed, the second write refused; moto has no policy for the third."""
    job = company.vendor.add_job(b"archived")
    company.archive(job)
    before = everything_in(company)
    assert probe(company, job.job_id) == {
        "probe": "writes",
        "trailer": "confirmed",
        "second_write": "refused",
        "unconditional_write": "InvalidPart",
    }
    assert everything_in(company) == before
    assert before[1] == []


def test_a_policy_that_refuses_unconditional_writes_is_told(company: Company) -> None:
    """S3's own code is the answer, and the upload is aborted all the same."""
    refusal = Refusal.s3(403, "AccessDenied")
    company.aws_script.answer_next(s3_call("POST", company.bucket, "uploadId"), refusal)
    assert probe(company)["unconditional_write"] == "AccessDenied"
    assert everything_in(company) == ([], [])


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (Refusal.s3(501, "NotImplemented"), "refused"),
        (Refusal.s3(403, "AccessDenied"), "S3 refused part 1: AccessDenied."),
        (Refusal.s3(404, "NoSuchUpload"), "The upload was gone before its first part."),
        (Refusal(200, b"", {"ETag": '"e"'}), "unconfirmed"),
        (
            Refusal(200, b"", {"ETag": '"e"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}),
            "S3 holds part 1 with another checksum.",
        ),
    ],
    ids=["no-trailers", "denied", "gone", "no-checksum", "other-checksum"],
)
def test_what_s3_says_of_the_trailer_is_told(company: Company, refusal: Refusal, told: str) -> None:
    """Each in words that tell it from the others; the other writes are tried all the same."""
    company.aws_script.answer_next(s3_call("PUT", company.bucket, "partNumber"), refusal)
    answer = probe(company)
    assert answer["trailer"] == told
    assert answer["unconditional_write"] == "InvalidPart"
    assert everything_in(company) == ([], [])
    company.runtime.restart()  # it has learnt that its store takes no trailers


def test_an_upload_that_cannot_be_begun_is_the_answer_for_both(company: Company) -> None:
    """A role without s3:PutObject, a key that may not be used: said, and not raised."""
    refusal = Refusal.s3(403, "AccessDenied")
    company.aws_script.answer_next(s3_call("POST", company.bucket, "uploads"), refusal, times=9)
    answer = probe(company)
    assert answer["trailer"] == "Beginning a multipart upload: AccessDenied."
    assert answer["unconditional_write"] == answer["trailer"]
    company.aws_script.clear()


def test_an_s3_that_overwrites_is_found_out_and_the_archived_version_is_kept(
    company: Company,
) -> None:
    """The answer names the version that is to be deleted."""
    job = company.vendor.add_job(b"archived")
    company.archive(job)
    written = Refusal(200, b"", {"ETag": '"e"', "x-amz-version-id": "v2"})
    company.aws_script.answer_next(
        lambda environ: (
            environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(default_key(job))
        ),
        written,
    )
    assert probe(company, job.job_id)["second_write"] == "written as version v2"
    company.aws_script.clear()


def test_no_second_write_is_tried_where_it_could_do_harm(fresh_company: Company) -> None:
    """An unknown job, an object that is gone, a bucket without versions."""
    company = fresh_company
    job = company.vendor.add_job(b"archived")
    company.archive(job)
    assert probe(company)["second_write"] == "not tried"
    s3 = company.people.client("s3")
    s3.delete_object(Bucket=company.bucket, Key=default_key(job))
    before = everything_in(company)
    assert probe(company, job.job_id)["second_write"] == "not tried"
    assert everything_in(company) == before
    s3.put_bucket_versioning(Bucket=company.bucket, VersioningConfiguration={"Status": "Suspended"})
    other = company.vendor.add_job(b"without versions")
    company.archive(other)
    assert probe(company, other.job_id)["second_write"] == "not tried"
    assert company.content(default_key(other)) == b"without versions"


@pytest.mark.parametrize(
    "event",
    [
        {"probe": "writes"},
        {"probe": "writes", "job_id": "x"},
        {"probe": "deletes", "job_id": "x"},
        {"detail": {"probe": "writes", "job_id": "x"}},
    ],
)
def test_what_is_no_probe_is_a_message_as_ever(company: Company, event: dict[str, Any]) -> None:
    """Nothing is written, and the queue or the dead-letter queue has it."""
    assert company.invoke(event) == {"queued": True}
    assert company.s3_actions() == []


def test_no_message_is_a_probe(company: Company) -> None:
    """Whoever may only send messages, or emit events, makes the function write nothing."""
    message = {"probe": "writes", "job_id": UNKNOWN_JOB}
    company.deliver(json.dumps(message))
    assert company.invoke({"detail": message}) == {"queued": True}
    assert set(company.s3_actions()) <= {
        "ListMultipartUploads"
    }  # what an unknown job may have left
