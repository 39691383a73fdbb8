"""`archiver status` says where a job is, why, and when it is tried next, by what users may read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from cli.app import main
from local.apartmentiq import VendorStandIn
from local.cloud import LocalCloud

UNKNOWN_JOB = "7b1c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c99"
PATIENCE_SECONDS = 60
LONG_AGO = {"first_seen_at": "2026-01-01T00:00:00Z"}  # else a 404 is no verdict yet
ENVIRONMENT = (
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
Said = Callable[[str], dict[str, str]]


@pytest.fixture
def said(
    cloud: LocalCloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Said:
    """Return what runs the command as `archiver status --stack local` does, and reads its lines."""

    def run(job_id: str) -> dict[str, str]:
        for name in ENVIRONMENT:  # what the command sets is undone with the test
            monkeypatch.setenv(name, "somebody-elses")
        folder = str(cloud.state_folder)
        command = ["status", "--stack", "local", "--state-folder", folder, job_id]
        assert main(command) == 0
        lines = capsys.readouterr().out.splitlines()
        return {line[:13].strip(): line[14:] for line in lines}

    return run


def wait_for_state(cloud: LocalCloud, job_id: str, state: str) -> None:
    """Wait until the job's item says so; raises TimeoutError."""
    cloud.event_source.wait_for(
        lambda _: (cloud.job_item(job_id) or {}).get("state") == {"S": state},
        deadline_seconds=PATIENCE_SECONDS,
    )


def test_an_archived_job(cloud: LocalCloud, vendor: VendorStandIn, said: Said) -> None:
    """Where its object is and how it was verified; nothing is left to try."""
    job = vendor.add_job(b"four")
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job.job_id, "archived")
    told = said(job.job_id)
    assert told["state"].startswith("archived")
    assert told["object"].startswith(f"s3://{cloud.bucket}/")
    assert told["size"].startswith("4 bytes, verified by")
    assert told["next try"].startswith("never")
    assert "why" not in told


def test_a_waiting_job_says_why_and_when(
    cloud: LocalCloud, vendor: VendorStandIn, said: Said
) -> None:
    """The moment is the item's own; its message is among the delayed."""
    job = vendor.add_job(b"later", completes_after_seconds=3600)
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job.job_id, "waiting")
    told = said(job.job_id)
    assert told["why"].startswith("not_finished: ")
    item = cloud.job_item(job.job_id)
    assert item is not None
    planned = datetime.fromisoformat(item["next_try_at"]["S"])
    assert told["next try"].startswith(planned.isoformat(timespec="seconds"))
    assert "(in " in told["next try"]
    assert "1 waiting" in told["queue"]
    cloud.empty_queues()


def test_a_job_waits_for_the_vendors_throttle_if_that_is_later(
    cloud: LocalCloud, vendor: VendorStandIn, said: Said
) -> None:
    """A 429 to one job closes the vendor to all: that is the moment that counts."""
    job = vendor.add_job(b"later", completes_after_seconds=3600)
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job.job_id, "waiting")
    key = {"id": {"S": "throttle#vendor"}}
    cloud.clients.dynamodb.put_item(
        TableName=cloud.table, Item={**key, "until": {"N": "4102444800"}}
    )
    told = said(job.job_id)
    assert told["next try"].startswith("2100-01-01T00:00:00+00:00")
    assert "after a 429" in told["vendor"]
    cloud.clients.dynamodb.delete_item(TableName=cloud.table, Key=key)
    cloud.empty_queues()


def test_a_dead_letter_is_found_with_its_reason(
    cloud: LocalCloud, vendor: VendorStandIn, said: Said
) -> None:
    """The item's reason and the letter's own; the letter stays where it is."""
    assert vendor.client_id
    cloud.send({"job_id": UNKNOWN_JOB}, LONG_AGO)
    wait_for_state(cloud, UNKNOWN_JOB, "dead_lettered")
    for _ in range(2):
        told = said(UNKNOWN_JOB)
        assert told["its letter"].startswith("no_such_job: ")
        assert "RedriveCommand" in told["next try"]
    cloud.empty_queues()


def test_a_copy_under_way_says_how_many_parts_are_finished(
    cloud: LocalCloud, vendor: VendorStandIn, said: Said
) -> None:
    """As S3 lists them: the next run goes on with these."""
    job = vendor.add_job(b"x")
    upload = cloud.clients.s3.create_multipart_upload(Bucket=cloud.bucket, Key="status/x.csv")
    cloud.clients.s3.upload_part(
        Bucket=cloud.bucket,
        Key="status/x.csv",
        UploadId=upload["UploadId"],
        PartNumber=1,
        Body=b"x",
    )
    item = {
        "state": {"S": "copying"},
        "key": {"S": "status/x.csv"},
        "attempts": {"N": "2"},
        "first_seen_at": {"S": "2026-11-24T00:00:00.000Z"},
        "upload_id": {"S": upload["UploadId"]},
        "size_bytes": {"N": "11"},
        "part_size_bytes": {"N": "4"},
    }
    cloud.clients.dynamodb.put_item(
        TableName=cloud.table, Item={"id": {"S": f"job#{job.job_id}"}, **item}
    )
    told = said(job.job_id)
    assert told["upload"].startswith("1 of 3 parts")
    assert "within 45 s" in told["next try"]
    assert told["attempts"].startswith("2 ")


def test_a_job_that_nobody_has_seen_and_a_stack_that_is_not_there(
    cloud: LocalCloud, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is said in words; only the second is an error."""
    assert said("7b1c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c98")["state"].startswith("unknown")
    asked = ["status", UNKNOWN_JOB]
    assert main([*asked, "--stack", "nobody"]) == 3
    assert "there is no stack nobody" in capsys.readouterr().err
    assert main([*asked, "--stack", "local", "--state-folder", str(tmp_path)]) == 3
    assert "make local" in capsys.readouterr().err
    assert cloud.bucket


def test_the_story_of_a_job_has_its_log_its_state_and_its_steps(
    cloud: LocalCloud,
    vendor: VendorStandIn,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`archiver trace`: first it waited, then it was archived, with the steps of both runs."""
    job = vendor.add_job(b"later", completes_after_seconds=3600)
    other = vendor.add_job(b"other")
    cloud.send({"job_id": other.job_id})
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job.job_id, "waiting")
    vendor.clock.advance(3601)
    cloud.skip_waiting()
    wait_for_state(cloud, job.job_id, "archived")
    cloud.wait_until_quiet(PATIENCE_SECONDS)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "somebody-elses")
    command = ["trace", "--stack", "local", "--state-folder", str(cloud.state_folder)]
    assert main([*command, job.job_id]) == 0
    said = capsys.readouterr().out
    log, _, rest = said.partition("where it is now")
    state, _, steps = rest.partition("what its runs did")
    assert log.index("  deferred  ") < log.index("  archived  ")
    assert "reason=not_finished" in log
    assert "state         archived" in state
    assert steps.count("  (1-") == 2
    assert steps.count("  link  ") == 1
    assert steps.count("  copy  ") == 1
    assert other.job_id not in said
    assert main([*command, UNKNOWN_JOB[:-1] + "0"]) == 1
