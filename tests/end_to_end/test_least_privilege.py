"""Each function's role, both ways: it allows every call that is made, and none that nobody makes.

The first way is checked at the end of every file of end-to-end tests, too (conftest.py). Here one
run of the stack meets every situation in which a function calls AWS, so that what a role allows
and nobody used in it stands out.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import urllib3

from local.apartmentiq import Job, SyntheticExport, VendorStandIn
from local.cloud import LocalCloud
from tests.functional.aws_script import AwsScript, Refusal, operation
from tests.security.calls import (
    NOT_CALLED_BY_CODE,
    allowances,
    refused_calls,
    requests_of,
    statements_of,
    unused_allowances,
)
from tests.security.iam import NOT_ALLOWED, Request, decide

ARCHIVE, CALLBACKS, SWEEP = (
    "ArchiveExportFunction",
    "ReceiveCallbackFunction",
    "ReconcileExportsFunction",
)
MIB = 1 << 20
LARGE = SyntheticExport(48 * MIB)
PATIENCE_SECONDS = 90
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
REFUSED = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}


def settle(cloud: LocalCloud) -> None:
    """Wait until nothing runs and nothing is left on the queue but what waits; fetch that, too."""
    cloud.skip_waiting()
    cloud.wait_until_quiet(PATIENCE_SECONDS)


def wait_for_state(cloud: LocalCloud, job: Job, *states: str) -> None:
    """Wait until a job's item says one of these."""
    cloud.event_source.wait_for(
        lambda _: (cloud.job_item(job.job_id) or {}).get("state", {}).get("S") in states,
        deadline_seconds=PATIENCE_SECONDS,
    )


def fail_in_mid_copy(cloud: LocalCloud, vendor: VendorStandIn) -> Job:
    """Let a large export's source fail but for its first range; the job's upload is left behind."""
    job = vendor.add_job(LARGE)

    def fail(job_id: str, count: int) -> None:
        if job_id == job.job_id and count > 0 and not failing:
            failing.append(job_id)
            vendor.answer_next("link", status=500, times=None, job_id=job_id)

    failing: list[str] = []
    vendor.on_link_bytes = fail
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job, "failing")
    vendor.on_link_bytes = None
    vendor.clear_script()
    return job


def archive(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Archive a small export and a large one, and look at each again."""
    for export in (b"small", LARGE):
        job = vendor.add_job(export)
        cloud.send({"job_id": job.job_id})
        settle(cloud)
        cloud.send({"job_id": job.job_id, "recheck": True})
        settle(cloud)


def go_on(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Go on with a copy that failed half-way, and with one that failed before it had begun."""
    fail_in_mid_copy(cloud, vendor)
    settle(cloud)
    job = vendor.add_job(LARGE)
    vendor.answer_next("link", status=500, times=None, job_id=job.job_id)
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job, "failing")
    vendor.clear_script()
    settle(cloud)


def give_up(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Reject a job when half of it is copied: its upload is aborted; one is left all the same."""
    job = fail_in_mid_copy(cloud, vendor)
    vendor.forbid(job.job_id)
    settle(cloud)
    item = cloud.job_item(job.job_id)
    assert item is not None
    cloud.clients.s3.create_multipart_upload(Bucket=cloud.bucket, Key=item["key"]["S"])


def wait(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Queue an event, wait for a job that is not finished, and for the vendor's throttle."""
    job = vendor.add_job(b"later", completes_after_seconds=3600)
    cloud.invoke({"detail": {"job_id": job.job_id}})
    wait_for_state(cloud, job, "waiting")
    vendor.clock.advance(3601)
    settle(cloud)
    throttled = vendor.add_job(b"throttled")
    vendor.limit_rate_next("results", retry_after_seconds=1)
    cloud.send({"job_id": throttled.job_id})
    wait_for_state(cloud, throttled, "waiting", "archived")


def sweep(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Find a job that nobody told of; break off at the vendor's throttle, and go on from there.

    An upload that a job has left behind is aborted: to S3 here all are old (moto says 2010).
    """
    vendor.add_job(b"nobody told")
    vendor.limit_rate_next("jobs", retry_after_seconds=3600)  # longer than a sweep may take
    assert cloud.invoke(SCHEDULED, SWEEP).payload["outcome"] == "unfinished"
    key = {"id": {"S": "throttle#vendor"}}
    cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key=key)
    cloud.pool(SWEEP).retire_idle()  # it remembers that it was asked to wait
    assert cloud.invoke(SCHEDULED, SWEEP).payload["outcome"] == "finished"
    assert "Uploads" not in cloud.clients.s3.list_multipart_uploads(Bucket=cloud.bucket)


def meet_another(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Claim a job whose item somebody else is changing at that very moment."""
    job = vendor.add_job(b"busy")
    script = AwsScript(cloud.aws)
    refused = Refusal.json(400, json.dumps(REFUSED).encode())
    script.answer_next(operation("UpdateItem"), refused)
    cloud.send({"job_id": job.job_id})
    settle(cloud)
    script.clear()


def call_back(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Take a callback with the token."""
    assert cloud.callback_url is not None
    job = vendor.add_job(b"called back")
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False) as http:
        answer = http.request("POST", cloud.callback_url, json={"job_id": job.job_id})
    assert answer.status == 202


def tend_the_catalogue(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Write an entry, as `archiver audit` asks for it, and put a month together."""
    job = vendor.add_job(b"catalogued")
    cloud.send({"job_id": job.job_id})
    settle(cloud)
    told = cloud.invoke({"catalogue": {"job_ids": [job.job_id]}}).payload
    assert told["left"] == []
    (key,) = (
        each["Key"]
        for each in cloud.clients.s3.list_objects_v2(Bucket=cloud.bucket, Prefix="catalogue/")[
            "Contents"
        ]
        if job.job_id in each["Key"]
    )
    told = cloud.invoke({"catalogue": {"month": "2025-10", "keys": [key]}}).payload
    assert told["unfit"] == [key]  # it is this month's


SITUATIONS: tuple[Callable[[LocalCloud, VendorStandIn], None], ...] = (
    archive,
    go_on,
    give_up,
    meet_another,
    call_back,
    tend_the_catalogue,
    sweep,
    wait,
)


@pytest.fixture(scope="module")
def lived(cloud: LocalCloud) -> LocalCloud:
    """Return the stack after every situation in which a function calls AWS."""
    assert cloud.vendor is not None
    for situation in SITUATIONS:
        situation(cloud, cloud.vendor)
    cloud.empty_queues()
    return cloud


def test_every_call_is_allowed_by_the_functions_own_role(lived: LocalCloud) -> None:
    """On this resource, under this condition; with another function's role it would not be."""
    assert refused_calls(lived) == []
    for function, others in ((ARCHIVE, SWEEP), (CALLBACKS, ARCHIVE), (SWEEP, CALLBACKS)):
        requests = requests_of(lived, function)
        assert requests
        by_others = [decide(statements_of(lived, others), request) for request in requests]
        assert NOT_ALLOWED in by_others


@pytest.mark.parametrize("function", [ARCHIVE, CALLBACKS, SWEEP])
def test_nothing_is_allowed_that_nobody_uses(lived: LocalCloud, function: str) -> None:
    """But for what AWS itself does in the role's name, each with its reason."""
    assert unused_allowances(lived, function) == set()


@pytest.mark.parametrize("function", [ARCHIVE, CALLBACKS, SWEEP])
def test_what_aws_does_in_the_roles_name_is_done_by_no_code(
    lived: LocalCloud, function: str
) -> None:
    """An exception that a function makes use of is none."""
    called = {request.action for request in requests_of(lived, function)}
    assert called & NOT_CALLED_BY_CODE.keys() == set()


def test_all_functions_are_looked_at(lived: LocalCloud) -> None:
    """A function that is added must be lived through here, too."""
    assert set(lived.functions) == {ARCHIVE, CALLBACKS, SWEEP}


def test_a_call_that_no_role_allows_is_reported(cloud: LocalCloud) -> None:
    """The check can fail: it is made on what the template says, and not on what moto lets pass."""
    statements = statements_of(cloud, ARCHIVE)
    for action, resource in (
        ("s3:DeleteObject", f"arn:aws:s3:::{cloud.bucket}/k"),
        ("s3:PutObject", "arn:aws:s3:::another/k"),
        ("dynamodb:Scan", f"arn:aws:dynamodb:{cloud.region}:123456789012:table/{cloud.table}"),
        ("secretsmanager:PutSecretValue", cloud.credentials_secret),
        ("secretsmanager:GetSecretValue", cloud.stack.outputs["CallbackTokenSecretArn"]),
    ):
        assert decide(statements, Request(action, resource)) == NOT_ALLOWED, action


def test_wildcards_stand_where_aws_offers_nothing_else(cloud: LocalCloud) -> None:
    """No action is a pattern; "*" is a resource for X-Ray alone, and a reason stands beside it."""
    for function in cloud.functions:
        pairs = allowances(cloud, function)
        assert not [action for action, _ in pairs if "*" in action]
        everything = {action for action, resource in pairs if resource == "*"}
        assert everything == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
        assert json.dumps(sorted(pairs)).count('"*"') == len(everything)
