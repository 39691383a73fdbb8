"""The catalogue: each archived export has its entry before anybody is told, whatever breaks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from archiver.aws.job_table import JobTable
from archiver.catalogue import FOLDER, entry_key, entry_line, receipt_of
from archiver.receipt import Receipt
from archiver.transfer.checksum import crc64nvme, encode_crc64nvme
from local.apartmentiq import Job
from tests.functional.aws_script import Refusal, operation
from tests.functional.company import LAST_RECEIVE, Company, default_key
from tests.functional.copying import LARGE, grant

_PRECONDITION = Refusal.s3(412, "PreconditionFailed")


def at_entry(method: str) -> Callable[[Mapping[str, Any]], bool]:
    """Match a call of S3 on an entry."""
    return lambda environ: (
        environ["REQUEST_METHOD"] == method and FOLDER in environ.get("PATH_INFO", "")
    )


def entry_of(company: Company) -> tuple[str, dict[str, Any]]:
    """Return the only entry: its key, and what it says."""
    ((key, line),) = company.entries().items()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return key, json.loads(line)


def receipt_in_table(company: Company, job: Job) -> Receipt:
    """Return the receipt that the job's item holds."""
    clients = company.people.client("dynamodb")
    receipt = JobTable(clients, company.table).read(job.job_id).receipt
    assert receipt is not None
    return receipt


def test_an_archived_export_has_an_entry_that_gives_its_receipt_back(company: Company) -> None:
    """The item says where it lies, and the two say the same but for when it was told."""
    job = company.vendor.add_job(b"unit,rent\n101,1000\n")
    company.archive(job)
    key, entry = entry_of(company)
    receipt = receipt_in_table(company, job)
    assert receipt.catalogue_key == key == entry_key(receipt, prefix="")
    assert receipt_of(entry, key) == replace(receipt, emitted_at=None)
    (told,) = company.emitted("Export Archived")
    assert told["archived_at"] == entry["archived_at"]
    assert (entry["object_key"], entry["version_id"]) == (
        told["object"]["key"],
        told["object"]["version_id"],
    )
    assert company.head(key)["ContentType"] == "application/json"


def test_the_entry_follows_the_commit_and_precedes_the_event(company: Company) -> None:
    """So that whoever is told finds it, and no entry tells of an export that is not there."""
    company.archive(company.vendor.add_job(b"x"))
    actions = [(call.action, FOLDER in call.resource) for call in company.calls()]
    export, entry = ("PutObject", False), ("PutObject", True)
    order = [each for each in actions if each in {export, entry} or each[0] == "PutEvents"]
    assert [action for action, _ in order] == ["PutObject", "PutObject", "PutEvents"]
    assert order[:2] == [export, entry]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", LARGE], ids=["empty", "small", "parts"])
def test_an_export_of_any_size_has_its_entry(company: Company, content: Any) -> None:  # noqa: ANN401 - bytes or synthetic
    """One PUT or many parts."""
    job = company.vendor.add_job(content)
    company.archive(job)
    _, entry = entry_of(company)
    assert entry["size_bytes"] == int(company.item(job.job_id)["size_bytes"])


def test_what_s3_copied_by_itself_has_its_entry(company: Company) -> None:
    """The server-side copy passes the same way."""
    job, _ = grant(company, os.urandom(1000))
    company.archive(job)
    _, entry = entry_of(company)
    assert (entry["job_id"], entry["copy_method"]) == (job.job_id, "server_side")


def test_below_a_prefix_the_catalogue_lies_below_it(company: Company) -> None:
    """Where the bucket is shared, the role may write there alone."""
    company.set_environment(KEY_PREFIX="exports/")
    assert company.deliver_job(company.vendor.add_job(b"x")) == []
    assert [key.startswith("exports/catalogue/") for key in company.entries()] == [True]


def test_a_run_that_died_before_its_event_goes_on_with_its_entry(company: Company) -> None:
    """The next one finds export and entry, writes no second, and tells what the first wrote."""
    job = company.vendor.add_job(b"x")
    refused = Refusal.json(400, b'{"__type": "InternalException"}')
    company.aws_script.answer_next(operation("PutEvents"), refused, times=9)
    assert len(company.deliver_job(job)) == 1
    company.aws_script.clear()
    before = company.entries()
    assert company.item(job.job_id)["state"] != "archived"

    assert company.deliver_job(job, receive_count=2) == []

    assert company.entries() == before
    key, entry = entry_of(company)
    assert len(company.versions(key)) == 1
    (told,) = company.emitted("Export Archived")
    assert told["archived_at"] == entry["archived_at"] == company.item(job.job_id)["archived_at"]
    assert receipt_of(entry, key) == replace(receipt_in_table(company, job), emitted_at=None)


def test_a_write_whose_answer_was_lost_finds_itself(company: Company) -> None:
    """S3 did it and said nothing: what lies there is compared, and nothing fails."""
    job = company.vendor.add_job(b"x")
    lost = Refusal.s3(500, "InternalError", too_late=True)
    company.aws_script.answer_next(at_entry("PUT"), lost)
    company.archive(job)
    key, _ = entry_of(company)
    assert company.item(job.job_id)["catalogue_key"] == key
    assert len(company.emitted("Export Archived")) == 1


@pytest.mark.parametrize("told", [b"", b"not JSON", b"[]", b"{}", b'{"job_id": "another"}'])
def test_what_else_lies_at_its_place_is_left_alone(company: Company, told: bytes) -> None:
    """A warning names the place; the job goes on, and its item tells of no entry."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    key, _ = entry_of(company)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=key, Body=told)
    s3.delete_object(Bucket=company.bucket, Key=default_key(job))

    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []

    assert company.entries() == {key: told}
    assert receipt_in_table(company, job).catalogue_key is None
    assert [line["key"] for line in company.log_lines() if "differs" in line["message"]] == [key]
    assert len(company.emitted("Export Archived")) == 2


def test_an_entry_of_the_same_job_with_another_size_is_not_ours(company: Company) -> None:
    """All four must agree: job, key, size and checksum."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    key, _ = entry_of(company)
    other = replace(receipt_in_table(company, job), size_bytes=2)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=key, Body=entry_line(other))
    s3.delete_object(Bucket=company.bucket, Key=default_key(job))
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert receipt_in_table(company, job).catalogue_key is None


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal.s3(403, "AccessDenied"),
        Refusal.s3(503, "SlowDown"),
        Refusal.s3(409, "ConditionalRequestConflict"),
        _PRECONDITION,
    ],
    ids=["denied", "slow down", "conflict", "refused as there, and is not"],
)
def test_without_its_entry_no_job_counts_as_archived(company: Company, refusal: Refusal) -> None:
    """It fails as AWS failing does; the redelivery finds the export at its key and goes on."""
    job = company.vendor.add_job(b"x")
    company.aws_script.answer_next(at_entry("PUT"), refusal, times=9)
    assert len(company.deliver_job(job)) == 1
    assert company.outcomes() == [("failed", "aws_error")]
    assert company.emitted() == []
    assert company.item(job.job_id)["state"] != "archived"
    company.aws_script.clear()

    assert company.deliver_job(job, receive_count=2) == []

    assert company.outcomes()[-1] == ("archived", None)
    assert len(company.versions(default_key(job))) == 1
    assert len(company.entries()) == len(company.emitted("Export Archived")) == 1


def test_an_entry_that_can_never_be_written_ends_in_the_dead_letter_queue(company: Company) -> None:
    """With a reason, as every failure."""
    job = company.vendor.add_job(b"x")
    company.archive(company.vendor.add_job(b"another is archived meanwhile"))
    company.aws_script.answer_next(at_entry("PUT"), Refusal.s3(403, "AccessDenied"), times=99)
    for receive in range(1, LAST_RECEIVE + 1):
        if receive == LAST_RECEIVE:
            company.aws_script.clear()
            company.archive(company.vendor.add_job(b"and one more"))
            company.aws_script.answer_next(
                at_entry("PUT"), Refusal.s3(403, "AccessDenied"), times=9
            )
        company.deliver_job(job, receive_count=receive)
    assert company.dead_letter()["reason"] == "aws_error"


def test_a_job_archived_again_with_other_bytes_has_a_second_entry(company: Company) -> None:
    """And the item names the newer one."""
    job = company.vendor.add_job(b"first")
    company.archive(job)
    first, _ = entry_of(company)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(job))
    company.vendor.complete_job(job.job_id, b"second")

    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []

    second = company.item(job.job_id)["catalogue_key"]
    assert company.entries().keys() == {first, second}
    told = json.loads(company.entries()[second])
    assert told["checksum_crc64nvme"] == encode_crc64nvme(crc64nvme(b"second"))


def test_a_job_archived_again_with_the_same_bytes_keeps_its_entry(company: Company) -> None:
    """Its key is the bytes'; the receipt tells of the object that is there now."""
    job = company.vendor.add_job(b"x")
    company.archive(job)
    before = company.entries()
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(job))
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert company.entries() == before
    receipt = receipt_in_table(company, job)
    assert receipt.catalogue_key in before
    assert receipt.version_id == company.head(default_key(job))["VersionId"]
