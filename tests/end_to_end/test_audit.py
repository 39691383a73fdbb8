"""`archiver audit` finds every receipt that the bucket does not bear out, and counts the rest."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cli.app import main
from cli.audit import audit
from local.apartmentiq import VendorStandIn
from local.cloud import STACK_NAME, LocalCloud

PATIENCE_SECONDS = 60
Receipt = dict[str, str]


def archive(cloud: LocalCloud, vendor: VendorStandIn, count: int = 1) -> list[Receipt]:
    """Archive some jobs and return their receipts."""
    jobs = [vendor.add_job(b"four") for _ in range(count)]
    for job in jobs:
        cloud.send({"job_id": job.job_id})
    items = []
    for job in jobs:
        cloud.event_source.wait_for(
            lambda _, job=job: (cloud.job_item(job.job_id) or {}).get("state") == {"S": "archived"},  # type: ignore[misc]  # bound at once
            deadline_seconds=PATIENCE_SECONDS,
        )
        item = cloud.job_item(job.job_id)
        assert item is not None
        items.append({name: next(iter(value.values())) for name, value in item.items()})
    return items


@pytest.fixture(autouse=True)
def _no_receipts_of_other_tests(people: LocalCloud) -> None:
    """Begin with an empty table."""
    scanned = people.clients.dynamodb.scan(TableName=people.table)["Items"]
    for item in scanned:
        people.clients.dynamodb.delete_item(TableName=people.table, Key={"id": item["id"]})


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command and return its exit code and what it said."""
    code = main(["audit", "--stack", STACK_NAME])
    return code, capsys.readouterr().out


def test_all_is_well(
    cloud: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0; the count, and by what the objects were verified."""
    archive(cloud, vendor, 3)
    code, said = run(capsys)
    assert code == 0
    assert re.search(r"^ +3 (checksum|size and ETag): ", said, re.MULTILINE)
    assert "all 3 receipts are borne out" in said


def delete_object(cloud: LocalCloud, receipt: Receipt) -> None:
    """Delete it as people do: a marker hides it."""
    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=receipt["key"])


def delete_version(cloud: LocalCloud, receipt: Receipt) -> None:
    """Delete it for good."""
    version = receipt["version_id"]
    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=receipt["key"], VersionId=version)


def overwrite(cloud: LocalCloud, receipt: Receipt) -> None:
    """Put something else over it."""
    cloud.clients.s3.put_object(Bucket=cloud.bucket, Key=receipt["key"], Body=b"five!")


def replace_for_good(cloud: LocalCloud, receipt: Receipt) -> None:
    """Put something else in its place and delete what was archived."""
    overwrite(cloud, receipt)
    delete_version(cloud, receipt)


def change_receipt(name: str, value: dict[str, Any]) -> Callable[[LocalCloud, Receipt], None]:
    """Return what lets a receipt say something else than the bucket."""

    def change(cloud: LocalCloud, receipt: Receipt) -> None:
        cloud.clients.dynamodb.update_item(
            TableName=cloud.table,
            Key={"id": {"S": receipt["id"]}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": value},
        )

    return change


@pytest.mark.parametrize(
    ("break_it", "finding"),
    [
        (delete_object, "hidden"),
        (delete_version, "gone"),
        (overwrite, "replaced"),
        (replace_for_good, "different"),
        (change_receipt("size_bytes", {"N": "5"}), "different"),
        (change_receipt("checksum_crc64nvme", {"S": "AAAAAAAAAAA="}), "different"),
        (change_receipt("etags_agree", {"BOOL": False}), "other MD5"),  # as older versions wrote
    ],
    ids=["deleted", "no version", "overwritten", "replaced", "size", "checksum", "ETags"],
)
def test_what_is_not_as_the_receipt_says_is_listed(
    cloud: LocalCloud,
    vendor: VendorStandIn,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[LocalCloud, Receipt], None],
    finding: str,
) -> None:
    """Exit code 1, with the job, its key and what was found; the others still count as good."""
    good, bad = archive(cloud, vendor, 2)
    break_it(cloud, bad)
    code, said = run(capsys)
    assert code == 1
    (line,) = [line for line in said.splitlines() if "  s3://" in line]
    assert line.startswith(finding)
    assert bad["job_id"] in line
    assert bad["key"] in line
    assert good["job_id"] not in said
    assert "1 of 2 receipts are NOT borne out" in said


def test_every_page_is_read_and_other_items_are_none_of_its_business(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """25 receipts among idempotency records, 4 items a page: all are counted, none twice."""
    (receipt,) = archive(cloud, vendor)
    item = cloud.job_item(receipt["job_id"])
    assert item is not None
    for _ in range(24):
        job_id = str(uuid.uuid4())
        copy = {**item, "id": {"S": f"job#{job_id}"}, "job_id": {"S": job_id}}
        cloud.clients.dynamodb.put_item(TableName=cloud.table, Item=copy)
    waiting = {"id": {"S": "job#waiting"}, "state": {"S": "waiting"}}
    cloud.clients.dynamodb.put_item(TableName=cloud.table, Item=waiting)
    assert [found for _, found in audit(cloud.table, "", page_items=4)] == ["checksum"] * 25


def test_a_stack_that_cannot_be_read_proves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An audit that broke off must not look like a good one."""
    assert main(["audit", "--stack", "nobody"]) == 3
    assert "nothing is proved" in capsys.readouterr().err
