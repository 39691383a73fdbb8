"""What goes wrong, where, and how often: every request of the function crosses `Chaos.call`.

A boundary is a moment before the request takes effect, the effect, and a moment after it. A fault
is drawn for each by the schedule's own seed: lost on the way, refused, done but the answer lost,
done twice (botocore repeats what it did not hear an answer to). Beside that an invocation can be
killed or frozen at any boundary and at any reading of the clock. Faults end with their budget, so
that a schedule can come to rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.faults.scheduler import Scheduler, Task

__all__ = ["COPY_WEIGHT", "Chaos", "Fault", "Killed", "Profile", "Run", "Trace", "Violation"]

_T = TypeVar("_T")

COPY_WEIGHT = 2.0  # the copy is where most can be lost


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
    """

    name: str
    effect: int
    error: Callable[[], BaseException] | None
    cause: str
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class Run:
    """One invocation, as far as faults are concerned (fleet.py has the rest)."""

    name: str
    deadline: float = float("inf")
    dead: bool = False
    frozen_until: float = 0.0
    faults: list[tuple[str, str]] = field(default_factory=list)  # cause, name
    fault_times: list[float] = field(default_factory=list)
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
    focus: str = "everything"  # copy: mostly there; zombies: runtimes that freeze and come back


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
        self._start = start

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

    # --- what goes wrong ---

    def draws(self, weight: float = 1.0) -> bool:
        """Decide whether something goes wrong now; counts against the budget when it does."""
        if self.profile.focus == "copy" and weight < COPY_WEIGHT:
            weight *= 0.1
        if self.left <= 0 or self.random.random() >= self.profile.probability * weight:
            return False
        self.left -= 1
        return True

    def count(self, cause: str, name: str) -> None:
        """Note an injected fault."""
        self.injected[name] += 1
        run = self.run()
        if run is not None:
            run.faults.append((cause, name))
            run.fault_times.append(self.scheduler.now)
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

    def _go_on(self) -> None:
        scheduler, run = self.scheduler, self.run()
        if run is None:
            return
        while not run.dead and run.frozen_until > scheduler.now:
            scheduler.sleep(run.frozen_until - scheduler.now)
        while not run.dead and run.exclusive and run.exclusive[-1] is not scheduler.current:
            assert scheduler.current is not None
            run.waiting.append(scheduler.current)
            scheduler.give_way()
        if run.dead:
            raise Killed

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other thread of this invocation run: this one may hold one of its locks.

        Tasks are not threads: one that waited for a lock would wait for ever.
        """
        run, task = self.run(), self.scheduler.current
        if run is None or task is None:
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
        return min(4.0, self.profile.slow * 2.0 * draw)  # longer ones are time-outs, and faults

    # --- the boundary ---

    def call_alone(self, name: str, act: Callable[[], _T], faults: Sequence[Fault] = ()) -> _T:
        """Carry out a request during which the invocation's other threads stand still."""
        with self.alone():
            return self.call(name, act, faults)

    def call(
        self, name: str, act: Callable[[], _T], faults: Sequence[Fault] = (), weight: float = 1.0
    ) -> _T:
        """Carry out one request of the function, or fail at it."""
        self.calls += 1
        self.check()
        fault = self.random.choice(faults) if faults and self.draws(weight) else None
        try:
            self.sleep(self.latency())
        except Killed:
            if fault is None and self.random.random() < 0.5:
                self._act_quietly(name, act)  # it was on the wire already
            raise
        return self._take_effect(name, act, fault)

    def _take_effect(self, name: str, act: Callable[[], _T], fault: Fault | None) -> _T:
        if fault is not None:
            self.count(fault.cause, fault.name)
            if fault.then is not None:
                fault.then()
        answer: Any = None
        error: Exception | None = None
        for _ in range(1 if fault is None else fault.effect):
            try:
                answer, error = act(), None
            except Exception as refused:  # noqa: BLE001 - the service's own answer, given below
                error = refused
        self.sleep(self.latency())
        if fault is not None and fault.error is not None:
            self.note(f"{name} -> {fault.name}")
            raise fault.error()
        self.note(f"{name} -> {'ok' if error is None else error!r:.120}")
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return] # of the last time that it took effect

    def _act_quietly(self, name: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as refused:  # noqa: BLE001 - nobody is there to hear it
            self.note(f"{name} on the wire -> {refused!r:.80}")
        else:
            self.note(f"{name} on the wire -> ok")
