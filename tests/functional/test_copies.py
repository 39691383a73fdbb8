"""Copies: every byte arrives, and each request is needed."""

from __future__ import annotations

import base64
import gzip

import pytest

from archiver import VERSION
from local.apartmentiq import (
    Order,
    SyntheticExport,
    crc64nvme_of,
)
from tests.functional.aws_script import Environ, Refusal, operation, s3_call
from tests.functional.company import Company, default_key
from tests.functional.copying import MIB, assert_archived, assert_failed_cleanly, grant

MULTIPART = ["CreateMultipartUpload", "CompleteMultipartUpload"]


# --- bytes and requests ---


@pytest.mark.parametrize("size_bytes", [0, 1, 16 * MIB - 1, 16 * MIB])
def test_a_small_export_takes_one_get_and_one_put(company: Company, size_bytes: int) -> None:
    """Up to one part nothing else is asked of S3 but to take its entry: it tells its checksum."""
    company.stand_for_aws()
    export = SyntheticExport(size_bytes, seed=size_bytes)
    job = company.vendor.add_job(export)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
    # An empty object has no first byte: the ranged GET is refused (416) and asked again without.
    assert company.asked("link") == (1 if size_bytes else 2)
    assert company.s3_actions() == ["PutObject", "PutObject"]


@pytest.mark.parametrize("size_bytes", [16 * MIB + 1, 40 * MIB])
def test_a_large_export_takes_one_get_for_each_part(company: Company, size_bytes: int) -> None:
    """Each byte is asked for once; all but the first range name the ETag that it began with.

    Of S3 a look at its first bytes is asked beside the copy, and that it takes the entry.
    """
    company.stand_for_aws()
    export = SyntheticExport(size_bytes, seed=size_bytes)
    parts = -(-size_bytes // (16 * MIB))
    job = company.vendor.add_job(export)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
    actions = company.s3_actions()
    copied = [*MULTIPART, *["UploadPart"] * parts, "HeadObject"]
    assert sorted(actions) == sorted([*copied, "GetObject", "PutObject"])
    asked = [e.headers for e in company.vendor.journal if e.route == "link"]
    assert len(asked) == parts == len({headers["range"] for headers in asked})
    assert [h.get("if-match") for h in asked] == [None, *[f'"{export.etag()}"'] * (parts - 1)]
    (told,) = company.emitted("Export Archived")
    expected = base64.b64encode(crc64nvme_of(export)).decode()
    assert told["object"]["checksum_crc64nvme"] == expected
    assert (told["copy_method"], told["verified_by"]) == ("streaming", "crc64nvme")


def test_a_digest_that_s3_refuses_once_is_sent_again_the_same_way(company: Company) -> None:
    """BadDigest is bad luck and says nothing of trailers: no part is buffered because of it."""
    export = SyntheticExport(40 * MIB, seed=3)
    job = company.vendor.add_job(export)
    parts = s3_call("PUT", company.bucket, "partNumber=")
    trailers: list[bool] = []

    def look(environ: Environ) -> bool:
        if parts(environ):
            trailers.append("HTTP_X_AMZ_TRAILER" in environ)
        return False  # refuses nothing

    company.aws_script.answer_next(look, Refusal(500), times=99)
    second = s3_call("PUT", company.bucket, "partNumber=2")
    company.aws_script.answer_next(second, Refusal.s3(400, "BadDigest"))
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
    assert trailers == [True] * 4  # three parts, one of them twice


def test_bytes_are_kept_encoded_as_they_are(company: Company) -> None:
    """A gzip source stays gzip, and its Content-Encoding is told to readers."""
    packed = gzip.compress(b"a,b\n1,2\n" * 100)
    large = SyntheticExport(17 * MIB, seed=5)
    small_job = company.vendor.add_job(packed, headers={"Content-Encoding": "gzip"})
    large_job = company.vendor.add_job(large, headers={"Content-Encoding": "gzip"})
    assert company.deliver_job(small_job, large_job) == []
    assert company.content(default_key(small_job)) == packed
    assert_archived(company, large_job, large)
    for job in (small_job, large_job):
        assert company.head(default_key(job))["ContentEncoding"] == "gzip"
    plain = company.vendor.add_job(b"plain")
    company.archive(plain)
    assert "ContentEncoding" not in company.head(default_key(plain))


@pytest.mark.parametrize(
    ("output_format", "content_type"),
    [
        ("csv", "text/csv"),
        ("jsonl", "application/jsonl"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_the_content_type_follows_the_format(
    company: Company, output_format: str, content_type: str
) -> None:
    """Whatever the vendor's bucket says of it; key and extension follow the format too."""
    order = Order(output_format=output_format)
    job = company.vendor.add_job(b"x", order=order, headers={"Content-Type": "binary/strange"})
    company.archive(job)
    assert default_key(job).endswith(f".{output_format}")
    assert company.head(default_key(job))["ContentType"] == content_type


@pytest.mark.parametrize("size_bytes", [3, 17 * MIB])
def test_an_object_carries_where_it_comes_from(company: Company, size_bytes: int) -> None:
    """Job, source, time, tool and method: enough to recognise it without the table."""
    job = company.vendor.add_job(bytes(size_bytes))
    company.archive(job)
    assert job.stored is not None
    metadata = company.head(default_key(job))["Metadata"]
    archived_at = metadata.pop("archived-at")
    assert archived_at.endswith("Z")
    assert archived_at <= company.item(job.job_id)["archived_at"]
    assert metadata == {
        "job-id": job.job_id,
        "source-etag": job.stored.etag,
        "archiver-version": VERSION,
        "copy-method": "streaming",
    }


@pytest.mark.parametrize("size_bytes", [3, 17 * MIB])
def test_an_export_is_encrypted_with_the_companys_key(company: Company, size_bytes: int) -> None:
    """KmsKeyArn reaches S3 with every kind of copy."""
    key_arn = "arn:aws:kms:us-east-1:123456789012:key/3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
    company.set_environment(KMS_KEY_ARN=key_arn)
    job = company.vendor.add_job(bytes(size_bytes))
    company.archive(job)
    head = company.head(default_key(job))
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key_arn)


@pytest.mark.parametrize("size_bytes", [0, 3, 17 * MIB])
def test_whatever_is_written_names_its_checksum(company: Company, size_bytes: int) -> None:
    """Where objects are locked, S3 refuses a write that names none (in header or trailer)."""
    seen: list[tuple[str | None, bool]] = []

    def look(environ: Environ) -> bool:
        if s3_call("PUT", company.bucket)(environ):
            told = environ.get("HTTP_X_AMZ_TRAILER") == "x-amz-checksum-crc64nvme"
            carried = told or "HTTP_X_AMZ_CHECKSUM_CRC64NVME" in environ
            seen.append((environ.get("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"), carried))
        return False  # refuses nothing

    company.aws_script.answer_next(look, Refusal(500))
    company.archive(company.vendor.add_job(bytes(size_bytes)))
    assert seen == [("CRC64NVME", True)] * (3 if size_bytes > MIB else 2)


# --- server-side ---


@pytest.mark.parametrize("size_bytes", [1, 6 * MIB])
def test_a_granted_export_is_copied_by_s3_itself(company: Company, size_bytes: int) -> None:
    """No byte of the copy passes through us; its first ones are looked at where they are now."""
    content = bytes(SyntheticExport(size_bytes, seed=9).chunks(0, size_bytes).__next__())
    content = content.ljust(size_bytes, b"\7")
    job, _ = grant(company, content)
    assert company.archive(job) == content
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "server_side"
    assert told["object"]["size_bytes"] == size_bytes
    metadata = company.head(default_key(job))["Metadata"]
    assert (metadata["copy-method"], metadata["job-id"]) == ("server_side", job.job_id)
    (look,) = company.calls("GetObject")
    assert look.resource.startswith(company.bucket)
    assert company.calls("GetObject", by=None) == [], "nobody used the link"
    assert "UploadPartCopy" in company.s3_actions()
    assert company.uploads() == []


def test_a_granted_export_is_encrypted_and_typed_as_ours(company: Company) -> None:
    """Not as its source is: key, type and metadata are those of the archive."""
    job, _ = grant(company, b"x" * 10)
    key_arn = "arn:aws:kms:us-east-1:123456789012:key/3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"
    company.set_environment(**company.runtime.environment | {"KMS_KEY_ARN": key_arn})
    company.archive(job)
    head = company.head(default_key(job))
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key_arn)
    assert head["ContentType"] == "text/csv"


def test_an_empty_granted_export_is_streamed(company: Company) -> None:
    """There is no part to copy: one PUT does it."""
    job, _ = grant(company, b"")
    assert company.archive(job) == b""
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "streaming"


@pytest.mark.parametrize("status", [403, 404, 301, 400])
def test_a_source_that_we_may_not_look_at_is_streamed(company: Company, status: int) -> None:
    """The link still authorises a GET: S3 refuses the copy, not the download."""
    job, source = grant(company, b"refused")
    company.aws_script.answer_next(s3_call("HEAD", source), Refusal(status), times=4)
    assert company.archive(job) == b"refused"
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "streaming"
    (read,) = company.calls("GetObject", by=None)
    assert read.resource.startswith(source)


@pytest.mark.parametrize("status", [403, 404, 412])
def test_a_source_that_s3_will_not_copy_from_is_streamed(company: Company, status: int) -> None:
    """A HEAD may be granted where the copy is not; the upload that was begun is given up."""
    job, _ = grant(company, b"refused")
    call = s3_call("PUT", company.bucket, "partNumber=")
    company.aws_script.answer_next(call, Refusal.s3(status, "AccessDenied"))
    assert company.archive(job) == b"refused"
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "streaming"
    assert company.uploads() == []


def test_an_s3_that_asks_to_slow_down_is_asked_again_in_the_same_run(company: Company) -> None:
    """More 503s than botocore tries against end no copy by S3, and are no refusal of the grant."""
    job, _ = grant(company, b"slowly")
    call = s3_call("PUT", company.bucket, "partNumber=")
    company.aws_script.answer_next(call, Refusal.s3(503, "SlowDown"), times=5)
    assert company.archive(job) == b"slowly"
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "server_side"
    assert company.s3_actions().count("CreateMultipartUpload") == 1


def test_a_source_bucket_without_the_key_is_streamed(company: Company) -> None:
    """The stand-in's bucket is listed, but S3 knows nothing of it."""
    company.set_environment(SOURCE_BUCKETS="apartmentiq-bulk-exports")
    job = company.vendor.add_job(b"elsewhere")
    assert company.archive(job) == b"elsewhere"
    assert "HeadObject" in company.s3_actions()
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "streaming"


def test_a_bucket_that_is_not_listed_is_never_asked(company: Company) -> None:
    """SourceBucketNames empty means streaming: our role is not shown to other people's buckets."""
    job, source = grant(company, b"not listed")
    company.set_environment(**company.runtime.environment | {"SOURCE_BUCKETS": "another"})
    assert company.archive(job) == b"not listed"
    assert all(not call.resource.startswith(source) for call in company.calls())


def test_a_failure_in_mid_copy_by_s3_is_gone_on_with(company: Company) -> None:
    """What keeps us from the commit is no refusal of the grant: redelivered, not streamed."""
    job, _ = grant(company, b"x" * 20)
    complete = s3_call("POST", company.bucket, "uploadId=")
    company.aws_script.answer_next(complete, Refusal.s3(403, "AccessDenied"))
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "aws_error")
    assert company.deliver_job(job, receive_count=2) == []
    assert company.content(default_key(job)) == b"x" * 20
    assert company.s3_actions().count("UploadPartCopy") == 1


def test_a_copy_by_s3_whose_commit_was_lost_is_found_again(company: Company) -> None:
    """The next delivery sees its own object and copies nothing."""
    job, _ = grant(company, b"x" * 30)
    bus_down = Refusal.json(400, b'{"__type": "InternalException"}')
    company.aws_script.answer_next(operation("PutEvents"), bus_down)
    assert len(company.deliver_job(job)) == 1
    assert company.deliver_job(job, receive_count=2) == []
    assert len(company.versions(default_key(job))) == 1
    assert company.s3_actions().count("UploadPartCopy") == 1
    (told,) = company.emitted("Export Archived")
    assert told["copy_method"] == "server_side"


def test_another_object_at_a_granted_exports_key_is_not_touched(company: Company) -> None:
    """The conditional Complete is refused by S3, as the PUT of a stream is."""
    job, _ = grant(company, b"x" * 40)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.objects() == {default_key(job): b"somebody's own"}
    assert company.uploads() == []
