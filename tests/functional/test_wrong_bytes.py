"""Bytes that are not the source's stay out, and what `verified_by` says was compared was compared.

The vendor's stand-in tells odd headers and spoils bytes; AWS's calls are answered by script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from archiver.catalogue import FOLDER
from local.apartmentiq import (
    BytesExport,
    Export,
    Job,
    LinkFault,
    SyntheticExport,
    crc64nvme_of,
    sha256_of,
)
from tests.functional.aws_script import Environ, Refusal, s3_call
from tests.functional.company import LAST_RECEIVE, Company, default_key
from tests.functional.copying import grant

MIB = 1 << 20
SMALL, LARGE = SyntheticExport(5000, seed=3), SyntheticExport(40 * MIB, seed=4)
SIZES = pytest.mark.parametrize("export", [SMALL, LARGE], ids=["one put", "parts"])
FOREIGN = base64.b64encode(bytes(8)).decode()
COMPLETE_OK = (
    b"<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
    b"<ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>"
)
CONFLICT = Refusal.s3(409, "ConditionalRequestConflict")


def crc(export: Export, size_bytes: int | None = None) -> dict[str, str]:
    """Return the header that tells the checksum of an export, or of its first bytes."""
    part = export
    if size_bytes is not None:
        part = BytesExport(b"".join(bytes(view) for view in export.chunks(0, size_bytes)))
    return {"x-amz-checksum-crc64nvme": base64.b64encode(crc64nvme_of(part)).decode()}


def assert_archived(company: Company, job: Job, export: Export) -> dict[str, Any]:
    """Compare what is archived with the source; returns the event."""
    content = company.content(default_key(job))
    assert hashlib.sha256(content).hexdigest() == sha256_of(export)
    assert len(company.versions(default_key(job))) == 1
    assert company.uploads() == []
    (told,) = company.emitted("Export Archived")
    return told


def assert_ended(company: Company, reason: str, word: str) -> None:
    """Make sure that the job was set aside at once, with a reason, and nothing is visible."""
    letter = company.dead_letter()
    assert (letter["reason"], word in letter["detail"]) == (reason, True), letter
    (told,) = company.emitted("Export Rejected")
    assert told["reason"] == reason
    assert company.objects() == {}
    assert company.uploads() == []


def complete(company: Company) -> Callable[[Environ], bool]:
    """Match the commit of an upload."""
    return s3_call("POST", company.bucket, "uploadId=")


def copies(company: Company) -> int:
    """Return how often the export's first byte was asked for."""
    ranges = [e.headers["range"] for e in company.vendor.journal if e.route == "link"]
    return sum(asked.startswith("bytes=0-") for asked in ranges)


# --- what the source tells of itself ---


@SIZES
@pytest.mark.parametrize("spoilt_answers", [1, 3])
def test_a_byte_that_was_spoilt_on_the_way_is_not_archived(
    company: Company, export: Export, spoilt_answers: int
) -> None:
    """The mismatch gives the whole upload up: the second copy takes over no part of the first."""
    job = company.vendor.add_job(export, headers=crc(export))
    # A small export has one answer a copy, and a third copy would be no proof of anything.
    times = 1 if export is SMALL else spoilt_answers
    fault = LinkFault(flip_byte_at=spoilt_answers)
    company.vendor.disturb_link(fault, times=times, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert assert_archived(company, job, export)["verified_by"] == "crc64nvme"
    assert company.s3_actions().count("CreateMultipartUpload") == (2 if export is LARGE else 0)


@SIZES
@pytest.mark.parametrize("last", [1, LAST_RECEIVE])
def test_a_source_that_contradicts_itself_ends_after_two_equal_copies(
    company: Company, export: Export, last: int
) -> None:
    """Its bytes come twice the same, its checksum is another: a person must ask the vendor."""
    job = company.vendor.add_job(export, headers={"x-amz-checksum-crc64nvme": FOREIGN})
    assert company.deliver_job(job, receive_count=last) == []
    assert_ended(company, "vendor_error", "agree with each other")
    assert copies(company) == (2 if export is SMALL else 4)  # ranges are looked at once more


def test_copies_that_differ_from_each_other_are_a_failure_and_no_proof(company: Company) -> None:
    """Three copies with three checksums: the network's doing, perhaps; it is tried again later."""
    job = company.vendor.add_job(SMALL, headers=crc(SMALL))
    for where in range(3):
        company.vendor.disturb_link(LinkFault(flip_byte_at=where), job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "vendor_error")]
    assert company.objects() == {}
    assert company.deliver_job(job, receive_count=2) == []
    assert_archived(company, job, SMALL)


def test_a_dispute_is_remembered_over_deliveries(company: Company) -> None:
    """The second full copy may end in another invocation: it is still the second."""
    job = company.vendor.add_job(LARGE, headers={"x-amz-checksum-crc64nvme": FOREIGN})
    second = s3_call("POST", company.bucket, "uploads")
    part = s3_call("PUT", company.bucket, "partNumber=2&")
    company.aws_script.answer_next(part, Refusal.s3(503, "SlowDown"), times=5, skip=1)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "aws_error")]
    assert company.item(job.job_id)["disputed_checksum"] == crc(LARGE)["x-amz-checksum-crc64nvme"]
    company.aws_script.answer_next(second, Refusal(500), times=9)  # no third copy is begun
    assert company.deliver_job(job, receive_count=2) == []
    assert_ended(company, "vendor_error", "agree with each other")


@pytest.mark.parametrize("kind", [None, "FULL_OBJECT"])
def test_a_ranges_own_checksum_is_not_taken_for_the_wholes(
    company: Company, kind: str | None
) -> None:
    """S3 answers a range that is one part of the source with that part's checksum."""
    headers = crc(LARGE, 16 * MIB) | ({"x-amz-checksum-type": kind} if kind else {})
    job = company.vendor.add_job(LARGE, headers=headers)
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.s3_actions().count("CreateMultipartUpload") == 1


@SIZES
@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc64nvme": FOREIGN, "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=-3"},
        {"x-amz-checksum-crc64nvme": "no checksum"},
        {"x-amz-checksum-crc64nvme": ""},
        {"x-amz-checksum-crc32": "AAAAAA=="},
    ],
    ids=str,
)
def test_what_is_no_checksum_of_the_whole_is_not_compared(
    company: Company, export: Export, headers: dict[str, str]
) -> None:
    """A checksum of parts' checksums says nothing of the bytes."""
    job = company.vendor.add_job(export, headers=headers)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)


def test_parts_without_a_checksum_are_not_taken_over_where_the_source_tells_one(
    company: Company,
) -> None:
    """A store that lists none (moto) would make wrong bytes visible before they are found out."""
    job = company.vendor.add_job(LARGE, headers=crc(LARGE))
    company.vendor.disturb_link(LinkFault(flip_byte_at=9), job_id=job.job_id)
    last_part = s3_call("PUT", company.bucket, "partNumber=3&")
    company.aws_script.answer_next(last_part, Refusal.s3(503, "SlowDown"), times=5)
    assert len(company.deliver_job(job)) == 1
    assert company.deliver_job(job, receive_count=2) == []
    assert assert_archived(company, job, LARGE)["verified_by"] == "crc64nvme"


# --- ETags ---

WRONG_MD5 = "0123456789abcdef" * 2


def test_an_etag_that_is_another_md5_is_not_archived(company: Company) -> None:
    """Read twice, then set aside before readers could see anything."""
    job = company.vendor.add_job(b"bytes", etag=WRONG_MD5)
    assert company.deliver_job(job) == []
    assert_ended(company, "vendor_error", "MD5 (its ETag)")
    assert copies(company) == 2


def test_a_byte_that_was_spoilt_is_found_out_by_the_etag_alone(company: Company) -> None:
    """The plainest source tells no checksum, but its ETag is the MD5 of what was put at once."""
    job = company.vendor.add_job(b"bytes")
    company.vendor.disturb_link(LinkFault(flip_byte_at=2), job_id=job.job_id)
    assert company.archive(job) == b"bytes"
    (told,) = company.emitted("Export Archived")
    assert told["etags_agree"] is True
    assert company.item(job.job_id)["etags_agree"] is True


@pytest.mark.parametrize(
    ("etag", "headers"),
    [
        (WRONG_MD5, {"x-amz-server-side-encryption": "aws:kms"}),
        (WRONG_MD5, {"x-amz-server-side-encryption": "aws:kms:dsse"}),
        (WRONG_MD5, {"x-amz-server-side-encryption": "aws:fsx"}),
        (WRONG_MD5, {"x-amz-server-side-encryption": ""}),
        (WRONG_MD5, {"x-amz-server-side-encryption-customer-algorithm": "AES256"}),
        (WRONG_MD5, {"x-amz-storage-class": "EXPRESS_ONEZONE"}),
        (WRONG_MD5, crc(BytesExport(b"bytes"))),  # the better proof is there
        (WRONG_MD5 + "-2", {}),
        (WRONG_MD5.upper(), {}),
        (WRONG_MD5[:31], {}),
    ],
    ids=str,
)
def test_an_etag_that_may_be_no_md5_proves_nothing(
    company: Company, etag: str, headers: dict[str, str]
) -> None:
    """A false alarm would keep a good export out: KMS, a customer's key, directory buckets."""
    job = company.vendor.add_job(b"bytes", etag=etag, headers=headers)
    assert company.archive(job) == b"bytes"
    (told,) = company.emitted("Export Archived")
    assert told["etags_agree"] is None


def test_parts_of_other_sizes_make_another_etag_and_no_alarm(company: Company) -> None:
    """As many parts are not the same parts: the ETags cannot be compared."""
    job = company.vendor.add_job(SyntheticExport(40 * MIB), etag=WRONG_MD5 + "-3")
    assert company.deliver_job(job) == []
    (told,) = company.emitted("Export Archived")
    assert (told["verified_by"], told["etags_agree"]) == ("crc64nvme", None)


# --- what was compared ---


def lose_the_rest(company: Company, job: Job) -> None:
    """Deliver a job whose object is committed, and of which nothing else is written down."""
    put = s3_call("PUT", company.bucket)
    company.aws_script.answer_next(
        lambda environ: put(environ) and FOLDER in environ["PATH_INFO"],
        Refusal.s3(403, "AccessDenied"),
    )
    assert len(company.deliver_job(job)) == 1


@pytest.mark.parametrize(
    ("headers", "etag", "verified_by"),
    [
        ({}, None, "size_and_etag"),
        ({}, WRONG_MD5 + "-7", "size_and_source_etag"),
        (crc(SMALL), WRONG_MD5 + "-7", "crc64nvme"),
    ],
    ids=["etag", "nothing", "checksum"],
)
def test_an_object_of_an_earlier_attempt_says_what_was_compared(
    company: Company, headers: dict[str, str], etag: str | None, verified_by: str
) -> None:
    """crc64nvme is said only where the source tells one and it is the object's."""
    content = b"".join(bytes(view) for view in SMALL.chunks(0, SMALL.size_bytes))
    job = company.vendor.add_job(content, headers=headers, etag=etag)
    lose_the_rest(company, job)
    assert company.deliver_job(job, receive_count=2) == []
    told = assert_archived(company, job, SMALL)
    assert told["verified_by"] == verified_by
    assert company.item(job.job_id)["verified_by"] == verified_by


@pytest.mark.parametrize("told", ["checksum", "etag"])
def test_an_earlier_attempts_object_with_wrong_bytes_is_not_believed(
    company: Company, told: str
) -> None:
    """Its metadata and size are ours; a version of the past may have archived it."""
    headers = {"x-amz-checksum-crc64nvme": FOREIGN} if told == "checksum" else {}
    job = company.vendor.add_job(b"right", headers={})
    lose_the_rest(company, job)
    metadata = company.head(default_key(job))["Metadata"]
    company.people.client("s3").put_object(
        Bucket=company.bucket,
        Key=default_key(job),
        Body=b"wrong",
        Metadata=metadata,
        ChecksumAlgorithm="CRC64NVME",
        ServerSideEncryption="AES256",
    )
    company.vendor.store_export(job.job_id, b"right", headers=headers)
    assert company.deliver_job(job, receive_count=2) == []
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.emitted("Export Archived") == []
    assert company.content(default_key(job)) == b"wrong"  # a person decides


def put_source(company: Company, source: str, key: str, **described: Any) -> None:  # noqa: ANN401 - boto3's own
    """Write the granted source anew."""
    company.people.client("s3").put_object(Bucket=source, Key=key, **described)


KEY = "exports/a b+ü.csv"


@pytest.mark.parametrize("told", [False, True])
def test_a_copy_by_s3_says_crc64nvme_only_where_the_source_tells_one(
    company: Company,
    told: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """No byte passed through us: the store's checksum is compared with the source's, or nothing."""
    content = b"z" * 50
    job, source = grant(company, content)
    if told:
        put_source(company, source, KEY, Body=content, ChecksumAlgorithm="CRC64NVME")
    else:
        put_source(company, source, KEY, Body=content, ChecksumAlgorithm="SHA256")
    assert company.archive(job) == content
    (event,) = company.emitted("Export Archived")
    assert event["copy_method"] == "server_side"
    assert event["verified_by"] == ("crc64nvme" if told else "size_and_source_etag")
    assert event["object"]["checksum_crc64nvme"]


def test_a_copy_that_s3_will_not_commit_under_the_sources_checksum_is_read_instead(
    company: Company,
) -> None:
    """Refused twice: the bytes pass through us, which tells which of the two is wrong."""
    job, source = grant(company, b"z" * 51)
    put_source(company, source, KEY, Body=b"z" * 51, ChecksumAlgorithm="CRC64NVME")
    seen: list[str | None] = []

    def look(environ: Environ) -> bool:
        if complete(company)(environ):
            seen.append(environ.get("HTTP_X_AMZ_CHECKSUM_CRC64NVME"))
        return False  # refuses nothing

    company.aws_script.answer_next(look, Refusal(500))
    company.aws_script.answer_next(complete(company), Refusal.s3(400, "BadDigest"), times=2)
    assert company.archive(job) == b"z" * 51
    (event,) = company.emitted("Export Archived")
    assert event["copy_method"] == "streaming"
    assert len(seen) == 2
    assert seen[0] == crc(BytesExport(b"z" * 51))["x-amz-checksum-crc64nvme"]
    assert company.uploads() == []


# --- what is written beside the bytes ---


@pytest.mark.parametrize("way", ["one put", "parts", "server-side"])
@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("gzip", "gzip"),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("gzip, AWS-Chunked ,br", "gzip,br"),
        ("aws-chunked,", None),
        ("x-aws-chunked", "x-aws-chunked"),
    ],
)
def test_the_content_encoding_is_that_of_the_bytes(
    company: Company, way: str, told: str, kept: str | None
) -> None:
    """Kept by every way of copying; aws-chunked is how an upload was framed, and is not."""
    if way == "server-side":
        job, source = grant(company, b"y" * 60)
        put_source(company, source, KEY, Body=b"y" * 60)
        head = Refusal(
            200, headers={"Content-Length": "60", "ETag": md5(b"y" * 60), "Content-Encoding": told}
        )
        company.aws_script.answer_next(s3_call("HEAD", source), head)
    else:
        content = b"y" * 60 if way == "one put" else bytes(17 * MIB)
        job = company.vendor.add_job(content, headers={"Content-Encoding": told})
    assert company.deliver_job(job) == []
    (event,) = company.emitted("Export Archived")
    assert (event["copy_method"] == "server_side") == (way == "server-side")
    assert company.head(default_key(job)).get("ContentEncoding") == kept


def md5(content: bytes) -> str:
    """Return the ETag of what was put at once."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


# --- commits, parts and uploads ---


@pytest.mark.parametrize("way", ["one put", "parts", "server-side"])
def test_a_commit_that_left_nothing_is_a_failure_of_s3s(company: Company, way: str) -> None:
    """200, and nothing is there: not "another size", and tried again."""
    if way == "server-side":
        job, _ = grant(company, b"w" * 61)
    else:
        job = company.vendor.add_job(SMALL if way == "one put" else LARGE)
    call = s3_call("PUT", company.bucket) if way == "one put" else complete(company)
    nothing = Refusal(200, b"" if way == "one put" else COMPLETE_OK)
    company.aws_script.answer_next(call, nothing)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "aws_error")]
    assert "holds nothing" in company.log_lines()[-1]["detail"]
    assert company.deliver_job(job, receive_count=2) == []
    assert company.outcomes()[-1] == ("archived", None)
    assert len(company.versions(default_key(job))) == 1


@pytest.mark.parametrize("headers", [{}, {"ETag": ""}], ids=["none", "empty"])
def test_a_part_without_an_etag_does_not_count_as_sent(
    company: Company, headers: dict[str, str]
) -> None:
    """It could not be named at the commit; it is read and sent once more."""
    job = company.vendor.add_job(LARGE)
    part = s3_call("PUT", company.bucket, "partNumber=2&")
    company.aws_script.answer_next(part, Refusal(200, headers=headers))
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.s3_actions().count("UploadPart") == 4


@pytest.mark.parametrize(
    "second",
    [
        (200, {"Content-Length": "1"}, b"x"),
        (206, {"Content-Range": "bytes 0-0/1", "Content-Length": "1"}, b"x"),
    ],
    ids=["200", "206"],
)
def test_an_empty_export_with_a_byte_in_it_is_not_archived(
    company: Company, second: tuple[int, dict[str, str], bytes]
) -> None:
    """416 says that there is no first byte, and the next answer has one: one of them lies."""
    job = company.vendor.add_job(b"the export")
    status, headers, body = second
    answer = partial(company.vendor.answer_next, "link", job_id=job.job_id)
    for _ in range(3):
        answer(status=416)
        answer(status=status, headers={"ETag": '"e"', **headers}, body=body)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "vendor_error")]
    assert company.objects() == {}
    assert company.deliver_job(job, receive_count=2) == []
    assert company.content(default_key(job)) == b"the export"


def test_a_refused_range_of_an_export_with_bytes_is_not_empty(company: Company) -> None:
    """416 tells that the export has ten bytes, the next answer that it has none."""
    job = company.vendor.add_job(b"the export")
    answer = partial(company.vendor.answer_next, "link", job_id=job.job_id)
    answer(status=416, headers={"Content-Range": "bytes */10"})
    answer(status=200, headers={"ETag": '"e"', "Content-Length": "0"})
    assert company.archive(job) == b"the export"


REFUSED = ["InvalidPart", "InvalidPartOrder", "EntityTooSmall", "BadDigest", "InvalidRequest"]
REFUSED += ["InvalidDigest"]


@pytest.mark.parametrize("inside_200", [False, True])
@pytest.mark.parametrize("code", REFUSED)
def test_an_upload_that_s3_will_not_complete_is_listed_once_more(
    company: Company,
    code: str,
    inside_200: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What S3 lists may differ from what it answered; no part is sent again for that."""
    job = company.vendor.add_job(LARGE)
    # botocore tries an error inside a 200 four times by itself (wiring/, total_max_attempts).
    refusal = Refusal.s3(200 if inside_200 else 400, code)
    company.aws_script.answer_next(complete(company), refusal, times=4 if inside_200 else 1)
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.s3_actions().count("UploadPart") == 3


def test_an_upload_that_s3_refuses_twice_is_begun_afresh(company: Company) -> None:
    """It is of no use; the one after it is, within the same delivery."""
    job = company.vendor.add_job(LARGE)
    company.aws_script.answer_next(complete(company), Refusal.s3(400, "InvalidPart"), times=2)
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.s3_actions().count("CreateMultipartUpload") == 2


def test_uploads_that_s3_never_completes_are_told_by_s3s_own_code(company: Company) -> None:
    """Not as a fault of the export's, and none of them is left."""
    job = company.vendor.add_job(LARGE)
    company.aws_script.answer_next(complete(company), Refusal.s3(400, "InvalidPart"), times=99)
    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []
    item = company.item(job.job_id)
    assert (item["state"], item["reason"]) == ("waiting", "aws_error")
    assert "InvalidPart" in item["detail"]
    assert (company.objects(), company.uploads()) == ({}, [])


@pytest.mark.parametrize("way", ["parts", "server-side"])
def test_three_conflicts_are_told_as_conflicts(company: Company, way: str) -> None:
    """The export did not change: S3 answered 409 each time."""
    job = company.vendor.add_job(LARGE) if way == "parts" else grant(company, b"v" * 62)[0]
    company.aws_script.answer_next(complete(company), CONFLICT, times=3)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "aws_error")]
    assert "409" in company.log_lines()[-1]["detail"]
    assert company.deliver_job(job, receive_count=2) == []
    assert company.outcomes()[-1] == ("archived", None)
    assert company.uploads() == []


def test_an_upload_is_aborted_until_nothing_is_left_of_it(company: Company) -> None:
    """S3 may take a part that was under way after the first abort (AbortMultipartUpload)."""
    job = company.vendor.add_job(LARGE)
    company.aws_script.answer_next(complete(company), CONFLICT)
    company.aws_script.answer_next(s3_call("DELETE", company.bucket), Refusal(204))
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.s3_actions().count("AbortMultipartUpload") == 2
