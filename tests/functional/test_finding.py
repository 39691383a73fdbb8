"""Finding a job: a 404 that lasts a moment, a list that moves or is odd, and the key of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from local.apartmentiq import Job, Order
from tests.functional.company import Company, default_key
from tests.functional.test_sweeps import Sweeps, hours_ago, sweeps
from tests.functional.test_vendor_answers import minutes_old

__all__ = ["sweeps"]  # the fixture

NOT_KNOWN_YET_SECONDS = 60.0


def unknown_key(job: Job) -> str:
    """Return the key of a job that the vendor has not described."""
    return (
        f"report_type=unknown/format=unknown/start_date=unknown/end_date=unknown/{job.job_id}.bin"
    )


def listed_without_details(company: Company, count: int) -> Job:
    """Enter a job and so many newer ones, at a vendor whose jobs have no pages of their own."""
    job = company.vendor.add_job(b"x")
    for _ in range(count):
        company.vendor.add_job(None, status="submitted")
    company.vendor.switch_job_details(404)
    return job


# --- a 404 ---


def test_a_callback_that_is_quicker_than_the_replica_waits(fresh_company: Company) -> None:
    """404 everywhere, for a moment: no letter, no key, no receive; then it is archived as ever."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    company.vendor.hide_job(job.job_id, NOT_KNOWN_YET_SECONDS)
    assert company.deliver_job(job) == []
    assert company.outcomes() == [("deferred", "no_such_job")]
    message = company.deferred()
    assert 8 <= message["delay_seconds"] <= 12
    assert company.dead_letters() == []
    assert "key" not in company.item(job.job_id)
    company.vendor.clock.advance(NOT_KNOWN_YET_SECONDS)
    company.runtime.restart()  # the vendor's clock has used the token up
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"x"


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(4.9, ("deferred", "no_such_job")), (5.1, ("rejected", "no_such_job"))],
)
def test_a_404_is_a_verdict_after_five_minutes(
    company: Company, minutes: float, expected: tuple[str, str]
) -> None:
    """The results endpoint's as well, whoever else described the job."""
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=404, body={"error": "Not Found"})
    company.deliver({"job_id": job.job_id}, attributes=minutes_old(minutes))
    assert company.outcomes() == [expected]


def test_a_sweep_takes_up_what_was_unknown_and_now_exists(sweeps: Sweeps) -> None:
    """It sees the job, and so knows better than its letter; what comes of it is archived."""
    company = sweeps.company
    job = company.vendor.add_job(b"x")
    company.vendor.hide_job(job.job_id, NOT_KNOWN_YET_SECONDS)
    company.deliver({"job_id": job.job_id}, attributes=minutes_old(6))
    assert company.outcomes() == [("rejected", "no_such_job")]
    assert sweeps.run()["queued"] == 0  # it is not listed
    company.vendor.clock.advance(NOT_KNOWN_YET_SECONDS)
    answer = sweeps.run()
    assert (answer["queued"], answer["taken_up"]) == (1, 1)
    sweeps.deliver_queue()
    assert company.content(default_key(job)) == b"x"
    assert sweeps.run()["archived"] == 1


def test_a_vendor_that_lists_what_it_does_not_give_makes_no_letter_an_hour(sweeps: Sweeps) -> None:
    """Three times a sweep believes the list, and then the letters are a person's."""
    company = sweeps.company
    job = company.vendor.add_job(b"x")
    company.vendor.answer_next("results", status=404, times=None)
    company.deliver({"job_id": job.job_id}, attributes=minutes_old(6))
    for _ in range(5):
        queued = sweeps.run()["queued"]
        company.aws.forget_messages(f"{company.name}-queue", "us-east-1")
        if queued:
            company.deliver({"job_id": job.job_id}, attributes=minutes_old(6))
    assert len(company.dead_letters()) == 4


@pytest.mark.parametrize(
    ("state", "reason", "queued"),
    [
        ("ended_at_vendor", "job_failed", 1),
        ("dead_lettered", "waited_too_long", 1),
        ("dead_lettered", "forbidden", 0),
        ("dead_lettered", "object_conflict", 0),
        ("dead_lettered", "vendor_error", 0),
    ],
)
def test_a_sweep_takes_up_what_the_list_disproves_and_nothing_else(
    sweeps: Sweeps, state: str, reason: str, queued: int
) -> None:
    """It completed after its letter; of other letters the list says nothing."""
    job = sweeps.company.vendor.add_job(b"x")
    sweeps.write_item(f"job#{job.job_id}", state=state, reason=reason, updated_at=hours_ago(2))
    assert sweeps.run()["queued"] == queued


# --- the list ---


def test_a_job_is_found_on_the_twelfth_page(fresh_company: Company) -> None:
    """However many there are: the job that is asked for may be old."""
    job = listed_without_details(fresh_company, 1_150)
    assert fresh_company.archive(job) == b"x"
    assert fresh_company.asked("jobs") == 12


def test_a_job_that_vanishes_between_two_pages_hides_no_other(fresh_company: Company) -> None:
    """The one that is looked for crosses to the page that was read already; it is read again."""
    company = fresh_company
    job = listed_without_details(company, 100)  # first on the second page
    newest = company.vendor.jobs.newest_first()[0]
    gone = [newest.job_id]
    company.vendor.on_list(
        lambda page: company.vendor.jobs.remove(gone.pop()) if page == 2 and gone else None
    )
    assert company.archive(job) == b"x"


@pytest.mark.parametrize(
    "odd",
    [
        lambda told: {name: told[name] for name in told if name != "total_pages"},
        lambda told: {**told, "total_pages": str(told["total_pages"])},
        lambda told: {**told, "total_pages": None},
        lambda told: {**told, "total_pages": 1},
        lambda told: {**told, "total_pages": 0},
        lambda told: {**told, "total_pages": True},
        lambda _told: {"total_pages": None},
        lambda _told: None,
        lambda _told: [],
        lambda told: {name: str(value) for name, value in told.items()},
    ],
    ids=[
        "missing",
        "text",
        "null",
        "one",
        "zero",
        "true",
        "no totals",
        "nothing",
        "a list",
        "texts",
    ],
)
def test_a_pagination_that_says_too_little_ends_no_search(
    fresh_company: Company, odd: Callable[[dict[str, object]], object]
) -> None:
    """The pages themselves say where the list ends."""
    job = listed_without_details(fresh_company, 250)
    fresh_company.vendor.tell_pagination_as(odd)
    assert fresh_company.archive(job) == b"x"


@pytest.mark.parametrize("status", [404, 500, 429, 200])
def test_a_list_that_cannot_be_read_makes_the_job_wait_for_its_key(
    fresh_company: Company, status: int
) -> None:
    """No list, no verdict: the export gets the key that it deserves once the list is back."""
    company = fresh_company
    job = listed_without_details(company, 0)
    company.vendor.answer_next("jobs", status=status, body=b"<html>")
    company.deliver_job(job)
    assert company.outcomes()[-1][0] in {"failed", "deferred"}
    assert company.outcomes()[-1][1] in {"vendor_error", "rate_limited"}
    assert company.asked("results") == 0
    assert "key" not in company.item(job.job_id)
    sent = company.people.client("dynamodb")
    sent.delete_item(TableName=company.table, Key={"id": {"S": "throttle#vendor"}})
    company.runtime.restart()
    assert company.archive(job) == b"x"


@pytest.mark.parametrize("properties", [5_000, 40_000])
def test_pages_of_jobs_with_thousands_of_properties_are_read_by_fewer(
    sweeps: Sweeps, properties: int
) -> None:
    """100 jobs of 5,000 properties pass 4 MiB, of 40,000 each page 8: both find all."""
    company = sweeps.company
    order = Order(property_ids=tuple(range(10_000_000, 10_000_000 + properties)))
    jobs = [company.vendor.add_job(b"x", order=order) for _ in range(101)]
    company.vendor.switch_job_details(404)
    assert company.archive(jobs[0]) == b"x"  # the last of the list
    answer = sweeps.run()
    assert (answer["outcome"], answer["queued"], answer["archived"]) == ("finished", 100, 1)


# --- the key ---


def test_another_accounts_client_fixes_no_key(fresh_company: Company) -> None:
    """404 everywhere, a letter; mended and redriven, the export lies where its table finds it."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    company.vendor.hide_job(job.job_id, 10**6)
    company.deliver({"job_id": job.job_id}, attributes=minutes_old(6))
    letter = company.dead_letter()
    assert letter["reason"] == "no_such_job"
    assert "key" not in company.item(job.job_id)
    company.vendor.hide_job(job.job_id, 0)
    assert company.deliver(letter["body"]) == []
    assert company.objects() == {default_key(job): b"x"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 302])
def test_a_job_without_a_link_gets_no_key_of_unknowns(fresh_company: Company, status: int) -> None:
    """Whatever the results endpoint says instead; the claim waits for the link."""
    company = fresh_company
    job = company.vendor.add_job(b"x")
    company.vendor.switch_job_details(404)
    company.vendor.answer_next("jobs", status=200, body=b'{"jobs": []}', times=None)
    company.vendor.answer_next("results", status=status, times=None)
    company.deliver({"job_id": job.job_id}, attributes=minutes_old(6))
    assert "key" not in company.item(job.job_id)
    assert company.held() == []
    company.vendor.clear_script()
    company.forget_table()
    company.runtime.restart()
    assert company.archive(job) == b"x"


def claimed_as_unknown(company: Company, job: Job, **more: str) -> None:
    """Leave an item as an older version left it: claimed before it had a link."""
    item: dict[str, Any] = {
        name: {"S": value}
        for name, value in {
            "id": f"job#{job.job_id}",
            "state": "dead_lettered",
            "reason": "no_such_job",
            "key": unknown_key(job),
            "job_id": job.job_id,
            **more,
        }.items()
    }
    company.people.client("dynamodb").put_item(
        TableName=company.table, Item={**item, "attempts": {"N": "1"}}
    )


def test_recheck_gives_a_job_of_unknowns_its_true_key(company: Company) -> None:
    """What an older version fixed before it had a link; a plain message keeps to it."""
    job = company.vendor.add_job(b"x")
    claimed_as_unknown(company, job)
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert company.objects() == {default_key(job): b"x"}
    assert company.item(job.job_id)["key"] == default_key(job)
    (told,) = company.emitted("Export Archived")
    assert told["object"]["key"] == default_key(job)


def test_without_recheck_a_job_of_unknowns_keeps_its_key(company: Company) -> None:
    """A late detail gives no job a second key by itself."""
    job = company.vendor.add_job(b"x")
    claimed_as_unknown(company, job)
    assert company.deliver({"job_id": job.job_id}) == []
    assert set(company.objects()) == {unknown_key(job)}


def test_recheck_leaves_an_export_where_it_lies(company: Company) -> None:
    """An object at the key of unknowns is the job's: it is found, and nothing is copied again."""
    job = company.vendor.add_job(b"x")
    claimed_as_unknown(company, job)
    assert company.deliver({"job_id": job.job_id}) == []
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert set(company.objects()) == {unknown_key(job)}
    assert company.outcomes()[-1] == ("already_archived", None)


def test_recheck_of_a_job_that_is_being_archived_waits(company: Company) -> None:
    """Its run is about to put the export at the key that it knows."""
    job = company.vendor.add_job(b"x")
    claimed_as_unknown(company, job)
    company.hold(job.job_id)
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert company.outcomes()[-1] == ("deferred", "in_progress_elsewhere")
    assert company.item(job.job_id)["key"] == unknown_key(job)


def test_recheck_gives_up_what_was_begun_at_the_key_of_unknowns(company: Company) -> None:
    """The upload there is nobody's any more, and the item forgets it."""
    job = company.vendor.add_job(b"x")
    s3 = company.people.client("s3")
    upload = s3.create_multipart_upload(Bucket=company.bucket, Key=unknown_key(job))
    claimed_as_unknown(company, job, upload_id=upload["UploadId"], source_etag='"e"')
    table = company.people.client("dynamodb")
    table.update_item(
        TableName=company.table,
        Key={"id": {"S": f"job#{job.job_id}"}},
        UpdateExpression="SET part_size_bytes = :p, size_bytes = :s, copy_method = :m",
        ExpressionAttributeValues={
            ":p": {"N": "5242880"},
            ":s": {"N": "1"},
            ":m": {"S": "streaming"},
        },
    )
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []
    assert company.objects() == {default_key(job): b"x"}
    assert company.uploads() == []
    assert "upload_id" not in company.item(job.job_id)


# --- words and dates ---


@pytest.mark.parametrize(
    "word", ["Succeeded", "SUCCEEDED", " succeeded ", "complete", "done", None]
)
def test_a_job_with_an_odd_word_for_its_status_is_found_and_archived(
    sweeps: Sweeps, word: str | None
) -> None:
    """The sweep judges a status as the archiver does: what may have an export is asked for."""
    company = sweeps.company
    job = company.vendor.add_job(b"x")
    company.vendor.tell_jobs_as(lambda told: {**told, "status": word})
    answer = sweeps.run()
    assert (answer["queued"], answer["unarchived"]) == (1, 1)
    sweeps.deliver_queue()
    assert company.content(default_key(job)) == b"x"
    again = sweeps.run()
    assert (again["queued"], again["unarchived"], again["archived"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Submitted", ("deferred", "not_finished")),
        ("FAILED", ("ended_at_vendor", "job_failed")),
        ("Cancelled", ("ended_at_vendor", "job_cancelled")),
    ],
)
def test_a_status_means_the_same_in_any_case(
    fresh_company: Company, status: str, expected: tuple[str, str]
) -> None:
    """Else a failed job would wait for days as one that still runs."""
    job = fresh_company.vendor.add_job(None, status=status.lower())  # type: ignore[arg-type] # a text
    fresh_company.vendor.tell_jobs_as(lambda told: {**told, "status": status})
    fresh_company.deliver_job(job)
    assert fresh_company.outcomes() == [expected]
    assert fresh_company.asked("results") == 0


FORMS: dict[str, Callable[[datetime], object]] = {
    "epoch": lambda at: int(at.timestamp()),
    "epoch with a fraction": lambda at: at.timestamp(),
    "epoch as text": lambda at: str(int(at.timestamp())),
    "milliseconds": lambda at: int(at.timestamp() * 1000),
    "milliseconds as text": lambda at: str(int(at.timestamp() * 1000)),
    "UTC": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "an offset": lambda at: at.strftime("%Y-%m-%d %H:%M:%S +0000"),
    "HTTP": lambda at: format_datetime(at, usegmt=True),
    "asctime": lambda at: at.strftime("%a %b %d %H:%M:%S %Y"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_date_in_another_form_counts(sweeps: Sweeps, form: str) -> None:
    """Else the oldest job would have no age, and its alarm could not ring."""
    company = sweeps.company
    company.vendor.add_job(b"x")
    at = FORMS[form](datetime.now(UTC) - timedelta(hours=9))
    company.vendor.tell_jobs_as(lambda told: {**told, "created_at": at, "updated_at": at})
    answer = sweeps.run({"dry_run": True})
    assert 9 * 3600 - 5 < answer["oldest_unarchived_seconds"] < 9 * 3600 + 60
    assert answer["would_queue"][0]["completed_at"] is not None


def test_a_job_without_any_date_grows_old_all_the_same(sweeps: Sweeps) -> None:
    """As old as our first sight of it."""
    company = sweeps.company
    job = company.vendor.add_job(b"x")
    company.vendor.tell_jobs_as(lambda told: {**told, "created_at": "soon", "updated_at": None})
    assert sweeps.run()["queued"] == 1
    company.people.client("dynamodb").update_item(
        TableName=company.table,
        Key={"id": {"S": f"job#{job.job_id}"}},
        UpdateExpression="SET known_since = :at",
        ExpressionAttributeValues={":at": {"S": hours_ago(9)}},
    )
    assert sweeps.run()["oldest_unarchived_seconds"] > 9 * 3600 - 5


def test_dates_of_the_export_in_another_form_make_its_key(fresh_company: Company) -> None:
    """They are its partition."""
    job = fresh_company.vendor.add_job(b"x")
    fresh_company.vendor.tell_jobs_as(
        lambda told: {**told, "start_date": "2025-01-01 00:00:00 UTC", "end_date": 1738281600000}
    )
    assert fresh_company.archive(job) == b"x"


def test_a_place_in_short_pages_is_kept_so_that_older_versions_begin_anew(sweeps: Sweeps) -> None:
    """They know pages of a hundred alone, and would skip most of the list."""
    company = sweeps.company
    order = Order(property_ids=tuple(range(10_000_000, 10_040_000)))
    for _ in range(101):
        company.vendor.add_job(b"x", order=order)
    company.vendor.on_list(
        lambda page: (
            company.vendor.limit_rate_next("jobs", retry_after_seconds=900) if page == 2 else None
        )
    )
    answer = sweeps.run()
    assert answer["reason"] == "rate_limited"
    place = json.loads(sweeps.item("sweep#scheduled")["place"])
    assert (place["page"], place["narrow_page"] > 1, place["per_page"] < 100) == (None, True, True)
    assert answer["continue_with"]["continue_from"]["per_page"] == place["per_page"]
