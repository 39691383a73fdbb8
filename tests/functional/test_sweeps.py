"""Sweeps through the real handler, against DynamoDB and SQS (moto) and the vendor's stand-in.

What is decided is tried in tests/unit/sweep/test_reconcile.py; here it is what is asked, of whom,
and what is written down.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import reconcile_exports
from archiver.sweep.request import RequestRefused
from archiver.wiring.settings import SettingsError
from local.apartmentiq import Job, Order
from tests.functional.aws_script import Refusal, operation
from tests.functional.company import Company, LambdaContext, default_key
from tests.functional.switches import LOUD, REFUSED, loaded_again

SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
QUEUED = {"job_id", "state", "updated_at", "known_since", "id"}


@dataclass
class Sweeps:
    """A company whose sweeps are run by the real handler."""

    company: Company

    def run(self, event: object = None, *, remaining_ms: int = 300_000) -> dict[str, Any]:
        """Run one, as the schedule does unless an event is given."""
        context = LambdaContext(remaining_ms, function_name="reconcile_exports")
        answer: dict[str, Any] = reconcile_exports.handle(
            SCHEDULED if event is None else event, context
        )
        json.dumps(answer)  # Lambda answers JSON
        return answer

    def queued_ids(self) -> list[str]:
        """Return the jobs on the queue, in order."""
        return [json.loads(message["body"])["job_id"] for message in self.company.waiting()]

    def deliver_queue(self) -> None:
        """Let the archiver have what is on the queue, and empty it."""
        job_ids = self.queued_ids()
        self.company.aws.forget_messages(f"{self.company.name}-queue", "us-east-1")
        for job_id in job_ids:
            assert self.company.deliver({"job_id": job_id}) == []

    def write_item(self, item_id: str, **values: str) -> None:
        """Put an item of text values into the table."""
        self.company.people.client("dynamodb").put_item(
            TableName=self.company.table,
            Item={"id": {"S": item_id}, **{name: {"S": v} for name, v in values.items()}},
        )

    def write_archived(self, jobs: list[Job]) -> None:
        """Let jobs be archived, as far as a sweep can see."""
        for start in range(0, len(jobs), 25):  # BatchWriteItem's limit
            items = [
                {"id": {"S": f"job#{job.job_id}"}, "state": {"S": "archived"}}
                for job in jobs[start : start + 25]
            ]
            self.company.people.client("dynamodb").batch_write_item(
                RequestItems={
                    self.company.table: [{"PutRequest": {"Item": item}} for item in items]
                }
            )

    def item(self, item_id: str) -> dict[str, Any]:
        """Return an item as plain text values; empty when there is none."""
        answer = self.company.people.client("dynamodb").get_item(
            TableName=self.company.table, Key={"id": {"S": item_id}}
        )
        return {name: next(iter(v.values())) for name, v in answer.get("Item", {}).items()}


@pytest.fixture
def sweeps(fresh_company: Company) -> Iterator[Sweeps]:
    """Return sweeps of a company with a vendor of its own, whose list holds nobody else's jobs."""
    fresh_company.set_environment(LOOK_BACK_DAYS="30")
    reconcile_exports._sweeper.cache_clear()
    yield Sweeps(fresh_company)
    fresh_company.aws_script.clear()  # one that is left over would meet the next company's making
    reconcile_exports._sweeper.cache_clear()


def hours_ago(hours: float) -> str:
    """Return a moment as items have it."""
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def asked(sweeps: Sweeps) -> Counter[str]:
    """Return how often the vendor was asked for what."""
    return Counter(entry.route for entry in sweeps.company.vendor.journal)


def called(sweeps: Sweeps) -> Counter[str]:
    """Return how often AWS was asked for what."""
    return Counter(call.action for call in sweeps.company.calls())


def test_every_lost_callback_is_made_up_for(sweeps: Sweeps) -> None:
    """Found, queued once, archived by the archiver, and then nothing is left to do."""
    company = sweeps.company
    archived = company.vendor.add_job(b"known\n")
    company.archive(archived)
    missing = [company.vendor.add_job(b"%d\n" % number) for number in range(23)]
    failed = company.vendor.add_job(None, status="failed")
    company.vendor.add_job(b"later\n", completes_after_seconds=3600)
    answer = sweeps.run()
    assert sorted(sweeps.queued_ids()) == sorted(job.job_id for job in missing)
    assert answer["jobs"]["succeeded"] == 24
    assert (answer["archived"], answer["queued"]) == (1, 23)
    assert answer["failed_at_vendor"] == [failed.job_id]
    assert all(sweeps.item(f"job#{job.job_id}").keys() == QUEUED for job in missing)

    sweeps.deliver_queue()
    assert all(company.content(default_key(job)) for job in missing)
    again = sweeps.run()
    assert (again["archived"], again["queued"], again["unarchived"]) == (24, 0, 0)
    assert sweeps.queued_ids() == []


def test_a_thousand_archived_jobs_cost_no_message_and_no_results_call(sweeps: Sweeps) -> None:
    """Ten list pages and one token at the vendor; ten batch reads, and the throttle's item.

    And one look for unfinished uploads.
    """
    company = sweeps.company
    jobs = [company.vendor.add_job(None) for _ in range(1_000)]
    sweeps.write_archived(jobs)
    answer = sweeps.run()
    assert (answer["archived"], answer["pages"], answer["queued"]) == (1_000, 10, 0)
    assert asked(sweeps) == {"token": 1, "jobs": 10}
    assert called(sweeps) == {
        "GetSecretValue": 1,
        "BatchGetItem": 10,
        "GetItem": 11,
        "ListMultipartUploads": 1,
    }
    assert sweeps.queued_ids() == []


def test_a_job_in_the_list_is_asked_for_nowhere_else(sweeps: Sweeps) -> None:
    """The sweep asks for no details and no results; that is the archiver's, once."""
    for _ in range(3):
        sweeps.company.vendor.add_job(b"x")
    sweeps.run()
    assert asked(sweeps) == {"token": 1, "jobs": 1}


def test_a_callback_url_in_the_list_goes_nowhere(sweeps: Sweeps) -> None:
    """It carries our token: not in the message, not in the item, not in the log."""
    order = Order(callback_url="https://hooks.example.com/canary-callback")
    sweeps.company.vendor.add_job(b"x", order=order)
    assert sweeps.run({"dry_run": True})["would_queue"]
    assert sweeps.run()["queued"] == 1  # the fixture searches what is left


def test_a_purged_queue_loses_nothing(sweeps: Sweeps) -> None:
    """Items that nobody has touched for six hours have lost their message; others have theirs."""
    company = sweeps.company
    lost, alive = company.vendor.add_job(b"lost\n"), company.vendor.add_job(b"alive\n")
    for job, hours in ((lost, 6.1), (alive, 5.9)):
        sweeps.write_item(
            f"job#{job.job_id}",
            state="waiting",
            updated_at=hours_ago(hours),
            first_seen_at=hours_ago(9),
            key="kept/key.csv",
            reason="rate_limited",
        )
    answer = sweeps.run()
    assert (answer["lost"], sweeps.queued_ids()) == (1, [lost.job_id])
    item = sweeps.item(f"job#{lost.job_id}")
    assert (item["state"], item["key"]) == ("queued", "kept/key.csv")
    sweeps.deliver_queue()
    assert company.content("kept/key.csv") == b"lost\n"


def test_a_claimed_job_says_when_it_was_claimed(sweeps: Sweeps) -> None:
    """Without it nobody could tell a copy under way from one that died with its message."""
    company = sweeps.company
    job = company.vendor.add_job(b"x")
    company.archive(job)
    claimed_at = datetime.fromisoformat(company.item(job.job_id)["updated_at"])
    assert abs(datetime.now(UTC) - claimed_at) < timedelta(minutes=1)


def test_a_429_is_told_to_the_fleet_and_kept_to(sweeps: Sweeps) -> None:
    """The sweep keeps its place; neither it nor the archiver knocks while the vendor waits."""
    company = sweeps.company
    jobs = [company.vendor.add_job(b"x") for _ in range(150)]
    company.vendor.answer_next("jobs", status=200, body=page_of(jobs[:49:-1], total=150))
    company.vendor.limit_rate_next("jobs", retry_after_seconds=900)
    answer = sweeps.run()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "rate_limited")
    assert answer["queued"] == 100
    until = float(sweeps.item("throttle#vendor")["until"])
    assert 850 < until - datetime.now(UTC).timestamp() <= 900
    assert json.loads(sweeps.item("sweep#scheduled")["place"])["page"] == 2

    before = len(company.vendor.journal)
    reconcile_exports._sweeper.cache_clear()  # another runtime knows it from the table alone
    assert sweeps.run()["reason"] == "rate_limited"
    company.deliver_job(jobs[0])
    assert len(company.vendor.journal) == before

    sweeps.write_item("throttle#vendor")  # the time has come
    reconcile_exports._sweeper.cache_clear()
    assert sweeps.run()["outcome"] == "finished"
    assert len(set(sweeps.queued_ids())) == 150
    assert sweeps.item("sweep#scheduled") == {}


def page_of(jobs: list[Job], *, total: int) -> str:
    """Return the list's first page as the stand-in would write it."""
    pagination = {"current_page": 1, "total_pages": 2, "total_count": total, "per_page": 100}
    return json.dumps({"jobs": [job.document() for job in jobs], "pagination": pagination})


def test_a_short_wait_is_waited_for(sweeps: Sweeps) -> None:
    """A second costs less than an hour."""
    sweeps.company.vendor.add_job(b"x")
    sweeps.company.vendor.limit_rate_next("jobs", retry_after_seconds=1)
    assert sweeps.run()["outcome"] == "finished"
    assert asked(sweeps)["jobs"] == 2


def test_a_sweep_without_time_asks_nobody_and_keeps_its_place(sweeps: Sweeps) -> None:
    """No page is begun that Lambda might cut off."""
    sweeps.company.vendor.add_job(b"x")
    answer = sweeps.run(remaining_ms=40_000)
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "out_of_time")
    assert asked(sweeps) == {}
    assert sweeps.run()["queued"] == 1
    assert sweeps.item("sweep#scheduled") == {}


def test_a_place_that_nobody_can_read_is_none(sweeps: Sweeps) -> None:
    """Another version's, or a person's: a whole sweep is always right."""
    sweeps.company.vendor.add_job(b"x")
    for place in ('{"page": 7}', "[]", '"x"', "7", "{", '{"since": 1, "started_at": 2}'):
        sweeps.write_item("sweep#scheduled", place=place, started_at="x")
        assert sweeps.run()["outcome"] == "finished"


def test_a_page_larger_than_was_asked_for_is_read_whole(sweeps: Sweeps) -> None:
    """DynamoDB takes a hundred keys at a time, whatever the vendor gives."""
    jobs = [sweeps.company.vendor.add_job(None) for _ in range(150)]
    sweeps.write_archived(jobs)
    pagination = {"total_pages": 1, "total_count": 150, "per_page": 150}
    body = {"jobs": [job.document() for job in jobs], "pagination": pagination}
    sweeps.company.vendor.answer_next("jobs", status=200, body=json.dumps(body))
    answer = sweeps.run()
    assert (answer["archived"], answer["queued"], answer["pages"]) == (150, 0, 1)
    assert called(sweeps)["BatchGetItem"] == 2


def test_keys_that_dynamodb_left_over_are_asked_for_again(sweeps: Sweeps) -> None:
    """A throttled table answers half: the other half must not look as if nobody knew it."""
    job = sweeps.company.vendor.add_job(b"x")
    sweeps.write_item(f"job#{job.job_id}", state="archived")
    key = {"id": {"S": f"job#{job.job_id}"}}
    left_over = {"Responses": {}, "UnprocessedKeys": {sweeps.company.table: {"Keys": [key]}}}
    sweeps.company.aws_script.answer_next(
        operation("BatchGetItem"), Refusal.json(200, json.dumps(left_over).encode()), times=2
    )
    answer = sweeps.run()
    assert (answer["archived"], answer["queued"]) == (1, 0)
    assert called(sweeps)["BatchGetItem"] == 3


def test_a_table_that_stays_busy_ends_the_sweep(sweeps: Sweeps) -> None:
    """What nobody could look up is not queued on suspicion."""
    job = sweeps.company.vendor.add_job(b"x")
    key = {"id": {"S": f"job#{job.job_id}"}}
    left_over = {"Responses": {}, "UnprocessedKeys": {sweeps.company.table: {"Keys": [key]}}}
    sweeps.company.aws_script.answer_next(
        operation("BatchGetItem"), Refusal.json(200, json.dumps(left_over).encode()), times=99
    )
    answer = sweeps.run()
    assert (answer["outcome"], answer["reason"], answer["queued"]) == (
        "unfinished",
        "aws_error",
        0,
    )
    assert called(sweeps)["BatchGetItem"] == 6


def test_messages_that_sqs_refused_are_sent_again(sweeps: Sweeps) -> None:
    """A 200 of SendMessageBatch can hold failures; what stays refused is the next sweep's."""
    for _ in range(2):
        sweeps.company.vendor.add_job(b"x")
    failed = [
        {"Id": number, "SenderFault": False, "Code": "InternalError"} for number in ("0", "1")
    ]
    refusal = Refusal.json(200, json.dumps({"Successful": [], "Failed": failed}).encode())
    script = sweeps.company.aws_script
    script.answer_next(operation("SendMessageBatch"), refusal, times=2)
    answer = sweeps.run()
    assert (answer["queued"], answer["refused_by_the_queue"]) == (0, 2)
    script.answer_next(operation("SendMessageBatch"), refusal)
    assert sweeps.run()["queued"] == 2
    assert len(sweeps.queued_ids()) == 2


def test_a_table_that_is_down_is_said_in_the_answer(sweeps: Sweeps) -> None:
    """Not even the place could be read: the sweep ends with its reason and is no crash."""
    sweeps.company.vendor.add_job(b"x")
    down = b'{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}'
    sweeps.company.aws_script.answer_next(
        lambda environ: "DynamoDB" in environ.get("HTTP_X_AMZ_TARGET", ""),
        Refusal.json(400, down),
        times=99,
    )
    answer = sweeps.run()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "aws_error")
    assert sweeps.queued_ids() == []


def test_a_mark_that_the_table_refuses_costs_nothing_but_a_read(sweeps: Sweeps) -> None:
    """The message is out; the sweep goes on."""
    sweeps.company.vendor.add_job(b"x")
    busy = b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}'
    sweeps.company.aws_script.answer_next(
        operation("UpdateItem"), Refusal.json(400, busy), times=99
    )
    answer = sweeps.run()
    assert (answer["outcome"], answer["queued"]) == ("finished", 1)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda company: company.write_secret("nonsense"), "credentials_missing"),
        (
            lambda company: company.fill_secret(client_id="x", client_secret="canary-wrong"),
            "credentials_rejected",
        ),
        (lambda company: company.vendor.exceed_quota_next("jobs"), "quota_exceeded"),
        (lambda company: company.vendor.answer_next("jobs", status=403), "forbidden"),
        (
            lambda company: company.vendor.answer_next("jobs", status=500, times=3),
            "vendor_error",
        ),
        (
            lambda company: company.vendor.answer_next("jobs", status=200, body="[]", times=3),
            "vendor_error",
        ),
        (
            lambda company: company.vendor.answer_next("jobs", status=200, body="{", times=3),
            "vendor_error",
        ),
        (
            lambda company: company.vendor.answer_next("jobs", status=404, times=3),
            "vendor_error",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_sweep_that_cannot_be_says_why(
    sweeps: Sweeps, break_it: Callable[[Company], None], reason: str
) -> None:
    """The last log line has the reason and a sentence; the next sweep may do better."""
    break_it(sweeps.company)
    answer = sweeps.run()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", reason)
    (line,) = [line for line in sweeps.company.log_lines() if line["message"] == "swept"]
    assert (line["level"], line["reason"], line["detail"]) == ("WARNING", reason, answer["detail"])


def test_a_revoked_token_is_renewed(sweeps: Sweeps) -> None:
    """A warm runtime's token may be gone; the sweep asks for another and goes on."""
    sweeps.run()
    sweeps.company.vendor.tokens.revoke_all()
    assert sweeps.run()["outcome"] == "finished"


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"job_id": None},
        {"job_id": "../../oauth", "status": "succeeded"},
        {"job_id": 7, "status": "succeeded"},
        {"job_id": "ed49987b-6539-4e9e-8a63-2bcd811ef0ec", "status": "submitted"},
    ],
    ids=str,
)
def test_an_odd_entry_of_the_list_stops_nothing(sweeps: Sweeps, entry: dict[str, Any]) -> None:
    """It is counted, and its neighbour is queued."""
    good = sweeps.company.vendor.add_job(b"x")
    body = json.dumps({"jobs": [entry, good.document(), "x", None], "pagination": {}})
    sweeps.company.vendor.answer_next("jobs", status=200, body=body)
    sweeps.run()
    assert sweeps.queued_ids() == [good.job_id]


def test_a_job_with_odd_dates_is_queued_all_the_same(sweeps: Sweeps) -> None:
    """Dates bound the search; they must not hide an export."""
    job = sweeps.company.vendor.add_job(b"x")
    document = {**job.document(), "created_at": None, "updated_at": "yesterday"}
    body = json.dumps({"jobs": [document], "pagination": {"total_pages": 1}})
    sweeps.company.vendor.answer_next("jobs", status=200, body=body)
    assert sweeps.run()["oldest_unarchived_seconds"] == 0
    assert sweeps.queued_ids() == [job.job_id]


def test_the_same_job_twice_on_a_page_is_one_job(sweeps: Sweeps) -> None:
    """DynamoDB refuses a batch with the same key twice, and one message is enough."""
    job = sweeps.company.vendor.add_job(b"x")
    body = json.dumps({"jobs": [job.document()] * 3, "pagination": {"total_pages": 1}})
    sweeps.company.vendor.answer_next("jobs", status=200, body=body)
    assert sweeps.run()["queued"] == 1


def test_a_page_of_jobs_with_thousands_of_properties_is_read_whole(sweeps: Sweeps) -> None:
    """A job object names them all: 100 jobs of 5,000 are 5 MB, far beyond any other answer."""
    order = Order(property_ids=tuple(range(99_000_000, 99_005_000)))
    for _ in range(100):
        sweeps.company.vendor.add_job(b"x", order=order)
    assert sweeps.run()["queued"] == 100


def test_old_jobs_are_left_alone_and_found_by_hand(sweeps: Sweeps) -> None:
    """The look-back bounds the schedule; a backfill goes back as far as it is told."""
    vendor = sweeps.company.vendor
    vendor.clock.advance(-40 * 86_400)
    old = vendor.add_job(b"old\n")
    vendor.clock.advance(40 * 86_400)
    assert sweeps.run()["queued"] == 0
    since = (datetime.now(UTC) - timedelta(days=41)).date().isoformat()
    dry = sweeps.run({"since": since, "dry_run": True})
    assert [entry["job_id"] for entry in dry["would_queue"]] == [old.job_id]
    assert sweeps.queued_ids() == []
    assert sweeps.run({"since": since, "report_types": ["property"]})["queued"] == 0
    assert sweeps.run({"since": since, "report_types": ["units"]})["queued"] == 1


def test_a_wrong_payload_is_an_error_that_says_what_is_wrong(sweeps: Sweeps) -> None:
    """Nobody is asked anything, and the log has the sentence."""
    with pytest.raises(RequestRefused, match="`since` must be a date such as 2026-01-31"):
        sweeps.run({"since": "last week"})
    assert asked(sweeps) == {}
    assert called(sweeps) == {}
    (line,) = sweeps.company.log_lines()
    assert (line["outcome"], "`since`" in line["detail"]) == ("refused", True)


def test_metrics_have_the_names_that_alarms_look_for(
    sweeps: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    """In CloudWatch's embedded format, under the stack alone; by status under one more."""
    vendor = sweeps.company.vendor
    vendor.clock.advance(-3_600)
    vendor.add_job(b"x")
    vendor.clock.advance(3_600)
    vendor.add_job(None, status="failed")
    sweeps.run()
    emitted = read_metrics(capsys.readouterr().out)
    assert 3_600 <= emitted["OldestUnarchivedSeconds", "stack"][0] < 3_700
    assert emitted["SweepsFinished", "stack"] == [1]
    assert emitted["QueuedBySweep", "stack"] == [1]
    assert emitted["UnarchivedJobs", "stack"] == [1]
    assert sorted(emitted["VendorJobs", "stack", "status"]) == [0, 0, 1, 1]


def read_metrics(printed: str) -> dict[tuple[str, ...], list[float]]:
    """Return the values of what was printed in CloudWatch's embedded format."""
    found: dict[tuple[str, ...], list[float]] = {}
    for line in re.findall(r'^{"_aws".*$|^{.*"_aws".*$', printed, re.MULTILINE):
        fields = json.loads(line)
        for directive in fields["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "ApartmentIqArchiver"
            for metric in directive["Metrics"]:
                values = fields[metric["Name"]]
                key = (metric["Name"], *sorted(directive["Dimensions"][0]))
                found.setdefault(key, []).extend(values if isinstance(values, list) else [values])
    return found


@pytest.mark.filterwarnings("ignore:POWERTOOLS_DEBUG")
def test_no_variable_makes_the_function_show_its_event(
    sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all of Powertools' switches on, what a person sent by mistake is in no line."""
    secret = f"canary-{uuid.uuid4().hex}{uuid.uuid4().hex}"
    with loaded_again(reconcile_exports, monkeypatch, LOUD) as module:
        monkeypatch.setattr(reconcile_exports, "handle", module.handle)
        sweeps.run({"source": "aws.events", "detail-type": "Scheduled Event", "detail": secret})
        with pytest.raises(RequestRefused):
            sweeps.run({"job": {"callback_url": f"https://x.example/{secret}"}})
    printed = capsys.readouterr()
    assert "swept" in sweeps.company.log.getvalue()
    assert secret not in sweeps.company.log.getvalue() + printed.out + printed.err


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_variable_that_switches_a_promise_off_is_refused(
    sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The function does not start, and its error names the variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        sweeps.run()
