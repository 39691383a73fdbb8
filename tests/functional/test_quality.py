"""Odd content is archived byte for byte all the same, and told: in event, metric, entry and log."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from local.apartmentiq import Job, Order, SyntheticExport
from tests.functional.aws_script import Environ, Refusal, operation, s3_call
from tests.functional.company import Company, LambdaContext
from tests.functional.copying import LARGE, MIB, grant

_GOOD = b"unit,rent\n101,1000\n"
_HUGE_HEADER_ONLY = b"unit,rent" + b"\n" * (17 * MIB)


def told_of(company: Company, job: Job) -> str | None:
    """Return what was told of a job's content, everywhere the same."""
    (event,) = [
        event
        for event in company.emitted("Export Archived")
        if event["job"]["job_id"] == job.job_id
    ]
    told: str | None = event.get("quality_warning")
    (line,) = [
        line
        for line in company.log_lines()
        if line.get("outcome") == "archived" and line["job_id"] == job.job_id
    ]
    entry = json.loads(company.entries()[company.item(job.job_id)["catalogue_key"]])
    assert entry["quality_warning"] == line.get("quality_warning") == told
    assert company.item(job.job_id)["quality_warning"] == (True if told is None else told)
    return told


def counted(printed: str) -> list[tuple[str, int]]:
    """Return the warnings that were counted, by reason."""
    metrics = [json.loads(line) for line in printed.splitlines() if '"QualityWarnings"' in line]
    return [(metric["reason"], metric["QualityWarnings"][0]) for metric in metrics]


@pytest.mark.parametrize(
    ("output_format", "content", "told"),
    [
        ("csv", b"", "empty"),
        ("csv", _GOOD, None),
        ("csv", b"unit,rent\n", "header_only"),
        ("csv", b"unit,rent\n\xff,1\n", "unreadable"),
        ("jsonl", b"[1]\n", "unreadable"),
        ("parquet", b"", "empty"),
        ("parquet", _GOOD, "unreadable"),
        ("parquet", b"PAR1" + os.urandom(17 * MIB) + b"\x08\0\0\0PAR", "unreadable"),
    ],
    ids=["0 bytes", "good", "header", "not UTF-8", "no object", "0 bytes", "no mark", "no end"],
)
def test_odd_content_is_archived_and_told(
    company: Company,
    capsys: pytest.CaptureFixture[str],
    output_format: str,
    content: bytes,
    told: str | None,
) -> None:
    """One metric by its reason, and nothing where nothing is odd."""
    job = company.vendor.add_job(content, order=Order(output_format=output_format))
    assert company.archive(job) == content
    assert told_of(company, job) == told
    assert counted(capsys.readouterr().out) == ([] if told is None else [(told, 1)])


def test_what_was_in_memory_is_not_read_again(company: Company) -> None:
    """A small export costs no read of S3; one in parts one, and Parquet in parts two."""
    parquet = Order(output_format="parquet")
    for job, reads in [
        (company.vendor.add_job(_GOOD), 0),
        (company.vendor.add_job(_HUGE_HEADER_ONLY), 1),
        (company.vendor.add_job(b"PAR1" + bytes(17 * MIB), order=parquet), 2),
    ]:
        before = len(company.calls("GetObject"))
        company.archive(job)
        assert len(company.calls("GetObject")) == before + reads


def test_what_s3_copied_by_itself_is_looked_at(company: Company) -> None:
    """By a small read of what was committed."""
    job, _ = grant(company, b"unit,rent\n")
    company.archive(job)
    assert company.item(job.job_id)["copy_method"] == "server_side"
    assert told_of(company, job) == "header_only"
    (read,) = company.calls("GetObject")
    headers = json.loads(read.sent)["headers"]
    etag = company.item(job.job_id)["etag"]
    told = {name.lower(): value for name, value in headers.items()}
    assert (told["range"], told["if-match"]) == ("bytes=0-9", f'"{etag}"')


@pytest.mark.parametrize("size", ["small", "in parts"])
def test_what_is_packed_is_looked_at_unpacked(company: Company, size: str) -> None:
    """Its Content-Encoding is kept, and its bytes are."""
    content = gzip.compress(b"unit,rent\n", mtime=0)
    if size == "small":
        job = company.vendor.add_job(content, headers={"Content-Encoding": "gzip"})
    else:
        job, _ = grant(company, content)
    assert company.archive(job) == content
    assert told_of(company, job) == "header_only"


def test_an_export_that_shrank_is_told(company: Company) -> None:
    """Compared with the last one of its kind, whatever its window is."""
    sizes = [100, 60, 29, 29, 500]
    orders = [
        Order(start_date=f"2026-{month:02}-01", end_date=f"2026-{month:02}-28")
        for month in range(1, 6)
    ]
    jobs = [
        company.vendor.add_job(b"a\n" + b"1" * (size - 2), order=order)
        for size, order in zip(sizes, orders, strict=True)
    ]
    for job in jobs:
        company.archive(job)
    assert [company.item(job.job_id)["quality_warning"] for job in jobs] == [
        True,
        True,
        "shrunken",
        True,
        True,
    ]


def test_exports_of_different_kinds_are_not_compared(company: Company) -> None:
    """Other properties are another kind."""
    company.archive(company.vendor.add_job(_GOOD * 100))
    job = company.vendor.add_job(_GOOD, order=Order(property_ids=(1,)))
    company.archive(job)
    assert told_of(company, job) is None


def test_a_run_that_died_is_compared_with_what_was_before_it(company: Company) -> None:
    """And not with itself: the next run says the same."""
    company.archive(company.vendor.add_job(_GOOD * 100))
    job = company.vendor.add_job(_GOOD)
    put = s3_call("PUT", company.bucket)

    def at_entry(environ: Environ) -> bool:
        return put(environ) and "catalogue/" in environ["PATH_INFO"]

    company.aws_script.answer_next(at_entry, Refusal.s3(403, "AccessDenied"))
    assert len(company.deliver_job(job)) == 1
    assert company.deliver_job(job, receive_count=2) == []
    assert company.item(job.job_id)["quality_warning"] == "shrunken"


@pytest.mark.parametrize(
    "refusal",
    [Refusal.s3(403, "AccessDenied"), Refusal.s3(404, "NoSuchKey"), Refusal.s3(500, "Internal")],
    ids=["denied", "gone", "down"],
)
def test_what_cannot_be_read_is_not_told(company: Company, refusal: Refusal) -> None:
    """The job is archived all the same, and nothing is said of its content."""
    job = company.vendor.add_job(_HUGE_HEADER_ONLY)
    company.aws_script.answer_next(s3_call("GET", company.bucket), refusal, times=9)
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("archived", None)]
    company.aws_script.clear()
    assert told_of(company, job) is None


def test_what_cannot_be_compared_is_not_told(company: Company) -> None:
    """A table that is busy with a kind costs a warning, and no job."""
    company.archive(company.vendor.add_job(_GOOD * 100))
    job = company.vendor.add_job(_GOOD)
    update = operation("UpdateItem")
    busy = Refusal.json(400, b'{"__type": "ThrottlingException"}')
    # The claim goes through; then all three tries at the kind are refused.
    company.aws_script.answer_next(update, busy, times=3, skip=1)
    company.archive(job)
    assert told_of(company, job) is None


def test_without_time_left_nobody_looks(company: Company) -> None:
    """What is left is the entry's and the event's."""
    job = company.vendor.add_job(LARGE)
    context = LambdaContext(remaining_ms=45_000)
    assert company.deliver({"job_id": job.job_id}, context=context) == []
    assert company.outcomes() == [("archived", None)]
    assert company.calls("GetObject") == []
    assert len(company.entries()) == 1


def test_a_format_that_nobody_knows_is_not_read(company: Company) -> None:
    """Only its size can be odd."""
    company.vendor.tell_jobs_as(lambda job: {**job, "output_format": "xlsx"})
    assert company.deliver_job(company.vendor.add_job(SyntheticExport(17 * MIB, seed=5))) == []
    assert company.outcomes() == [("archived", None)]
    assert company.calls("GetObject") == []
