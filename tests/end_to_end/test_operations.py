"""docs/operations.md does what it says: its commands are read out of it and run in a shell.

The AWS command line is the real one, in a venv of its own, and so are make and bash; the stack is
the local one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.aws.job_table import JobTable
from archiver.catalogue import entry_key, entry_line
from local.apartmentiq import Job, VendorStandIn
from local.cloud import STACK_NAME, LocalCloud
from tests.locked_venv import make_locked_venv

REPOSITORY = Path(__file__).resolve().parents[2]
MANUAL = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
CLI_VENV = REPOSITORY / ".cache" / "cli" / "venv"
PATIENCE_SECONDS = 60
SHELL_SECONDS = 90  # a dozen starts of the AWS command line on a busy machine

Run = Callable[..., str]


def blocks_of(heading: str, kind: str = "sh") -> list[str]:
    """Return a section's blocks of commands; "" is what stands before the first section."""
    sections = re.split(r"^## ", MANUAL, flags=re.MULTILINE)
    (section,) = [s for s in sections if s.startswith(heading or "# Operations")]
    return re.findall(rf"^```{kind}\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(cloud: LocalCloud, tmp_path: Path) -> Run:
    """Return what runs one block of a section after the manual's first, as a person would."""
    problem = make_locked_venv(CLI_VENV, REPOSITORY / ".ci" / "cli-requirements.txt")
    assert problem is None, problem
    # Version 1 has an endpoint of its own for SQS, and only the option overrules that.
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    command = f'exec "{CLI_VENV / "bin" / "aws"}" --endpoint-url "$AWS_ENDPOINT_URL" "$@"'
    aws.write_text(f"#!/bin/sh\n{command}\n")
    aws.chmod(0o755)
    tools = [str(aws.parent), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
    environment = {
        "PATH": os.pathsep.join(tools),
        "HOME": str(tmp_path),  # no configuration of this machine's
        "AWS_ENDPOINT_URL": cloud.aws.url,
        "AWS_CA_BUNDLE": str(cloud.ca_bundle),
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": "LOCALPEOPLE",
        "AWS_SECRET_ACCESS_KEY": "local",
        "STACK": STACK_NAME,
    }

    def run_block(heading: str, index: int = 0, *, typed: str = "", **values: str) -> str:
        (names,) = blocks_of("")
        block = blocks_of(heading)[index]
        done = subprocess.run(  # noqa: S603 - the manual's own commands
            ["/bin/bash", "-c", f"set -euo pipefail\n{names}\n{block}"],
            cwd=REPOSITORY,
            env={**environment, **values},
            input=typed,
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_block


def wait_for_state(cloud: LocalCloud, job: Job, state: str) -> None:
    """Wait until the job's item says so; raises TimeoutError."""
    cloud.event_source.wait_for(
        lambda _: (cloud.job_item(job.job_id) or {}).get("state") == {"S": state},
        deadline_seconds=PATIENCE_SECONDS,
    )


@pytest.fixture(autouse=True)
def _resumed(cloud: LocalCloud) -> Iterator[None]:
    """Let no test leave the queue paused."""
    yield
    cloud.event_source.enable()


def archived(cloud: LocalCloud, vendor: VendorStandIn) -> tuple[Job, str]:
    """Archive a job; return it and its key."""
    job = vendor.add_job(b"four")
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job, "archived")
    item = cloud.job_item(job.job_id)
    assert item is not None
    return job, item["key"]["S"]


def test_install_fill_in_verify_and_look(
    cloud: LocalCloud, vendor: VendorStandIn, run: Run
) -> None:
    """Credentials are typed and never an argument; verify proves; status and the item answer."""
    typed = {"client_id": vendor.client_id, "client_secret": vendor.client_secret}
    cloud.put_credentials({"nothing": "yet"})
    run("Install", typed=json.dumps(typed))
    job = vendor.add_job(b"four")
    assert "archived at s3://" in run("Install", 1, JOB=job.job_id)
    assert "is in CloudWatch" in run("Install", 2)
    assert run("Install", 3) == "/tmp/report.html\n"  # noqa: S108 - the manual's own
    assert "state         archived" in run("Where is job X?", JOB=job.job_id)
    item = json.loads(run("Where is job X?", 1, JOB=job.job_id))
    assert item["Item"]["state"]["S"] == "archived"


def test_credentials_are_rotated_without_a_deploy(
    cloud: LocalCloud, vendor: VendorStandIn, run: Run
) -> None:
    """Warm runtimes take the new ones when the old are refused; the job is archived."""
    archived(cloud, vendor)
    rotated = vendor.tokens.rotate_secret()
    vendor.tokens.revoke_all()
    run("Install", typed=json.dumps({"client_id": vendor.client_id, "client_secret": rotated}))
    archived(cloud, vendor)


def test_pause_and_resume(cloud: LocalCloud, vendor: VendorStandIn, run: Run) -> None:
    """While it is paused a message stays in the queue; after that it is worked on."""
    assert "Disabl" in run("Pause and resume")
    job = vendor.add_job(b"four")
    cloud.send({"job_id": job.job_id})
    counts = json.loads(run("Pause and resume", 2))["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "1"
    assert cloud.job_item(job.job_id) is None
    assert "Enabl" in run("Pause and resume", 1)
    wait_for_state(cloud, job, "archived")


def test_backfill_by_date_and_for_one_job(
    cloud: LocalCloud, vendor: VendorStandIn, run: Run
) -> None:
    """The dry run names the job and queues nothing; then it is archived, and so is a single one."""
    job = vendor.add_job(b"four")
    since = vendor.clock.now().date().isoformat()
    assert job.job_id in run("Backfill", 0, SINCE=since)
    assert cloud.job_item(job.job_id) is None
    run("Backfill", 1, SINCE=since)
    wait_for_state(cloud, job, "archived")
    other = vendor.add_job(b"four")
    run("Backfill", 2, JOB=other.job_id)
    wait_for_state(cloud, other, "archived")


def test_read_and_redrive_dead_letters(cloud: LocalCloud, vendor: VendorStandIn, run: Run) -> None:
    """The letter tells its reason and stays; once the cause is mended the command sends it back."""
    job = vendor.add_job(b"four")
    vendor.forbid(job.job_id)
    cloud.send({"job_id": job.job_id})
    wait_for_state(cloud, job, "dead_lettered")
    (letter,) = json.loads(run("Dead letters"))["Messages"]
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "forbidden"
    assert len(cloud.dead_letters()) == 1
    vendor.forbid(job.job_id, None)
    run("Dead letters", 1)
    wait_for_state(cloud, job, "archived")
    assert cloud.dead_letters() == []


def test_restore_a_deleted_object(cloud: LocalCloud, vendor: VendorStandIn, run: Run) -> None:
    """A marker is taken away; a version that is gone is archived again. The audit sees both."""
    job, key = archived(cloud, vendor)
    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key)
    run("Restore a deleted object", JOB=job.job_id)
    held = cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=key)
    assert held["Body"].read() == b"four"
    assert "borne out by the bucket" in run("Before the vendor's copies are deleted")
    cloud.clients.s3.delete_object(Bucket=cloud.bucket, Key=key, VersionId=held["VersionId"])
    before = cloud.event_source.counts.deleted
    run("Restore a deleted object", 1, JOB=job.job_id)
    cloud.event_source.wait_for(
        lambda counts: counts.deleted > before, deadline_seconds=PATIENCE_SECONDS
    )
    assert cloud.clients.s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read() == b"four"


def test_tend_the_catalogue(cloud: LocalCloud, vendor: VendorStandIn, run: Run) -> None:
    """Entries of before are added; a month that is over is put together, and then alone."""
    job, _ = archived(cloud, vendor)
    assert "have their entry in the catalogue" in run("The catalogue")
    known = JobTable(cloud.clients.dynamodb, cloud.table).read(job.job_id).receipt
    assert known is not None
    old = replace(known, archived_at="2025-10-07T10:00:00.000Z")
    cloud.clients.s3.put_object(
        Bucket=cloud.bucket, Key=entry_key(old, prefix=""), Body=entry_line(old)
    )
    assert "1 entries were put together" in run("The catalogue", 1)
    assert "1 small objects were deleted" in run("The catalogue", 2)


def test_a_lost_table(cloud: LocalCloud, vendor: VendorStandIn, run: Run) -> None:
    """What was archived is known again."""
    job, _ = archived(cloud, vendor)
    run("The catalogue")
    cloud.clients.dynamodb.delete_item(
        TableName=cloud.table, Key={"id": {"S": f"job#{job.job_id}"}}
    )
    assert "1 items were written anew" in run("The table is lost")
    item = cloud.job_item(job.job_id)
    assert item is not None
    assert item["state"] == {"S": "archived"}


def test_look_for_unfinished_uploads(cloud: LocalCloud, run: Run) -> None:
    """One that nobody goes on with is listed."""
    made = cloud.clients.s3.create_multipart_upload(Bucket=cloud.bucket, Key="left/behind.csv")
    assert made["UploadId"] in run("Unfinished uploads")


def test_what_stays_after_an_uninstall_is_named(cloud: LocalCloud, run: Run) -> None:
    """Bucket, table and secret by name; the dashboard, which no stack owns, is deleted."""
    cloud.clients.cloudwatch.put_dashboard(
        DashboardName=STACK_NAME, DashboardBody=json.dumps({"widgets": []})
    )
    said = run("Uninstall")
    for name in (cloud.bucket, cloud.table, cloud.credentials_secret):
        assert name in said
    listed = cloud.clients.cloudwatch.list_dashboards()["DashboardEntries"]
    assert [entry["DashboardName"] for entry in listed] == []


def test_every_command_of_the_manual_is_tried() -> None:
    """A block that no test of this file runs must be marked `text`."""
    calls = re.findall(r'run\(\s*"([^"]+)"(?:, (\d))?', Path(__file__).read_text(encoding="utf-8"))
    tried = {blocks_of(heading)[int(index or 0)] for heading, index in calls}
    headings = re.findall(r"^## (.*)$", MANUAL, flags=re.MULTILINE)
    assert {block for heading in headings for block in blocks_of(heading)} == tried
