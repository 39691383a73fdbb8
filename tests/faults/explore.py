"""`make explore`: every schedule of small scenarios, with few preemptions and at most one fault.

The world is that of `make faults`, and the application the real one. What differs is who chooses:
nothing is random, no request takes time but for the bytes of an export, and at each request another
run may go on first (a preemption), or one thing may go wrong (a fault): the runtime dies before or
after it, stands still until its lease is over, the answer is lost and boto3 sends the write again,
the call is refused, a message is delivered twice, an acknowledgement is lost (choices.py).
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any
from unittest import mock

import time_machine

from tests.faults.chaos import Profile
from tests.faults.choices import Bounds, Choices, Merged, schedules
from tests.faults.exhaustive import Chosen, Exhaustive
from tests.faults.fingerprint import excuses, fingerprint
from tests.faults.scheduler import START
from tests.faults.states_mutants import CAUGHT_IN, MUTANTS
from tests.faults.stories import SCENARIOS, Told
from tests.faults.world import NO_MUTATION, Mutation, Physics, World

__all__ = ["Outcome", "explore", "hunt", "main"]

_PHYSICS = Physics(Profile(0.0, 0), bytes_per_second=100.0, chunk_bytes=4_096, server_side=False)
_BOUNDS = Bounds(2, 1)
_MOST_STEPS = 20_000
_REST_SECONDS = 4 * 86_400.0


@dataclass
class Outcome:
    """What exploring a scenario came to."""

    name: str
    run: int = 0
    merged: int = 0
    broken: str = ""
    schedule: tuple[str, ...] = ()
    unfinished: int | None = None  # not all with so many deviations were tried, but with fewer all


def explore(
    name: str, bounds: Bounds, mutation: Mutation = NO_MUTATION, *, seconds: float = 1e9
) -> Outcome:
    """Try every schedule of a scenario, until one is broken or so much CPU time is used up."""
    outcome, until = Outcome(name), time.process_time() + seconds
    with time_machine.travel(START, tick=False) as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        broken: list[str] = []

        def run(choices: Choices) -> None:
            broken[:] = _run_one(name, clock, choices, mutation)

        run(Choices((), Bounds(0, 0), {}))  # what it begins with is kept (stories.py, `archived`)
        for choices in schedules(bounds, run):
            outcome.run += 1
            outcome.merged += broken == ["merged"]
            if broken and broken != ["merged"]:
                outcome.broken, outcome.schedule = broken[0], tuple(choices.names)
                return outcome
            if time.process_time() > until:
                outcome.unfinished = choices.given_deviations
                return outcome
    return outcome


def _run_one(name: str, clock: Any, choices: Choices, mutation: Mutation) -> list[str]:  # noqa: ANN401 - a Traveller
    world = World(name, _PHYSICS, clock, mutation, make_scheduler=Exhaustive, make_chaos=Chosen)
    scheduler, chaos = world.scheduler, world.chaos
    assert isinstance(scheduler, Exhaustive)
    assert isinstance(chaos, Chosen)
    scheduler.choices = chaos.choices = choices
    scheduler.on_step = lambda: None
    tokens: Counter[str] = Counter()

    def token() -> uuid.UUID:
        run = chaos.run()
        assert run is not None
        tokens[run.name] += 1
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{run.name} {tokens[run.name]}")

    with mock.patch("uuid.uuid4", token):
        told = Told(world)
        SCENARIOS[name](told)

        def on_step() -> None:
            if choices.is_new:
                choices.meet(fingerprint(told), excuses(told))

        scheduler.on_step = on_step
        try:
            if world.run(until=START + _REST_SECONDS, max_steps=_MOST_STEPS):
                told.at_rest()
            elif not chaos.violations:
                chaos.violate("the world did not come to rest")
        except Merged:
            return ["merged"]
        finally:
            scheduler.choices = chaos.choices = Choices((), Bounds(0, 0), {})
            world.close()
    return list(chaos.violations)


def _explore(task: tuple[str, Bounds, float]) -> Outcome:
    name, bounds, seconds = task
    return explore(name, bounds, seconds=seconds)


def hunt(mutant: str) -> Outcome:
    """Return the first schedule that catches a breakage, where it was known to be caught first."""
    mutation, known = MUTANTS[mutant], CAUGHT_IN.get(mutant, "one message")
    outcome = Outcome("")
    for name in (known, *(name for name in SCENARIOS if name != known)):
        outcome = explore(name, _BOUNDS, mutation, seconds=30)
        if outcome.broken:
            return outcome
    return outcome


def _lines(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        told = "all kept"
        if outcome.unfinished is not None:
            told = f"kept; the time was up among those with {outcome.unfinished} deviations"
        told = f"BROKEN: {outcome.broken} by {outcome.schedule}" if outcome.broken else told
        print(f"  {outcome.name:<34}{outcome.run:>8}{outcome.merged:>8}  {told}", flush=True)
        yield outcome


def main() -> int:
    """Explore, print, and say by the exit code whether every schedule kept what is promised."""
    parser = argparse.ArgumentParser(prog="make explore")
    parser.add_argument("--preemptions", type=int, default=_BOUNDS.preemptions)
    parser.add_argument("--faults", type=int, default=_BOUNDS.faults)
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU, for a scenario")
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help="by name; else all")
    options = parser.parse_args()
    bounds, began = Bounds(options.preemptions, options.faults), time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(
            f"scenario, schedules with at most {bounds.preemptions} preemptions and "
            f"{bounds.faults} faults, of them cut short because they had become equal to one:"
        )
        tasks = [(name, bounds, options.seconds) for name in options.scenarios]
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
    whole = sum(outcome.unfinished is None for outcome in outcomes)
    print(
        f"\n{len(MUTANTS) - missed} of {len(MUTANTS)} breakages caught, "
        f"{time.perf_counter() - began:.0f} s\n"
        f"{whole} of {len(outcomes)} scenarios tried to the end; "
        f"{begun - merged} schedules run to their end, {merged} merged\n"
        f"{begun} schedules, {broken} broken"
    )
    return 1 if broken or missed else 0


if __name__ == "__main__":
    sys.exit(main())
