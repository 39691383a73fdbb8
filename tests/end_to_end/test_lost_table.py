"""The catalogue outlives the table: what was archived is told from the bucket alone.

`archiver audit` counts what of table, catalogue and bucket is alone; its options mend.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from archiver.aws.job_table import JobTable
from archiver.catalogue import entry_key, entry_line, read_line
from archiver.receipt import Receipt
from cli.app import main
from local.apartmentiq import Job, VendorStandIn
from local.cloud import STACK_NAME, LocalCloud

PATIENCE_SECONDS = 60
FIELDS_OF_A_CATALOGUE = ("catalogue_key", "created_at", "property_set", "quality_warning")
Say = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what runs `archiver audit`: its exit code, its counts, and all lines before them."""

    def run(*options: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = main(["audit", *options, "--json", "--stack", STACK_NAME])
        *before, last = capsys.readouterr().out.splitlines()
        return code, json.loads(last), "\n".join(before)

    return run


@pytest.fixture(autouse=True)
def _nothing_of_other_tests(people: LocalCloud) -> None:
    """Begin with an empty table and an empty bucket."""
    empty_table(people)
    s3 = people.clients.s3
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=people.bucket):
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=people.bucket, Key=each["Key"], VersionId=each["VersionId"])


def empty_table(cloud: LocalCloud) -> None:
    """Lose every item."""
    for item in cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"]:
        cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key={"id": item["id"]})


def archive(cloud: LocalCloud, vendor: VendorStandIn, count: int) -> list[Job]:
    """Archive some jobs."""
    jobs = [vendor.add_job(f"rows of {number}".encode()) for number in range(count)]
    for job in jobs:
        cloud.send({"job_id": job.job_id})
    for job in jobs:
        cloud.event_source.wait_for(
            lambda _, job=job: (cloud.job_item(job.job_id) or {}).get("state") == {"S": "archived"},  # type: ignore[misc]  # bound at once
            deadline_seconds=PATIENCE_SECONDS,
        )
    return jobs


def receipt(cloud: LocalCloud, job_id: str) -> Receipt | None:
    """Return what the functions read of a job."""
    return JobTable(boto3.client("dynamodb"), cloud.table).read(job_id).receipt


def objects(cloud: LocalCloud, prefix: str = "") -> list[str]:
    """Return the keys of what lies in the bucket."""
    listed = cloud.clients.s3.list_objects_v2(Bucket=cloud.bucket, Prefix=prefix)
    return [each["Key"] for each in listed.get("Contents", [])]


def forget_catalogue(cloud: LocalCloud) -> None:
    """Leave table and bucket as a version without a catalogue left them."""
    for key in objects(cloud, "catalogue/"):
        cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key)
    for item in cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"]:
        cloud.clients.dynamodb.update_item(
            TableName=cloud.table,
            Key={"id": item["id"]},
            UpdateExpression=f"REMOVE {', '.join(FIELDS_OF_A_CATALOGUE)}",
        )


def put_entry(cloud: LocalCloud, entry: Receipt) -> str:
    """Put an entry there as the function does; returns its key."""
    key = entry_key(entry, prefix="")
    cloud.clients.s3.put_object(Bucket=cloud.bucket, Key=key, Body=entry_line(entry))
    return key


def archived_in(cloud: LocalCloud, job: Job, month: str) -> str:
    """Let an entry be of an earlier month; returns its key."""
    known = receipt(cloud, job.job_id)
    assert known is not None
    for key in objects(cloud, "catalogue/"):
        if job.job_id in key:
            cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key)
    return put_entry(cloud, replace(known, archived_at=f"{month}-07T10:00:00.000Z"))


def test_what_was_archived_before_is_counted_and_gets_its_entries_once(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """An audit tells the receipts without one; written twice, the second finds nothing to do."""
    jobs = archive(cloud, vendor, 3)
    forget_catalogue(cloud)
    code, told, _ = say()
    assert (code, told["receipts"], told["not_borne_out"]) == (0, 3, 0)
    assert told["alone"]["receipts_without_entry"] == 3
    code, told, _ = say("--write-catalogue")
    assert (code, told["catalogued"], told["receipts"]) == (0, 3, 3)
    lines = {
        key: cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read()
        for key in objects(cloud, "catalogue/")
    }
    entries = {read_line(line, prefix="") for line in lines.values()}
    assert {entry.job_id for entry in entries} == {job.job_id for job in jobs}
    assert {entry.catalogue_key for entry in entries} == lines.keys()
    assert {receipt(cloud, job.job_id) for job in jobs} >= {
        replace(entry, emitted_at=known.emitted_at)
        for entry in entries
        if (known := receipt(cloud, entry.job_id)) is not None
    }
    assert say("--write-catalogue")[1]["catalogued"] == 0
    assert set(say()[1]["alone"].values()) == {0}


def test_a_lost_table_is_rebuilt_so_that_nothing_is_archived_again(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each receipt is as it was; a duplicate is already archived, and a sweep queues nothing."""
    jobs = archive(cloud, vendor, 3)
    say("--write-catalogue")
    before = {job.job_id: receipt(cloud, job.job_id) for job in jobs}
    empty_table(cloud)
    assert say()[1]["alone"]["jobs_without_receipt"] == 3
    code, told, _ = say("--rebuild")
    assert (code, told["rebuilt"], told["not_written"]) == (0, 3, 0)
    for job_id, known in before.items():
        assert known is not None
        assert receipt(cloud, job_id) == replace(known, emitted_at=None)
    assert set(say()[1]["alone"].values()) == {0}
    asked = len(vendor.journal)
    cloud.send({"job_id": jobs[0].job_id})
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert len(vendor.journal) == asked
    assert len(cloud.clients.s3.list_object_versions(Bucket=cloud.bucket)["Versions"]) == 6
    capsys.readouterr()
    assert main(["reconcile", "--dry-run", "--json", "--stack", STACK_NAME]) == 0
    swept = json.loads(capsys.readouterr().out)
    assert swept["archived"] == 3
    assert before.keys().isdisjoint(each["job_id"] for each in swept["would_queue"])
    code, told, _ = say("--rebuild")
    assert (code, told["rebuilt"], told["has_item"]) == (0, 0, 3)


def test_what_lives_in_the_table_is_left_and_what_is_gone_is_told(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """An item in whatever state stays as it is; an entry without its object makes no receipt."""
    live, gone, lost = archive(cloud, vendor, 3)
    say("--write-catalogue")
    told_before = receipt(cloud, gone.job_id)
    assert told_before is not None
    empty_table(cloud)
    waiting = {"id": {"S": f"job#{live.job_id}"}, "state": {"S": "waiting"}}
    cloud.clients.dynamodb.put_item(TableName=cloud.table, Item=waiting)
    cloud.clients.s3.delete_object(
        Bucket=cloud.bucket, Key=told_before.key, VersionId=str(told_before.version_id)
    )
    code, told, before = say("--rebuild")
    assert (code, told["rebuilt"], told["has_item"], told["not_written"]) == (1, 1, 1, 1)
    assert json.loads(before)["found"] == "gone"
    assert json.loads(before)["job_id"] == gone.job_id
    assert cloud.job_item(live.job_id) == waiting
    assert cloud.job_item(gone.job_id) is None
    assert receipt(cloud, lost.job_id) is not None


def test_of_a_job_that_was_archived_again_the_newest_entry_counts(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """Unless its object is gone and an earlier one is there: then that is the truth."""
    job, other = archive(cloud, vendor, 2)
    say("--write-catalogue")
    known, second = receipt(cloud, job.job_id), receipt(cloud, other.job_id)
    assert known is not None
    assert second is not None
    older = replace(known, archived_at="2025-01-01T00:00:00.000Z")
    put_entry(cloud, older)
    put_entry(
        cloud,
        replace(second, archived_at="2099-01-01T00:00:00.000Z", checksum_crc64nvme="AAAAAAAAAAA="),
    )
    empty_table(cloud)
    code, told, _ = say("--rebuild")
    assert (code, told["rebuilt"]) == (0, 2)
    rebuilt = receipt(cloud, job.job_id)
    assert rebuilt is not None
    assert rebuilt.archived_at == known.archived_at
    assert receipt(cloud, other.job_id) == replace(second, emitted_at=None)


def test_a_mixed_bucket_is_rebuilt_from_the_objects_that_are_surely_ours(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """Archived before there were entries; what others put there is counted, and left."""
    job, catalogued = archive(cloud, vendor, 2)
    before = receipt(cloud, job.job_id)
    assert before is not None
    for key in objects(cloud, "catalogue/"):
        if job.job_id in key:
            cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key)
    if not objects(cloud, "catalogue/"):
        known = receipt(cloud, catalogued.job_id)
        assert known is not None
        put_entry(cloud, known)
    put = cloud.clients.s3.put_object
    stranger = str(uuid.uuid4())
    put(Bucket=cloud.bucket, Key="others/plain.csv", Body=b"x")
    put(Bucket=cloud.bucket, Key=f"others/{stranger}.csv", Body=b"x")
    ours = cloud.clients.s3.head_object(Bucket=cloud.bucket, Key=before.key)["Metadata"]
    put(Bucket=cloud.bucket, Key=f"copies/{stranger}.csv", Body=b"x", Metadata=ours)
    for copy in (f"a-copy/{job.job_id}.csv", f"copies/{catalogued.job_id}.csv"):
        cloud.clients.s3.copy_object(
            Bucket=cloud.bucket, Key=copy, CopySource={"Bucket": cloud.bucket, "Key": before.key}
        )
    empty_table(cloud)
    code, told, _ = say("--rebuild")
    assert (code, told["rebuilt"], told["from_object"], told["not_ours"]) == (0, 1, 1, 2)
    assert told["ambiguous"] == 2  # the stranger's, who has two
    assert told["has_item"] == 1  # the copy, which comes first in a listing
    rebuilt = receipt(cloud, job.job_id)
    assert rebuilt is not None
    assert rebuilt == replace(
        before,
        verified_by="metadata",
        archived_at=rebuilt.archived_at,
        duration_seconds=0.0,
        emitted_at=None,
        completed_at=None,
        created_at=None,
        property_set=None,
        quality_warning=None,
        catalogue_key=None,
    )
    assert receipt(cloud, stranger) is None
    told_of = receipt(cloud, catalogued.job_id)
    assert told_of is not None
    assert told_of.key.startswith("report_type=")
    code, told, _ = say()
    assert (code, told["not_borne_out"], told["alone"]["receipts_without_entry"]) == (0, 0, 1)


def test_a_month_that_is_over_is_put_together_and_the_small_ones_may_go(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """They stay until they are proved to be in it; audit and rebuild read both, and count once."""
    jobs = archive(cloud, vendor, 4)
    say("--write-catalogue")
    small = [archived_in(cloud, job, "2025-10") for job in jobs[:2]]
    small.append(archived_in(cloud, jobs[2], "2025-11"))
    code, told, _ = say("--compact")
    assert (code, told["compacted"], told["months"], told["deleted"]) == (0, 3, 2, 0)
    assert {*small} <= {*objects(cloud, "catalogue/")}
    assert say("--compact")[1]["compacted"] == 0
    empty_table(cloud)
    assert say("--rebuild")[1]["rebuilt"] == 4
    code, told, _ = say("--compact", "--month", "2025-10", "--delete-compacted")
    assert (code, told["compacted"], told["deleted"], told["open"]) == (0, 0, 2, 2)
    code, told, _ = say("--compact", "--delete-compacted")
    assert (code, told["deleted"]) == (0, 1)
    left = objects(cloud, "catalogue/")
    assert sorted(key.endswith(".jsonl") for key in left) == [False, True, True]
    assert set(say()[1]["alone"].values()) == {0}
    empty_table(cloud)
    assert say("--rebuild")[1]["rebuilt"] == 4


def test_what_a_months_object_does_not_bear_out_stays(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """A line that was changed there proves nothing, and is told; the others may go."""
    jobs = archive(cloud, vendor, 2)
    say("--write-catalogue")
    small = [archived_in(cloud, job, "2025-10") for job in jobs]
    say("--compact")
    (month,) = (key for key in objects(cloud, "catalogue/") if key.endswith(".jsonl"))
    s3 = cloud.clients.s3
    lines = s3.get_object(Bucket=cloud.bucket, Key=month)["Body"].read()
    tampered = lines.replace(b'"verified_by":"crc64nvme"', b'"verified_by":"nobody"', 1)
    tampered = tampered.replace(b'"verified_by":"size_and_etag"', b'"verified_by":"nobody"', 1)
    assert tampered != lines
    s3.put_object(Bucket=cloud.bucket, Key=month, Body=tampered)
    code, told, _ = say("--compact", "--delete-compacted")
    assert (code, told["unproved"], told["deleted"]) == (1, 1, 1)
    assert len({*small} & {*objects(cloud, "catalogue/")}) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--rebuild", "--compact"],
        ["--month", "2025-10"],
        ["--rebuild", "--delete-compacted"],
        ["--compact", "--month", "2025-13"],
        ["--compact", "--month", "2999-01"],
    ],
)
@pytest.mark.usefixtures("people")
def test_what_cannot_be_meant_is_not_done(options: list[str]) -> None:
    """Exit code 2, before anything is written."""
    assert main(["audit", *options, "--stack", STACK_NAME]) == 2
