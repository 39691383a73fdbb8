"""What `archiver audit` has the function write: entries of before, and a month's in one object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from archiver.catalogue import entry_key, entry_line, read_line
from archiver.receipt import Receipt
from local.apartmentiq import Job
from tests.functional.aws_script import Refusal, s3_call
from tests.functional.company import Company, LambdaContext, default_key

UNKNOWN_JOB = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"


def ask(company: Company, **asked: object) -> dict[str, Any]:
    """Invoke the function as `archiver audit` does."""
    answer: dict[str, Any] = company.invoke({"catalogue": asked})
    return answer


def archived_before(company: Company, count: int = 1) -> list[Job]:
    """Archive jobs as a version without a catalogue did: without entry, and words of it."""
    jobs = [company.vendor.add_job(f"rows of {n}".encode()) for n in range(count)]
    for job in jobs:
        company.archive(job)
        company.people.client("dynamodb").update_item(
            TableName=company.table,
            Key={"id": {"S": f"job#{job.job_id}"}},
            UpdateExpression="REMOVE catalogue_key, created_at, property_set, quality_warning",
        )
    for key in company.entries():
        for version in company.versions(key):
            company.people.client("s3").delete_object(
                Bucket=company.bucket, Key=key, VersionId=version["VersionId"]
            )
    return jobs


def write_entries_of(company: Company, month: str, count: int) -> list[str]:
    """Put entries of a month into the catalogue; returns their keys."""
    keys = []
    for number in range(count):
        receipt = Receipt(
            job_id=f"00000000-0000-4000-8000-{number:012d}",
            report_type="units",
            output_format="csv",
            start_date="2025-01-01",
            end_date="2025-01-31",
            bucket=company.bucket,
            key=f"{number}.csv",
            version_id="v",
            size_bytes=number,
            etag="e",
            checksum_crc64nvme="AAAAAAAAAAA=",
            source_etag="e",
            copy_method="streaming",
            verified_by="crc64nvme",
            archived_at=f"{month}-03T00:00:00.000Z",
            duration_seconds=0.1,
        )
        keys.append(entry_key(receipt, prefix=""))
        company.people.client("s3").put_object(
            Bucket=company.bucket, Key=keys[-1], Body=entry_line(receipt)
        )
    return keys


def test_what_was_archived_before_gets_an_entry_and_its_item_says_where(company: Company) -> None:
    """One line that tells the receipt; asked again, nothing is written, and both are told."""
    (job,) = archived_before(company)
    assert ask(company, job_ids=[job.job_id, UNKNOWN_JOB, 7]) == {
        "catalogued": 1,
        "not_archived": 2,
        "left": [],
    }
    ((key, line),) = company.entries().items()
    told = read_line(line, prefix="")
    assert (told.job_id, told.key, told.catalogue_key) == (job.job_id, default_key(job), key)
    assert (told.created_at, told.property_set) == (None, None)
    assert company.item(job.job_id)["catalogue_key"] == key
    assert company.item(job.job_id)["state"] == "archived"
    assert ask(company, job_ids=[job.job_id]) == {"catalogued": 1, "left": []}
    assert len(company.versions(key)) == 1


def test_an_entry_of_which_no_item_told_is_found_and_told(company: Company) -> None:
    """A call that died between the two writes is made good by the next."""
    (job,) = archived_before(company)
    ask(company, job_ids=[job.job_id])
    company.people.client("dynamodb").update_item(
        TableName=company.table,
        Key={"id": {"S": f"job#{job.job_id}"}},
        UpdateExpression="REMOVE catalogue_key",
    )
    assert ask(company, job_ids=[job.job_id]) == {"catalogued": 1, "left": []}
    assert company.item(job.job_id)["catalogue_key"] in company.entries()


def test_another_object_at_an_entrys_place_is_told_and_left(company: Company) -> None:
    """It is no entry of that job and those bytes, so that the receipt has none."""
    (job,) = archived_before(company)
    ask(company, job_ids=[job.job_id])
    (key,) = company.entries()
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=key, Body=b'{"job_id": "another"}\n')
    assert ask(company, job_ids=[job.job_id]) == {"conflict": 1, "left": []}
    assert company.content(key) == b'{"job_id": "another"}\n'


def test_what_there_is_no_time_for_is_left_and_told(company: Company) -> None:
    """The caller asks for it again; and a failure on the way says what went wrong."""
    one, two = archived_before(company, 2)
    ids = [one.job_id, two.job_id]
    event = {"catalogue": {"job_ids": ids}}
    hasty = LambdaContext(remaining_ms=9_000)
    assert company._call(event, hasty) == {"left": ids}
    company.aws_script.answer_next(s3_call("PUT", company.bucket), Refusal.s3(403, "AccessDenied"))
    assert ask(company, job_ids=ids) == {
        "left": ids,
        "failed": "Writing the object: AccessDenied.",
    }
    assert ask(company, job_ids=ids) == {"catalogued": 2, "left": []}


def test_a_month_is_put_together_byte_for_byte_and_the_small_objects_stay(
    company: Company,
) -> None:
    """Named by its content: again, it is the same object; late entries make another."""
    keys = write_entries_of(company, "2025-10", 12)
    small = company.entries()
    told = ask(company, month="2025-10", keys=keys[:10])
    assert told == {"key": told["key"], "entries": 10, "left": [], "unfit": []}
    assert told["key"].startswith("catalogue/report_type=units/format=csv/year=2025/2025-10.")
    assert company.content(told["key"]) == b"".join(small[key] for key in sorted(keys[:10]))
    assert ask(company, month="2025-10", keys=keys[9::-1]) == told
    assert len(company.versions(told["key"])) == 1
    late = ask(company, month="2025-10", keys=keys[10:])
    assert late["key"] != told["key"]
    assert company.entries().keys() == {*small, told["key"], late["key"]}


def test_what_is_no_entry_of_the_month_stays_out(company: Company) -> None:
    """Another month's, a stranger's, one at a wrong place, one that is gone, the archive's own."""
    keys = write_entries_of(company, "2025-10", 1)
    folder = keys[0].rpartition("/")[0]
    s3 = company.people.client("s3")
    moved = f"{folder}/00000000-0000-4000-8000-00000000000f.0000000000000000.json"
    s3.put_object(Bucket=company.bucket, Key=moved, Body=company.content(keys[0]))
    strange = f"{folder}/00000000-0000-4000-8000-00000000000e.0000000000000000.json"
    s3.put_object(Bucket=company.bucket, Key=strange, Body=b"[]\n")
    gone = f"{folder}/00000000-0000-4000-8000-00000000000d.0000000000000000.json"
    unfit = sorted([moved, strange, gone])
    told = ask(company, month="2025-10", keys=[*unfit, *keys])
    assert (told["entries"], told["unfit"]) == (1, unfit)
    assert ask(company, month="2025-09", keys=keys) == {
        "key": None,
        "entries": 0,
        "left": [],
        "unfit": keys,
    }
    job = company.vendor.add_job(b"secret rows")
    company.archive(job)
    told = ask(company, month="2025-10", keys=[default_key(job)])
    assert (told["key"], told["unfit"]) == (None, [default_key(job)])


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"job_ids": "all"},
        {"job_ids": [], "month": "2025-10"},
        {"month": "2025-10", "keys": []},
        {"month": "2025-10", "keys": ["a/b.json", "a/b.json"]},
        {"month": "2025-10", "keys": ["a/b.json", "b/b.json"]},
        {"month": "2025-10", "keys": [1]},
        {"month": "2025-1", "keys": ["a/b.json"]},
        {"month": "now", "keys": ["a/b.json"]},
    ],
)
def test_what_cannot_be_asked_for_is_refused(company: Company, asked: dict[str, Any]) -> None:
    """And nothing is written."""
    assert company.invoke({"catalogue": asked})["refused"]
    assert company.s3_actions() == []


def test_a_month_that_is_not_over_is_refused(company: Company) -> None:
    """This month's entries are still being written."""
    month = f"{datetime.now(UTC):%Y-%m}"
    assert ask(company, month=month, keys=["catalogue/a/b.json"])["refused"]


def test_another_object_at_a_months_place_is_told_and_left(company: Company) -> None:
    """Its content would have another name: somebody who may write has put it there."""
    keys = write_entries_of(company, "2025-10", 2)
    told = ask(company, month="2025-10", keys=keys)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=told["key"], Body=b"tampered\n")
    assert "Another object" in ask(company, month="2025-10", keys=keys)["refused"]
    assert company.content(told["key"]) == b"tampered\n"


def test_no_message_writes_a_catalogue(company: Company) -> None:
    """Whoever may only send messages, or emit events, makes the function write nothing."""
    (job,) = archived_before(company)
    message = {"catalogue": {"job_ids": [job.job_id]}}
    company.deliver(json.dumps(message))
    for event in ({"detail": message}, {**message, "more": 1}, {"catalogue": [job.job_id]}):
        assert company.invoke(event) == {"queued": True}
    assert company.entries() == {}
