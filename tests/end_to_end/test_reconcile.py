"""The sweep behind the callbacks, through the deployed template and real Lambda runtimes.

A cloud of its own, because a sweep sees every job that its vendor has. Nobody sends a message here
but the sweep.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from cli.app import main
from local.apartmentiq import Job, Order, VendorStandIn, sha256_of
from local.cloud import MAIN_FUNCTION, STACK_NAME, SWEEP_FUNCTION, LocalCloud
from tests.security.watch import watched

PATIENCE_SECONDS = 90
HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS
THOUSAND = 1_000


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    """Deploy the stack; orders complete after an hour of the vendor's clock, callbacks get lost."""
    local = LocalCloud(
        state_folder=tmp_path,
        maximum_runtimes=3,
        complete_after_seconds=HOUR_SECONDS,
        lose_callbacks=1.0,
    )
    with local as cloud, watched(cloud):
        yield cloud


@pytest.fixture
def vendor(cloud: LocalCloud) -> VendorStandIn:
    """Return the cloud's vendor."""
    assert cloud.vendor is not None
    return cloud.vendor


@pytest.fixture
def people(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Let this process use the stack as people do, all from the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": cloud.aws.url,
        "AWS_CA_BUNDLE": str(cloud.ca_bundle),
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": "LOCALPEOPLE",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(name, value)
    return cloud


def order_job(cloud: LocalCloud, output_format: str) -> str:
    """Order a job with our callback URL, as anybody in the company does; returns its id."""
    assert cloud.vendor is not None
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle)) as pool:
        answer = pool.request(
            "POST",
            f"{cloud.vendor.api_base_url}/bulk_api/jobs",
            headers={"Authorization": f"Bearer {cloud.vendor.access_token}"},
            json={
                "report_type": "units",
                "output_format": output_format,
                "start_date": "2025-01-01",
                "end_date": "2025-01-31",
                "property_ids": [1],
                "callback_url": cloud.callback_url,
            },
        )
    assert answer.status == 201
    job_id: str = answer.json()["job_id"]
    return job_id


def sweep(cloud: LocalCloud) -> dict[str, Any]:
    """Let the schedule be due, and return what the sweep answered."""
    (invocation,) = cloud.fire_schedules()
    assert invocation.succeeded, invocation.log
    answer: dict[str, Any] = invocation.payload
    return answer


def archived_sha256(cloud: LocalCloud, job_id: str) -> str:
    """Return the SHA-256 of a job's archived export."""
    item = cloud.job_item(job_id)
    assert item is not None
    assert item["state"] == {"S": "archived"}
    answer = cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=item["key"]["S"])
    return hashlib.sha256(answer["Body"].read()).hexdigest()


def assert_archived_once(cloud: LocalCloud, job: Job) -> None:
    """Hold an archived export to its source, and to one version and one event."""
    assert job.stored is not None
    assert archived_sha256(cloud, job.job_id) == sha256_of(job.stored.content)
    item = cloud.job_item(job.job_id)
    assert item is not None
    assert len(cloud.object_versions(item["key"]["S"])) == 1
    events = [
        event["detail-type"]
        for event in cloud.emitted_events()
        if event["detail"].get("job", {}).get("job_id") == job.job_id
    ]
    assert events == ["Export Archived"]


def test_jobs_whose_every_callback_is_lost_are_archived_by_the_schedule(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Ordered, completed, called back in vain: byte for byte in the bucket after the next sweep.

    The list holds our callback URL, token and all; it goes no further.
    """
    job_ids = [order_job(cloud, output_format) for output_format in ("csv", "jsonl", "parquet")]
    assert sweep(cloud)["jobs"]["submitted"] == 3
    vendor.clock.advance(HOUR_SECONDS + 1)
    assert all(vendor.callbacks.wait_for(job_id).lost for job_id in job_ids)
    assert sweep(cloud)["queued"] == 3
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert cloud.callback_url is not None
    token = cloud.callback_url.rpartition("/")[2]
    assert token not in cloud.logs(SWEEP_FUNCTION) + cloud.logs() + everything_in_the_table(cloud)
    for job_id in job_ids:
        job = vendor.jobs.get(job_id)
        assert job is not None
        assert_archived_once(cloud, job)
    answer = sweep(cloud)
    assert (answer["archived"], answer["unarchived"], answer["queued"]) == (3, 0, 0)


def everything_in_the_table(cloud: LocalCloud) -> str:
    """Return all items as text."""
    return str(cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"])


def test_a_day_without_a_queue_and_without_callbacks_loses_nothing(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """The queue stands still for a day, is purged at its end, and every callback is lost.

    The sweeps of that day queue each job, the purge takes the messages away, and the next sweep,
    whose items are older than any message's way, archives all.
    """
    cloud.event_source.disable()
    jobs = []
    for hour in range(24):
        order = Order(callback_url=cloud.callback_url)
        jobs.append(vendor.add_job(export_for_hour(hour), order=order))
        if hour % 6 == 0:
            assert sweep(cloud)["outcome"] == "finished"
    assert all(vendor.callbacks.wait_for(job.job_id).lost for job in jobs)
    assert {item_state(cloud, job) for job in jobs[:19]} == {"queued"}
    cloud.empty_queues()
    assert cloud.invocations(MAIN_FUNCTION) == []

    age_items(cloud, jobs[:19], hours=7)
    cloud.event_source.enable()
    answer = sweep(cloud)
    assert (answer["lost"], answer["never_seen"], answer["queued"]) == (19, 5, 24)
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    for job in jobs:
        assert_archived_once(cloud, job)
    assert cloud.dead_letters() == []
    assert sweep(cloud)["unarchived"] == 0


def export_for_hour(hour: int) -> bytes:
    """Return the bytes of an hour's export."""
    return b"unit,rent\n%d,1000\n" % hour


def item_state(cloud: LocalCloud, job: Job) -> str | None:
    """Return what a job's item says."""
    item = cloud.job_item(job.job_id)
    return None if item is None else str(item["state"]["S"])


def age_items(cloud: LocalCloud, jobs: list[Job], *, hours: int) -> None:
    """Let items be so old: the functions' clock is the machine's, and a test cannot wait."""
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - hours * HOUR_SECONDS, UTC)
    for job in jobs:
        cloud.clients.dynamodb.update_item(
            TableName=cloud.table,
            Key={"id": {"S": f"job#{job.job_id}"}},
            UpdateExpression="SET updated_at = :at",
            ExpressionAttributeValues={":at": {"S": at.isoformat()}},
        )


def test_a_thousand_archived_jobs_cost_no_message_and_no_results_call(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Ten pages and a token at the vendor; reads of the table and nothing else at AWS."""
    cloud.event_source.disable()
    jobs = [vendor.add_job(None) for _ in range(THOUSAND)]
    for start in range(0, THOUSAND, 25):  # BatchWriteItem's limit
        items = [
            {"id": {"S": f"job#{job.job_id}"}, "state": {"S": "archived"}}
            for job in jobs[start : start + 25]
        ]
        cloud.clients.dynamodb.batch_write_item(
            RequestItems={cloud.table: [{"PutRequest": {"Item": item}} for item in items]}
        )
    vendor.clear_journal()
    before = len(cloud.requests())
    answer = sweep(cloud)
    assert (answer["archived"], answer["pages"], answer["queued"]) == (THOUSAND, 10, 0)
    assert Counter(entry.route for entry in vendor.journal) == {"token": 1, "jobs": 10}
    assert Counter(record.action for record in cloud.requests()[before:]) == {
        "GetSecretValue": 1,
        "BatchGetItem": 10,
        "GetItem": 11,
        "ListMultipartUploads": 1,  # abandoned ones
    }


def test_a_rate_limited_sweep_goes_on_at_its_place(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """The vendor's wait is longer than the function's time: nobody knocks, and no page is lost."""
    cloud.event_source.disable()
    jobs = [vendor.add_job(None) for _ in range(150)]
    vendor.limit_rate_next("jobs", retry_after_seconds=600)
    assert sweep(cloud)["reason"] == "rate_limited"
    asked = len(vendor.journal)
    assert sweep(cloud)["reason"] == "rate_limited"
    assert len(vendor.journal) == asked
    cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key={"id": {"S": "throttle#vendor"}})
    cloud.pool(SWEEP_FUNCTION).retire_idle()  # what the runtime itself was told goes with it
    answer = sweep(cloud)
    assert (answer["outcome"], answer["queued"]) == ("finished", len(jobs))


def test_reconcile_works_as_it_is_documented(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run names the job and changes nothing; the run archives it; a slip is told in words."""
    vendor.clock.advance(-90 * DAY_SECONDS)
    job = vendor.add_job(b"old\n")
    vendor.clock.advance(90 * DAY_SECONDS)
    since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 91 * DAY_SECONDS, UTC)
    given = ["--since", since.date().isoformat(), "--report-type", "units"]
    command = ["reconcile", "--stack", STACK_NAME]
    assert main([*command, *given, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"would queue {job.job_id} (units, completed " in said
    assert "it was a dry run" in said
    assert people.job_item(job.job_id) is None

    assert main([*command, *given]) == 0
    assert "queued 1" in capsys.readouterr().out
    people.wait_until_quiet(PATIENCE_SECONDS)
    assert_archived_once(people, job)

    assert main([*command, "--since", "yesterday", "--dry-run"]) == 1
    assert "`since` must be a date such as 2026-01-31" in capsys.readouterr().err
    assert main(["reconcile", "--stack", "nobody", "--dry-run"]) == 3
    assert "there is no stack nobody" in capsys.readouterr().err


def test_no_secret_is_in_any_log_line(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Neither client secret nor token, in all that the sweep's runtime wrote."""
    job = vendor.add_job(b"x\n")
    sweep(cloud)
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    logs = cloud.logs(SWEEP_FUNCTION)
    assert job.job_id in logs
    assert vendor.client_secret not in logs
    assert "canary-token" not in logs
    assert "Bearer" not in logs
