"""Messages: every accepted form is archived, every other set aside; none harms another."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archive_export
from archiver.wiring.settings import SettingsError
from tests.functional.company import Company, default_key
from tests.functional.switches import LOUD, REFUSED, loaded_again
from tests.functional.test_sweeps import hours_ago

EVENTS = Path(__file__).parents[2] / "events"
TOKEN_OF_OURS = "canary-callback-token"
CALLBACK_URL = f"https://hooks.example.com/apartmentiq?token={TOKEN_OF_OURS}"
ISO_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UNKNOWN_JOB = "3f2b8c1e-7a54-4d0f-9c66-1d5e0a9b7c42"


def job_object(job_id: str) -> dict[str, Any]:
    """Return a job object as the API shows it, with a callback of ours."""
    return {
        "report_type": "units",
        "output_format": "csv",
        "property_ids": [1041, 2203],
        "job_id": job_id,
        "status": "succeeded",
        "callback_url": CALLBACK_URL,
        "error_message": None,
    }


def envelope(detail: object) -> dict[str, Any]:
    """Return an EventBridge event around a detail."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "Job Completed",
        "source": "apartmentiq",
        "detail": detail,
    }


def sample(name: str) -> Any:  # noqa: ANN401 - a file's JSON
    """Return a file of events/."""
    return json.loads((EVENTS / name).read_text())


def sample_job_ids(name: str) -> set[str]:
    """Return the job ids that a sample names."""
    return set(re.findall(r'job_id[\\": ]+([0-9a-f-]{36})', (EVENTS / name).read_text()))


def test_every_accepted_form_is_archived(company: Company) -> None:
    """A bare id, a job object, and an EventBridge envelope around either; ids in any case."""
    forms: list[Callable[[str], object]] = [
        lambda job_id: {"job_id": job_id},
        job_object,
        lambda job_id: envelope({"job_id": job_id}),
        lambda job_id: envelope(job_object(job_id)),
        lambda job_id: {"job_id": job_id.upper()},
        lambda job_id: json.dumps({"job_id": f" {job_id} "}, indent=4),
    ]
    jobs = [company.vendor.add_job(b"form %d" % number) for number in range(len(forms))]
    bodies = [form(job.job_id) for form, job in zip(forms, jobs, strict=True)]

    assert company.deliver(*bodies) == []

    expected = {default_key(job): b"form %d" % number for number, job in enumerate(jobs)}
    assert company.objects() == expected
    archived = {detail["job"]["job_id"] for detail in company.emitted("Export Archived")}
    assert archived == {job.job_id for job in jobs}
    assert company.dead_letters() == []


MALFORMED = {
    "no JSON": "job_id=" + UNKNOWN_JOB,
    "cut off": '{"job_id": "' + UNKNOWN_JOB,
    "blank": " ",
    "a list": [{"job_id": UNKNOWN_JOB}],
    "a number": 42,
    "null": "null",
    "text": json.dumps(UNKNOWN_JOB),
    "no id": {"report_type": "units", "status": "succeeded"},
    "id is no UUID": {"job_id": "../../oauth/token"},
    "id without hyphens": {"job_id": UNKNOWN_JOB.replace("-", "")},
    "id is a number": {"job_id": 17},
    "id is an object": {"job_id": {"job_id": UNKNOWN_JOB}},
    "id is null": {"job_id": None},
    "detail is a list": envelope([UNKNOWN_JOB]),
    "detail is text": envelope(json.dumps({"job_id": UNKNOWN_JOB})),
    "detail without id": envelope({"status": "succeeded"}),
    "detail is null": envelope(None),
    "deeply nested": "[" * 100_000,
    "deeply nested object": '{"detail":' * 20_000,
    "NaN": "NaN",
}


def test_every_malformed_message_becomes_a_dead_letter_as_it_was(company: Company) -> None:
    """The letter holds the original body, the reason, a sentence and the time; an event tells."""
    bodies = [b if isinstance(b, str) else json.dumps(b) for b in MALFORMED.values()]

    assert company.deliver(*bodies) == []

    letters = company.dead_letters()
    assert [letter["body"] for letter in letters] == bodies
    for letter in letters:
        assert letter["reason"] == "malformed_message"
        assert "job_id" not in letter  # none could be read
        assert letter["detail"].endswith(".")
        assert ISO_UTC.fullmatch(letter["rejected_at"])
    told = company.emitted("Export Rejected")
    assert [(d["job_id"], d["reason"]) for d in told] == [(None, "malformed_message")] * len(bodies)
    assert [d["detail"] for d in told] == [letter["detail"] for letter in letters]
    assert company.objects() == {}
    assert company.vendor.journal == []


@pytest.mark.parametrize(
    "body",
    [
        {"status": "succeeded", "callback_url": CALLBACK_URL},
        envelope({"job": {"callback_url": CALLBACK_URL}}),
        f'{{"job_id": 7, "callback_url": "{CALLBACK_URL}"',
        f"callback_url={CALLBACK_URL}&job=7",
        f'{{"c\\u0061llback_url": "{CALLBACK_URL}"}}',
    ],
    ids=["object", "nested", "cut off", "form", "escaped name"],
)
def test_a_dead_letter_keeps_all_of_the_body_but_the_callback_url(
    company: Company, body: object
) -> None:
    """The URL carries a token of ours; nobody who reads dead letters may have it."""
    assert company.deliver(body) == []
    letter = company.dead_letter()
    assert letter["reason"] == "malformed_message"
    assert TOKEN_OF_OURS not in json.dumps(letter)


def test_a_rejected_jobs_letter_names_the_job(company: Company) -> None:
    """Where an id could be read, letter and event have it, so that people can look it up."""
    body = job_object(UNKNOWN_JOB.upper())
    long_ago = {"first_seen_at": hours_ago(1)}  # else a 404 is no verdict yet
    assert company.deliver(body, attributes=long_ago) == []
    letter = company.dead_letter()
    del body["callback_url"]
    assert json.loads(letter["body"]) == body
    assert (letter["job_id"], letter["reason"]) == (UNKNOWN_JOB, "no_such_job")
    (told,) = company.emitted("Export Rejected")
    assert told == {
        "schema_version": "1",
        "job_id": UNKNOWN_JOB,
        "reason": "no_such_job",
        "detail": letter["detail"],
    }


def test_a_batch_of_ten_reports_only_what_failed(company: Company) -> None:
    """Bad records in between cost their neighbours nothing; only a failure comes back."""
    jobs = [company.vendor.add_job(b"%d" % number) for number in range(6)]
    unlucky = company.vendor.add_job(b"unlucky")
    company.vendor.answer_next("results", status=500, job_id=unlucky.job_id)
    running = company.vendor.add_job(None, status="submitted")
    good = [{"job_id": job.job_id} for job in jobs]
    bodies: list[object] = [*good[:2], "{", *good[2:4], {"job_id": unlucky.job_id}]
    bodies += [good[4], {"job_id": running.job_id}, 5, good[5]]

    failed = company.deliver(*bodies)

    assert failed == [company.delivered[5]]
    assert company.objects() == {default_key(j): b"%d" % n for n, j in enumerate(jobs)}
    assert [letter["body"] for letter in company.dead_letters()] == ["{", "5"]
    assert json.loads(company.deferred()["body"]) == {"job_id": running.job_id}


def test_the_same_job_twice_in_a_batch_is_archived_once(company: Company) -> None:
    """Callback, schedule and queue carry the same job; its id is what makes it one."""
    job = company.vendor.add_job(b"once")
    assert company.deliver_job(job, job) == []
    assert len(company.versions(default_key(job))) == 1
    assert len(company.emitted("Export Archived")) == 1
    assert company.outcomes() == [("archived", None), ("already_archived", None)]


def test_an_event_that_comes_directly_is_only_queued(company: Company) -> None:
    """It goes to the queue, its callback URL stripped; nothing else is asked of anybody."""
    job = company.vendor.add_job(b"later")
    event = envelope(job_object(job.job_id))

    assert company.invoke(event) == {"queued": True}

    message = company.deferred()
    event["detail"].pop("callback_url")
    assert json.loads(message["body"]) == event
    assert ISO_UTC.fullmatch(message["attributes"]["first_seen_at"])
    assert message["delay_seconds"] == 0
    assert [call.action for call in company.calls()] == ["SendMessage"]
    assert company.vendor.journal == []
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.content(default_key(job)) == b"later"


@pytest.mark.parametrize("detail", ["text", None, 7, {"note": "x"}], ids=str)
def test_a_detail_of_somebody_elses_beside_the_job_id_is_no_envelope(
    company: Company, detail: object
) -> None:
    """The body's own job id counts; what else a sender writes is his."""
    job = company.vendor.add_job(b"x")
    assert company.deliver({"job_id": job.job_id, "detail": detail}) == []
    assert company.content(default_key(job)) == b"x"


def own_events(job_id: str) -> list[dict[str, Any]]:
    """Return what we may emit about a job, as rules bring it: whole, and the detail alone."""
    told = {"schema_version": "1", "job_id": job_id, "reason": "no_such_job", "detail": "404"}
    archived = {"schema_version": "1", "job": {"job_id": job_id}, "object": {"key": "k"}}
    ours: list[dict[str, Any]] = [
        {"source": "apartmentiq.archiver", "detail-type": kind, "detail": detail}
        for kind, detail in (
            ("Export Rejected", told),
            ("Export Failed At Vendor", told),
            ("Export Archived", archived),
            ("Export Rejected", {**told, "job_id": None}),
        )
    ]
    return [*ours, *(event["detail"] for event in ours)]


@pytest.mark.parametrize("directly", [False, True], ids=["by the queue", "directly"])
def test_our_own_events_ask_for_nothing_and_cause_none(company: Company, *, directly: bool) -> None:
    """A rule that is too wide brings them back: neither a request nor a rejection, without end."""
    job = company.vendor.add_job(b"x")
    for event in own_events(job.job_id):
        if directly:
            company.invoke(event)
        else:
            assert company.deliver(event) == []
    assert company.outcomes() == [("ignored", None)] * 8
    assert "apartmentiq" in company.log_lines()[-1]["detail"]
    assert (company.emitted(), company.dead_letters(), company.waiting()) == ([], [], [])
    assert (company.calls(), company.vendor.journal) == ([], [])


def test_a_rule_that_is_too_wide_comes_to_rest(company: Company) -> None:
    """Whatever a malformed message makes us emit is the end of it."""
    company.deliver("nonsense")
    (rejected,) = company.all_emitted()
    company.deliver(rejected)
    assert len(company.all_emitted()) == 1
    assert len(company.dead_letters()) == 1


@pytest.mark.parametrize(
    ("sent_hours_ago", "attributes"),
    [
        (80, {}),
        (80, {"first_seen_at": "2026-01-01T00:00:00Z", "deferrals": "40"}),
        (
            0,
            {
                "first_seen_at": "2026-01-01T00:00:00Z",
                "deferrals": "40",
                "deferred_at": "2026-01-02T00:00:00Z",
            },
        ),
    ],
    ids=["as it was sent", "a copy", "a copy that SQS sent anew"],
)
def test_a_letter_of_the_redrive_policy_waits_when_it_is_redriven(
    company: Company, sent_hours_ago: float, attributes: dict[str, str]
) -> None:
    """Its runtime died every time, so that it has no reason; days later somebody redrove it.

    The waiting begins anew, as for our own letters.
    """
    job = company.vendor.add_job(None, status="submitted")
    record = company.receive({"job_id": job.job_id}, attributes)
    sent = round((time.time() - sent_hours_ago * 3600) * 1000)
    record["attributes"]["SentTimestamp"] = str(sent)
    assert company.hand_over(record) == []
    assert company.outcomes() == [("deferred", "not_finished")]
    message = company.deferred()
    assert message["attributes"]["deferrals"] == "1"
    assert company.deliver(message["body"], attributes=message["attributes"]) == []
    assert company.outcomes()[-1] == ("deferred", "not_finished")


@pytest.mark.parametrize("detail", [{}, {"job_id": "7"}, "text", [1]], ids=str)
def test_a_direct_event_without_a_job_is_a_dead_letter(company: Company, detail: object) -> None:
    """It would never become a job by being queued; asynchronous invocation must not lose it."""
    event = envelope(detail)
    company.invoke(event)
    letter = company.dead_letter()
    assert json.loads(letter["body"]) == event
    assert letter["reason"] == "malformed_message"
    assert company.waiting() == []


def test_recheck_of_an_intact_object_changes_nothing(company: Company) -> None:
    """The receipt fits the object: already archived, without a question to the vendor."""
    job = company.vendor.add_job(b"intact")
    company.archive(job)
    company.vendor.clear_journal()

    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []

    assert company.outcomes()[-1] == ("already_archived", None)
    assert company.vendor.journal == []
    assert len(company.versions(default_key(job))) == 1
    assert len(company.emitted()) == 1


def test_recheck_of_a_deleted_object_archives_it_again_at_the_same_key(company: Company) -> None:
    """Whatever the template says by now: one job has one key."""
    job = company.vendor.add_job(b"gone for a while")
    company.archive(job)
    company.people.client("s3").delete_object(Bucket=company.bucket, Key=default_key(job))
    company.set_environment(KEY_TEMPLATE="elsewhere/{job_id}")

    assert company.deliver({"job_id": job.job_id}) == []
    assert company.objects() == {}, "without recheck the receipt is believed"
    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []

    assert company.objects() == {default_key(job): b"gone for a while"}
    assert [d["object"]["key"] for d in company.emitted()] == [default_key(job)] * 2


def test_recheck_of_a_replaced_object_leaves_it_to_people(company: Company) -> None:
    """Another object at the key is neither taken for the export nor overwritten."""
    job = company.vendor.add_job(b"the export")
    company.archive(job)
    s3 = company.people.client("s3")
    s3.put_object(Bucket=company.bucket, Key=default_key(job), Body=b"something else")

    assert company.deliver({"job_id": job.job_id, "recheck": True}) == []

    assert company.dead_letter()["reason"] == "object_conflict"
    assert company.content(default_key(job)) == b"something else"


@pytest.mark.parametrize(
    "name", ["sqs-job-id.json", "sqs-job-object.json", "sqs-eventbridge-envelope.json"]
)
def test_a_sample_of_a_message_runs_as_it_is(fresh_company: Company, name: str) -> None:
    """`sam local invoke -e` and this test use the same file."""
    (job_id,) = sample_job_ids(name)
    job = fresh_company.vendor.add_job(b"sample", job_id=job_id)
    assert fresh_company.hand_over(*sample(name)["Records"]) == []
    assert fresh_company.objects() == {default_key(job): b"sample"}


def test_the_sample_of_a_batch_archives_the_good_and_sets_the_bad_aside(
    fresh_company: Company,
) -> None:
    """Its second record is no JSON; its neighbours are archived."""
    name = "sqs-batch-with-a-bad-record.json"
    jobs = [fresh_company.vendor.add_job(b"s", job_id=job_id) for job_id in sample_job_ids(name)]
    records = sample(name)["Records"]
    assert fresh_company.hand_over(*records) == []
    assert set(fresh_company.objects()) == {default_key(job) for job in jobs}
    assert len(jobs) == 2
    assert fresh_company.dead_letter()["body"] == records[1]["body"]


def test_the_sample_of_a_direct_event_is_queued(company: Company) -> None:
    """The sample holds a callback URL, which does not reach the queue."""
    event = sample("eventbridge-job-completed.json")
    assert company.invoke(event) == {"queued": True}
    event["detail"].pop("callback_url")
    assert json.loads(company.deferred()["body"]) == event


@pytest.mark.filterwarnings("ignore:POWERTOOLS_DEBUG")
@pytest.mark.parametrize("fails", [False, True], ids=["archived", "failed"])
def test_no_variable_makes_the_function_show_its_event(
    company: Company,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    fails: bool,
) -> None:
    """With all of Powertools' switches on, a job object's `callback_url` is nowhere to be read.

    The export is archived as ever, once.
    """
    job = company.vendor.add_job(b"x")
    if fails:
        company.vendor.answer_next("results", status=500, times=None)
    with loaded_again(archive_export, monkeypatch, LOUD) as module:
        monkeypatch.setattr(archive_export, "handle", module.handle)
        forms = [job_object(job.job_id), envelope({"job": job_object(job.job_id)})]
        assert any(company.deliver(form) for form in forms) == fails
        company.invoke(envelope(job_object(job.job_id)))
    assert len(company.versions(default_key(job))) == (not fails)
    assert job.job_id in company.log.getvalue()
    assert TOKEN_OF_OURS not in str(company.evidence())
    assert TOKEN_OF_OURS not in str(capsys.readouterr())


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_variable_that_switches_a_promise_off_is_refused(
    company: Company, name: str, value: str
) -> None:
    """The function does not start, and its error names the variable; nothing is asked of anybody.

    The batch is SQS's again; when the variable is gone the job is archived.
    """
    job = company.vendor.add_job(b"x")
    with company.monkeypatch.context() as patch:
        patch.setenv(name, value)
        company.runtime.restart()
        with pytest.raises(SettingsError, match=name):
            company.deliver_job(job)
    assert company.calls() == []
    assert company.vendor.journal == []
    assert company.archive(job) == b"x"
    assert company.item(job.job_id)["state"] == "archived"
