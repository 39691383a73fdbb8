"""`make verify` tells the truth about a job, as any user of the stack could see it."""

from __future__ import annotations

from argparse import Namespace

import pytest

from local.apartmentiq import VendorStandIn
from local.cloud import STACK_NAME, LocalCloud
from local.verify import run_verify

UNKNOWN_JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"


def verify(job_id: str, stack: str = STACK_NAME) -> int:
    """Run it with a deadline that a loaded machine can keep."""
    return run_verify(Namespace(stack=stack, job=job_id, deadline_seconds=60))


def test_an_archived_job_is_shown_with_its_object(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, the key, the size that the bucket holds; and the same for an archived job."""
    job = vendor.add_job(b"four")
    for _ in range(2):
        assert verify(job.job_id) == 0
        said = capsys.readouterr().out
        assert f"{job.job_id}.csv" in said
        assert "the bucket holds 4 bytes" in said
    people.wait_until_quiet()


def test_an_object_that_is_gone_is_archived_again(
    people: LocalCloud, vendor: VendorStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verifying asks for a recheck, and a recheck repairs."""
    job = vendor.add_job(b"four")
    assert verify(job.job_id) == 0
    item = people.job_item(job.job_id)
    assert item is not None
    people.clients.s3.delete_object(Bucket=people.bucket, Key=item["key"]["S"])
    assert verify(job.job_id) == 0
    assert "the bucket holds 4 bytes" in capsys.readouterr().out


@pytest.mark.usefixtures("people")
def test_a_rejected_job_and_a_stack_that_is_not_there_are_said_to_be_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 1, with the reason and what to do."""
    assert verify(UNKNOWN_JOB) == 1
    said = capsys.readouterr().out
    assert "no_such_job" in said
    assert "RedriveCommand" in said
    assert verify(UNKNOWN_JOB, stack="nobody") == 1
    assert "could not verify" in capsys.readouterr().out
