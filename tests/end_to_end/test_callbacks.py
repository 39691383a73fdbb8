"""Callbacks through the deployed template: the stand-in calls the URL, and its jobs arrive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from cli.app import main
from local.apartmentiq import PAYLOADS, Job, Order, VendorStandIn
from local.aws.queues import read_depth
from local.cloud import STACK_NAME, LocalCloud

EVENTS = Path(__file__).resolve().parents[2] / "events"
FUNCTION = "ReceiveCallbackFunction"
UNKNOWN_JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"
PATIENCE_SECONDS = 60


@pytest.fixture
def url(cloud: LocalCloud) -> str:
    """Return the URL to order jobs with."""
    assert cloud.callback_url is not None
    return cloud.callback_url


@pytest.fixture
def http(cloud: LocalCloud) -> Iterator[urllib3.PoolManager]:
    """Return a client that trusts the run's authority."""
    with urllib3.PoolManager(ca_certs=str(cloud.ca_bundle), retries=False) as manager:
        yield manager


def state_of(cloud: LocalCloud, job_id: str) -> str | None:
    """Return what the job's item says of it, or None without an item."""
    item = cloud.job_item(job_id)
    return None if item is None else str(item["state"]["S"])


def wait_for_state(cloud: LocalCloud, job_id: str, state: str) -> None:
    """Wait until the job's item says so; raises TimeoutError."""
    cloud.event_source.wait_for(
        lambda _: state_of(cloud, job_id) == state, deadline_seconds=PATIENCE_SECONDS
    )


def everything_that_is_left(cloud: LocalCloud) -> str:
    """Return logs, messages, items, events, traces and objects' metadata as one text."""
    table = cloud.clients.dynamodb.scan(TableName=cloud.table)["Items"]
    listed = cloud.clients.s3.list_objects_v2(Bucket=cloud.bucket).get("Contents", [])
    heads = [cloud.clients.s3.head_object(Bucket=cloud.bucket, Key=o["Key"]) for o in listed]
    seen = [table, heads, cloud.emitted_events(), cloud.dead_letters(), cloud.traces()]
    return "\n".join([cloud.logs(), cloud.logs(FUNCTION), *map(str, seen)])


def test_a_job_ordered_with_the_url_is_archived_and_nobody_did_anything(
    cloud: LocalCloud, vendor: VendorStandIn, url: str, http: urllib3.PoolManager
) -> None:
    """Ordered at the vendor's API, finished there, called back, archived; no token stays behind."""
    ordered = http.request(
        "POST",
        f"{vendor.api_base_url}/bulk_api/jobs",
        json={
            "report_type": "units",
            "output_format": "csv",
            "property_ids": [1041],
            "start_date": "2026-10-01",
            "end_date": "2026-10-31",
            "callback_url": url,
        },
        headers={"Authorization": f"Bearer {vendor.access_token}"},
    ).json()
    vendor.complete_job(ordered["job_id"], b"unit,rent\n1,1000\n")

    assert vendor.callbacks.wait_for(ordered["job_id"]).status == 202
    wait_for_state(cloud, ordered["job_id"], "archived")
    cloud.wait_until_quiet(PATIENCE_SECONDS)

    token = urlsplit(url).path.strip("/")
    left = everything_that_is_left(cloud)
    assert ordered["job_id"] in left
    assert token not in left


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_plausible_payload_brings_its_job_in(
    cloud: LocalCloud, vendor: VendorStandIn, url: str, payload: str
) -> None:
    """Whatever the vendor sends, as JSON, as a form, or in the query, as Lambda hands it over."""
    vendor.callbacks.payload = payload
    job = vendor.add_job(payload.encode(), order=Order(callback_url=url))
    record = vendor.callbacks.wait_for(job.job_id)
    assert (record.payload, record.status) == (payload, 202)
    wait_for_state(cloud, job.job_id, "archived")


def test_a_failed_job_is_told_to_have_failed(
    cloud: LocalCloud, vendor: VendorStandIn, url: str
) -> None:
    """Its callback is a hint like any other; the vendor's API says what became of it."""
    job = vendor.add_job(None, order=Order(callback_url=url), status="submitted")
    vendor.fail_job(job.job_id, "The report could not be generated")
    assert vendor.callbacks.wait_for(job.job_id).status == 202
    wait_for_state(cloud, job.job_id, "ended_at_vendor")


def test_neither_a_status_nor_an_address_in_a_callback_is_believed(
    cloud: LocalCloud, vendor: VendorStandIn, url: str, http: urllib3.PoolManager
) -> None:
    """A job that is called succeeded and is not waits; a link in the callback is not asked."""
    job = vendor.add_job(b"later\n", completes_after_seconds=3600)
    trap = f"https://{vendor.trusted_link_host}/trap"
    lie = {**job.document(), "status": "succeeded", "results_url": trap, "callback_url": trap}
    assert http.request("POST", url, json={"job": lie, "url": trap}).status == 202
    wait_for_state(cloud, job.job_id, "waiting")
    assert not [entry for entry in vendor.journal if "trap" in entry.path]
    vendor.clock.advance(3601)
    cloud.skip_waiting()
    wait_for_state(cloud, job.job_id, "archived")


def test_junk_gets_its_answer_and_leaves_no_message(
    cloud: LocalCloud, url: str, http: urllib3.PoolManager
) -> None:
    """404 without the token, 405, 413 and 400 with it; over TLS, through the real runtime."""
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    received = cloud.event_source.counts.received
    base = url.rpartition("/")[0]
    good = json.dumps({"job_id": UNKNOWN_JOB})
    expected: list[tuple[str, str, str | bytes, int]] = [
        ("POST", f"{base}/", good, 404),
        ("POST", f"{url}x", good, 404),
        ("POST", f"{base}/?token={url.rpartition('/')[2]}", good, 404),
        ("GET", f"{base}/favicon.ico", "", 404),
        ("DELETE", url, good, 405),
        ("POST", url, good + " " * 65_536, 413),
        ("POST", url, b"\x00" * 65_537, 413),
        ("POST", url, "{}", 400),
        ("GET", url, "", 400),
    ]
    answers = [http.request(method, address, body=body) for method, address, body, _ in expected]
    assert [answer.status for answer in answers] == [status for *_, status in expected]
    assert all(answer.headers["content-type"] == "application/json" for answer in answers)
    assert not [a for a in answers if url.rpartition("/")[2] in f"{a.data!r}{a.headers}"]
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert cloud.event_source.counts.received == received
    assert all(invocation.succeeded for invocation in cloud.invocations(FUNCTION))


def test_a_flood_of_junk_neither_reaches_the_queue_nor_holds_up_archiving(
    cloud: LocalCloud, vendor: VendorStandIn, url: str, http: urllib3.PoolManager
) -> None:
    """400 requests of strangers cost a few reads of the secret; a job of ours is archived."""
    wrong = f"{url.rpartition('/')[0]}/{'x' * 48}"
    http.request("POST", wrong, body=b"{}")  # every runtime may read the secret once
    reads = [request.action for request in cloud.requests()].count("GetSecretValue")
    job = vendor.add_job(b"in the flood")
    with ThreadPoolExecutor(4) as strangers:
        flood = [strangers.submit(http.request, "POST", wrong, body=b"{}") for _ in range(400)]
        cloud.send({"job_id": job.job_id})
        wait_for_state(cloud, job.job_id, "archived")
        assert {answer.result(timeout=PATIENCE_SECONDS).status for answer in flood} == {404}
    runtimes = len(cloud.pool(FUNCTION).log_paths())
    after = [request.action for request in cloud.requests()].count("GetSecretValue")
    # of each runtime: the two versions, at its start and once more in half a minute
    assert after - reads <= 4 * runtimes + 1  # and the vendor's credentials


def test_a_lost_callback_is_lost(cloud: LocalCloud, vendor: VendorStandIn, url: str) -> None:
    """The stand-in tries nothing again: what then brings the job in is not this function."""
    vendor.callbacks.lose = 1.0
    try:
        job: Job = vendor.add_job(b"lost", order=Order(callback_url=url))
        record = vendor.callbacks.wait_for(job.job_id)
    finally:
        vendor.callbacks.lose = 0.0
    assert (record.lost, record.status) == (True, None)
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    assert state_of(cloud, job.job_id) is None


def test_the_url_is_printed_and_the_token_rotated_by_one_command(
    people: LocalCloud,
    url: str,
    http: urllib3.PoolManager,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The URL that was printed before still works; after a second rotation it does not."""

    def run(*, rotate: bool) -> str:
        people.pool(FUNCTION).retire_idle()  # a cold runtime: the token is read anew
        command = "rotate-callback-token" if rotate else "callback-url"
        assert main([command, "--stack", STACK_NAME]) == 0
        return capsys.readouterr().out.strip()

    def calls(address: str) -> int:
        return int(http.request("POST", address, json={}).status)  # 400: the token was good

    assert run(rotate=False) == url == people.callback_url
    assert json.loads(people.endpoints_path.read_text())["callback_url"] == url
    second = run(rotate=True)
    assert (calls(url), calls(second)) == (400, 400)
    third = run(rotate=True)
    assert (calls(url), calls(second), calls(third)) == (404, 400, 400)


@pytest.mark.usefixtures("people")
def test_a_stack_that_is_not_there_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, with a sentence on standard error and nothing on standard output."""
    assert main(["callback-url", "--stack", "nobody"]) == 3
    printed = capsys.readouterr()
    assert (printed.out, "there is no stack nobody" in printed.err) == ("", True)


@pytest.mark.parametrize("name", ["function-url-callback.json", "function-url-callback-form.json"])
def test_a_sample_runs_as_it_is(cloud: LocalCloud, name: str) -> None:
    """With the sample's token in the secret, the sample's job is queued."""
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    secret = cloud.stack.outputs["CallbackTokenSecretArn"]
    before = cloud.clients.secretsmanager.get_secret_value(SecretId=secret)["SecretString"]
    put = cloud.clients.secretsmanager.put_secret_value
    put(SecretId=secret, SecretString=event["rawPath"].strip("/"))
    cloud.pool(FUNCTION).retire_idle()
    try:
        invocation = cloud.invoke(event, FUNCTION)
    finally:
        put(SecretId=secret, SecretString=before)
        cloud.pool(FUNCTION).retire_idle()
    assert invocation.payload["statusCode"] == 202
    # Nobody knows the sample's job, so that its message waits: the vendor may know it in a moment.
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, Event()
    while not (waiting := read_depth(cloud.clients.sqs, cloud.queue_url)).delayed:
        assert time.monotonic() < deadline, waiting
        pause.wait(0.1)
    cloud.empty_queues()
