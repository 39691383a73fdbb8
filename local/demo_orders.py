"""The demo's orders: a plan over twelve months, one answer lost, and every month archived once.

Nothing is told to order_exports but what people and the schedule tell it. What came of it is held
against the stand-in's own jobs and requests, which never lie (docs/stand-in.md); whatever is not as
promised is returned as a sentence.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from local.apartmentiq import VendorStandIn
    from local.cloud import LocalCloud

__all__ = ["MONTHS", "ORDER_SCHEDULE", "judge_orders", "order_a_year"]

ORDER_SCHEDULE = "rate(1 day)"  # so that it has the function; the demo lets each run be due itself
MONTHS = 12
_FUNCTION = "OrderExportsFunction"
_MOST_RUNS = 8  # four do: one window alone, up to the lost answer, the rest, and the last look
_JOB_SECONDS = 0.2  # that a job takes at the stand-in
_POLL_SECONDS = 0.1
# order_exports begins nothing in the day's last minute (archiver.orders.ordering); the demo takes
# half of one.
_BEFORE_MIDNIGHT = timedelta(minutes=2)


def order_a_year(cloud: LocalCloud, vendor: VendorStandIn, deadline_seconds: float) -> list[str]:
    """Apply a plan and let it come true; return what is not as promised.

    Just before midnight (UTC) it waits for it, two minutes at most.
    """
    while (datetime.now(UTC) + _BEFORE_MIDNIGHT).date() != datetime.now(UTC).date():
        time.sleep(1)
    deadline = time.monotonic() + deadline_seconds
    before = {job.job_id for job in vendor.jobs.newest_first()}
    requests_before = len(vendor.journal)
    document = _plan(datetime.now(UTC))
    vendor.complete_orders_after(_JOB_SECONDS)
    asked = _ask(cloud, {"orders": "apply", "document": document, "instead_of": 0})
    if not asked.get("applied"):
        return [f"the plan over {MONTHS} months was not applied: {asked}"]
    # The fourth newest: neither the one that goes out alone, nor the last.
    vendor.orders.lose_answers(matching={"start_date": _months_ago(datetime.now(UTC), 4)})
    answer: dict[str, Any] = {}
    for _ in range(_MOST_RUNS):
        answer = _ask(cloud, {})
        if answer.get("missing") == 0:
            break
        _wait_until_archived(cloud, vendor, before, deadline)
    vendor.complete_orders_after(None)
    ordered = {
        job.job_id: (job.order.start_date, job.order.end_date)
        for job in vendor.jobs.newest_first()
        if job.job_id not in before
    }
    posts = [each.status for each in vendor.journal[requests_before:] if each.route == "order"]
    told = Counter(
        event["detail"]["job"]["job_id"]
        for event in cloud.emitted_events()
        if event["detail-type"] == "Export Archived" and event["detail"].get("order_name")
    )
    return list(judge_orders(answer, ordered, posts, told))


def judge_orders(
    answer: Mapping[str, Any],
    ordered: Mapping[str, tuple[str, str]],
    posts: Sequence[int],
    told: Mapping[str, int],
) -> Iterator[str]:
    """Yield what is not as promised.

    `answer`: the last run's; `ordered`: the vendor's jobs and their dates; `posts`: the status that
    each request was answered with, 0 for an answer that was lost; `told`: how many events of orders
    say of a job that it is archived.
    """
    if answer.get("missing") != 0:
        yield f"orders: not all of {MONTHS} months are archived: {dict(answer)}"
    if posts.count(0) != 1:
        yield f"orders: {posts.count(0)} answers to orders were lost, not one"
    if len(posts) != MONTHS:
        yield f"orders: {len(posts)} requests went out for {MONTHS} months"
    windows = Counter(ordered.values())
    if len(windows) != MONTHS:
        yield f"orders: {len(windows)} months were ordered, not {MONTHS}"
    for (start, _), number in sorted(windows.items()):
        if number != 1:
            yield f"orders: the month from {start} was ordered {number} times"
    if told != dict.fromkeys(ordered, 1):
        yield f"orders: {len(told)} of {len(ordered)} jobs were told as an order's, not once each"


def _wait_until_archived(
    cloud: LocalCloud, vendor: VendorStandIn, before: set[str], deadline: float
) -> None:
    """Wait for the jobs that are ordered so far; at the deadline the judge says it.

    The stand-in is looked at each time: a job that is due completes, and is told, when it is.
    """
    archived = set(before)
    while time.monotonic() < deadline:
        waiting = {job.job_id for job in vendor.jobs.newest_first()} - archived
        archived |= {
            job_id
            for job_id in waiting
            if (cloud.job_item(job_id) or {}).get("state") == {"S": "archived"}
        }
        if waiting <= archived:
            return
        time.sleep(_POLL_SECONDS)


def _ask(cloud: LocalCloud, event: dict[str, Any]) -> dict[str, Any]:
    invocation = cloud.invoke(event, _FUNCTION)
    answer: dict[str, Any] = invocation.payload if isinstance(invocation.payload, dict) else {}
    return answer if invocation.succeeded else {"error": answer or invocation.error_type}


def _plan(now: datetime) -> dict[str, Any]:
    """Return a plan of the twelve months before this one, each complete when it is over."""
    return {
        "orders": [
            {
                "name": "a-year-of-units",
                "report_type": "units",
                "output_format": "csv",
                "properties": [99001416, 99001470],
                "every": "month",
                "from": _months_ago(now, MONTHS),
                "ready": {"time": "00:00", "zone": "UTC", "days_after": 1},
            }
        ],
        "limits": {"open_jobs": MONTHS},
    }


def _months_ago(now: datetime, number: int) -> str:
    year, month = divmod(now.year * 12 + now.month - 1 - number, 12)
    return f"{year:04}-{month + 1:02}-01"
