"""KeepSupersededDays on the deployed template: tagged, told, and known as such afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archiver.receipt import iso_utc
from cli.app import main
from local.apartmentiq import Job, Order, VendorStandIn
from local.cloud import STACK_NAME, LocalCloud
from tests.security.watch import watched

ROWS = b"unit,rent\n101,1000\n"
Say = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy template.yaml so that what is superseded is kept for a day; roles are watched."""
    folder: Path = tmp_path_factory.mktemp("local")
    days = {"KeepSupersededDays": "1"}
    with (
        LocalCloud(state_folder=folder, maximum_runtimes=1, parameters=days) as cloud,
        watched(cloud),
    ):
        yield cloud


@pytest.fixture
def say(people: LocalCloud, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what runs a command with --json: its code, and the objects that it prints."""
    assert people.table

    def run(*words: str) -> tuple[int, list[dict[str, Any]]]:
        code = main([*words, "--json", "--stack", STACK_NAME])
        printed = capsys.readouterr().out
        decoder, told, at = json.JSONDecoder(), [], 0
        while at < len(printed.rstrip()):
            value, at = decoder.raw_decode(printed, at)
            told.append(value)
            at += len(printed[at:]) - len(printed[at:].lstrip())
        return code, told

    return run


def archive(cloud: LocalCloud, *jobs: Job) -> None:
    """Archive jobs, one after the other."""
    for job in jobs:
        cloud.send({"job_id": job.job_id})
        cloud.wait_until_quiet()
        item = cloud.job_item(job.job_id)
        assert item is not None
        assert item["state"]["S"] == "archived"


def let_a_day_pass(cloud: LocalCloud) -> None:
    """Let everything have been superseded a day earlier."""
    for item in cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"]:
        if "superseded_at" in item:
            earlier = datetime.fromisoformat(item["superseded_at"]["S"]) - timedelta(days=1)
            cloud.clients.dynamodb.update_item(
                TableName=cloud.table,
                Key={"id": item["id"]},
                UpdateExpression="SET superseded_at = :at, counts_from = :at",
                ExpressionAttributeValues={":at": {"S": iso_utc(earlier)}},
            )


def test_a_superseded_export_goes_and_is_not_called_lost(
    cloud: LocalCloud, vendor: VendorStandIn, say: Say
) -> None:
    """From the second revision to a table that is lost: the role allows all of it, and no more."""
    ids = sorted(str(uuid.uuid4()) for _ in range(2))
    old, new = [vendor.add_job(ROWS, job_id=job_id) for job_id in ids]
    other = vendor.add_job(ROWS, order=Order(property_ids=(1,)))
    archive(cloud, old, new)
    let_a_day_pass(cloud)
    archive(cloud, other)
    item = cloud.job_item(old.job_id)
    assert item is not None
    key, version = item["key"]["S"], item["version_id"]["S"]
    told = cloud.clients.s3.get_object_tagging(Bucket=cloud.bucket, Key=key)["TagSet"]
    assert told == [{"Key": "apartmentiq-archiver", "Value": "superseded"}]
    emitted = [event["detail-type"] for event in cloud.emitted_events()]
    assert emitted.count("Export Superseded") == 1
    assert say("audit")[0] == 0

    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key)  # what the rule does at first
    assert say("audit")[1][-1]["found"].get("expired") == 1
    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key, VersionId=version)  # and then
    code, (summary,) = say("audit")
    assert (code, summary["found"]["expired"], summary["not_borne_out"]) == (0, 1, 0)
    assert set(summary["alone"].values()) == {0}
    code, (verified,) = say("verify", old.job_id)
    assert (code, verified["expired"]) == (0, True)

    for known in cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"]:
        cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key={"id": known["id"]})
    code, (rebuilt,) = say("audit", "--rebuild")
    assert (code, rebuilt["rebuilt"], rebuilt["not_written"]) == (0, 3, 0)
    assert say("audit")[1][-1]["found"]["expired"] == 1
