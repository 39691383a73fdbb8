"""What sources and stores answer oddly in mid-copy: each ends archived whole or with a true reason.

`make test-wide` runs it; what goes well, and what S3 copies by itself, is in test_copies.py.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable
from typing import cast

import pytest

from local.apartmentiq import (
    LinkFault,
    SyntheticExport,
    sha256_of,
)
from tests.functional.aws_script import Environ, Refusal, operation, s3_call
from tests.functional.company import LAST_RECEIVE, REGION, Company, default_key
from tests.functional.copying import LARGE, MIB, assert_archived, assert_failed_cleanly, grant

# --- what goes wrong on the way ---

BROKEN_OFF = [LinkFault(truncate_after_bytes=1000), LinkFault(reset_after_bytes=1000)]


@pytest.mark.parametrize("fault", BROKEN_OFF, ids=["truncated", "reset"])
def test_a_small_export_that_breaks_off_is_read_again(company: Company, fault: LinkFault) -> None:
    """What came is not enough, and is not kept."""
    export = SyntheticExport(5000, seed=1)
    job = company.vendor.add_job(export)
    company.vendor.disturb_link(fault, times=2, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
    assert company.asked("link") == 3


def test_an_export_that_breaks_off_every_time_is_redelivered(company: Company) -> None:
    """Nothing of it is kept in between; the next delivery brings all of it."""
    job = company.vendor.add_job(b"whole")
    fault = LinkFault(truncate_after_bytes=3)
    company.vendor.disturb_link(fault, times=None, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "network")
    company.vendor.clear_script()
    assert company.deliver_job(job, receive_count=2) == []
    assert company.content(default_key(job)) == b"whole"


@pytest.mark.parametrize("fault", BROKEN_OFF, ids=["truncated", "reset"])
def test_a_part_that_breaks_off_is_read_again(company: Company, fault: LinkFault) -> None:
    """Inside the same invocation, and only that part; the first look is what is spoilt first."""
    job = company.vendor.add_job(LARGE)
    company.vendor.disturb_link(fault, times=3, job_id=job.job_id)
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    assert company.outcomes() == [("archived", None)]
    assert company.s3_actions().count("CreateMultipartUpload") == 1


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_an_export_that_the_source_cannot_give_now_is_asked_for_again(
    company: Company, status: int
) -> None:
    """S3 throttles by prefix; who meets it waits a moment, inside the same invocation."""
    job = company.vendor.add_job(b"in a moment")
    company.vendor.answer_next("link", status=status, job_id=job.job_id)
    assert company.archive(job) == b"in a moment"
    assert company.asked("link") == 2


def test_a_part_that_the_source_cannot_give_now_is_asked_for_again(company: Company) -> None:
    """Only that part; the others go on."""
    job = company.vendor.add_job(LARGE)
    spoilt: list[str] = []

    def spoil(job_id: str, _count: int) -> None:
        if job_id == job.job_id and not spoilt:
            spoilt.append(job_id)
            company.vendor.answer_next("link", status=503, job_id=job_id)

    company.vendor.on_link_bytes = spoil
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)
    statuses = [entry.status for entry in company.vendor.journal if entry.route == "link"]
    assert statuses.count(503) == 1


@pytest.mark.parametrize("code", ["SlowDown", "BadDigest", "InvalidDigest"])
def test_a_part_that_s3_does_not_take_now_is_sent_again(company: Company, code: str) -> None:
    """Read anew from the source, for nothing of it was kept."""
    job = company.vendor.add_job(LARGE)
    refusal = Refusal.s3(503 if code == "SlowDown" else 400, code)
    part = s3_call("PUT", company.bucket, "partNumber=2")
    company.aws_script.answer_next(part, refusal, times=2)
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)


TRAILER_REFUSALS = [  # as dialect.py gives the sources
    Refusal.s3(501, "NotImplemented"),
    Refusal(501),
    Refusal.s3(400, "XAmzContentSHA256Mismatch", message=""),
    Refusal.s3(400, "MalformedTrailerError"),
    Refusal.s3(400, "InvalidTrailer"),
    Refusal.s3(411, "MissingContentLength"),
    Refusal.s3(400, "BadRequest", message="trailing checksum is not supported"),
    Refusal.s3(400, "InvalidArgument", message="aws-chunked encoding is not supported"),
    Refusal.s3(
        400, "InvalidRequest", message="The value specified in the x-amz-trailer header is …"
    ),
]


@pytest.mark.parametrize("refusal", TRAILER_REFUSALS, ids=lambda r: r.body.decode()[13:60])
def test_a_store_without_trailers_is_found_out_by_one_part(
    company: Company, refusal: Refusal
) -> None:
    """Its first part is read twice, and no other: not of this export, and of no later one."""
    company.runtime.restart()  # another test's store took trailers
    exports = [SyntheticExport(20 * MIB, seed=70), LARGE]
    jobs = [company.vendor.add_job(export) for export in exports]
    company.aws_script.answer_next(has_trailer(company.bucket), refusal, times=99)
    for job, export in zip(jobs, exports, strict=True):
        assert company.deliver_job(job) == []
        assert hashlib.sha256(company.content(default_key(job))).hexdigest() == sha256_of(export)
    assert [company.vendor.link_bytes(job.job_id) for job in jobs] == [
        36 * MIB,
        LARGE.size_bytes,
    ]
    assert company.s3_actions().count("UploadPart") == 1 + 2 + 2
    assert company.uploads() == []
    company.runtime.restart()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (Refusal.s3(403, "AccessDenied"), "AccessDenied"),
        (
            Refusal.s3(403, "AccessDenied", message="no trailer, x-amz-content-sha256"),
            "AccessDenied",
        ),
        (Refusal.s3(400, "ExpiredToken"), "ExpiredToken"),
        (Refusal.s3(403, "RequestTimeTooSkewed"), "RequestTimeTooSkewed"),
        (Refusal.s3(400, "KMS.DisabledException"), "KMS.DisabledException"),
        (Refusal.s3(403, "SignatureDoesNotMatch"), "SignatureDoesNotMatch"),
        (Refusal.s3(400, "InvalidRequest"), "InvalidRequest"),
        (Refusal(403), "403"),
        (Refusal(400), "400"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
def test_a_part_that_is_refused_ends_the_copy_with_the_reason(
    company: Company,
    refusal: Refusal,
    told: str,
    known: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Nothing is held in memory and sent again for it; the job's item tells S3's own word."""
    company.runtime.restart()
    if known:
        assert company.deliver_job(company.vendor.add_job(LARGE)) == []
    job = company.vendor.add_job(SyntheticExport(40 * MIB, seed=40))
    company.aws_script.answer_next(has_trailer(company.bucket), refusal, times=99)
    before = company.s3_actions().count("UploadPart")
    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []
    item = company.item(job.job_id)
    assert (item["state"], item["reason"]) == ("waiting", "aws_error")
    assert item["detail"].endswith(f": {told}.")
    assert company.s3_actions().count("UploadPart") - before <= (3 if known else 1)


def has_trailer(bucket: str) -> Callable[[Environ], bool]:
    """Match a part whose checksum is in its trailer."""
    part = s3_call("PUT", bucket, "partNumber=")
    return lambda environ: part(environ) and "HTTP_X_AMZ_TRAILER" in environ


@pytest.mark.parametrize(
    "fault",
    [
        LinkFault(content_range="bytes 1-16777216/17825793"),
        LinkFault(content_range="bytes 0-16777215/99999999"),
        LinkFault(content_range="bytes 0-0/17825793"),
        LinkFault(content_range="nonsense"),
        LinkFault(content_range="bytes 0-16777215/*"),
    ],
    ids=lambda fault: str(fault.content_range),
)
def test_a_source_that_answers_with_another_range_is_not_believed(
    company: Company, fault: LinkFault
) -> None:
    """Bytes of the wrong place would be archived as if they were right."""
    job = company.vendor.add_job(LARGE)
    company.vendor.disturb_link(fault, times=None, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "vendor_error")


def test_a_source_without_ranges_is_a_failure_for_a_large_export(company: Company) -> None:
    """200 for a Range would send the whole file as every part."""
    job = company.vendor.add_job(LARGE)
    company.vendor.disturb_link(LinkFault(ignore_range=True), times=None, job_id=job.job_id)
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "vendor_error")


def test_a_source_without_ranges_will_do_for_a_small_export(company: Company) -> None:
    """A 200 with the whole of it, its length told, is what one PUT needs."""
    job = company.vendor.add_job(b"whole")
    company.vendor.disturb_link(LinkFault(ignore_range=True), times=None, job_id=job.job_id)
    assert company.archive(job) == b"whole"


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"Content-Length": "5"}, b"no et"),
        (204, {}, b""),
        (206, {"ETag": '"e"'}, b"no range told"),
        (302, {"Location": "https://localhost:1/elsewhere"}, b""),
        (307, {"Location": "https://localhost:1/elsewhere"}, b""),
        (404, {}, b"<Error><Code>NoSuchKey</Code></Error>"),
        (405, {}, b""),
        (410, {}, b""),
    ],
    ids=str,
)
def test_an_answer_of_the_links_host_that_is_no_export_is_a_failure(
    company: Company, status: int, headers: dict[str, str], body: bytes
) -> None:
    """No redirect is followed there, and no error page is archived as the export."""
    job = company.vendor.add_job(b"the export")
    company.vendor.answer_next(
        "link", status=status, headers=headers, body=body, times=None, job_id=job.job_id
    )
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "vendor_error")


def test_an_export_that_changes_in_mid_copy_is_copied_afresh(company: Company) -> None:
    """Parts of two files never become one object; what was uploaded of the first is given up."""
    old, new = SyntheticExport(LARGE.size_bytes, seed=21), SyntheticExport(20 * MIB, seed=22)
    job = company.vendor.add_job(old)
    changed: list[str] = []

    def change(job_id: str, _count: int) -> None:
        if job_id == job.job_id and not changed:
            changed.append(job_id)
            company.vendor.store_export(job_id, new)

    company.vendor.on_link_bytes = change
    assert company.deliver_job(job) == []
    assert_archived(company, job, new)
    assert company.item(job.job_id)["source_etag"] == new.etag()
    assert company.s3_actions().count("CreateMultipartUpload") == 2


def test_an_export_that_never_stops_changing_is_a_failure(company: Company) -> None:
    """Three fresh starts, then SQS's delays; nothing of them stays in the bucket."""
    job = company.vendor.add_job(LARGE)
    etags = itertools.count()

    def change(job_id: str, _count: int) -> None:
        company.vendor.set_etag(job_id, f"etag-{next(etags)}")

    company.vendor.on_link_bytes = change
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "vendor_error")


def test_a_source_that_tells_another_checksum_is_not_archived(company: Company) -> None:
    """Where the link may ask for it, the source's own CRC64NVME is compared before the commit."""
    company.vendor.link_signed_headers = {"x-amz-checksum-mode": "ENABLED"}
    job = company.vendor.add_job(b"x")
    wrong = base64.b64encode(bytes(8)).decode()
    company.vendor.answer_next(
        "link",
        status=200,
        headers={"ETag": '"e"', "x-amz-checksum-crc64nvme": wrong, "Content-Length": "1"},
        body=b"x",
        times=2,
        job_id=job.job_id,
    )
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "vendor_error"
    assert company.objects() == {}


@pytest.mark.parametrize(
    ("method", "query"),
    [("PUT", "partNumber="), ("POST", "uploads"), ("POST", "uploadId=")],
    ids=["part", "create", "complete"],
)
def test_what_s3_refused_is_gone_on_with_and_leaves_no_upload(
    company: Company, method: str, query: str
) -> None:
    """Wherever it happens; parts without an owner cost money every month."""
    job = company.vendor.add_job(LARGE)
    call = s3_call(method, company.bucket, query)
    company.aws_script.answer_next(call, Refusal.s3(403, "AccessDenied"), times=20)
    assert len(company.deliver_job(job)) == 1
    assert_failed_cleanly(company, "aws_error")
    company.aws_script.clear()
    assert company.deliver_job(job, receive_count=2) == []
    assert_archived(company, job, LARGE)
    assert company.uploads() == []
    assert company.s3_actions().count("CompleteMultipartUpload") <= 2


def test_the_last_delivery_of_a_job_leaves_no_upload(company: Company) -> None:
    """Nobody goes on with it but a person who redrives it, and then it begins anew."""
    job = company.vendor.add_job(LARGE)
    call = s3_call("PUT", company.bucket, "partNumber=")
    company.aws_script.answer_next(call, Refusal.s3(403, "AccessDenied"), times=20)
    assert len(company.deliver_job(job)) == 1
    assert len(company.uploads()) == 1
    company.archive(company.vendor.add_job(b"another"))  # so it is not S3 that is out of order
    assert company.deliver_job(job, receive_count=LAST_RECEIVE) == []
    assert company.dead_letter()["reason"] == "aws_error"
    assert company.uploads() == []
    company.aws_script.clear()
    assert company.deliver_job(job) == []
    assert_archived(company, job, LARGE)


def test_an_upload_that_cannot_be_aborted_does_not_hide_what_went_wrong(company: Company) -> None:
    """The reason is the first failure's; the bucket's lifecycle rule takes the upload."""
    job = company.vendor.add_job(LARGE)
    denied = Refusal.s3(403, "AccessDenied")
    company.aws_script.answer_next(s3_call("DELETE", company.bucket), denied)
    company.aws_script.answer_next(s3_call("POST", company.bucket, "uploadId="), denied)
    assert len(company.deliver_job(job)) == 1
    line = company.log_lines()[-1]
    assert (line["reason"], "Completing" in line["detail"]) == ("aws_error", True)


# --- the bucket's region ---


def signed_for(environ: Environ) -> str:
    """Return the region in a signature's credential scope."""
    return str(environ.get("HTTP_AUTHORIZATION", "//").split("/")[2])


def test_a_part_that_is_sent_to_another_region_is_signed_for_that_and_sent_once_more(
    fresh_company: Company,
) -> None:
    """A young bucket's 307: the region that is named counts, the place that it points to does not.

    All that follows goes there at once, and the part was not refused for its trailer.
    """
    company, export = fresh_company, SyntheticExport(40 * MIB, seed=23)
    parts = s3_call("PUT", company.bucket, "partNumber=")
    seen: list[tuple[str, bool]] = []

    def here(environ: Environ) -> bool:
        if parts(environ):
            seen.append((signed_for(environ), "HTTP_X_AMZ_TRAILER" in environ))
        return parts(environ) and signed_for(environ) == REGION

    away = {"x-amz-bucket-region": "eu-central-1", "Location": "https://localhost:1/"}
    company.aws_script.answer_next(here, Refusal(307, b"", away), times=99)
    job = company.vendor.add_job(export)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
    assert sum(region == "eu-central-1" for region, _ in seen) == 3
    assert all(trailer for _, trailer in seen)
    assert len(seen) <= 6  # each worker may have been on its way already


@pytest.mark.parametrize("size_bytes", [1, 40 * MIB])
def test_a_bucket_in_another_region_is_archived_into(
    fresh_company: Company, size_bytes: int
) -> None:
    """Small or large: parts are signed for the region that boto3 was redirected to."""
    company, export = fresh_company, SyntheticExport(size_bytes, seed=size_bytes)
    company.stand_for_aws()  # no other store has regions

    def wrong_region(environ: Environ) -> bool:
        ours = environ["PATH_INFO"].startswith(f"/{company.bucket}/")
        people = "Credential=PEOPLE" in environ.get("HTTP_AUTHORIZATION", "")
        return ours and not people and signed_for(environ) != "eu-central-1"

    answer = Refusal.s3(400, "AuthorizationHeaderMalformed")
    body = answer.body.replace(b"</Error>", b"<Region>eu-central-1</Region></Error>")
    refusals = Refusal(400, body, {"Content-Type": "application/xml"})
    company.aws_script.answer_next(wrong_region, refusals, times=2)
    parts = s3_call("PUT", company.bucket, "partNumber=")
    misdirected = lambda environ: parts(environ) and wrong_region(environ)  # noqa: E731
    company.aws_script.answer_next(misdirected, Refusal.s3(403, "AccessDenied"), times=99)
    job = company.vendor.add_job(export)
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)


# --- encryption ---


def creates(bucket: str) -> Callable[[Environ], bool]:
    """Match what begins an object: PutObject, and CreateMultipartUpload."""
    put, post = s3_call("PUT", bucket), s3_call("POST", bucket, "uploads")
    return lambda environ: (
        (put(environ) and "partNumber" not in environ["QUERY_STRING"]) or post(environ)
    )


def test_every_write_says_how_it_is_encrypted(company: Company) -> None:
    """A policy that denies writes without the header is common, and refuses none of ours."""
    began: list[str | None] = []

    def denied(environ: Environ) -> bool:
        if not creates(company.bucket)(environ):
            return False
        began.append(environ.get("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"))
        return began[-1] is None

    company.aws_script.answer_next(denied, Refusal.s3(403, "AccessDenied"), times=99)
    company.archive(company.vendor.add_job(b"small"))
    company.archive(company.vendor.add_job(LARGE))
    company.archive(grant(company, b"copied by S3")[0])
    assert began == ["AES256"] * 6  # three exports, and the entry of each


@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidArgument"), (501, "NotImplemented")], ids=["Ceph", "MinIO"]
)
def test_a_store_that_knows_no_encryption_is_archived_into(
    company: Company, status: int, code: str
) -> None:
    """Other S3s refuse the header where they have no keys; then it is left out."""

    def asks(environ: Environ) -> bool:
        asked = "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION" in environ
        return asked and creates(company.bucket)(environ)

    company.aws_script.answer_next(asks, Refusal.s3(status, code), times=99)
    company.archive(company.vendor.add_job(b"small"))
    company.archive(company.vendor.add_job(LARGE))


# --- stores that ignore conditions ---


def ignore_conditions(company: Company) -> None:
    """Let the store do what Ceph does with some commits, and rclone with all: say 200 to them."""

    def strip(environ: Environ) -> bool:
        cast("dict[str, object]", environ).pop("HTTP_IF_NONE_MATCH", None)
        return False  # refuses nothing

    company.aws_script.answer_next(strip, Refusal(500), times=1)


@pytest.mark.parametrize("size_bytes", [0, 40, 17 * MIB])
def test_a_store_that_ignores_conditions_overwrites_nothing(
    company: Company, size_bytes: int
) -> None:
    """Whatever lies at the key is found before the commit, as a 412 would have told."""
    ignore_conditions(company)
    job = company.vendor.add_job(SyntheticExport(size_bytes, seed=size_bytes))
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.objects() == {default_key(job): b"somebody's own"}
    assert len(company.versions(default_key(job))) == 1
    assert company.uploads() == []


def test_a_copy_by_a_store_that_ignores_conditions_overwrites_nothing(company: Company) -> None:
    """Server-side, too: its Complete is the same."""
    job, _ = grant(company, b"x" * 40)
    ignore_conditions(company)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")
    assert company.deliver_job(job) == []
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.objects() == {default_key(job): b"somebody's own"}
    assert company.uploads() == []


@pytest.mark.parametrize("size_bytes", [40, 17 * MIB])
def test_what_appears_while_a_store_without_conditions_is_copied_to_is_found(
    company: Company, size_bytes: int
) -> None:
    """The look is the last thing before the commit, not the first thing of the run."""
    ignore_conditions(company)
    export = SyntheticExport(size_bytes, seed=size_bytes)
    job = company.vendor.add_job(export)
    s3 = company.people.client("s3")
    written: list[str] = []

    def write(job_id: str, _total_bytes: int) -> None:
        if job_id == job.job_id and not written:
            written.append(job_id)
            s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"somebody's own")

    company.vendor.on_link_bytes = write
    try:
        assert company.deliver_job(job) == []
    finally:
        company.vendor.on_link_bytes = None
    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.objects() == {default_key(job): b"somebody's own"}


@pytest.mark.parametrize("size_bytes", [40, 17 * MIB])
def test_our_own_object_is_recognised_where_conditions_are_ignored(
    company: Company, size_bytes: int
) -> None:
    """A commit of which nobody heard, tried again: the object is archived, and copied once."""
    ignore_conditions(company)
    export = SyntheticExport(size_bytes, seed=size_bytes)
    job = company.vendor.add_job(export)
    bus_down = Refusal.json(400, b'{"__type": "InternalException"}')
    company.aws_script.answer_next(operation("PutEvents"), bus_down)
    assert len(company.deliver_job(job)) == 1
    company.forget_table()
    assert company.deliver_job(job) == []
    assert_archived(company, job, export)
