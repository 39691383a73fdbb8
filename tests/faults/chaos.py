"""What goes wrong, where, and how often: every request of the function crosses `Chaos.exchange`.

A boundary is a moment before the request takes effect, the effect, and a moment after it. A fault
is drawn for each by the schedule's own seed: lost on the way, refused, done but the answer lost,
slow or never answered. Beside that an invocation can be killed or frozen at any boundary and at any
reading of the clock. Faults end with their budget, so that a schedule can come to rest.

Waiting costs what it costs in the world: whoever waits does so on a `Line`, for as long as its
caller's patience and the invocation's own deadline (archiver/network/deadline.py) let it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from archiver.network.deadline import Deadline, TimeIsUp
from tests.faults.scheduler import Scheduler, Task

__all__ = [
    "COPY_WEIGHT",
    "ENDLESS",
    "FOREVER_SECONDS",
    "Chaos",
    "Fault",
    "Killed",
    "Line",
    "Profile",
    "Run",
    "Stall",
    "Trace",
    "Violation",
    "silences",
]

_T = TypeVar("_T")

COPY_WEIGHT = 2.0  # the copy is where most can be lost
FOREVER_SECONDS = 7_200.0  # longer than any invocation: 900 s
_MEETING = (1, 1, 2, 3, 3, 3, 3)
_OUTAGE_SECONDS = (30.0, 90.0, 200.0, 600.0)
ENDLESS = Deadline(lambda *_: nullcontext())  # of whoever asks outside of all invocations


class Killed(BaseException):
    """The runtime died here. Nothing of the invocation reaches the world any more."""


class Violation(BaseException):
    """An invariant is broken, or the simulated world was asked for what it does not know.

    No `except Exception` of the function can take it for its own.
    """


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which one request can go wrong.

    `effect`: how often the request takes effect all the same. `error`: what the caller meets then;
    None lets it have the (last) answer. `cause`: which side is to blame, for judging reasons.
    `stall`: how much longer it takes, given the caller's patience; `connects`: it is the connection
    that is not made. `retried`: botocore tries again.
    """

    name: str
    effect: int
    error: Callable[[], BaseException] | None
    cause: str
    then: Callable[[], None] | None = None
    stall: Callable[[random.Random, float], Stall] | None = None
    connects: bool = False
    retried: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """By how many seconds a request's effect is late, and then its answer.

    `drips`: bytes that say nothing arrive meanwhile, so that no patience ends. `late`: the request
    takes effect then, whether or not anybody still listens.
    """

    before: float = 0.0
    after: float = 0.0
    drips: bool = False
    late: bool = False


def silences(name: str, cause: str, *, retried: bool = False) -> tuple[Fault, ...]:
    """Return how somebody can be slow or silent: before the effect, after it, or connecting."""

    def slow(draw: random.Random, patience: float) -> Stall:
        seconds = draw.uniform(1.0, 1.2 * patience)
        return Stall(before=seconds) if draw.random() < 0.5 else Stall(after=seconds)

    def stalling(what: str, stall: Callable[[random.Random, float], Stall]) -> Fault:
        return Fault(f"{name} {what}", 1, None, cause, stall=stall, retried=retried)

    return (
        stalling("silent, not done", lambda *_: Stall(before=FOREVER_SECONDS)),
        stalling("silent, done", lambda *_: Stall(after=FOREVER_SECONDS)),
        stalling("slow", slow),
        stalling("slow", slow),
        replace(stalling("connect hangs", lambda *_: Stall(before=FOREVER_SECONDS)), connects=True),
    )


@dataclass(slots=True)
class Run:
    """One invocation, as far as faults are concerned (fleet.py has the rest)."""

    name: str
    deadline: float = float("inf")
    patience: Deadline = ENDLESS  # its runtime's
    dead: bool = False
    frozen_until: float = 0.0
    faults: list[tuple[str, str]] = field(default_factory=list)  # cause, name
    fault_times: list[float] = field(default_factory=list)
    sides: set[str] = field(default_factory=set)  # whose requests met a fault
    closed_until: float = 0.0  # what it knows of the vendor's throttle
    looked_at: float = 0.0  # when it read what the fleet knows
    exclusive: list[Task] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)

    def blames(self, *causes: str) -> bool:
        """Tell whether something of this kind went wrong here."""
        return any(cause in causes for cause, _ in self.faults)

    def faults_after(self, moment: float) -> bool:
        """Tell whether something went wrong here from a moment on, of which it may have died."""
        return any(when >= moment for when in self.fault_times) or self.frozen_until > moment


@dataclass(frozen=True, slots=True)
class Profile:
    """How bad a schedule is."""

    probability: float
    budget: int
    kills: float = 0.0  # of the faults, how many are kills or freezes
    slow: float = 1.0  # factor on every latency
    # copy: mostly there; zombies: runtimes that freeze and come back; waits: stalls and silence
    focus: Literal["everything", "copy", "zombies", "waits"] = "everything"


@dataclass
class Trace:
    """What happened, in order; kept short, and printed where one schedule is looked at."""

    lines: list[str] = field(default_factory=list)
    wanted: bool = False

    def add(self, now: float, who: str, what: str) -> None:
        """Note one thing."""
        if self.wanted:
            self.lines.append(f"{now:12.3f}  {who:<14} {what}")


class Chaos:
    """Draws faults, and lets requests take their time."""

    def __init__(self, scheduler: Scheduler, profile: Profile, start: float) -> None:
        self.scheduler = scheduler
        self.profile = profile
        self.random = scheduler.random
        self.left = profile.budget
        self.injected: Counter[str] = Counter()
        self.trace = Trace()
        self.calls = 0
        self.violations: list[str] = []
        self.on_death: Callable[[Run], None] = lambda _: None
        self.lines = 0
        self.configs: dict[str, Any] = {}  # botocore's, by service
        self._start = start
        self._silent_until: dict[str, float] = {}
        self._hung_up: list[Line] = []

    # --- who is asking ---

    def run(self) -> Run | None:
        """Return the invocation whose task is running; None outside of all."""
        task = self.scheduler.current
        return task.owner if task is not None and isinstance(task.owner, Run) else None

    def trace_for(self, run: Run, what: str) -> None:
        """Write a line of the trace about an invocation."""
        self.trace.add(self.scheduler.now - self._start, run.name, what)

    def note(self, what: str) -> None:
        """Write a line of the trace."""
        if self.trace.wanted:
            run = self.run()
            self.trace.add(self.scheduler.now - self._start, run.name if run else "-", what)

    def violate(self, what: str) -> Violation:
        """Note a broken invariant; raise what this returns."""
        self.note(f"## {what}")
        self.violations.append(what)
        return Violation(what)

    def hear(self, name: str, what: object) -> None:
        """Learn what a run was told in the end, for whoever has to know it again."""

    # --- what goes wrong ---

    def end(self) -> None:
        """Let the weather be good from now on."""
        self.left = 0
        self._silent_until.clear()

    def pick(
        self, side: str, cause: str, faults: Sequence[Fault], weight: float = 1.0
    ) -> Fault | None:
        """Draw what goes wrong with one request to a side of the world; None: nothing does."""
        if self._silent_until.get(side, 0.0) > self.scheduler.now:
            return self.random.choice(silences("outage:", cause, retried=True)[:2])
        if not faults or not self.draws(weight):
            return None
        waits = self.profile.focus == "waits"
        if self.random.random() < (0.15 if waits else 0.03):
            self.note(f"!! {side} falls silent")
            self.injected["somebody falls silent for a while"] += 1
            self._silent_until[side] = self.scheduler.now + self.random.choice(_OUTAGE_SECONDS)
            return self.pick(side, cause, faults)
        stalling = [fault for fault in faults if fault.stall is not None]
        if waits and stalling and self.random.random() < 0.7:
            return self.random.choice(stalling)
        return self.random.choice(faults)

    def meeting(self) -> int:
        """Draw how many of boto3's tries meet a fault: then it passes, or does not."""
        return self.random.choice(_MEETING)

    def stalls(self) -> float:
        """Return for how long a connection that carries bytes stalls now; mostly not at all."""
        waits = self.profile.focus == "waits"
        return self.random.uniform(1.0, 90.0) if self.draws(0.3 if waits else 0.05) else 0.0

    def draws(self, weight: float = 1.0) -> bool:
        """Decide whether something goes wrong now; counts against the budget when it does."""
        if self.profile.focus == "copy" and weight < COPY_WEIGHT:
            weight *= 0.1
        if self.scheduler.current is not None and self.scheduler.current.role == "beat":
            weight *= 0.3  # there are many of these, and they are not to use the budget up
        if self.left <= 0 or self.random.random() >= self.profile.probability * weight:
            return False
        self.left -= 1
        return True

    def count(self, cause: str, name: str, side: str = "") -> None:
        """Note an injected fault; what only the heartbeat met has a cause of its own."""
        self.injected[name] += 1
        run, task = self.run(), self.scheduler.current
        if run is not None and task is not None:
            of_beat = task.role == "beat" and cause not in {"kill", "freeze"}
            run.faults.append(("beat" if of_beat else cause, name))
            run.fault_times.append(self.scheduler.now)
            run.sides.add(side)
        self.note(f"!! {name}")

    def check(self) -> None:
        """Let an invocation die here: because it is dead already, or because it is its turn."""
        run = self.run()
        if run is None:
            return
        if not run.dead and self.left > 0 and self.random.random() < self._kill_probability():
            self.left -= 1
            self._kill_or_freeze(run)
        if run.dead:
            raise Killed

    def _kill_probability(self) -> float:
        return self.profile.probability * self.profile.kills

    def _kill_or_freeze(self, run: Run) -> None:
        zombies = self.profile.focus == "zombies"
        if self.random.random() < (0.8 if zombies else 0.3):
            seconds = self.random.choice([70.0, 120.0, 200.0] if zombies else [5.0, 20.0, 70.0])
            run.frozen_until = self.scheduler.now + seconds
            self.count("freeze", "freeze")
        else:
            self.count("kill", "kill")
            run.dead = True
            self.on_death(run)

    # --- time ---

    def sleep(self, seconds: float) -> None:
        """Take time; whoever is dead afterwards stays where it is, whoever is frozen waits on."""
        self.scheduler.sleep(seconds)
        self._go_on()

    def rest(self, seconds: float) -> None:
        """Wait between two tries of boto3's."""
        self.sleep(seconds)

    def _go_on(self) -> None:
        scheduler, run = self.scheduler, self.run()
        if run is None:
            return
        while not run.dead and run.frozen_until > scheduler.now:
            scheduler.sleep(run.frozen_until - scheduler.now)
        while not run.dead and run.exclusive and run.exclusive[-1] is not scheduler.current:
            assert scheduler.current is not None
            if scheduler.current.role != "worker":
                break
            run.waiting.append(scheduler.current)
            scheduler.give_way()
        if run.dead:
            raise Killed

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other worker of this copy run: this one may hold their lock (source.py, renew).

        Tasks are not threads: one that waited for a lock would wait for ever. The run itself and
        its heartbeat share no lock that is held over a request.
        """
        run, task = self.run(), self.scheduler.current
        if run is None or task is None or task.role != "worker":
            yield
            return
        run.exclusive.append(task)
        try:
            yield
        finally:
            run.exclusive.remove(task)
            for waiter in run.waiting:
                self.scheduler.wake(waiter)
            run.waiting.clear()

    def latency(self) -> float:
        """Return how long half a request takes, in seconds: mostly little, sometimes much."""
        draw = self.random.random()
        if draw < 0.97:
            return self.profile.slow * (0.005 + 0.02 * draw)
        return min(0.75, self.profile.slow * 2.0 * draw)  # longer ones are faults

    # --- the invocation's deadline ---

    def patience(self) -> Deadline:
        """Return the deadline of whoever is asking."""
        run = self.run()
        return ENDLESS if run is None else run.patience

    def clip(self, seconds: float) -> float:
        """Return so much patience, or what the invocation has left; raises TimeIsUp."""
        try:
            return self.patience().clip(seconds)
        except TimeIsUp:
            self.count("time", "(met: the invocation's time was up)")
            raise

    @contextmanager
    def ring_after(self, seconds: float, act: Callable[[], None]) -> Iterator[None]:
        """Do something later, unless the block has ended: workers.after on this clock."""
        run, ended = self.run(), False

        def ring() -> None:
            if ended or run is None or run.dead:
                return
            if run.frozen_until > self.scheduler.now:
                self.scheduler.at(run.frozen_until, ring)
                return
            self.trace_for(run, "the alarm clock rings")
            self._hung_up.clear()
            act()
            # Not in the order of a set of weak references, which no seed decides.
            for line in sorted(self._hung_up, key=lambda line: line.number):
                self.injected["(met: hung up on at the end of the time for work)"] += 1
                line.wake()

        self.scheduler.at(self.scheduler.now + max(0.0, seconds), ring)
        try:
            yield
        finally:
            ended = True

    def hung_up(self, line: Line) -> None:
        """Note a line that somebody waits on and that is interrupted by the alarm clock."""
        self._hung_up.append(line)

    # --- the boundary ---

    def exchange(
        self,
        name: str,
        act: Callable[[], _T],
        fault: Fault | None,
        line: Line,
        patience_seconds: float,
    ) -> _T:
        """Carry out one request on a line, or fail at it.

        Raises what the fault says, TimeoutError, and what the line raises.
        """
        self.calls += 1
        self.check()
        stall = Stall()
        if fault is not None:
            self.count(fault.cause, fault.name, name.partition(" ")[0])
            if fault.stall is not None:
                stall = fault.stall(self.random, patience_seconds)
        before, after = stall.before + self.latency(), stall.after + self.latency()
        line.allow(FOREVER_SECONDS if stall.drips else patience_seconds)
        if stall.late:
            act = self._later(name, act, before)
            before += 0.001
        try:
            line.wait(before)
        except Killed:
            if fault is None and self.random.random() < 0.5:
                self._act_quietly(name, act)  # it was on the wire already
            raise
        return self._take_effect(name, act, fault, partial(line.wait, after))

    def _take_effect(
        self, name: str, act: Callable[[], _T], fault: Fault | None, hear: Callable[[], None]
    ) -> _T:
        if fault is not None and fault.then is not None:
            fault.then()
        answer: Any = None
        error: Exception | None = None
        for _ in range(1 if fault is None else fault.effect):
            try:
                answer, error = act(), None
            except Exception as refused:  # noqa: BLE001 - the service's own answer, given below
                error = refused
        hear()
        if fault is not None and fault.error is not None:
            self.note(f"{name} -> {fault.name}")
            raise fault.error()
        self.note(f"{name} -> {'ok' if error is None else error!r:.120}")
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return] # of the last time that it took effect

    def _later(self, name: str, act: Callable[[], _T], seconds: float) -> Callable[[], _T]:
        """Let a request take effect after so many seconds; returns what gives its answer then."""
        outcomes: list[tuple[Any, Exception | None]] = []

        def happen() -> None:
            try:
                outcomes.append((act(), None))
            except Exception as refused:  # noqa: BLE001 - the service's own answer, given below
                outcomes.append((None, refused))
            self.note(f"{name} took effect, late")

        def outcome() -> _T:
            ((answer, error),) = outcomes
            if error is not None:
                raise error
            return answer  # type: ignore[no-any-return] # the request's own

        self.scheduler.at(self.scheduler.now + seconds, happen)
        return outcome

    def _act_quietly(self, name: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as refused:  # noqa: BLE001 - nobody is there to hear it
            self.note(f"{name} on the wire -> {refused!r:.80}")
        else:
            self.note(f"{name} on the wire -> ok")


class Line:
    """What one thread waits on for an answer, and what another can hang up on meanwhile."""

    def __init__(self, chaos: Chaos) -> None:
        chaos.lines += 1
        self.number = chaos.lines
        self.chaos = chaos
        self.broken = False
        self._ends_at = 0.0
        self._waiting: Task | None = None
        chaos.patience().watch(self)

    def allow(self, patience_seconds: float) -> None:
        """Wait for no longer than this from now on."""
        self._ends_at = self.chaos.scheduler.now + patience_seconds

    def wait(self, seconds: float) -> None:
        """Wait for what comes after so many seconds; raises TimeoutError if that is too long."""
        left = max(0.0, self._ends_at - self.chaos.scheduler.now)
        self.sleep(min(seconds, left))
        if seconds > left:
            raise TimeoutError("timed out")

    def sleep(self, seconds: float) -> None:
        """Let time pass; raises ConnectionAbortedError as soon as somebody hangs up."""
        self.check()
        scheduler = self.chaos.scheduler
        until, self._waiting = scheduler.now + seconds, scheduler.current
        try:
            self.chaos.sleep(seconds)
        finally:
            self._waiting = None
        # A frozen runtime's time-outs do not pass, and what has arrived meanwhile is heard.
        self._ends_at += max(0.0, scheduler.now - until)
        self.check()

    def check(self) -> None:
        """Fail if somebody hung up on this line."""
        if self.broken:
            raise ConnectionAbortedError("interrupted")

    def interrupt(self) -> None:
        """Hang up: make whoever waits on it fail at once."""
        self.broken = True
        if self._waiting is None:
            return
        if self.chaos.scheduler.current is None:  # the alarm clock's thread
            self.chaos.hung_up(self)
        else:
            self.wake()

    def wake(self) -> None:
        """Let whoever waits on it learn that it is broken."""
        if self._waiting is not None:
            self.chaos.scheduler.wake(self._waiting)
