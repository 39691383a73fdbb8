"""The sweep aborts uploads that nobody goes on with, and no other: through the real handlers.

Here S3 (moto) says of every upload that it was begun in 2010. So whatever is spared is spared for
another reason than its age, but where a test says how old it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

import reconcile_exports
from archiver.sweep.abandoned_uploads import ABANDONED_AFTER
from local.apartmentiq import SyntheticExport
from tests.functional.aws_script import Refusal
from tests.functional.company import Company, default_key
from tests.functional.test_resuming import TimeThatRunsOut, assert_whole
from tests.functional.test_sweeps import Sweeps, called, hours_ago

MIB = 1 << 20
DAYS = 24.0
OURS, ANOTHER = True, False


@pytest.fixture
def sweeps(fresh_company: Company) -> Iterator[Sweeps]:
    """Return the sweeps of a company whose keys begin with a folder."""
    fresh_company.set_environment(LOOK_BACK_DAYS="30", KEY_PREFIX="exports/")
    reconcile_exports._sweeper.cache_clear()
    yield Sweeps(fresh_company)
    fresh_company.aws_script.clear()
    reconcile_exports._sweeper.cache_clear()


def begin(company: Company, key: str) -> str:
    """Begin an upload as a run that was killed leaves it; returns its id."""
    s3 = company.people.client("s3")
    upload_id: str = s3.create_multipart_upload(Bucket=company.bucket, Key=key)["UploadId"]
    s3.upload_part(
        Bucket=company.bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=b"paid for"
    )
    return upload_id


def left(company: Company) -> list[str]:
    """Return the ids of all unfinished uploads."""
    return [upload["UploadId"] for upload in company.uploads()]


def listing(environ: Mapping[str, Any]) -> bool:
    """Match ListMultipartUploads."""
    query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    return environ["REQUEST_METHOD"] == "GET" and "uploads" in query


def aborting(environ: Mapping[str, Any]) -> bool:
    """Match AbortMultipartUpload."""
    return environ["REQUEST_METHOD"] == "DELETE" and "uploadId=" in environ["QUERY_STRING"]


@pytest.mark.parametrize(
    ("state", "hours", "whose", "spared"),
    [
        ("copying", 1, OURS, True),
        ("waiting", 1, OURS, True),
        ("failing", 1, OURS, True),
        ("queued", 1, OURS, True),
        ("copying", 6.9 * DAYS, OURS, True),
        ("copying", 7.1 * DAYS, OURS, False),
        ("waiting", 8 * DAYS, OURS, False),
        ("copying", 1, ANOTHER, False),
        ("archived", 1, OURS, False),
        ("dead_lettered", 1, OURS, False),
        ("ended_at_vendor", 1, OURS, False),
        ("a state of tomorrow's", 1, OURS, False),
    ],
)
def test_what_nobody_goes_on_with_is_aborted(
    sweeps: Sweeps, state: str, hours: float, *, whose: bool, spared: bool
) -> None:
    """By the job's item: whether its state goes on, with this upload, and was touched lately."""
    job_id = str(uuid.uuid4())
    key = f"exports/report_type=units/{job_id}.csv"
    upload_id = begin(sweeps.company, key)
    sweeps.write_item(
        f"job#{job_id}",
        state=state,
        key=key,
        updated_at=hours_ago(hours),
        upload_id=upload_id if whose is OURS else "a later one",
    )
    assert sweeps.run()["outcome"] == "finished"
    assert left(sweeps.company) == ([upload_id] if spared else [])
    lines = [line for line in sweeps.company.log_lines() if line["message"] == "abandoned_uploads"]
    assert [line["keys"] for line in lines] == ([] if spared else [[key]])


@pytest.mark.parametrize(
    "key",
    [
        "exports/{job_id}.csv",  # the job's own key is another
        "exports/{unknown}.csv",
        "exports/no-id-at-all.csv",
        "elsewhere/{job_id}.csv",
        "{job_id}.csv",
    ],
)
def test_what_is_not_in_the_table_as_ours_is_left_alone(sweeps: Sweeps, key: str) -> None:
    """Others write to an existing bucket too, and name their keys as they like."""
    job_id = str(uuid.uuid4())
    upload_id = begin(sweeps.company, key.format(job_id=job_id, unknown=uuid.uuid4()))
    fixed = f"exports/report_type=units/{job_id}.csv"
    sweeps.write_item(f"job#{job_id}", state="archived", key=fixed, updated_at=hours_ago(1))
    assert sweeps.run()["outcome"] == "finished"
    assert left(sweeps.company) == [upload_id]
    assert called(sweeps)["AbortMultipartUpload"] == 0


@pytest.mark.parametrize(
    "template", ["{job_id}", "x-{job_id}", "{start_date}{job_id}", "a/{job_id}b"]
)
def test_the_job_is_found_wherever_the_key_template_puts_it(sweeps: Sweeps, template: str) -> None:
    """Also where its id touches other text, hexadecimal or another id."""
    job_id = str(uuid.uuid4())
    key = "exports/" + template.format(job_id=job_id, start_date="1234abcd-0000-4000-8000-")
    begin(sweeps.company, key)
    sweeps.write_item(f"job#{job_id}", state="archived", key=key, updated_at=hours_ago(1))
    sweeps.run()
    assert left(sweeps.company) == []


def listed(bucket: str, key: str, upload_id: str, begun_at: datetime, following: str = "") -> bytes:
    """Return a page of ListMultipartUploads as S3 writes it."""
    more = (
        f"<IsTruncated>true</IsTruncated><NextKeyMarker>{following}</NextKeyMarker>"
        f"<NextUploadIdMarker>{upload_id}</NextUploadIdMarker>"
        if following
        else "<IsTruncated>false</IsTruncated>"
    )
    return (
        f'<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Bucket>{bucket}</Bucket>{more}<Upload><Key>{key}</Key><UploadId>{upload_id}</UploadId>"
        f"<Initiated>{begun_at:%Y-%m-%dT%H:%M:%S.000Z}</Initiated></Upload>"
        "</ListMultipartUploadsResult>"
    ).encode()


def test_only_what_is_older_than_a_week_is_looked_at_on_every_page(sweeps: Sweeps) -> None:
    """A page of 1,000 is followed by the next; an upload of six days is nobody's business yet."""
    company, job_id = sweeps.company, str(uuid.uuid4())
    key = f"exports/{job_id}.csv"
    young, old = begin(company, key), begin(company, key)
    sweeps.write_item(f"job#{job_id}", state="archived", key=key, updated_at=hours_ago(1))
    a_week_ago = datetime.now(UTC) - ABANDONED_AFTER
    for page in (
        listed(company.bucket, key, young, a_week_ago + timedelta(minutes=5), following=key),
        listed(company.bucket, key, old, a_week_ago - timedelta(minutes=5)),
    ):
        answer = Refusal(200, page, {"Content-Type": "application/xml"})
        company.aws_script.answer_next(listing, answer)
    sweeps.run()
    assert left(company) == [young]
    first, second = [call.sent for call in company.calls("ListMultipartUploads")]
    assert "prefix=exports" in first
    assert "key-marker" not in first
    assert f"upload-id-marker={young}" in second


@pytest.mark.parametrize("fails", [listing, aborting])
def test_a_bucket_that_refuses_keeps_no_sweep_from_its_end(
    sweeps: Sweeps, fails: Callable[[Mapping[str, Any]], bool]
) -> None:
    """As an existing one of another account does until its owner adds the statement."""
    company, job_id = sweeps.company, str(uuid.uuid4())
    key = f"exports/{job_id}.csv"
    begin(company, key)
    sweeps.write_item(f"job#{job_id}", state="archived", key=key, updated_at=hours_ago(1))
    missing = company.vendor.add_job(b"x")
    company.aws_script.answer_next(fails, Refusal.s3(403, "AccessDenied"))
    answer = sweeps.run()
    assert (answer["outcome"], answer["queued"]) == ("finished", 1)
    assert sweeps.queued_ids() == [missing.job_id]
    (line,) = [x for x in company.log_lines() if x["message"] == "abandoned_uploads_left"]
    assert "AccessDenied" in line["detail"]
    assert len(left(company)) == 1
    sweeps.run()
    assert left(company) == []


def test_an_upload_that_is_gone_already_is_fine(sweeps: Sweeps) -> None:
    """Two sweeps may meet at one."""
    company, job_id = sweeps.company, str(uuid.uuid4())
    key = f"exports/{job_id}.csv"
    begin(company, key)
    sweeps.write_item(f"job#{job_id}", state="archived", key=key, updated_at=hours_ago(1))
    company.aws_script.answer_next(aborting, Refusal.s3(404, "NoSuchUpload", too_late=True))
    sweeps.run()
    assert left(company) == []
    assert "abandoned_uploads_left" not in company.log.getvalue()


@pytest.mark.parametrize(
    ("event", "bucket"),
    [({"dry_run": True}, "kept"), ({}, "kept"), (None, "")],
    ids=["dry run", "by hand", "an environment of the version before"],
)
def test_nobody_else_aborts(sweeps: Sweeps, event: object, bucket: str) -> None:
    """A person's sweep does what they asked for; without the bucket's name there is none to ask."""
    company, job_id = sweeps.company, str(uuid.uuid4())
    key = f"exports/{job_id}.csv"
    upload_id = begin(company, key)
    sweeps.write_item(f"job#{job_id}", state="archived", key=key, updated_at=hours_ago(1))
    if not bucket:
        company.monkeypatch.delenv("ARCHIVE_BUCKET")
    assert sweeps.run(event)["outcome"] == "finished"
    assert left(company) == [upload_id]
    assert {call.action for call in company.calls() if call.service == "s3"} == set()


def test_a_copy_that_goes_on_for_weeks_keeps_its_upload(sweeps: Sweeps) -> None:
    """Each run that goes on with it touches the job's item; sweeps between them change nothing."""
    company = sweeps.company
    company.set_environment()
    reconcile_exports._sweeper.cache_clear()
    job = company.vendor.add_job(SyntheticExport(4 * 16 * MIB - 5, seed=4))
    context = TimeThatRunsOut(company=company, job=job)
    assert company.deliver({"job_id": job.job_id}, context=context) == []
    assert company.outcomes() == [("deferred", "out_of_time")]
    kept, touched_at = left(company), company.item(job.job_id)["updated_at"]
    message = company.deferred()

    sweeps.run()

    assert left(company) == kept
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.item(job.job_id)["updated_at"] > touched_at
    assert company.s3_actions().count("CreateMultipartUpload") == 1
    assert_whole(company, job)
    assert company.objects().keys() == {default_key(job)}
