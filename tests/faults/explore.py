"""`make explore`: every schedule of small scenarios, with few preemptions and at most one fault.

The world is that of `make faults`, and the application the real one. What differs is who chooses:
nothing is random, no request takes time but for the bytes of an export, and at each request another
run may go on first (a preemption), or one thing may go wrong (a fault): the runtime dies before or
after it, stands still until its lease is over, the answer is lost and boto3 sends the write again,
the call is refused, a message is delivered twice, an acknowledgement is lost (choices.py).
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import random
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import time_machine

from tests.faults.chaos import Chaos, Fault, Killed, Line, Profile, Run
from tests.faults.choices import Bounds, Choices, Merged, schedules
from tests.faults.scheduler import START, Scheduler
from tests.faults.states_mutants import CAUGHT_IN, MUTANTS
from tests.faults.stories import SCENARIOS, Told
from tests.faults.world import NO_MUTATION, Mutation, Physics, World

__all__ = ["Outcome", "explore", "hunt", "main"]

_T = TypeVar("_T")

_PHYSICS = Physics(Profile(0.0, 0), bytes_per_second=100.0, chunk_bytes=4_096, server_side=False)
_CALM = ("", "dies before it", "dies after it", "stands still for 55 s", "stands still for 70 s")
_STOPS = {"stands still for 55 s": 55.0, "stands still for 70 s": 70.0}
# By the names of chaos.py's faults; what boto3 sends again, it sends once more.
_WRONG = ("aws done, answer lost: reset", "aws 500", "vendor done, then reset", "aws throttled")
_TOKEN = re.compile(r"[0-9a-f]{32}")
# Of each level: with so many preemptions and faults. The levels below come with it.
_LEVELS = {
    1: (Bounds(1, 0), Bounds(0, 1)),
    2: (Bounds(2, 0), Bounds(1, 1)),
    3: (Bounds(2, 1),),
}
_MOST_STEPS = 20_000
_REST_SECONDS = 4 * 86_400.0


class Exhaustive(Scheduler):
    """Lets the task that runs go on, unless another was chosen to go first."""

    choices: Choices
    _last: object = None

    def run(self, *, until: float, max_steps: int) -> bool:
        """Run until nothing is left to happen; False if that was not so before a bound."""
        while self._heap and self._heap[0][0] <= until:
            if self.steps >= max_steps:
                return False
            self.steps += 1
            self.random.seed(1)
            random.seed(1)
            moment = self._heap[0][0]
            if moment > self.now:
                self.now = moment
                self._clock.move_to(moment)
            self._do(self._take(moment))
            if self.choices.merged:
                raise Merged
        return not self._heap

    def _take(self, moment: float) -> Any:  # noqa: ANN401 - the heap's own
        due = sorted((entry[2], entry) for entry in self._heap if entry[0] == moment)
        first: dict[int, Any] = {}  # of each run, what it does first
        for _, entry in due:
            first.setdefault(id(_owner(entry[3])), entry)
        ways = [entry for key, entry in first.items() if key != id(self._last)]
        entry = first.get(id(self._last)) or ways.pop(0)
        if _owner(entry[3]) is self._last:
            named = [f"then {getattr(_owner(way[3]), 'name', 'a timer')}" for way in ways]
            chosen = self.choices.choose("preemption", ["", *named])
            entry = ways[chosen - 1] if chosen else entry
        owner = _owner(entry[3])
        self._last = owner if isinstance(owner, Run) else None
        self._heap.remove(entry)
        heapq.heapify(self._heap)
        return entry[3]


def _owner(what: Any) -> object:  # noqa: ANN401 - the heap's own
    return what[0].owner if isinstance(what, tuple) else what


class Chosen(Chaos):
    """Nothing goes wrong but what is chosen."""

    choices: Choices
    _doom = ""
    _again = 1

    def __init__(self, scheduler: Scheduler, profile: Profile, start: float) -> None:
        super().__init__(scheduler, profile, start)
        self.heard: dict[int, list[str]] = {}

    def latency(self) -> float:
        """Take no time."""
        return 0.0

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

    def exchange(
        self,
        name: str,
        act: Callable[[], _T],
        fault: Fault | None,
        line: Line,
        patience_seconds: float,
    ) -> _T:
        """Carry out one request, and remember what its run heard."""
        run, doom, self._doom = self.run(), self._doom, ""
        if run is not None and doom in _STOPS:
            run.frozen_until = self.scheduler.now + _STOPS[doom]
            self.count("freeze", "freeze")
        if doom == "dies before it":
            self._die(run)
        heard: object = "nothing"
        try:
            answer = super().exchange(name, act, fault, line, patience_seconds)
            heard = answer
        except Exception as error:
            heard = type(error)
            raise
        finally:
            self.heard.setdefault(id(self.scheduler.current), []).append(f"{name} {heard!r:.300}")
        if doom == "dies after it":
            self._die(run)
        return answer

    def _die(self, run: Run | None) -> None:
        assert run is not None
        self.count("kill", "kill")
        run.dead = True
        self.on_death(run)
        raise Killed

    def _is_beat(self) -> bool:
        task = self.scheduler.current
        return task is not None and task.role == "beat"


def _state(world: World) -> str:
    """Return all that decides how the world goes on; tokens are numbered as they come."""
    scheduler, chaos = world.scheduler, world.chaos
    assert isinstance(chaos, Chosen)
    tasks = [
        (getattr(task.owner, "name", ""), task.role, task.turn, chaos.heard.get(id(task), []))
        for task in scheduler._begun
        if not task.done
    ]
    heap = [
        (at, getattr(_owner(what), "name", ""))
        for at, _, _, what in sorted(scheduler._heap, key=_by_time)
    ]
    runs = [
        (run.name, run.dead, run.frozen_until) for run in world.fleet.invocations if not run.dead
    ]
    letters = [
        (m.message_id, m.visible_at, m.receives, sorted(m.attributes.items()))
        for m in world.queues.messages.values()
    ]
    uploads = [(u.upload_id, u.state, sorted(u.parts)) for u in world.objects.uploads.values()]
    objects = {key: len(found) for key, found in world.objects.versions.items()}
    last = getattr(getattr(scheduler, "_last", None), "name", "")
    text = json.dumps(
        [
            scheduler.now,
            last,
            world.table.items,
            letters,
            uploads,
            objects,
            runs,
            heap,
            tasks,
            len(world.queues.dead),
            len(world.bus.events),
        ],
        default=str,
        sort_keys=True,
    )
    order: dict[str, str] = {}
    return _TOKEN.sub(lambda found: order.setdefault(found[0], f"token {len(order)}"), text)


def _by_time(entry: Any) -> tuple[float, int]:  # noqa: ANN401 - the heap's own
    return entry[0], entry[2]


@dataclass
class Outcome:
    """What exploring a scenario came to."""

    name: str
    run: int = 0
    merged: int = 0
    broken: str = ""
    schedule: tuple[str, ...] = ()
    unfinished: bool = False


def explore(
    name: str, bounds: Bounds, mutation: Mutation = NO_MUTATION, *, seconds: float = 1e9
) -> Outcome:
    """Try every schedule of a scenario, until one is broken or the time is up."""
    outcome, until = Outcome(name), time.perf_counter() + seconds
    with time_machine.travel(START, tick=False) as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        broken: list[str] = []

        def run(choices: Choices) -> None:
            broken[:] = _run_one(name, clock, choices, mutation)

        for choices in schedules(bounds, run, {}):
            outcome.run += 1
            outcome.merged += broken == ["merged"]
            if broken and broken != ["merged"]:
                outcome.broken, outcome.schedule = broken[0], tuple(choices.names)
                return outcome
            if time.perf_counter() > until:
                outcome.unfinished = True
                return outcome
    return outcome


def _run_one(name: str, clock: Any, choices: Choices, mutation: Mutation) -> list[str]:  # noqa: ANN401 - a Traveller
    world = World(name, _PHYSICS, clock, mutation, make_scheduler=Exhaustive, make_chaos=Chosen)
    scheduler, chaos = world.scheduler, world.chaos
    assert isinstance(scheduler, Exhaustive)
    assert isinstance(chaos, Chosen)
    scheduler.choices = chaos.choices = choices
    choices.state = lambda: _state(world)
    told = Told(world)
    SCENARIOS[name](told)
    try:
        if world.run(until=START + _REST_SECONDS, max_steps=_MOST_STEPS):
            told.at_rest()
        elif not chaos.violations:
            chaos.violate("the world did not come to rest")
    except Merged:
        return ["merged"]
    finally:
        _close(world)
    return list(chaos.violations)


def _close(world: World) -> None:
    bounds = world.scheduler
    assert isinstance(bounds, Exhaustive)
    bounds.choices = Choices((), Bounds(0, 0), {})
    assert isinstance(world.chaos, Chosen)
    world.chaos.choices = bounds.choices
    world.close()


def _explore(task: tuple[str, Bounds, float]) -> Outcome:
    name, bounds, seconds = task
    outcome = explore(name, bounds, seconds=seconds)
    outcome.name += f", {bounds.preemptions} preemptions, {bounds.faults} faults"
    return outcome


def hunt(mutant: str) -> Outcome:
    """Return the first schedule that catches a breakage, where it was known to be caught first."""
    mutation, known = MUTANTS[mutant], CAUGHT_IN.get(mutant, "one message")
    outcome = Outcome("")
    for name in (known, *(name for name in SCENARIOS if name != known)):
        for bounds in (Bounds(0, 0), *_LEVELS[1]):
            outcome = explore(name, bounds, mutation, seconds=60)
            if outcome.broken:
                return outcome
    return outcome


def _lines(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        told = "kept, as far as time allowed" if outcome.unfinished else "kept"
        told = f"BROKEN: {outcome.broken} by {outcome.schedule}" if outcome.broken else told
        print(f"  {outcome.name:<60}{outcome.run:>8}{outcome.merged:>8}  {told}", flush=True)
        yield outcome


def main() -> int:
    """Explore, print, and say by the exit code whether every schedule kept what is promised."""
    parser = argparse.ArgumentParser(prog="make explore")
    parser.add_argument("--level", type=int, default=1, choices=sorted(_LEVELS))
    parser.add_argument("--seconds", type=float, default=240.0, help="for a scenario, at the most")
    options = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        print("scenario, schedules begun, of them merged with an equal one:")
        tasks = [
            (name, bounds, options.seconds)
            for level in range(1, options.level + 1)
            for bounds in _LEVELS[level]
            for name in SCENARIOS
        ]
        outcomes = list(_lines(pool.map(_explore, tasks)))
        print("\nbreakages of the state machine, and the schedule that caught each:")
        missed = 0
        for mutant, found in zip(MUTANTS, pool.map(hunt, MUTANTS), strict=True):
            missed += not found.broken
            how = ", ".join(found.schedule) or "nothing unusual"
            by = f"{found.name}: {how}: {found.broken:.90}"
            print(f"  {mutant:<44} {by if found.broken else 'NOT CAUGHT'}", flush=True)
    broken = sum(bool(outcome.broken) for outcome in outcomes)
    begun = sum(outcome.run for outcome in outcomes)
    merged = sum(outcome.merged for outcome in outcomes)
    print(
        f"\n{len(MUTANTS) - missed} of {len(MUTANTS)} breakages caught, "
        f"{time.perf_counter() - began:.0f} s\n"
        f"{begun - merged} schedules run to their end, {merged} merged\n"
        f"{begun} schedules, {broken} broken"
    )
    return 1 if broken or missed else 0


if __name__ == "__main__":
    sys.exit(main())
