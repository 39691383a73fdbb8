"""Keys: one job, one key, below the prefix, whatever the vendor says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.archiving.object_key import DEFAULT_KEY_TEMPLATE, check_key_template, object_key
from archiver.job import Job

JOB_ID = "ed49987b-6539-4e9e-8a63-2bcd811ef0ec"
UNITS = Job(JOB_ID, "units", "parquet", "2026-10-01", "2026-10-31")


def test_default_template_makes_one_partitioned_table_per_report_and_format() -> None:
    """The settled default key is what Athena, Spark and DuckDB read as Hive partitions."""
    assert object_key(UNITS, prefix="apartmentiq/", template=DEFAULT_KEY_TEMPLATE) == (
        "apartmentiq/report_type=units/format=parquet/start_date=2026-10-01/end_date=2026-10-31/"
        f"{JOB_ID}.parquet"
    )


def test_unknown_details_read_unknown_and_bin() -> None:
    """A job that the vendor does not describe still gets a key of its own."""
    assert object_key(Job(JOB_ID), prefix="", template=DEFAULT_KEY_TEMPLATE) == (
        "report_type=unknown/format=unknown/start_date=unknown/end_date=unknown/" + JOB_ID + ".bin"
    )


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_value_of_the_vendors_leaves_the_prefix_or_adds_a_level(report: str, form: str) -> None:
    """Slashes, dots, control characters and long values stay inside their own segment."""
    job = Job(JOB_ID, report, form, "../../x", "/")
    key = object_key(job, prefix="p/", template=DEFAULT_KEY_TEMPLATE)
    segments = key.split("/")
    assert segments[0] == "p"
    assert len(segments) == 6
    assert not {"", ".", ".."} & set(segments)
    assert len(key.encode()) <= 1024
    assert key.isascii()
    assert key.isprintable()


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_values_never_share_an_escaped_form(one: str, other: str) -> None:
    """Escaping keeps values apart; only what cannot be escaped in length reads unknown."""
    template = "{report_type}/{job_id}"
    keys = {object_key(Job(JOB_ID, value), prefix="", template=template) for value in (one, other)}
    unknowns = {k for k in keys if k.startswith("unknown/")}
    assert len(keys) == len({one, other}) or unknowns


@pytest.mark.parametrize("template", ["{report_type}/{job_id}", "c{report_type}/{job_id}"])
@pytest.mark.parametrize("report", ["catalogue", "atalogue"])
def test_no_export_lies_in_the_catalogue(report: str, template: str) -> None:
    """Whatever the vendor calls a report type, and wherever the template has it."""
    key = object_key(Job(JOB_ID, report), prefix="p/", template=template)
    assert not key.startswith("p/catalogue/")
    assert key.endswith(f"/{JOB_ID}")


@pytest.mark.parametrize(
    ("prefix", "template", "complaint"),
    [
        ("", "{report_type}/x", "must contain {job_id}"),
        ("", "catalogue/{job_id}", "must not begin with catalogue/"),
        ("", "{job_id}/{nonsense}", "no field 'nonsense'"),
        ("", "{job_id", "unbalanced braces"),
        ("", "{job_id!r}", "plain name"),
        ("", "{job_id:>9}", "plain name"),
        ("", "{job_id.x}", "plain name"),
        ("", "{job_id}/{job_id}", "twice"),
        ("", "a//{job_id}", "empty segment"),
        ("", "/{job_id}", "empty segment"),
        ("", "../{job_id}", "only dots"),
        ("", "a\\{job_id}", "backslash"),
        ("", "a\n{job_id}", "cannot be printed"),
        ("p", "{job_id}", "end with /"),
        ("/p/", "{job_id}", "not start with /"),
        ("p/", "x" * 700 + "{job_id}", "too long"),
    ],
)
def test_a_bad_template_is_refused_with_what_to_change(
    prefix: str, template: str, complaint: str
) -> None:
    """Templates are checked once, when the settings are read, and not when a job arrives."""
    with pytest.raises(ValueError, match=r".") as refused:
        check_key_template(prefix, template)
    assert complaint in str(refused.value)


def test_the_default_template_is_accepted() -> None:
    """What template.yaml ships passes its own check."""
    check_key_template("some/prefix/", DEFAULT_KEY_TEMPLATE)
