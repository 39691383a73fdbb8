"""What becomes of a message: the six outcomes of README, one method for each.

    archived, already archived   acknowledged
    deferred                     a delayed copy is sent, then acknowledged: no receive is used up
    ended at the vendor          an event, acknowledged
    rejected                     an event, and to the dead-letter queue with its reason
    failed                       raised: SQS redelivers with backoff; on the last receive we
                                 dead-letter it ourselves, if another job was archived meanwhile;
                                 else it is taken for an outage, and deferred

The last log line of each message is written here and says what happened to its job. All of them
have the fields of `_story`; Powertools leaves out what is None.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol, cast, get_args

from archiver import states
from archiver.archiving.archive import Archived, Events, Request
from archiver.archiving.message import Message, is_our_own_event, read_order, read_request
from archiver.errors import (
    Deferral,
    EndedAtVendor,
    Failure,
    Interruption,
    OutageReason,
    Rejection,
)
from archiver.log import Log
from archiver.outage import FIRST_WAIT_SECONDS, Blame, Outages
from archiver.receipt import Receipt, iso_utc
from archiver.telemetry import Steps

__all__ = ["Delivery", "Outcomes"]

_MAX_DELAY_SECONDS = 900  # SQS's limit on a delay; longer waits are chained
# The first wait in seconds, doubled with each deferral up to SQS's limit.
_FIRST_WAIT_SECONDS = {
    "no_such_job": 10,  # of a message that is minutes old: the vendor's replica may lag
    "not_finished": 30,
    "rate_limited": 30,
    "in_progress_elsewhere": 5,
    "out_of_time": 60,  # after a run that finished no part; one that got on goes on at once
    "credentials_missing": 60,
    "credentials_rejected": 300,
}
# A run that was killed frees its job after a lease: who waits for it must not sleep much longer.
_MAX_WAIT_FOR_OTHERS_SECONDS = 60
# Over so long a throttled crowd spreads at the most: each of its jobs comes back more rarely, and
# the last is archived that much later.
_MAX_SPREAD_SECONDS = 300
_MAX_OUTAGE_WAIT_SECONDS = 600
_GROWING_UNTIL_SECONDS = 500.0  # each wait is as long as all before it; with its jitter 600
# A job that fails where nobody is archived waits for so long at the least, whatever MaxWaitHours
# is: that it is an outage cannot be told apart from its own fault.
_LEAST_PATIENCE = timedelta(hours=24)
# In an outage that the fleet knows of, waiting ends here, so that three jobs that nobody mends in a
# company that has no others do not go round for ever.
_LONGEST_OUTAGE = timedelta(days=14)
# While SQS takes no messages, nothing can be sent on, and each try uses up a receive: they are
# spread over half a day. SQS hides no message longer than 12 h after its receive (SQS Developer
# Guide, "Visibility timeout"), and a run takes up to 900 s of them.
_MAX_HIDDEN_SECONDS = 12 * 3_600 - 900
_FIRST_REDELIVERY_SECONDS = 10  # after a failure, doubled with each receive
_JITTER = 0.2  # of the wait, so that a throttled crowd does not come back as one


class Archives(Protocol):
    """The use case (archive.py)."""

    def archive(self, request: Request) -> Archived:
        """Archive a job's export, unless it is archived already."""

    def give_up(self, job_id: str, asked_by: str) -> None:
        """Abort what attempts at a job have left unfinished, if this message has it."""


class SendsMessages(Protocol):
    """A queue that can be sent to (aws/queue.py)."""

    def send(self, body: str, attributes: Mapping[str, str], *, delay_seconds: int = 0) -> None:
        """Send a message, delayed by 0 to 900 seconds (SQS's limit)."""

    def hide(self, receipt_handle: str, *, seconds: int) -> None:
        """Hide a received message for so long; then SQS redelivers it."""


class Jobs(Protocol):
    """The items of jobs (aws/job_table.py)."""

    def move(self, move: states.Move) -> bool:
        """Make a move, and tell whether it was made."""


class Outcomes(Protocol):
    """Counts outcomes (telemetry.Counters)."""

    def archived(self, receipt: Receipt) -> None:
        """Count an archived export."""

    def count(self, name: str) -> None:
        """Count something that needs no reason."""

    def count_reason(self, name: str, reason: str) -> None:
        """Count an outcome by reason."""


class _SqsIsOut(Failure):
    """SQS took no message of ours: neither a copy nor a dead letter."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Handles one message at a time."""

    archiver: Archives
    keep: Callable[[Message], AbstractContextManager[None]]
    queue: SendsMessages
    dead_letters: SendsMessages
    jobs: Jobs
    outages: Outages
    events: Events
    outcomes: Outcomes
    steps: Steps
    log: Log
    now: Callable[[], datetime]
    max_receives: int
    max_wait: timedelta

    def handle(self, message: Message) -> None:
        """Give one message its outcome; raises only what SQS is to redeliver."""
        if is_our_own_event(message.body):
            self._ignore(message)
            return
        self.outages.begin()
        job_id: str | None = None
        try:
            job_id, recheck = read_request(message.body)
            self.steps.annotate("job_id", job_id)
        except Rejection as rejection:
            self._guarded(message, None, partial(self._reject, message, None, rejection))
        else:
            self._guarded(message, job_id, partial(self._attempt, message, job_id, recheck))

    def _guarded(self, message: Message, job_id: str | None, act: Callable[[], None]) -> None:
        """Do what may fail; telling and setting aside may fail just as archiving may."""
        try:
            act()
        except Failure as failure:
            if not self._settle(message, job_id, failure):
                raise
        except Exception as error:
            bug = Failure("bug", f"An unexpected {type(error).__name__}; see the function's log.")
            if not self._settle(message, job_id, bug):
                raise

    def _settle(self, message: Message, job_id: str | None, failure: Failure) -> bool:
        """Let the message wait, or set it aside; False if SQS is to redeliver it."""
        try:
            return self._fail(message, job_id, failure)
        except _SqsIsOut as out:
            self._come_back(message, job_id, out)
            return False

    def _attempt(self, message: Message, job_id: str, recheck: bool) -> None:  # noqa: FBT001 - as read
        try:
            archived = self.archiver.archive(self._request(message, job_id, recheck))
            self._tell_archived(message, archived)
        except Deferral as deferral:
            failure = deferral.__cause__
            if deferral.reason in get_args(OutageReason):  # it was not let in
                wait = _jittered(deferral.wait_seconds or FIRST_WAIT_SECONDS)
                self._wait_out(message, job_id, deferral, wait, _LONGEST_OUTAGE)
            elif deferral.reason == "out_of_time" and isinstance(failure, Failure):
                self._defer_for_silence(message, job_id, deferral, failure)
            else:
                self._defer(message, job_id, deferral)
        except EndedAtVendor as ended:
            self._tell_ended(message, job_id, ended)
        except Rejection as rejection:
            self._reject(message, job_id, rejection)

    def _request(self, message: Message, job_id: str, recheck: bool) -> Request:  # noqa: FBT001 - as read
        return Request(
            job_id=job_id,
            asked_by=message.asked_by,
            first_seen_at=message.first_seen_at,
            recheck=recheck,
            told=read_order(message.body),
            hold=partial(self.keep, message),
        )

    def enqueue(self, message: Message) -> None:
        """Put a directly delivered event on the queue, no more; one without a job id is rejected.

        Asynchronous invocation gives up after three tries; the queue does not.
        """
        if is_our_own_event(message.body):
            self._ignore(message)
            return
        try:
            job_id, _ = read_request(message.body)
        except Rejection as rejection:
            self._reject(message, None, rejection)
            return
        # An error here is Lambda's to repeat, for six hours.
        self.queue.send(message.body, {"first_seen_at": iso_utc(message.first_seen_at)})
        self.outcomes.count("Queued")
        self.log.info("queued", **self._story(message, job_id, "queued", then="queued"))

    def _ignore(self, message: Message) -> None:
        """Let an event of our own go: whatever we emitted about it would come back as well."""
        self.outcomes.count("OwnEventsIgnored")
        detail = (
            "This is an event of the archiver's own. Narrow the rule that brings it here, for "
            'example to {"source": ["apartmentiq"]}.'
        )
        self._close({**self._story(message, None, "ignored", then="deleted"), "detail": detail})

    def _tell_archived(self, message: Message, archived: Archived) -> None:
        receipt = archived.receipt
        outcome = "archived" if archived.now else "already_archived"
        if archived.now:
            self.outcomes.archived(receipt)
            if receipt.quality_warning is not None:
                self.outcomes.count_reason("QualityWarnings", receipt.quality_warning)
        else:
            self.outcomes.count("AlreadyArchived")
        self.steps.annotate("outcome", outcome)
        self.steps.note("size_bytes", receipt.size_bytes)
        self.log.info(
            outcome,
            **self._story(message, receipt.job_id, outcome, then="deleted"),
            bucket=receipt.bucket,
            key=receipt.key,
            version_id=receipt.version_id,
            size_bytes=receipt.size_bytes,
            copy_method=receipt.copy_method,
            verified_by=receipt.verified_by,
            quality_warning=receipt.quality_warning,
            duration_seconds=receipt.duration_seconds,
            seconds_since_completion=receipt.seconds_since_completion,
        )

    def _defer(self, message: Message, job_id: str | None, deferral: Deferral) -> None:
        in_outages = min(message.in_outages(self.now()), _LONGEST_OUTAGE)
        waited = self.now() - message.first_seen_at - in_outages
        # A copy that gets on is not waiting: it ends by itself.
        gets_on = deferral.reason == "out_of_time" and deferral.wait_seconds == 0
        if waited > self.max_wait and not gets_on:
            hours = self.max_wait.total_seconds() / 3600
            why = f"It waited longer than {hours:g} hours, last because: {deferral.detail}"
            self._reject(message, job_id, Rejection("waited_too_long", why))
            return
        seconds = round(in_outages.total_seconds())
        earlier = {"outage_seconds": str(seconds)} if seconds else {}
        self._send_later(message, job_id, deferral, _delay(deferral, message.deferrals), earlier)

    def _defer_for_silence(
        self, message: Message, job_id: str, deferral: Deferral, failure: Failure
    ) -> None:
        """Let a job wait whose time was up while somebody did not answer: an outage, too, perhaps.

        The wait counts for MaxWaitHours if others are archived meanwhile.
        """
        blame = self.outages.blame()
        if blame == "own":
            self._defer(message, job_id, deferral)
        else:
            wait = self._growing(message, failure)
            self._wait_out(message, job_id, deferral, wait, self._patience(blame))
        self.outages.failed(job_id, failure)

    def _wait_out(
        self,
        message: Message,
        job_id: str | None,
        deferral: Deferral,
        delay_seconds: int,
        patience: timedelta,
    ) -> None:
        """Let a job wait for the end of an outage, which MaxWaitHours does not count."""
        now = self.now()
        if message.in_outages(now) > patience:
            hours = patience.total_seconds() / 3600
            why = f"It waited {hours:g} hours for an outage's end, last because: {deferral.detail}"
            self._reject(message, job_id, Rejection("waited_too_long", why))
            return
        attributes = {"outage_since": iso_utc(message.outage_since or now)}
        if message.outage_seconds:
            attributes["outage_seconds"] = str(message.outage_seconds)
        self._send_later(message, job_id, deferral, delay_seconds, attributes, fails="anew")

    def _growing(self, message: Message, failure: Failure) -> int:
        """Return how long to wait: as long as so far, and as long as the other side asked for."""
        so_far = (self.now() - (message.outage_since or self.now())).total_seconds()
        least = failure.wait_seconds or 0.0
        seconds = max(FIRST_WAIT_SECONDS, min(so_far, _GROWING_UNTIL_SECONDS), least)
        return min(_MAX_OUTAGE_WAIT_SECONDS, max(round(least), _jittered(seconds)))

    def _send_later(
        self,
        message: Message,
        job_id: str | None,
        deferral: Deferral,
        delay_seconds: int,
        attributes: Mapping[str, str],
        *,
        fails: Literal["anew"] | None = None,
    ) -> None:
        attributes = {
            "first_seen_at": iso_utc(message.first_seen_at),
            "deferrals": str(message.deferrals + 1),
            "deferred_at": iso_utc(self.now()),
            **({"asked_by": message.asked_by} if message.asked_by else {}),
            **attributes,
        }
        at = self.now()
        # First: a table that is silent would take the time for it.
        self._send(self.queue, message.body, attributes, delay_seconds=delay_seconds)
        # Of a job that another run holds, that run says what it does.
        if deferral.reason != "in_progress_elsewhere":
            self._note(message, job_id, "waiting", deferral, at, delay_seconds, fails=fails)
        self.outcomes.count_reason("Deferred", deferral.reason)
        story = self._story(
            message,
            job_id,
            "deferred",
            deferral,
            then="comes_back",
            next_try_seconds=delay_seconds,
        )
        self._close(story)

    def _tell_ended(self, message: Message, job_id: str, ended: EndedAtVendor) -> None:
        self._give_up(message, job_id)
        # Before the event: while the table takes nothing, each try would emit it once more.
        note = states.note(job_id, message.asked_by, "ended_at_vendor", ended, self.now())
        self.jobs.move(note)
        self.events.emit("Export Failed At Vendor", _detail(job_id, ended))
        self.outcomes.count_reason("EndedAtVendor", ended.reason)
        self._close(self._story(message, job_id, "ended_at_vendor", ended, then="deleted"))

    def _reject(self, message: Message, job_id: str | None, why: Interruption) -> None:
        """Emit, then dead-letter: an event twice is better than a dead letter twice."""
        self.events.emit("Export Rejected", _detail(job_id, why))
        self._give_up(message, job_id)
        self.outcomes.count_reason("Rejected", why.reason)
        self._close(self._story(message, job_id, "rejected", why, then="dead_letter"))
        self._bury(message, job_id, why)

    def _fail(self, message: Message, job_id: str | None, failure: Failure) -> bool:
        """Have the message redelivered with backoff, or defer it if an outage may be the cause.

        On its last receive it is dead-lettered here, with the reason: SQS's own redrive would tell
        none. True if the message is done with.
        """
        is_last = message.receive_count >= self.max_receives
        if isinstance(failure, _SqsIsOut) and not is_last:
            self._come_back(message, job_id, failure)
            return False
        if failure.reason != "bug":
            blame = self.outages.blame()
            patience = self._patience(blame)
            over = message.in_outages(self.now()) > patience
            # One that waited fails its first receive so; the later ones are tries that count.
            waits = is_last or (message.outage_since is not None and message.receive_count <= 1)
            if not over and (blame == "outage" or (blame == "unknown" and waits)):
                deferral = Deferral(cast("OutageReason", failure.reason), failure.detail)
                wait = self._growing(message, failure)
                self._wait_out(message, job_id, deferral, wait, patience)
                self._tell_fleet(job_id, failure)
                return True
            is_last = is_last or over
        if not is_last:
            self._come_back(message, job_id, failure)
            return False
        self._tell_failed(message, job_id, failure, then="dead_letter")
        self._give_up(message, job_id)
        self._bury(message, job_id, failure)
        return True

    def _patience(self, blame: Blame) -> timedelta:
        return _LONGEST_OUTAGE if blame == "outage" else max(self.max_wait, _LEAST_PATIENCE)

    def _come_back(self, message: Message, job_id: str | None, failure: Failure) -> None:
        """Let SQS redeliver the message with backoff."""
        receives = message.receive_count
        if isinstance(failure, _SqsIsOut):
            delay_seconds = _hidden_from_sqs_outage(receives, self.max_receives)
        else:
            delay_seconds = _jittered(_doubled(_FIRST_REDELIVERY_SECONDS, receives - 1))
        self._tell_failed(message, job_id, failure, then="comes_back", seconds=delay_seconds)
        at = self.now()
        # If this fails too, the message comes back after the queue's own, longer visibility.
        with suppress(Failure):
            self.queue.hide(message.receipt_handle, seconds=delay_seconds)
        fails: Literal["anew", "still"] = "anew" if receives <= 1 else "still"
        self._note(message, job_id, "failing", failure, at, delay_seconds, fails=fails)
        self._tell_fleet(job_id, failure)

    def _tell_fleet(self, job_id: str | None, failure: Failure) -> None:
        if job_id is not None and failure.reason != "bug" and not isinstance(failure, _SqsIsOut):
            self.outages.failed(job_id, failure)

    def _tell_failed(
        self,
        message: Message,
        job_id: str | None,
        failure: Failure,
        *,
        then: Literal["comes_back", "dead_letter"],
        seconds: float | None = None,
    ) -> None:
        self.outcomes.count_reason("Failed", failure.reason)
        self.steps.annotate("outcome", "failed")
        self.log.exception(  # noqa: LOG004 - called from the except blocks of `_guarded` alone
            "failed",
            **self._story(message, job_id, "failed", failure, then=then, next_try_seconds=seconds),
        )

    def _give_up(self, message: Message, job_id: str | None) -> None:
        """Abort unfinished uploads; what cannot be aborted now, the sweep takes.

        Whatever goes wrong here must not keep the message from its outcome.
        """
        if job_id is not None:
            with suppress(Exception):
                self.archiver.give_up(job_id, message.asked_by)

    def _bury(self, message: Message, job_id: str | None, why: Interruption) -> None:
        attributes = {
            "reason": why.reason,
            "job_id": job_id or "",
            "detail": why.detail,
            "rejected_at": iso_utc(self.now()),
        }
        self._send(self.dead_letters, message.body, attributes)
        self._note(message, job_id, "dead_lettered", why, self.now())

    def _send(
        self,
        to: SendsMessages,
        body: str,
        attributes: Mapping[str, str],
        *,
        delay_seconds: int = 0,
    ) -> None:
        try:
            to.send(body, attributes, delay_seconds=delay_seconds)
        except Failure as failure:
            raise _SqsIsOut("aws_error", failure.detail) from failure

    def _note(
        self,
        message: Message,
        job_id: str | None,
        state: states.NotedState,
        why: Interruption,
        at: datetime,
        next_try_seconds: float | None = None,
        *,
        fails: Literal["anew", "still"] | None = None,
    ) -> None:
        """Write it down; if that fails, the message has its outcome all the same."""
        if job_id is None:
            return
        next_try_at = self._moment_in(next_try_seconds)
        note = states.note(
            job_id, message.asked_by, state, why, at, next_try_at=next_try_at, fails=fails
        )
        with suppress(Failure):
            self.jobs.move(note)

    def _close(self, story: Mapping[str, Any]) -> None:
        self.steps.annotate("outcome", story["outcome"])
        self.log.warning(story["outcome"], **story)

    def _story(
        self,
        message: Message,
        job_id: str | None,
        outcome: str,
        why: Interruption | None = None,
        *,
        then: Literal["deleted", "comes_back", "dead_letter", "queued"],
        next_try_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Return what every message's last line says: the job, its outcome, why, what comes next.

        `then` is what becomes of the message itself.
        """
        return {
            "job_id": job_id,
            "outcome": outcome,
            "reason": why and why.reason,
            "detail": why and why.detail,
            "then": then,
            "next_try_at": self._moment_in(next_try_seconds),
            "message_id": message.message_id,
            "receive_count": message.receive_count,
            "deferrals": message.deferrals,
            "first_seen_at": iso_utc(message.first_seen_at),
        }

    def _moment_in(self, seconds: float | None) -> str | None:
        return None if seconds is None else iso_utc(self.now() + timedelta(seconds=seconds))


def _detail(job_id: str | None, why: Interruption) -> dict[str, Any]:
    """Return the detail of our two events without an object (events/schemas)."""
    return {"schema_version": "1", "job_id": job_id, "reason": why.reason, "detail": why.detail}


def _delay(deferral: Deferral, deferrals: int) -> int:
    """Return how long to wait, in whole seconds: what the other side asked for, at the least."""
    growing = _doubled(_FIRST_WAIT_SECONDS[deferral.reason], deferrals)
    if deferral.reason == "in_progress_elsewhere":
        growing = min(growing, _MAX_WAIT_FOR_OTHERS_SECONDS)
    if deferral.wait_seconds is None:
        return _jittered(growing)
    least = int(-(-deferral.wait_seconds // 1))
    spread = max(1, least // 5)
    if deferral.reason == "rate_limited" and deferrals:  # a crowd that comes back as one again
        spread = max(spread, min(_MAX_SPREAD_SECONDS, _doubled(15, deferrals)))
    return min(_MAX_DELAY_SECONDS, least + random.randint(0, spread))  # noqa: S311


def _hidden_from_sqs_outage(receives: int, max_receives: int) -> int:
    """Return for how many seconds: a hiccup costs ten, and the last but one receive half a day."""
    gaps = max_receives - 1  # between receives; each is so many times as long as the one before
    longest = _MAX_HIDDEN_SECONDS / _FIRST_REDELIVERY_SECONDS
    growth = max(2.0, math.pow(longest, 1 / max(1, gaps - 1)))
    if receives >= gaps:
        return _MAX_HIDDEN_SECONDS
    return round(_FIRST_REDELIVERY_SECONDS * min(longest, math.pow(growth, max(1, receives) - 1)))


def _doubled(seconds: int, times: int) -> int:
    """Return `seconds` doubled so often, or a number beyond every limit on a wait.

    The exponent is held because it comes with the message: two to the power of what a queue may
    count is a number that fills the memory.
    """
    return seconds << min(max(times, 0), 10)


def _jittered(seconds: float) -> int:
    spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret depends on it
    return min(_MAX_DELAY_SECONDS, max(0, round(seconds * spread)))
