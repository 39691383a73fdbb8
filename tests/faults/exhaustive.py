"""The scheduler and the weather of `make explore`: nothing is random, everything is chosen.

No request takes time but for the bytes of an export. A run can be preempted before each of its
requests that somebody else could tell the place of; not before one to the vendor, the link's host,
Secrets Manager or the bus, for whatever others do then, they could as well do after it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from tests.faults.chaos import Chaos, Fault, Killed, Line, Profile, Run
from tests.faults.choices import Choices
from tests.faults.scheduler import Scheduler, Task

__all__ = ["Chosen", "Exhaustive"]

_T = TypeVar("_T")

_CALM = ("", "dies before it", "dies after it", "stands still for 55 s", "stands still for 70 s")
_STOPS = {"stands still for 55 s": 55.0, "stands still for 70 s": 70.0}
# By the names of chaos.py's faults; what boto3 sends again, it sends once more.
_WRONG = ("aws done, answer lost: reset", "aws 500", "vendor done, then reset", "aws throttled")
_ITS_OWN = frozenset({"vendor", "link", "secretsmanager", "events"})  # sides that keep no place
_COUNTED = re.compile(r"canary-(token|link)-\d+")  # one is as good as another


def plain(what: object) -> Hashable:
    """Return what an answer says."""
    if isinstance(what, BaseException):
        return type(what).__name__, repr(getattr(what, "response", what.args))
    return _COUNTED.sub(r"canary-\1", repr(what))


class Exhaustive(Scheduler):
    """Lets the run that is at work go on, unless another was chosen to go first.

    Timers happen at their moment, and what a run does between two requests at once.
    """

    choices: Choices
    on_step: Callable[[], None]
    last: object = None

    def start(self, work: Callable[[], object], owner: object) -> Task:
        """Begin a task, and give it a name."""
        task = super().start(work, owner)
        task.number = sum(other.owner is owner for other in self._begun)
        return task

    def run(self, *, until: float, max_steps: int) -> bool:
        """Run until nothing is left to happen; False if that was not so before a bound."""
        while self._heap and self._heap[0][0] <= until:
            if self.steps >= max_steps:
                return False
            self.steps += 1
            moment = self._heap[0][0]
            if moment > self.now:
                self.now = moment
                self._clock.move_to(moment)
            what = self._take(moment)
            self.random.seed(1)
            random.seed(1)
            self._do(what)
        return not self._heap

    def due(self) -> list[tuple[float, Task]]:
        """Return who goes on when, as it is now."""
        return [
            (entry[0], entry[3][0])
            for entry in self._heap
            if isinstance(entry[3], tuple)
            and entry[3][0].turn == entry[3][1]
            and not entry[3][0].done
        ]

    def _take(self, moment: float) -> Any:  # noqa: ANN401 - the heap's own
        due = sorted((entry for entry in self._heap if entry[0] == moment), key=lambda e: e[2])
        first: dict[str, Any] = {}  # of each run, what it does first
        for entry in due:
            what = entry[3]
            if not isinstance(what, tuple) or what[0].turn != what[1] or not what[0].can_wait:
                return self._taken(entry)
            first.setdefault(getattr(what[0].owner, "name", ""), entry)
        self.on_step()
        names = sorted(first)
        last: str = getattr(self.last, "name", "")
        if last in first:
            names.remove(last)
            names.insert(0, last)
        kind = "preemption" if last in first else "order"
        chosen = names[self.choices.choose(kind, [f"then {name}" for name in names])]
        self.last = first[chosen][3][0].owner
        return self._taken(first[chosen])

    def _taken(self, entry: Any) -> Any:  # noqa: ANN401 - the heap's own
        self._heap.remove(entry)
        self._heap.sort()
        return entry[3]


class Chosen(Chaos):
    """Nothing goes wrong but what is chosen."""

    choices: Choices
    _doom = ""
    _again = 1

    def __init__(self, scheduler: Scheduler, profile: Profile, start: float) -> None:
        super().__init__(scheduler, profile, start)
        self.heard: dict[int, int] = {}  # of each runtime, a digest of all that it was told
        self.under_way: dict[int, tuple[str, str]] = {}  # of each task: its request, and its fault
        self.asked: Counter[str] = Counter()

    def latency(self) -> float:
        """Take no time."""
        return 0.0

    def rest(self, seconds: float) -> None:
        """Let boto3 try again at once: then a fault that it mends leaves the world as it was."""

    def stalls(self) -> float:
        """Let bytes come."""
        return 0.0

    def check(self) -> None:
        """Let nobody die here but who is dead."""
        run = self.run()
        if run is not None and run.dead:
            raise Killed

    def draws(self, weight: float = 1.0) -> bool:
        """Let something go wrong where that is chosen; connections break by `pick` alone."""
        if weight < 0.5 or self._is_beat():
            return False
        return bool(self.choices.choose("fault", ["", "what may go wrong here does"]))

    def meeting(self) -> int:
        """Return how many of boto3's tries meet a fault."""
        return self._again

    def pick(self, side: str, cause: str, faults: Sequence[Fault], weight: float = 1.0) -> Any:  # noqa: ANN401, ARG002 - a Fault or None
        """Choose what goes wrong with a request."""
        self._doom = ""
        if self.run() is None or self._is_beat() or not faults:
            return None
        found = {fault.name: fault for fault in faults if fault.name in _WRONG}
        options = [*_CALM, *found]
        name = options[self.choices.choose("fault", [o and f"{side}: {o}" for o in options])]
        self._again = 1 if "answer lost" in name else 3
        if name in _CALM:
            self._doom = name
        return found.get(name)

    def hear(self, name: str, what: object) -> None:
        """Note what a run was told; who it is, is told by all that it was ever told."""
        run, task = self.run(), self.scheduler.current
        if run is None or task is None:
            return
        told = hash((name, plain(what), self.scheduler.now, task.role, task.number))
        me = id(run.patience)
        self.heard[me] = hash((self.heard.get(me), told))

    def exchange(
        self,
        name: str,
        act: Callable[[], _T],
        fault: Fault | None,
        line: Line,
        patience_seconds: float,
    ) -> _T:
        """Carry out one request."""
        run, doom, self._doom = self.run(), self._doom, ""
        task = self.scheduler.current
        if run is not None and doom in _STOPS:
            run.frozen_until = self.scheduler.now + _STOPS[doom]
            self.count("freeze", "freeze")
        if doom == "dies before it":
            self._die(run)
        self.asked[name] += 1
        if task is not None:
            task.can_wait = name.partition(" ")[0] not in _ITS_OWN
            self.under_way[id(task)] = name, "" if fault is None else fault.name
        try:
            answer = super().exchange(name, act, fault, line, patience_seconds)
        finally:
            if task is not None:
                task.can_wait = False
                self.under_way.pop(id(task), None)
        if doom == "dies after it":
            self._die(run)
        return answer

    def _take_effect(
        self,
        name: str,
        act: Callable[[], _T],
        fault: Fault | None,
        hear: Callable[[], None],  # noqa: ARG002 - nobody waits for an answer here
    ) -> _T:
        return super()._take_effect(name, act, fault, lambda: None)

    def _die(self, run: Run | None) -> None:
        assert run is not None
        self.count("kill", "kill")
        run.dead = True
        self.on_death(run)
        raise Killed

    def _is_beat(self) -> bool:
        task = self.scheduler.current
        return task is not None and task.role == "beat"
