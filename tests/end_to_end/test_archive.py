"""The main promises, through the deployed template, the queue and the real runtime."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from local.apartmentiq import Job, SyntheticExport, VendorStandIn, sha256_of
from local.cloud import LocalCloud

EVENTS = Path(__file__).resolve().parents[2] / "events"
MIB = 1 << 20
PATIENCE_SECONDS = 60
LONG_AGO = {"first_seen_at": "2026-01-01T00:00:00Z"}  # else a 404 is no verdict yet
LEAST_HOPS = {"credentials", "token", "link", "copy", "commit", "emit"}


def events_about(cloud: LocalCloud, job_id: str) -> list[dict[str, Any]]:
    """Return what was emitted about one job."""
    return [
        event
        for event in cloud.emitted_events()
        if job_id in (event["detail"].get("job_id"), event["detail"].get("job", {}).get("job_id"))
    ]


def key_of(cloud: LocalCloud, job: Job) -> str:
    """Return the key that the job's item names."""
    item = cloud.job_item(job.job_id)
    assert item is not None
    key: str = item["key"]["S"]
    return key


def archived_sha256(cloud: LocalCloud, key: str) -> str:
    """Return the SHA-256 of what is in the bucket."""
    body = cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=key)["Body"]
    digest = hashlib.sha256()
    for chunk in body.iter_chunks(MIB):
        digest.update(chunk)
    return digest.hexdigest()


def settle(cloud: LocalCloud) -> None:
    """Wait until nothing is left to do."""
    cloud.wait_until_quiet(PATIENCE_SECONDS)


def settle_waiting(cloud: LocalCloud) -> None:
    """Let the delays of waiting messages pass, then wait until nothing is left to do."""
    cloud.skip_waiting()
    settle(cloud)


def test_one_job_sent_three_times_is_archived_once(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Twice at once and once more: one object version, one event, all messages acknowledged."""
    job = vendor.add_job(SyntheticExport(size_bytes=20 * MIB))
    before = cloud.event_source.counts
    cloud.send({"job_id": job.job_id})
    cloud.send({"job_id": job.job_id.upper()})
    cloud.event_source.wait_for(
        lambda counts: counts.deleted >= before.deleted + 2, deadline_seconds=PATIENCE_SECONDS
    )
    settle_waiting(cloud)
    cloud.send({"job_id": job.job_id})
    settle(cloud)

    after = cloud.event_source.counts
    assert after.failed == before.failed
    assert after.deleted - before.deleted == after.received - before.received >= 3
    assert len(cloud.object_versions(key_of(cloud, job))) == 1
    assert [event["detail-type"] for event in events_about(cloud, job.job_id)] == [
        "Export Archived"
    ]
    assert cloud.dead_letters() == []


@pytest.mark.parametrize("size_bytes", [0, 1, 16 * MIB, 16 * MIB + 1, 64 * MIB])
def test_an_export_of_any_size_arrives_byte_for_byte(
    cloud: LocalCloud, vendor: VendorStandIn, size_bytes: int
) -> None:
    """Empty, one byte, the largest single PUT, the smallest multipart, and several parts."""
    export = SyntheticExport(size_bytes=size_bytes, seed=size_bytes % 97)
    job = vendor.add_job(export)
    cloud.send({"job_id": job.job_id})
    settle(cloud)
    key = key_of(cloud, job)
    assert archived_sha256(cloud, key) == sha256_of(export)
    (event,) = events_about(cloud, job.job_id)
    assert event["detail"]["object"]["size_bytes"] == size_bytes


def test_a_job_announced_on_the_bus_is_archived(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """EventBridge rule → queue → function → bucket → event, as the template wires them."""
    job = vendor.add_job(b"unit,rent\n1,1000\n")
    cloud.put_event({"job_id": job.job_id})
    cloud.event_source.wait_for(
        lambda _: bool(cloud.job_item(job.job_id)), deadline_seconds=PATIENCE_SECONDS
    )
    settle(cloud)
    assert len(cloud.object_versions(key_of(cloud, job))) == 1


def test_an_event_that_invokes_the_function_is_only_queued(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Asynchronous invocation gives up after three tries, the queue does not: it takes over."""
    job = vendor.add_job(b"unit,rent\n1,1000\n")
    event = json.loads((EVENTS / "eventbridge-job-completed.json").read_text())
    event["detail"] = {"job_id": job.job_id, "callback_url": "https://example.com/?token=canary"}
    (invocation,) = cloud.invoke_async(event).result(timeout=PATIENCE_SECONDS)
    assert invocation.succeeded
    settle(cloud)
    assert len(cloud.object_versions(key_of(cloud, job))) == 1
    assert "canary" not in cloud.logs()


def test_a_rejected_job_is_a_dead_letter_with_its_reason(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Nobody's job: told on the bus, in the dead-letter queue, and never tried again."""
    assert vendor.client_id
    job_id = "0d6bfb3c-3a9a-4a3e-9df0-b0d2f7d0ad4e"
    cloud.send({"job_id": job_id}, LONG_AGO)
    settle(cloud)
    letters = [letter for letter in cloud.dead_letters() if job_id in letter.body]
    assert [letter.attributes["reason"] for letter in letters] == ["no_such_job"]
    assert [event["detail-type"] for event in events_about(cloud, job_id)] == ["Export Rejected"]
    cloud.empty_queues()


def test_a_job_that_is_not_finished_waits_and_is_then_archived(
    cloud: LocalCloud, vendor: VendorStandIn
) -> None:
    """Waiting uses up no receive and ends by itself when the vendor has finished."""
    job = vendor.add_job(b"later\n", completes_after_seconds=3600)
    cloud.send({"job_id": job.job_id})
    cloud.event_source.wait_for(
        lambda _: (cloud.job_item(job.job_id) or {}).get("state") == {"S": "waiting"},
        deadline_seconds=PATIENCE_SECONDS,
    )
    vendor.clock.advance(3601)
    settle_waiting(cloud)
    assert archived_sha256(cloud, key_of(cloud, job)) == hashlib.sha256(b"later\n").hexdigest()


def test_a_run_is_traced_step_by_step(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Each step is a subsegment; the job's id and outcome can be searched for."""
    job = vendor.add_job(b"traced\n")
    cloud.pool().retire_idle()  # a cold runtime: credentials and token are asked for anew
    cloud.send({"job_id": job.job_id})
    settle(cloud)
    segments = [
        segment
        for trace in cloud.traces()
        if any(s.annotations.get("job_id") == job.job_id for s in trace.walk())
        for segment in trace.walk()
    ]
    assert {segment.name.removeprefix("## ") for segment in segments} >= LEAST_HOPS
    assert {s.annotations["outcome"] for s in segments if "outcome" in s.annotations} == {
        "archived"
    }


def test_no_secret_is_in_any_log_line(cloud: LocalCloud, vendor: VendorStandIn) -> None:
    """Neither client secret, nor token, nor a link's signature: the runtimes' whole output."""
    job = vendor.add_job(SyntheticExport(size_bytes=17 * MIB))
    cloud.send({"job_id": job.job_id})
    settle(cloud)
    logs = cloud.logs()
    assert job.job_id in logs
    assert vendor.client_secret not in logs
    assert "X-Amz-Signature" not in logs
    assert "Bearer" not in logs
