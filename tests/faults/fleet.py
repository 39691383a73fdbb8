"""Lambda: runtimes that take messages from the queue, with a deadline, until they die or are done.

The function is the real one from `archiver.archiving.reception.receive` inwards. A runtime is an
`Application`; it stays warm after an invocation that ended, and is gone after one that died.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from archiver.archiving.reception import receive
from archiver.network.deadline import Deadline
from archiver.receipt import Receipt
from archiver.wiring.archiving import Application
from tests.faults.chaos import Chaos, Killed, Run
from tests.faults.queues import Letter, Queues
from tests.faults.scheduler import Task

__all__ = ["CountingOutcomes", "Fleet", "Invocation", "Journal", "make_every", "make_run_workers"]

_LOOP_LIMIT = 16  # Lambda stops a chain of invocations through a queue about there
_GRACE_SECONDS = 2.0


@dataclass(slots=True)
class Invocation(Run):
    """One invocation, for one message (BatchSize is 1)."""

    letter: Letter = field(default_factory=lambda: Letter("", "", {}, 0.0, by_function=False))
    began_at: float = 0.0
    ended_at: float | None = None
    job_id: str | None = None
    outcome: str | None = None
    reason: str | None = None
    detail: str = ""
    committed_at: float | None = None
    how: str = ""  # it ended: done, failed, raised, died
    timed_out: bool = False  # then Lambda ended it
    aborts: list[Any] = field(default_factory=list)


@dataclass
class Journal:
    """The function's log: every field and every exception's text, kept for the judge."""

    chaos: Chaos
    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def info(self, msg: object, **fields: Any) -> None:  # noqa: ANN401 - the logger's own
        """Write a line."""
        self._write(msg, fields)

    def warning(self, msg: object, **fields: Any) -> None:  # noqa: ANN401 - the logger's own
        """Write a line."""
        self._write(msg, fields)

    error = warning

    def exception(self, msg: object, **fields: Any) -> None:  # noqa: ANN401 - the logger's own
        """Write a line and whatever a traceback would show of the exception's texts."""
        self._write(msg, fields)
        error = sys.exc_info()[1]
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            self.texts.append(f"{type(error).__name__}: {error!s} {error.args!r}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

    def _write(self, msg: object, fields: dict[str, Any]) -> None:
        run = self.chaos.run()
        self.entries.append((run.name if run else "-", {"message": msg, **fields}))
        self.texts.append(f"{msg} {fields}")
        if isinstance(run, Invocation) and "outcome" in fields:
            run.outcome, run.reason = fields["outcome"], fields.get("reason")
            run.job_id = fields.get("job_id") or run.job_id
            run.detail = fields.get("detail") or ""
            self.chaos.note(f"== {run.outcome} {run.reason or ''} {fields.get('detail', '')}")


class CountingOutcomes:
    """Counts what the metrics would."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def archived(self, receipt: Receipt) -> None:
        """Count an archived export."""
        assert receipt.size_bytes >= 0
        assert receipt.duration_seconds >= 0
        assert receipt.seconds_since_completion is None or receipt.seconds_since_completion >= 0
        self.counted[f"Archived {receipt.copy_method}"] += 1

    def count(self, name: str) -> None:
        """Count something that needs no reason."""
        self.counted[name] += 1

    def count_reason(self, name: str, reason: str) -> None:
        """Count an outcome by reason."""
        self.counted[f"{name} {reason}"] += 1


@dataclass
class _Context:
    """What the function may ask of Lambda."""

    chaos: Chaos
    run: Run
    function_name: str = "archive_export"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:archive_export"
    aws_request_id: str = "request"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left; reading a clock is a moment to die at, too."""
        self.chaos.check()
        return max(0, int((self.run.deadline - self.chaos.scheduler.now) * 1000))


@dataclass
class _Runtime:
    application: Application
    patience: Deadline
    closed_until: float = 0.0


class Fleet:
    """The event source mapping and its runtimes."""

    def __init__(
        self,
        chaos: Chaos,
        queues: Queues,
        make_application: Callable[[Deadline], Application],
        *,
        make_deadline: Callable[[], Deadline],
        timeout_seconds: float,
        concurrency: int,
        loop_allowed: bool,
    ) -> None:
        self.invocations: list[Invocation] = []
        self.on_end: Callable[[Invocation], None] = lambda _: None
        self.on_begin: Callable[[Invocation], None] = lambda _: None
        self.stopped_loops = 0
        self.cold_starts = 0
        self._chaos = chaos
        self._queues = queues
        self._make_application = make_application
        self._make_deadline = make_deadline
        self._timeout_seconds = timeout_seconds
        self._concurrency = concurrency
        self._loop_allowed = loop_allowed
        self.warm: list[_Runtime] = []
        self._active = 0
        self._begun = 0
        queues.when_visible = self.dispatch
        chaos.on_death = self._died

    def dispatch(self) -> None:
        """Start an invocation for each visible message, as far as there is concurrency."""
        while self._active < self._concurrency:
            letter = self._queues.receive()
            if letter is None:
                return
            if letter.chain >= _LOOP_LIMIT and not self._loop_allowed:
                self.stopped_loops += 1
                self._queues.drop(letter)
                continue
            self._start(letter)

    def _start(self, letter: Letter) -> None:
        scheduler = self._chaos.scheduler
        self._active += 1
        self._begun += 1
        runtime = self._runtime()
        invocation = Invocation(
            name=f"i{self._begun}",
            deadline=scheduler.now + self._timeout_seconds,
            patience=runtime.patience,
            letter=letter,
            began_at=scheduler.now,
            closed_until=runtime.closed_until,
        )
        self.invocations.append(invocation)
        self.on_begin(invocation)
        self._chaos.trace_for(
            invocation,
            f"begins: {letter.message_id}, receive {letter.receives}, {letter.body[:60]}",
        )
        scheduler.start(lambda: self._work(invocation, runtime, _event(letter)), invocation)
        scheduler.at(invocation.deadline, partial(self._time_out, invocation))

    def _runtime(self) -> _Runtime:
        if self.warm and self._chaos.random.random() < 0.8:
            return self.warm.pop(self._chaos.random.randrange(len(self.warm)))
        self.cold_starts += 1
        patience = self._make_deadline()
        return _Runtime(self._make_application(patience), patience)

    def _work(self, invocation: Invocation, runtime: _Runtime, event: dict[str, Any]) -> None:
        context = cast("Any", _Context(self._chaos, invocation))
        letter = invocation.letter
        try:
            answer = receive(event, context, runtime.application)
        except Killed:
            return  # `_died` has seen to it
        except Exception as error:  # noqa: BLE001 - Lambda calls this a function error
            how = f"raised {type(error).__name__}: {error}"
        else:
            failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
            how = "failed" if letter.message_id in failed else "done"
        runtime.closed_until = invocation.closed_until
        if invocation.dead:
            return
        self._end(invocation, how)
        if how == "done":
            self._queues.delete(letter)
        if not how.startswith("raised"):
            self.warm.append(runtime)
        self.dispatch()

    def kill(self, invocation: Run | None) -> None:
        """Let a runtime die here and now."""
        if isinstance(invocation, Invocation) and invocation.ended_at is None:
            self._chaos.trace_for(invocation, "KILLED")
            invocation.dead = True
            self._died(invocation)

    def _time_out(self, invocation: Invocation) -> None:
        if invocation.ended_at is None:
            self._chaos.trace_for(invocation, "TIMED OUT")
            self._chaos.injected["(met: invocation timed out)"] += 1
            invocation.timed_out = True
            invocation.dead = True
            self._died(invocation)

    def _died(self, run: Run) -> None:
        if isinstance(run, Invocation) and run.ended_at is None:
            self._end(run, "died")
            self._chaos.scheduler.at(self._chaos.scheduler.now, self.dispatch)

    def _end(self, invocation: Invocation, how: str) -> None:
        invocation.ended_at = self._chaos.scheduler.now
        invocation.how = how
        invocation.letter.history.append(how)
        self._active -= 1
        self._chaos.trace_for(invocation, f"ends: {how}")
        self.on_end(invocation)
        invocation.dead = True  # Lambda freezes whatever thread is left


def make_run_workers(chaos: Chaos) -> Any:  # noqa: ANN401 - archiver.network.outside.RunWorkers
    """Return what runs a copy's workers as tasks that take turns."""

    def run_workers(
        tasks: Sequence[Callable[[], None]],
        *,
        seconds_left: Callable[[], float],
        interrupt: Callable[[], None],
    ) -> Sequence[BaseException]:
        errors: list[BaseException] = []
        owner, scheduler, waiter = chaos.run(), chaos.scheduler, _Waiter()

        def guarded(task: Callable[[], None]) -> None:
            try:
                task()
            except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
                errors.append(error)
            if waiter.task is not None:
                scheduler.wake(waiter.task)

        running = [scheduler.start(partial(guarded, task), owner) for task in tasks]
        for started in running:
            started.role = "worker"
        until = scheduler.now + max(0.0, seconds_left())
        _wait(chaos, running, waiter, until, lambda: bool(errors))
        if any(not task.done for task in running):
            interrupt()
            _wait(chaos, running, waiter, scheduler.now + _GRACE_SECONDS, lambda: False)
        return errors

    return run_workers


def _wait(
    chaos: Chaos, tasks: Sequence[Task], waiter: _Waiter, until: float, enough: Callable[[], bool]
) -> None:
    scheduler = chaos.scheduler
    while any(not task.done for task in tasks) and not enough() and scheduler.now < until:
        waiter.task = scheduler.current
        chaos.sleep(until - scheduler.now)
        waiter.task = None


@dataclass
class _Waiter:
    """Whoever waits for tasks, while it does."""

    task: Task | None = None


def make_every(chaos: Chaos) -> Any:  # noqa: ANN401 - archiver.network.outside.Every
    """Return what beats in the background, as a task of the same invocation."""

    @contextmanager
    def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
        ended = False

        def beat() -> None:
            while not ended:
                task.busy = True
                act()
                task.busy = False
                chaos.sleep(seconds)

        task = chaos.scheduler.start(beat, chaos.run())
        task.role = "beat"
        try:
            yield
        finally:
            ended = True
            _settle(chaos, task)

    return every


def _settle(chaos: Chaos, task: Task) -> None:
    """Let a beat that is under way end, but not for long."""
    until = chaos.scheduler.now + _GRACE_SECONDS
    while task.busy and not task.done and chaos.scheduler.now < until:
        chaos.sleep(0.05)


def _event(letter: Letter) -> dict[str, Any]:
    attributes: Mapping[str, str] = letter.attributes
    record = {
        "messageId": letter.message_id,
        "receiptHandle": letter.handle,
        "body": letter.body,
        "attributes": {
            "ApproximateReceiveCount": str(letter.receives),
            "SentTimestamp": str(int(letter.sent_at * 1000)),
        },
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:archiver-queue",
        "awsRegion": "us-east-1",
    }
    return {"Records": [record]}
