"""Each thing is broken in the local cloud, and the alarm as it was deployed sees it.

What the functions emit is read from their output, what SQS and Lambda count from the local run.
Where an alarm needs hours, the data are looked at as they will be then, if nobody does anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from local.apartmentiq import SyntheticExport, VendorStandIn
from local.cloud import LocalCloud
from local.metrics import Datum, dimensions_of, read_emf, read_invocations, read_queue
from tests.alarms.evaluator import Metrics, judge, next_state
from tests.functional.aws_script import AwsScript, Refusal, operation

FUNCTIONS = ("ArchiveExportFunction", "ReceiveCallbackFunction", "ReconcileExportsFunction")
ARCHIVE, CALLBACK, SWEEP = FUNCTIONS
UNKNOWN_JOB = "0d6bfb3c-3a9a-4a3e-9df0-b0d2f7d0ad4e"
LONG_AGO = {"first_seen_at": "2026-01-01T00:00:00Z"}  # else a 404 is no verdict yet
PATIENCE_SECONDS = 60
HOUR = 3600.0
DENIED = Refusal.json(400, b'{"__type": "AccessDeniedException", "message": "not allowed"}')
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Deploy with the shortest FunctionTimeout, so that a run can be seen to reach it."""
    state_folder: Path = tmp_path_factory.mktemp("local")
    parameters = {"FunctionTimeout": "30", "ReconcileSchedule": "rate(365 days)"}
    with LocalCloud(state_folder=state_folder, maximum_runtimes=3, parameters=parameters) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def aws_script(cloud: LocalCloud) -> AwsScript:
    """Return what lets AWS refuse."""
    return AwsScript(cloud.aws)


@pytest.fixture(autouse=True)
def _leave_nothing(cloud: LocalCloud, aws_script: AwsScript) -> Iterator[None]:
    """Let no test's data, messages or credentials be another's."""
    yield
    aws_script.clear()
    cloud.event_source.enable()
    assert cloud.vendor is not None
    cloud.vendor.clear_script()
    cloud.vendor.on_link_bytes = None
    cloud.put_credentials(
        {"client_id": cloud.vendor.client_id, "client_secret": cloud.vendor.client_secret}
    )
    cloud.empty_queues()
    fleet = {"id": {"S": "throttle#vendor"}}  # what it knows of throttles and outages
    cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key=fleet)
    cloud.pool().retire_idle()


def alarm(cloud: LocalCloud, name: str) -> Mapping[str, Any]:
    """Return a deployed alarm's properties."""
    return cloud.stack.resources[name].properties


def emitted(cloud: LocalCloud, since: float) -> list[Datum]:
    """Return all that functions and Lambda have told since a moment."""
    data: list[Datum] = []
    for logical_id in FUNCTIONS:
        pool = cloud.pool(logical_id)
        data += read_emf(cloud.logs(logical_id))
        data += read_invocations(pool.function.name, pool.invocations())
    return [datum for datum in data if datum.at >= since]


def rings(cloud: LocalCloud, name: str, since: float) -> bool:
    """Tell whether an alarm rings for what happened since a moment."""
    return judge(alarm(cloud, name), emitted(cloud, since), time.time() + 1)


def wait_for(cloud: LocalCloud, what: Callable[[], bool]) -> None:
    """Wait until something is so; raises TimeoutError."""
    cloud.event_source.wait_for(lambda _: what(), deadline_seconds=PATIENCE_SECONDS)


def state_of(cloud: LocalCloud, job_id: str) -> str | None:
    """Return what the job's item says."""
    item = cloud.job_item(job_id)
    return None if item is None else str(item["state"]["S"])


def reason_of(cloud: LocalCloud, job_id: str) -> str | None:
    """Return the reason on the job's item."""
    return str((cloud.job_item(job_id) or {}).get("reason", {}).get("S"))


def queue_over(cloud: LocalCloud, url: str, moments: list[float]) -> list[Datum]:
    """Return what SQS publishes of a queue at these moments if nobody touches it."""
    return [datum for at in moments for datum in read_queue(cloud.clients.sqs, url, at)]


def test_a_good_run_rings_nothing(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """With an archived job, a finished sweep and empty queues every alarm is silent."""
    since = time.time()
    job = vendor.add_job(b"four")
    cloud.send({"job_id": job.job_id})
    wait_for(cloud, lambda: state_of(cloud, job.job_id) == "archived")
    assert cloud.invoke(SCHEDULED, SWEEP).succeeded
    data = emitted(cloud, since)
    for url in (cloud.queue_url, cloud.dead_letter_queue_url):
        data += read_queue(cloud.clients.sqs, url, time.time())
    alarms = cloud.stack.of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) == 13
    assert [a.logical_id for a in alarms if judge(a.properties, data, time.time() + 1)] == []


def test_a_dead_letter_rings_at_once_and_once_more_before_it_expires(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """One letter is enough; after six days there is a last warning, and not a day before."""
    assert vendor.client_id
    url = cloud.dead_letter_queue_url
    now = time.time()
    assert not judge(alarm(cloud, "DeadLettersAlarm"), queue_over(cloud, url, [now]), now)
    cloud.send({"job_id": UNKNOWN_JOB}, LONG_AGO)
    wait_for(cloud, lambda: bool(cloud.dead_letters()))
    now = time.time()
    lying = read_queue(cloud.clients.sqs, url, now)
    assert judge(alarm(cloud, "DeadLettersAlarm"), lying, now)
    hourly = [replace(datum, at=now + n * HOUR) for n in range(24 * 7) for datum in lying]
    for days, rung in ((5, False), (6.1, True)):
        later = now + days * 24 * HOUR
        data = [datum for datum in hourly if datum.at <= later]
        assert judge(alarm(cloud, "DeadLettersExpireAlarm"), data, later) == rung


def test_a_queue_that_nobody_works_on_rings_after_an_hour(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """The mapping is disabled and a message lies there: silent at first, ringing later."""
    cloud.event_source.disable()
    cloud.send({"job_id": vendor.add_job(b"x").job_id})
    now = time.time()
    for hours, rung in ((0.5, False), (1.5, True)):
        later = now + hours * HOUR
        moments = [later - 600, later - 300, later]
        data = queue_over(cloud, cloud.queue_url, moments)
        assert judge(alarm(cloud, "OldestMessageAlarm"), data, later) == rung


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ({"client_id": "x", "client_secret": "canary-wrong"}, "credentials_rejected"),
        ({"nothing": "yet"}, "credentials_missing"),
    ],
)
def test_credentials_ring(
    cloud: LocalCloud, vendor: VendorStandIn, credentials: dict[str, str], reason: str
) -> None:
    """Refused and not filled in alike, for jobs and for sweeps."""
    cloud.put_credentials(credentials)
    cloud.pool().retire_idle()
    cloud.pool(SWEEP).retire_idle()
    since = time.time()
    assert not rings(cloud, "CredentialsAlarm", since)
    job = vendor.add_job(b"x")
    cloud.send({"job_id": job.job_id})
    wait_for(cloud, lambda: reason_of(cloud, job.job_id) == reason)
    assert rings(cloud, "CredentialsAlarm", since)
    before_sweep = time.time()
    cloud.invoke(SCHEDULED, SWEEP)
    assert rings(cloud, "CredentialsAlarm", before_sweep)


def test_a_used_up_quota_rings(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """It is told of the job that met it."""
    since = time.time()
    vendor.exceed_quota_next("results")
    assert not rings(cloud, "QuotaAlarm", since)
    job = vendor.add_job(b"x")
    cloud.send({"job_id": job.job_id})
    wait_for(cloud, lambda: state_of(cloud, job.job_id) == "dead_lettered")
    assert rings(cloud, "QuotaAlarm", since)


def test_a_vendor_that_is_down_rings_one_alarm_and_one_failing_job_none(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """A quarter of an hour of waiting jobs is an outage, told once; a hundred failures are not."""
    vendor.answer_next("results", status=500, times=None)
    jobs = [vendor.add_job(b"x") for _ in range(20)]
    since = time.time()
    for job in jobs[:3]:
        cloud.send({"job_id": job.job_id})
        wait_for(
            cloud,
            lambda job=job: state_of(cloud, job.job_id) == "failing",  # type: ignore[misc]  # bound now
        )
    assert not rings(cloud, "OutOfOrderAlarm", since)
    for job in jobs[3:]:
        cloud.send({"job_id": job.job_id})
    wait_for(cloud, lambda: all(state_of(cloud, job.job_id) == "waiting" for job in jobs[3:]))
    now_waiting = emitted(cloud, since)
    still_waiting = [replace(datum, at=datum.at + 900) for datum in now_waiting]
    out_of_order = alarm(cloud, "OutOfOrderAlarm")
    later = time.time() + 900
    assert not judge(out_of_order, now_waiting, later)
    assert judge(out_of_order, [*now_waiting, *still_waiting], later)
    assert not rings(cloud, "FailingAlarm", since)


def test_what_keeps_failing_for_our_own_fault_rings(
    cloud: LocalCloud, vendor: VendorStandIn, aws_script: AwsScript
) -> None:
    """Half of ten runs and more that end in a bug."""
    since = time.time()
    jobs = [vendor.add_job(b"x") for _ in range(10)]
    for job in jobs:
        item = {"id": {"S": f"job#{job.job_id}"}, "state": {"S": "archived"}}
        odd = json.dumps({"Responses": {cloud.table: [item]}, "UnprocessedKeys": {}}).encode()
        aws_script.answer_next(operation("BatchGetItem"), Refusal.json(200, odd))
        assert not rings(cloud, "FailingAlarm", since)
        cloud.send({"job_id": job.job_id})
        wait_for(
            cloud,
            lambda job=job: state_of(cloud, job.job_id) == "failing",  # type: ignore[misc]  # bound now
        )
    assert rings(cloud, "FailingAlarm", since)


def test_runs_that_die_ring(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Three runtimes are killed in mid-copy, as by Lambda for their memory."""
    since = time.time()

    def kill(_job_id: str, _count: int) -> None:
        cloud.pool().kill_busy()

    vendor.on_link_bytes = kill
    for _ in range(3):
        assert not rings(cloud, "FunctionErrorsAlarm", since)
        job = vendor.add_job(SyntheticExport(size_bytes=20 << 20))
        before = cloud.event_source.counts.failed
        cloud.send({"job_id": job.job_id})
        cloud.event_source.wait_for(
            lambda counts, before=before: counts.failed > before,  # type: ignore[misc]  # bound now
            deadline_seconds=PATIENCE_SECONDS,
        )
    assert rings(cloud, "FunctionErrorsAlarm", since)


def test_a_run_that_reaches_its_timeout_rings_and_one_that_leaves_in_time_does_not(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """The process is stopped in mid-copy, as on a machine that stands still, until it is killed."""
    since = time.time()
    cloud.send({"job_id": vendor.add_job(b"quick").job_id})
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert not rings(cloud, "FunctionErrorsAlarm", since)
    stopped: list[int] = []

    def stop(_job_id: str, _count: int) -> None:
        if not stopped:
            stopped.append(cloud.pool().freeze_busy())

    vendor.on_link_bytes = stop
    before = cloud.event_source.counts.failed
    cloud.send({"job_id": vendor.add_job(SyntheticExport(size_bytes=20 << 20)).job_id})
    cloud.event_source.wait_for(lambda counts: counts.failed > before, deadline_seconds=90)
    assert stopped == [1]
    assert rings(cloud, "FunctionErrorsAlarm", since)


def test_an_event_that_can_be_put_nowhere_rings(
    cloud: LocalCloud, vendor: VendorStandIn, aws_script: AwsScript
) -> None:
    """Neither the queue nor the destination takes it: Lambda counts the failed delivery."""
    now = time.time()
    aws_script.answer_next(operation("SendMessage"), DENIED, times=99)
    event = {"source": "x", "detail-type": "y", "detail": {"job_id": vendor.add_job(b"x").job_id}}
    submitted = cloud.invoke_async(event)
    assert submitted.exception(timeout=PATIENCE_SECONDS) is not None
    function = cloud.pool().function.name
    failed = Datum(
        "AWS/Lambda",
        "DestinationDeliveryFailures",
        dimensions_of(FunctionName=function),
        1.0,
        now,
    )
    assert not judge(alarm(cloud, "UndeliveredAlarm"), emitted(cloud, now), now + 1)
    assert judge(alarm(cloud, "UndeliveredAlarm"), [failed], now + 1)


def test_callbacks_that_cannot_be_queued_ring(
    cloud: LocalCloud, vendor: VendorStandIn, aws_script: AwsScript
) -> None:
    """Five that were answered 503; four are a hiccup."""
    since = time.time()
    aws_script.answer_next(operation("SendMessageBatch"), DENIED, times=99)
    assert cloud.callback_url is not None
    body = {"job_id": vendor.add_job(b"x").job_id}
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False) as http:
        for _ in range(5):
            assert not rings(cloud, "CallbackErrorsAlarm", since)
            assert http.request("POST", cloud.callback_url, json=body).status == 503
    assert rings(cloud, "CallbackErrorsAlarm", since)


def test_a_completed_job_that_stays_unarchived_rings(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Nobody works on the queue for nine hours; the sweep tells the age of the oldest job."""
    cloud.event_source.disable()
    assert cloud.invoke(SCHEDULED, SWEEP).succeeded
    job = vendor.add_job(b"x")
    since = time.time()
    assert job.job_id
    assert cloud.invoke(SCHEDULED, SWEEP).succeeded
    assert not rings(cloud, "OldestUnarchivedAlarm", since)
    old = vendor.add_job(b"x", completes_after_seconds=-9 * HOUR)
    assert old.job_id
    assert cloud.invoke(SCHEDULED, SWEEP).succeeded
    assert rings(cloud, "OldestUnarchivedAlarm", since)


def test_a_day_without_a_finished_sweep_rings(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Held up for a day, or none for a day where there were some; a fresh stack is silent."""
    assert vendor.client_id
    no_sweep = alarm(cloud, "NoSweepFinishedAlarm")
    assert next_state(no_sweep, Metrics(), time.time(), "INSUFFICIENT_DATA") == "INSUFFICIENT_DATA"
    since = time.time()
    vendor.answer_next("jobs", status=500, times=9)
    cloud.invoke(SCHEDULED, SWEEP)
    held_up = emitted(cloud, since)
    assert not judge(no_sweep, held_up, time.time() + 1)
    assert judge(no_sweep, held_up, time.time() + 24 * HOUR)
    vendor.clear_script()
    cloud.invoke(SCHEDULED, SWEEP)
    data = emitted(cloud, since)
    assert not judge(no_sweep, data, time.time() + 24 * HOUR - 60)
    later = time.time() + 48 * HOUR
    assert next_state(no_sweep, Metrics(data), later, "OK") == "INSUFFICIENT_DATA"
