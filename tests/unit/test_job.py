"""Jobs as the vendor describes them: what is told is kept, what cannot be told on is not."""

from __future__ import annotations

import pytest

from archiver.job import Job

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        "a\x00b",
        "x" * 201,
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=abc",
        "Qx3-Zk2WqPs9-hLx4VbN8r-JmC3yTgF6-dUe1KoRw0_t",
    ],
    ids=["surrogate", "control", "long", "link", "key material"],
)
def test_what_cannot_be_part_of_a_key_or_an_event_reads_unknown(value: str) -> None:
    """It is the vendor's text, and would stand in the object's key, in events and in receipts."""
    job = Job.from_vendor(JOB_ID, {"report_type": value, "output_format": value})
    assert (job.report_type, job.output_format) == ("unknown", "unknown")


@pytest.mark.parametrize("value", ["units", "rent roll", "../..", "\N{GREEK SMALL LETTER ALPHA}"])
def test_any_plain_word_is_kept(value: str) -> None:
    """A report type that we do not know yet still gets its own partition."""
    assert Job.from_vendor(JOB_ID, {"report_type": value}).report_type == value
