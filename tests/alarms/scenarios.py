"""Days of a stack, as the metrics that functions and services would publish: one for each fault.

What our functions publish comes from their own code (archiver.telemetry) and is read from the lines
that it prints; what SQS, Lambda and EventBridge publish is written down as their guides say. The
names are those of the template for the stack "archiver" (tests/template/resolved.py).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from archiver.receipt import Receipt
from archiver.telemetry import Counters, Gauges, OrderGauges, make_metrics
from local.metrics import Datum, dimensions_of, read_emf

__all__ = ["DAY", "HOUR", "SCENARIOS", "Scenario"]

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
_STEP = 5 * MINUTE  # in which gauges are written down; SQS publishes every minute
# SQS tells nothing of a queue that nobody has touched for six hours ("Monitoring Amazon SQS queues
# using CloudWatch": "active for up to six hours if it contains any messages or if any API accesses
# it"). Whether messages alone keep it active is not clear: here they do not.
_ACTIVE = 6 * HOUR
_RECEIPT = Receipt(
    *("job", "units", "parquet", "2026-01-01", "2026-01-31", "bucket", "key", "version"),
    etag="x",
    source_etag="x",
    archived_at="2026-01-01T00:00:00Z",
    size_bytes=1,
    checksum_crc64nvme=None,
    copy_method="streaming",
    verified_by="crc64nvme",
    duration_seconds=4.0,
)


_Told = TypeVar("_Told", Counters, Gauges, OrderGauges)


@dataclass
class Days:
    """What is published; times are seconds since the stack was made."""

    stack: str = "archiver"
    data: list[Datum] = field(default_factory=list)

    def aws(self, namespace: str, name: str, at: float, value: float = 1.0, **of: str) -> None:
        """Add one datum of a service's."""
        mine = {
            key: value if self.stack == "archiver" else f"dev {value}" for key, value in of.items()
        }
        self.data.append(Datum(namespace, name, dimensions_of(**mine), value, at))

    def ours(
        self, at: float, kind: Callable[[Any, str], _Told], tell: Callable[[_Told], None]
    ) -> None:
        """Add what one of our functions prints while it does something."""
        metrics, out = make_metrics(), io.StringIO()
        metrics.clear_default_dimensions()  # Powertools keeps them for the whole process
        metrics.clear_metrics()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all of it was printed at once, by reason
            tell(kind(metrics, self.stack))
            metrics.flush_metrics()
        self.data += [
            Datum(d.namespace, d.name, d.dimensions, d.value, at) for d in read_emf(out.getvalue())
        ]

    def run(self, at: float, *, seconds: float = 5, died: bool = False) -> None:
        """One run of archive_export."""
        function = "<ArchiveExportFunction>"
        self.aws("AWS/Lambda", "Invocations", at, FunctionName=function)
        self.aws("AWS/Lambda", "Errors", at, float(died), FunctionName=function)
        self.aws("AWS/Lambda", "Duration", at, 1000 * seconds, FunctionName=function)

    def archived(self, at: float) -> None:
        """One job that goes well."""
        self.run(at)
        self.ours(at, Counters, lambda counters: counters.archived(_RECEIPT))

    def outcome(self, at: float, name: str, reason: str) -> None:
        """One job that does not."""
        self.run(at)
        self.ours(at, Counters, lambda counters: counters.count_reason(name, reason))

    def sweep(self, at: float, why: str | None = None, oldest: float = 0) -> None:
        """One sweep of the schedule; `why` it did not come to its end."""

        def tell(gauges: Gauges) -> None:
            if why is not None:
                gauges.count_by("SweepsUnfinished", "reason", {why: 1})
                return
            gauges.count("SweepsFinished", 1)
            gauges.seconds("OldestUnarchivedSeconds", oldest)

        self.aws("AWS/Lambda", "Errors", at, 0.0, FunctionName="<ReconcileExportsFunction>")
        self.ours(at, Gauges, tell)

    def orders(self, begin: float, end: float, *, is_held_up: bool = False) -> None:
        """Run order_exports every quarter of an hour."""

        def tell(gauges: OrderGauges) -> None:
            gauges.missing(int(is_held_up), 90_000.0 * is_held_up)
            gauges.held_up(is_held_up=is_held_up)
            gauges.quota(is_used_up=False)

        for at in _times(begin, end, 15 * MINUTE):
            self.ours(at, OrderGauges, tell)

    def letters(self, begin: float, end: float, number: int = 1) -> None:
        """Dead letters that lie there, and zeros for as long as SQS goes on afterwards."""
        name = "<DeadLetterQueue.QueueName>"
        for at in _times(begin, end + _ACTIVE, _STEP):
            told = float(number if at < end else 0)
            self.aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", at, told, QueueName=name)

    def oldest_message(self, begin: float, end: float, since: float | None = None) -> None:
        """Tell the age of the oldest message, growing since then; without that the queue works."""
        for at in _times(begin, end, _STEP):
            age = 20.0 if since is None else at - since
            name = "<ArchiveQueue.QueueName>"
            self.aws("AWS/SQS", "ApproximateAgeOfOldestMessage", at, age, QueueName=name)

    def works(self, begin: float, end: float, *, jobs_every: float = 20 * MINUTE) -> None:
        """All goes well: hourly sweeps, jobs, a queue that is worked on."""
        for at in _times(begin, end, HOUR):
            self.sweep(at + HOUR - 1)
        for at in _times(begin, end, jobs_every):
            self.archived(at)
        self.oldest_message(begin, end)


@dataclass(frozen=True, eq=False)  # each is itself: what it publishes is played once
class Scenario:
    """Some days with one cause, which begins at `cause_at`; which alarms ring, within how long."""

    name: str
    days: float
    play: Callable[[Days], None]
    rings: Mapping[str, float] = field(default_factory=dict)
    cause_at: float = 0.0
    parameters: Mapping[str, str] = field(default_factory=dict)


def _times(begin: float, end: float, step: float) -> Iterator[float]:
    at = begin
    while at < end:
        yield at
        at += step


def _no_credentials(days: Days) -> None:
    for at in _times(HOUR, 4 * DAY, HOUR):
        days.sweep(at, "credentials_missing")
    for at in _times(2 * HOUR, 3 * DAY, 15 * MINUTE):
        days.outcome(at, "Deferred", "credentials_missing")


def _healthy(days: Days) -> None:
    days.works(0, 4 * DAY)


def _quiet(days: Days) -> None:
    for at in _times(HOUR, 31 * DAY, HOUR):
        days.sweep(at)
    days.archived(3 * DAY)


def _weekly(days: Days, why: str | None = None) -> None:
    for number, at in enumerate(_times(7 * DAY, 29 * DAY, 7 * DAY)):
        days.sweep(at, why if number == 1 else None)
    days.archived(3 * DAY)


def _weekly_held_up(days: Days) -> None:
    _weekly(days, "vendor_error")


def _daily(days: Days) -> None:
    for at in _times(6 * HOUR, 10 * DAY, DAY):
        days.sweep(at)


def _beside(days: Days) -> None:
    days.works(0, 4 * DAY)
    dev = Days("archiver-dev", days.data)
    _no_credentials(dev)
    for at in _times(0, 4 * DAY, MINUTE * 10):
        dev.outcome(at, "Failed", "bug")
        dev.run(at, died=True, seconds=299)
    dev.letters(0, 4 * DAY)


def _dead_beside(days: Days) -> None:
    days.works(0, DAY)
    days.oldest_message(DAY, 4 * DAY)
    Days("archiver-dev", days.data).works(0, 4 * DAY)


def _undelivered(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 3 * DAY, 2 * HOUR):
        rule = {"EventBusName": "<EventBus.Name>", "RuleName": "archiver-jobs"}
        days.aws("AWS/Events", "InvocationsFailedToBeSentToDlq", at, 1, **rule)


def _undelivered_on_default(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 3 * DAY, 2 * HOUR):
        days.aws("AWS/Events", "InvocationsFailedToBeSentToDlq", at, 1, RuleName="archiver-jobs")


def _jobs_wait_for_the_vendor(days: Days) -> None:
    days.works(0, DAY)
    for at in _times(DAY, DAY + 8 * HOUR, 5 * MINUTE):  # each job looks again within ten minutes
        days.outcome(at, "Deferred", "vendor_error")
    days.works(DAY + 8 * HOUR, 4 * DAY)


def _vendor_down(days: Days) -> None:
    days.works(0, DAY)
    for at in _times(DAY, DAY + 8 * HOUR, HOUR):
        days.sweep(at + HOUR - 1, "vendor_error")
    for at in _times(DAY, DAY + 8 * HOUR, MINUTE):
        days.outcome(at, "Failed", "vendor_error")
    days.oldest_message(DAY, DAY + 8 * HOUR)
    days.works(DAY + 8 * HOUR, 4 * DAY)


def _one_job_fails(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, DAY + 10 * MINUTE, 2 * MINUTE):
        days.outcome(at, "Failed", "bug")


def _letter_decided(days: Days) -> None:
    days.works(0, 4 * DAY)
    days.letters(DAY, 2 * DAY)


def _letter_forgotten(days: Days) -> None:
    days.works(0, 10 * DAY)
    days.letters(DAY, 9 * DAY)


def _letter_untouched(days: Days) -> None:
    days.works(0, 10 * DAY)
    days.letters(DAY, DAY + _ACTIVE)
    days.data = [d for d in days.data if d.namespace != "AWS/SQS" or d.at < DAY + _ACTIVE]


def _letter_looked_at(days: Days) -> None:
    """Somebody receives it for a minute several times a day: hidden then, and without an age."""
    _letter_forgotten(days)
    for index, datum in enumerate(days.data):
        if datum.namespace == "AWS/SQS" and datum.at % (4 * HOUR) == 0 and datum.at > DAY:
            days.data[index] = Datum(datum.namespace, datum.name, datum.dimensions, 0.0, datum.at)


def _credentials_refused(days: Days) -> None:
    days.works(0, DAY)
    for at in _times(DAY, 3 * DAY, HOUR):
        days.sweep(at + HOUR - 1, "credentials_rejected")
    for at in _times(DAY, 3 * DAY, 15 * MINUTE):
        days.outcome(at, "Deferred", "credentials_rejected")
    days.oldest_message(DAY, 3 * DAY)
    days.works(3 * DAY, 5 * DAY)


def _quota(days: Days) -> None:
    days.works(0, DAY)
    for at in _times(DAY, 3 * DAY, HOUR):
        days.sweep(at + HOUR - 1, "quota_exceeded")
    days.oldest_message(DAY, 3 * DAY)
    days.works(3 * DAY, 5 * DAY)


def _paused(days: Days) -> None:
    days.works(0, DAY)
    days.oldest_message(DAY, 2 * DAY, since=DAY)
    for at in _times(DAY, 2 * DAY, HOUR):
        days.sweep(at + HOUR - 1, oldest=at + HOUR - 1 - DAY)
    days.works(2 * DAY, 5 * DAY)


def _throttled(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 2 * DAY, MINUTE):
        days.aws("AWS/Lambda", "Throttles", at, 4, FunctionName="<ArchiveExportFunction>")


def _throttled_once(days: Days) -> None:
    days.works(0, 3 * DAY)
    for at in _times(DAY, DAY + 4 * MINUTE, MINUTE):
        days.aws("AWS/Lambda", "Throttles", at, 4, FunctionName="<ArchiveExportFunction>")


def _runs_die(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 2 * DAY, 2 * HOUR):
        for later in (0, 60, 120):
            days.run(at + later, died=True)


def _one_run_dies(days: Days) -> None:
    days.works(0, 3 * DAY)
    days.run(DAY, died=True)


def _too_slow(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 2 * DAY, 2 * HOUR):
        days.run(at, died=True, seconds=300)


def _does_not_start(days: Days) -> None:
    days.works(0, DAY)
    for at in _times(DAY, 3 * DAY, 10 * MINUTE):
        for later in (0, 60, 120):
            days.run(at + later, died=True)
        for function in ("<ReconcileExportsFunction>", "<ReceiveCallbackFunction>"):
            days.aws("AWS/Lambda", "Errors", at, FunctionName=function)
    days.oldest_message(DAY, 3 * DAY)


def _callbacks_fail(days: Days) -> None:
    days.works(0, 4 * DAY)
    for at in _times(DAY, 2 * DAY, 10 * MINUTE):
        for later in range(6):
            days.ours(at + later, Counters, lambda c: c.count_reason("CallbackFailed", "aws_error"))


def _sweeps_held_up(days: Days) -> None:
    days.works(0, 4 * DAY, jobs_every=DAY)
    days.data = [d for d in days.data if d.name not in {"SweepsHeldUp", "SweepsFinished"}]
    for at in _times(0, 4 * DAY, HOUR):
        days.sweep(at, "forbidden" if DAY <= at < 3 * DAY else None)


def _one_sweep_held_up(days: Days) -> None:
    days.sweep(HOUR, "vendor_error")
    days.works(HOUR + 1, 3 * DAY)


def _sweep_dies(days: Days) -> None:
    days.works(0, 4 * DAY)
    days.aws("AWS/Lambda", "Errors", DAY, FunctionName="<ReconcileExportsFunction>")


def _order_run_dies(days: Days) -> None:
    days.works(0, 4 * DAY)
    days.orders(0, 4 * DAY)
    days.aws("AWS/Lambda", "Errors", DAY, FunctionName="<OrderExportsFunction>")


def _orders_held_up(days: Days) -> None:
    days.works(0, 6 * DAY)
    days.orders(0, DAY)
    days.orders(DAY, 3 * DAY, is_held_up=True)
    days.orders(3 * DAY, 6 * DAY)


def _orders_stop(days: Days) -> None:
    days.works(0, 4 * DAY)
    days.orders(0, DAY)


def _no_plan(days: Days) -> None:
    days.works(0, 3 * DAY)


_ORDERS = {"OrderSchedule": "rate(15 minutes)"}
_WEEKLY = {"ReconcileSchedule": "rate(7 days)"}
_DAILY = {"ReconcileSchedule": "cron(0 6 * * ? *)"}
_FORGOTTEN = {"DeadLettersAlarm": 20 * MINUTE, "DeadLettersExpireAlarm": 6.2 * DAY}
SCENARIOS = (
    Scenario(
        "a fresh stack without credentials",
        4,
        _no_credentials,
        rings={"CredentialsAlarm": 2 * HOUR},
    ),
    Scenario("healthy", 4, _healthy),
    Scenario("one export a month", 31, _quiet),
    Scenario("a sweep every week", 30, _weekly, parameters=_WEEKLY),
    Scenario("a sweep every day, by cron", 10, _daily, parameters=_DAILY),
    Scenario(
        "one sweep of a weekly schedule held up",
        30,
        _weekly_held_up,
        rings={"NoSweepFinishedAlarm": 26 * HOUR},
        cause_at=14 * DAY,
        parameters=_WEEKLY,
    ),
    Scenario("a broken dev beside it in the account", 4, _beside),
    Scenario(
        "its schedule dead, beside a healthy dev",
        4,
        _dead_beside,
        rings={"NoSweepFinishedAlarm": 43 * HOUR},
        cause_at=DAY,
    ),
    Scenario(
        "events that can be put nowhere",
        4,
        _undelivered,
        rings={"UndeliveredAlarm": 20 * MINUTE},
        cause_at=DAY,
    ),
    Scenario(
        "the same on the account's default bus",
        4,
        _undelivered_on_default,
        rings={"UndeliveredAlarm": 20 * MINUTE},
        cause_at=DAY,
        parameters={"EventBusName": "default"},
    ),
    Scenario(
        "most runs fail for 8 hours", 4, _vendor_down, rings={"FailingAlarm": HOUR}, cause_at=DAY
    ),
    Scenario(
        "the vendor out of order for 8 hours",
        4,
        _jobs_wait_for_the_vendor,
        rings={"OutOfOrderAlarm": HOUR},
        cause_at=DAY,
    ),
    Scenario("one job that fails", 4, _one_job_fails, cause_at=DAY),
    Scenario(
        "a dead letter, decided in a day",
        4,
        _letter_decided,
        rings={"DeadLettersAlarm": 20 * MINUTE},
        cause_at=DAY,
    ),
    Scenario("a dead letter, forgotten", 10, _letter_forgotten, rings=_FORGOTTEN, cause_at=DAY),
    Scenario(
        "a dead letter, forgotten, and SQS silent",
        10,
        _letter_untouched,
        rings=_FORGOTTEN,
        cause_at=DAY,
    ),
    Scenario(
        "a dead letter, looked at all the time",
        10,
        _letter_looked_at,
        rings=_FORGOTTEN,
        cause_at=DAY,
    ),
    Scenario(
        "credentials refused for 2 days",
        5,
        _credentials_refused,
        rings={"CredentialsAlarm": HOUR},
        cause_at=DAY,
    ),
    Scenario(
        "the quota used up for 2 days", 5, _quota, rings={"QuotaAlarm": 2 * HOUR}, cause_at=DAY
    ),
    Scenario(
        "the queue paused for a day",
        5,
        _paused,
        rings={"OldestMessageAlarm": 2 * HOUR, "OldestUnarchivedAlarm": 10 * HOUR},
        cause_at=DAY,
    ),
    Scenario(
        "no concurrency for a day",
        4,
        _throttled,
        rings={"ThrottlesAlarm": 20 * MINUTE},
        cause_at=DAY,
    ),
    Scenario(
        "runs that die, on and off",
        4,
        _runs_die,
        rings={"FunctionErrorsAlarm": 20 * MINUTE},
        cause_at=DAY,
    ),
    Scenario("no concurrency for a moment", 3, _throttled_once, cause_at=DAY),
    Scenario("one run that dies", 3, _one_run_dies, cause_at=DAY),
    Scenario(
        "runs that reach their timeout",
        4,
        _too_slow,
        rings={"FunctionErrorsAlarm": 20 * MINUTE},
        cause_at=DAY,
        parameters={"FunctionTimeout": "300"},
    ),
    Scenario(
        "functions that do not start",
        3,
        _does_not_start,
        rings={
            "FunctionErrorsAlarm": 20 * MINUTE,
            "CallbackErrorsAlarm": HOUR,
            "NoSweepFinishedAlarm": 43 * HOUR,
        },
        cause_at=DAY,
    ),
    Scenario(
        "callbacks that cannot be queued",
        4,
        _callbacks_fail,
        rings={"CallbackErrorsAlarm": 30 * MINUTE},
        cause_at=DAY,
    ),
    Scenario(
        "sweeps held up for 2 days",
        4,
        _sweeps_held_up,
        rings={"NoSweepFinishedAlarm": 26 * HOUR},
        cause_at=DAY,
    ),
    Scenario("one sweep held up, the first of all", 3, _one_sweep_held_up, cause_at=HOUR),
    Scenario(
        "an order that ApartmentIQ refuses, mended after 2 days",
        6,
        _orders_held_up,
        rings={"OrdersAlarm": HOUR},
        cause_at=DAY,
        parameters=_ORDERS,
    ),
    Scenario(
        "order_exports runs no more",
        4,
        _orders_stop,
        rings={"OrdersAlarm": 73 * HOUR},
        cause_at=DAY,
        parameters=_ORDERS,
    ),
    Scenario("orders are scheduled and no plan is applied", 3, _no_plan, parameters=_ORDERS),
    Scenario(
        "a sweep that dies",
        4,
        _sweep_dies,
        rings={"FunctionErrorsAlarm": 20 * MINUTE},
        cause_at=DAY,
    ),
    Scenario(
        "a run of order_exports that dies",
        4,
        _order_run_dies,
        rings={"FunctionErrorsAlarm": 20 * MINUTE},
        cause_at=DAY,
        parameters=_ORDERS,
    ),
)
