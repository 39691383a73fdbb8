"""What `archiver audit` holds of very many texts, and reads out of an object without entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import pytest
from mypy_boto3_s3 import S3Client

from archiver.receipt import Receipt
from cli.catalogue import Archive
from cli.job_items import RECEIPT_FIELDS
from cli.marks import Marks
from cli.rebuild import receipt_of_object

JOB_ID = "7d4fd9c1-3c7c-4a2e-9a51-6f3c8a3a2c11"
DEFAULT = (
    "report_type={report_type}/format={output_format}/start_date={start_date}/end_date={end_date}"
    "/{job_id}.{extension}"
)
KEY = f"p/report_type=rent%2Froll/format=csv/start_date=2026-10-01/end_date=2026-10-31/{JOB_ID}.csv"
HEAD: dict[str, Any] = {
    "ContentLength": 9,
    "ETag": '"e"',
    "VersionId": "v1",
    "ChecksumCRC64NVME": "AAAAAAAAAP8=",
    "Metadata": {
        "job-id": JOB_ID,
        "source-etag": "e",
        "archived-at": "2026-11-01T10:00:00.000Z",
        "archiver-version": "0.1.0",
        "copy-method": "streaming",
    },
}


def archive(key_template: str = DEFAULT) -> Archive:
    """Return a stack's archive."""
    return Archive("bucket", "p/", key_template, "table", "function", create_autospec(S3Client))


def test_marks_tell_members_differences_and_what_came_twice() -> None:
    """Whatever the order in which they came, and asked in between."""
    one, other = Marks(), Marks()
    for text in ("c", "a", "b", "a"):
        one.add(text)
    assert "a" in one
    assert "d" not in one
    one.add("d")
    assert "d" in one
    assert len(one) == 4
    other.add("a")
    other.add("z")
    assert (one.less(other), other.less(one), Marks().less(one)) == (3, 1, 0)
    twice = one.repeated()
    assert ("a" in twice, "b" in twice, len(twice)) == (True, False, 1)


def test_an_object_that_is_surely_ours_tells_its_receipt() -> None:
    """Type, format and dates by its key; that nothing was compared is said, too."""
    assert receipt_of_object(archive(), KEY, HEAD) == Receipt(
        job_id=JOB_ID,
        report_type="rent/roll",
        output_format="csv",
        start_date="2026-10-01",
        end_date="2026-10-31",
        bucket="bucket",
        key=KEY,
        version_id="v1",
        size_bytes=9,
        etag="e",
        checksum_crc64nvme="AAAAAAAAAP8=",
        source_etag="e",
        copy_method="streaming",
        verified_by="metadata",
        archived_at="2026-11-01T10:00:00.000Z",
        duration_seconds=0.0,
        etags_agree=True,
    )


def test_a_receipt_is_read_as_a_whole() -> None:
    """The command line names the fields itself; a new one is asked for, too."""
    assert set(RECEIPT_FIELDS) == set(Receipt.__slots__)


@pytest.mark.parametrize("missing", [*HEAD["Metadata"], "all of them"])
def test_an_object_that_does_not_say_all_of_it_is_not_ours(missing: str) -> None:
    """Metadata can be anybody's; ours are complete in every version."""
    metadata = {
        name: it for name, it in HEAD["Metadata"].items() if missing not in {name, "all of them"}
    }
    assert receipt_of_object(archive(), KEY, {**HEAD, "Metadata": metadata}) is None


def test_a_copy_at_another_jobs_key_is_not_ours() -> None:
    """The key names a job, and the metadata the same one."""
    key = KEY.replace(JOB_ID, JOB_ID.replace("7", "8"))
    assert receipt_of_object(archive(), key, HEAD) is None


@pytest.mark.parametrize(
    ("template", "key", "report_type"),
    [
        ("{report_type}/{job_id}.{extension}", f"p/units/{JOB_ID}.csv", "units"),
        ("x-{report_type}-y/{job_id}", f"p/x-a-y-y/{JOB_ID}", "a-y"),
        ("{report_type}-{output_format}/{job_id}", f"p/units-csv/{JOB_ID}", "unknown"),
        ("{report_type}-{job_id}", f"p/units-{JOB_ID}", "unknown"),
        ("flat/{job_id}", KEY, "rent/roll"),
        ("flat/{job_id}", f"p/elsewhere/{JOB_ID}.csv", "unknown"),
    ],
)
def test_a_key_tells_what_has_a_segment_to_itself(
    template: str, key: str, report_type: str
) -> None:
    """By the stack's template, or the default one; where it would be a guess, nothing is told."""
    receipt = receipt_of_object(archive(template), key, HEAD)
    assert receipt is not None
    assert receipt.report_type == report_type
    assert replace(receipt, report_type="").key == key
