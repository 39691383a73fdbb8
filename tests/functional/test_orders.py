"""Orders through the real handler, against DynamoDB, SQS and events (moto) and the stand-in.

What is decided is tried in tests/unit/orders and tests/faults; here it is what goes over the wire,
what is written down, and what people are told.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import order_exports
from archiver.aws.order_items import OrderItems
from archiver.intent import order_id_in, read_order_id
from archiver.orders.ledger import Ledger
from local.apartmentiq.order_desk import ErrorForm, LostAs
from tests.functional.company import Company, LambdaContext, default_key

SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
BASE_URL = "https://canaryhook.lambda-url.us-east-1.on.aws"


def month_ago(number: int) -> str:
    """Return the first day of the month that was so many months ago."""
    day = datetime.now(UTC).date().replace(day=1)
    for _ in range(number):
        day = (day - timedelta(days=1)).replace(day=1)
    return day.isoformat()


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a plan of one order: three months back, which makes three or two windows."""
    order = {
        "name": "monthly-units",
        "report_type": "units",
        "output_format": "csv",
        "properties": [99001470, 99001416],
        "every": "month",
        "from": month_ago(3),
    }
    return {"orders": [order | changes], "limits": {"open_jobs": 5, "tries": 2}}


@dataclass
class Orders:
    """A company whose orders are placed by the real handler."""

    company: Company
    token: str

    def run(self, event: object = None) -> dict[str, Any]:
        """Run it as the schedule does, or ask as a person does."""
        context = LambdaContext(300_000, function_name="order_exports")
        asked = SCHEDULED if event is None else event
        answer: dict[str, Any] = order_exports.handle(asked, context)
        json.dumps(answer)  # Lambda answers JSON
        return answer

    def apply(self, plan: dict[str, Any] | None = None) -> dict[str, Any]:
        """Apply a plan."""
        asked = {"orders": "apply", "document": plan or document()}
        answer = self.run({**asked, "instead_of": self.items.head().plan})
        assert answer["outcome"] == "good", answer
        return answer

    @property
    def items(self) -> OrderItems:
        """What the table has of orders, as people read it."""
        client = self.company.people.client("dynamodb")
        return OrderItems(client, self.company.table, time.sleep)

    def ledger(self) -> Ledger:
        """Return the windows of the only chunk."""
        ((_, chunk),) = self.items.plan(self.items.head()).chunks()
        return self.items.ledgers([chunk.id])[chunk.id]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs at the vendor, as its list has them, newest first."""
        return [job.document() for job in self.company.vendor.jobs.newest_first()]

    def posts(self) -> int:
        """Return how many orders were sent."""
        return sum(entry.route == "order" for entry in self.company.vendor.journal)

    def archive(self, job_id: str, **told: str) -> None:
        """Let a job complete, and archive it; `told`: what else the message says."""
        job = self.company.vendor.complete_job(job_id, f"{job_id}\n".encode())
        assert self.company.deliver({"job_id": job_id, **told}) == []
        assert self.company.content(default_key(job))


@pytest.fixture
def orders(fresh_company: Company) -> Iterator[Orders]:
    """Return orders of a company with a vendor of its own, called back at a URL with a token."""
    token = uuid.uuid4().hex + uuid.uuid4().hex
    fresh_company.vendor.given_out.note("a callback token", token)
    secret = fresh_company.people.client("secretsmanager").create_secret(
        Name=f"{fresh_company.name}-callback", SecretString=token
    )
    fresh_company.set_environment(
        CALLBACK_BASE_URL=BASE_URL, CALLBACK_TOKEN_SECRET_ARN=secret["ARN"]
    )
    order_exports._orderer.cache_clear()
    yield Orders(fresh_company, token)
    fresh_company.aws_script.clear()
    order_exports._orderer.cache_clear()


def test_without_a_plan_nothing_is_asked_of_anybody(orders: Orders) -> None:
    """One read of the table, and that is all."""
    assert orders.run() == {"outcome": "no_plan"}
    assert orders.company.vendor.journal == []
    assert [call.action for call in orders.company.calls()] == ["GetItem"]


def test_every_window_is_ordered_once_archived_and_told_of(orders: Orders) -> None:
    """One window first; when it is there the others follow, newest first, each with its own id."""
    assert orders.apply()["applied"]
    assert orders.run()["ordered"] == 1
    assert orders.run()["ordered"] == 0, "the first is to come home before others go out"
    (first,) = orders.jobs
    assert first["property_ids"] == [99001416, 99001470]
    assert first["callback_url"].startswith(f"{BASE_URL}/{orders.token}?")
    intent = read_order_id(order_id_in(first["callback_url"]))
    assert intent is not None
    assert (intent.order_name, intent.window) == ("monthly-units", first["start_date"][:7])

    orders.archive(first["job_id"])
    answer = orders.run()
    rest = [job for job in orders.jobs if job["job_id"] != first["job_id"]]
    assert answer["ordered"] == len(rest) > 0
    for job in rest:
        orders.archive(job["job_id"])
    answer = orders.run()
    assert (answer["missing"], answer["open"], answer["ordered"]) == (0, 0, 0)
    assert orders.run()["ordered"] == 0
    asked = [job["start_date"] for job in orders.jobs]
    assert sorted(asked) == sorted(set(asked))
    assert orders.posts() == len(asked)
    told = orders.company.emitted("Export Archived")
    assert {event["order_name"] for event in told} == {"monthly-units"}
    assert {event["window"] for event in told} == {day[:7] for day in asked}
    item = orders.company.item(first["job_id"])
    assert (item["order_name"], item["window"]) == ("monthly-units", intent.window)


@pytest.mark.parametrize("shown", ["as sent", "null", "without query"])
@pytest.mark.parametrize("lost_as", ["hung up", "gateway timeout"])
def test_an_answer_that_is_lost_is_found_in_the_list(
    orders: Orders, lost_as: LostAs, shown: str
) -> None:
    """It is adopted by its id, or where none is shown by its parameters; none is asked twice."""
    orders.apply()
    orders.company.vendor.orders.change_habits(callback_url_shown=shown)
    orders.company.vendor.orders.lose_answers(lost_as=lost_as)
    first = orders.run()
    assert first["outcome"] == "unfinished"
    (job,) = orders.jobs
    again = orders.run()
    assert (again["outcome"], again["open"], orders.posts()) == ("finished", 1, 1)
    orders.archive(job["job_id"])
    orders.run()
    assert len({each["start_date"] for each in orders.jobs}) == len(orders.jobs)


@pytest.mark.parametrize("shown", ["as sent", "null", "left out", "without query"])
def test_the_order_that_a_callback_names_is_told_if_the_vendor_confirms_it(
    orders: Orders, shown: str
) -> None:
    """By the id that it shows, or where it shows none by the job's own parameters."""
    orders.apply()
    orders.run()
    (job,) = orders.jobs
    order_id = order_id_in(job["callback_url"])
    orders.company.vendor.orders.change_habits(callback_url_shown=shown)
    orders.archive(job["job_id"], order_id=str(order_id))
    (event,) = orders.company.emitted("Export Archived")
    assert (event["order_name"], event["window"]) == ("monthly-units", job["start_date"][:7])


@pytest.mark.parametrize("shown", ["as sent", "null"])
@pytest.mark.parametrize("told", ["of other parameters", "no id", "none"])
def test_the_order_that_a_callback_names_is_not_believed(
    orders: Orders, shown: str, told: str
) -> None:
    """The vendor's own id stands; without one, another job's, or what is none, says nothing."""
    orders.apply()
    orders.run()
    (job,) = orders.jobs
    other = f"weekly-units.2020-W01.2020-01-08.1.{'0' * 24}"
    more = {"of other parameters": {"order_id": other}, "no id": {"order_id": "x/../y"}, "none": {}}
    orders.company.vendor.orders.change_habits(callback_url_shown=shown)
    orders.archive(job["job_id"], **more[told])
    (event,) = orders.company.emitted("Export Archived")
    expected = "monthly-units" if shown == "as sent" else None
    assert event.get("order_name") == expected


def test_an_order_that_was_never_taken_is_not_asked_for_again_at_once(orders: Orders) -> None:
    """An empty list is not believed before the time in which it may lag is over."""
    orders.apply()
    orders.company.vendor.orders.lose_answers(recorded_after_seconds=None)
    for _ in range(4):
        orders.run()
    assert (orders.posts(), orders.jobs) == (1, [])
    assert orders.run()["missing"] > 0


@pytest.mark.parametrize("form", ["errors", "error"])
def test_a_refusal_stops_the_order_with_the_vendor_s_sentence(
    orders: Orders, form: ErrorForm
) -> None:
    """It is told by event, shown to people, and begins again when they say so."""
    orders.apply()
    orders.company.vendor.orders.refuse(["99001416 is not yours"], error_form=form)
    assert orders.run()["stopped"] == 1
    assert orders.run()["ordered"] == 0
    (event,) = orders.company.emitted("Order Needs Attention")
    assert event["reason"] == "stopped"
    assert "99001416 is not yours" in event["detail"]
    assert "99001416 is not yours" in orders.ledger().stopped
    assert orders.run({"orders": "resume"})["resumed"] == 1
    assert orders.run()["ordered"] == 1


@pytest.mark.parametrize("form", ["429", "403", "403 empty"])
def test_a_quota_that_is_used_up_stops_orders_for_a_while(orders: Orders, form: str) -> None:
    """One request, not one a run; archiving goes on; a person may say that it is raised."""
    orders.apply()
    orders.company.vendor.orders.change_habits(quota_limit=0, quota_form=form)
    answer = orders.run()
    assert answer["reason"] in {"quota_exceeded", "forbidden"}
    orders.run()
    assert orders.posts() == 1
    job = orders.company.vendor.add_job(b"by hand")
    assert orders.company.deliver({"job_id": job.job_id}) == []
    orders.company.vendor.orders.change_habits(quota_limit=None)
    orders.run({"orders": "resume"})
    assert orders.run()["ordered"] == 1


def test_a_vendor_that_says_later_all_the_time_is_left_alone(orders: Orders) -> None:
    """Even where it names no time to wait: the next run asks again."""
    orders.apply()
    orders.company.vendor.limit_rate_next("jobs", retry_after_seconds=0, times=20)
    answer = orders.run()
    assert (answer["reason"], answer["ordered"]) == ("rate_limited", 0)
    asked = [entry for entry in orders.company.vendor.journal if entry.route == "jobs"]
    assert len(asked) == 6


def test_a_callback_s_token_is_read_once_a_run(orders: Orders) -> None:
    """However many jobs it orders; both of the secret's versions are looked for."""
    orders.apply()
    orders.run()
    orders.archive(orders.jobs[0]["job_id"])
    before = len(orders.company.calls("GetSecretValue"))
    assert orders.run()["ordered"] > 1
    assert len(orders.company.calls("GetSecretValue")) - before == 2


@pytest.mark.parametrize("token", ["short", f"with blanks {'x' * 40}"])
def test_no_job_is_ordered_with_a_token_that_no_callback_is_known_by(
    orders: Orders, token: str
) -> None:
    """The same tokens are good as for callbacks; what is wrong is said without it."""
    secret = orders.company.people.client("secretsmanager").create_secret(
        Name=f"{orders.company.name}-bad", SecretString=token
    )
    orders.company.set_environment(CALLBACK_TOKEN_SECRET_ARN=secret["ARN"])
    order_exports._orderer.cache_clear()
    orders.apply()
    answer = orders.run()
    assert (answer["reason"], orders.posts()) == ("aws_error", 0)
    assert "archiver rotate-callback-token" in answer["detail"]
    assert token not in orders.company.log.getvalue()


def test_a_pause_holds_until_it_is_ended(orders: Orders) -> None:
    """Nothing is ordered; what is there is told all the same."""
    orders.apply()
    orders.run({"orders": "pause"})
    answer = orders.run()
    assert (answer["paused"], answer["ordered"], orders.posts()) == (True, 0, 0)
    assert answer["missing"] > 0
    orders.run({"orders": "resume"})
    assert orders.run()["ordered"] == 1


def test_what_somebody_ordered_by_hand_is_recognised(orders: Orders) -> None:
    """A window is not ordered that a job covers exactly; other properties cover nothing."""
    fields = {"report_type": "units", "output_format": "csv", "property_ids": [99001470, 99001416]}
    month = datetime.fromisoformat(month_ago(1)).date()
    end = datetime.fromisoformat(month_ago(0)).date() - timedelta(days=1)
    dates = {"start_date": month.isoformat(), "end_date": end.isoformat()}
    (job,) = orders.company.vendor.orders.by_hand({**fields, **dates})
    orders.company.vendor.orders.by_hand({**fields, **dates, "property_ids": [99001416]})
    orders.apply()
    orders.run()
    orders.archive(job.job_id)
    orders.run()
    ours = [each for each in orders.jobs if each["callback_url"]]
    assert dates["start_date"] not in {each["start_date"] for each in ours}


def test_the_same_plan_again_changes_nothing_and_a_stale_one_is_refused(orders: Orders) -> None:
    """Versions are kept; who looked at another one is told so."""
    assert orders.apply()["plan"] == 1
    assert orders.apply()["applied"] is False
    changed = document(properties=[99001416])
    stale = orders.run({"orders": "apply", "document": changed, "instead_of": 0})
    assert stale["outcome"] == "refused"
    assert orders.apply(changed)["plan"] == 2
    wrong = orders.run({"orders": "apply", "document": document(every="year"), "instead_of": 2})
    assert wrong["outcome"] == "refused"
    assert wrong["problems"][0]["path"] == ["orders", 0, "every"]


def test_a_job_that_fails_is_ordered_again_later_and_then_given_up(orders: Orders) -> None:
    """With a pause before; a person's word begins it anew."""
    orders.apply()
    orders.run()
    (job,) = orders.jobs
    orders.company.vendor.fail_job(job["job_id"], "out of memory")
    answer = orders.run()
    assert (answer["ordered"], answer["open"]) == (0, 1)
    (entry,) = orders.ledger().open.values()
    assert (entry.state, entry.said) == ("pausing", "out of memory")
    assert orders.posts() == 1
