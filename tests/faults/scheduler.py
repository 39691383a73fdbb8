"""Simulated time, and tasks that take turns in it: one at a time, in an order that a seed decides.

A task is a greenlet; it gives way only where it sleeps, which is at every I/O boundary. Nothing
here knows what is simulated. The clock of Python (`time.time`, `datetime.now`) follows, because
Powertools reads that one.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import greenlet

if TYPE_CHECKING:
    import time_machine

__all__ = ["START", "Scheduler", "Task"]

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC).timestamp()


class Task:
    """One line of work. `owner` is whoever may be asked about it, such as an invocation."""

    def __init__(self, scheduler: Scheduler, work: Callable[[], object], owner: object) -> None:
        self.owner = owner
        self.done = False
        self.busy = False  # for whoever wants to say so
        self.role = ""  # likewise: "worker", "beat"
        self.number = 0  # among its owner's, where somebody counts them
        self.can_wait = False  # it is about to do what others could tell the place of
        self.turn = 0  # how often it has run; who was to wake it from an earlier sleep is too late
        self.error: BaseException | None = None
        self._work = work
        self.greenlet = greenlet.greenlet(self._run, parent=scheduler.hub)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks
            self.error = error
        self.done = True


class Scheduler:
    """The clock, and what is to happen when."""

    def __init__(self, seed: object, clock: time_machine.Traveller) -> None:
        self.random = random.Random(f"schedule {seed}")  # noqa: S311 - no secret
        self.now = START
        self.steps = 0
        self.hub = greenlet.getcurrent()
        self.current: Task | None = None
        self._clock = clock
        self._clock.move_to(self.now)
        self._heap: list[tuple[float, float, int, Callable[[], object] | tuple[Task, int]]] = []
        self._count = 0
        self._begun: list[Task] = []
        self.on_error: Callable[[Task, BaseException], None] = lambda *_: None

    def at(self, moment: float, what: Callable[[], object] | Task) -> None:
        """Let something happen at a moment; among equals the seed decides."""
        self._count += 1
        moment = max(moment, self.now)
        entry = (what, what.turn) if isinstance(what, Task) else what
        heapq.heappush(self._heap, (moment, self.random.random(), self._count, entry))

    def start(self, work: Callable[[], object], owner: object) -> Task:
        """Begin a task as soon as the current one gives way."""
        task = Task(self, work, owner)
        self._begun.append(task)
        self.at(self.now, task)
        return task

    def wake(self, task: Task) -> None:
        """Let a task that gave way go on."""
        self.at(self.now, task)

    def sleep(self, seconds: float) -> None:
        """Let the current task sleep, unless somebody wakes it; outside of tasks do nothing."""
        task = self.current
        if task is not None:
            self.at(self.now + seconds, task)
            self.give_way()

    def give_way(self) -> None:
        """Let others run until somebody wakes the current task."""
        self.hub.switch()

    def run(self, *, until: float, max_steps: int) -> bool:
        """Run until nothing is left to happen; False if that was not so before a bound."""
        while self._heap and self._heap[0][0] <= until:
            if self.steps >= max_steps:
                return False
            self.steps += 1
            moment, _, _, what = heapq.heappop(self._heap)
            if moment > self.now:
                self.now = moment
                self._clock.move_to(moment)
            self._do(what)
        return not self._heap

    def close(self, error: type[BaseException]) -> None:
        """End every task that is left: the garbage collector would do it during another run."""
        for task in self._begun:
            while task.greenlet and not task.done:
                self.current = task
                task.greenlet.throw(error)
        self.current = None
        self._begun.clear()
        self._heap.clear()

    def _do(self, what: Callable[[], object] | tuple[Task, int]) -> None:
        if not isinstance(what, tuple):
            what()
            return
        task, turn = what
        if task.done or task.turn != turn:
            return
        task.turn += 1
        self.current = task
        task.greenlet.switch()
        self.current = None
        if task.error is not None:
            self.on_error(task, task.error)
