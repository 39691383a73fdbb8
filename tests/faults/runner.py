"""`make faults N=10000 SEED=…`: schedules from a seed on, two processes, counts and a verdict.

With N=1 the one schedule's trace is printed. The first broken invariant ends the run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

import time_machine

from tests.faults.mutants import MUTANTS, hunt
from tests.faults.outage_promise import (
    HALF_A_DAY,
    OUTAGE_MUTANTS,
    WAITED_FOR,
    breaks_promise,
    hunt_outage,
)
from tests.faults.scenario import Schedule
from tests.faults.scheduler import START

__all__ = ["main"]

_CHUNK = 50
_PROCESSES = 2  # CI's machine has two cores


@dataclass
class _Report:
    """What some schedules came to."""

    passed: int = 0
    calls: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: _Report) -> None:
        """Take another report in."""
        self.passed += other.passed
        self.calls += other.calls
        self.injected += other.injected
        self.outcomes += other.outcomes
        self.counted += other.counted
        self.excused += other.excused
        self.broken += other.broken


def _run_seeds(seeds: range) -> _Report:
    report = _Report()
    with time_machine.travel(START, tick=False) as clock:
        for seed in seeds:
            schedule = Schedule(seed, clock)
            violations = schedule.run()
            report.calls += schedule.world.chaos.calls
            report.injected += schedule.world.chaos.injected
            report.outcomes += schedule.tally
            report.counted += schedule.world.outcomes.counted
            report.excused += schedule.judge.excused
            if violations:
                report.broken.append((seed, violations[0]))
                break
            report.passed += 1
    return report


def _run_many(first: int, count: int) -> _Report:
    chunks = [
        range(start, min(start + _CHUNK, first + count))
        for start in range(first, first + count, _CHUNK)
    ]
    total = _Report()
    with _processes() as pool:
        for future in as_completed([pool.submit(_run_seeds, chunk) for chunk in chunks]):
            total.add(future.result())
            if total.broken:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return total


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(_PROCESSES, mp_context=multiprocessing.get_context("spawn"))


def _show_one(seed: int) -> _Report:
    with time_machine.travel(START, tick=False) as clock:
        schedule = Schedule(seed, clock)
        schedule.world.chaos.trace.wanted = True
        violations = schedule.run()
    for line in schedule.world.chaos.trace.lines:
        print(line)
    report = _Report(
        passed=not violations,
        calls=schedule.world.chaos.calls,
        injected=schedule.world.chaos.injected,
        outcomes=schedule.tally,
        counted=schedule.world.outcomes.counted,
        excused=schedule.judge.excused,
    )
    report.broken = [(seed, violation) for violation in violations]
    return report


def _hunt_all() -> tuple[int, int]:
    caught = 0
    print("\nbreakages, and the schedule that caught each:")
    with _processes() as pool:
        hunted = [pool.submit(hunt, name) for name in MUTANTS]
        hunted += [pool.submit(hunt_outage, name) for name in OUTAGE_MUTANTS]
        for found in (future.result() for future in hunted):
            caught += found.seed is not None
            told = "NOT CAUGHT" if found.seed is None else f"seed {found.seed}: {found.violation}"
            print(f"  {found.name:<44} {told[:110]}")
    return caught, len(hunted) - caught


def _try_outage(kind: tuple[str, float, int]) -> str | None:
    with time_machine.travel(START, tick=False) as clock:
        return breaks_promise(clock, *kind)


def _try_outages() -> int:
    """Try an outage of each kind and of several lengths; returns how many promises broke."""
    kinds = [
        (side, seconds, backlog)
        for side in WAITED_FOR
        for seconds in (60.0, 300.0, 3_600.0, HALF_A_DAY)
        for backlog in (1, 100)
    ]
    broken = 0
    print("\noutages, with one job and with a hundred waiting:")
    with _processes() as pool:
        for (side, seconds, backlog), found in zip(
            kinds, pool.map(_try_outage, kinds), strict=True
        ):
            broken += found is not None
            print(f"  {side:<15}{seconds:>7.0f} s {backlog:>4} jobs  {found or 'kept'}")
    return broken


def _counted(title: str, counter: Counter[str]) -> Iterator[str]:
    yield f"\n{title}:"
    for name, count in sorted(counter.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {count:>8}  {name}"


def main() -> int:
    """Run, print, and say by the exit code whether every invariant held."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--schedules", type=int, default=10_000, help="how many (N)")
    parser.add_argument("--seed", type=int, help="the first schedule's seed (SEED)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**9)  # noqa: S311 - no secret
    print(f"make faults N={options.schedules} SEED={seed}", flush=True)
    began = time.perf_counter()
    alone = options.schedules == 1
    report = _show_one(seed) if alone else _run_many(seed, options.schedules)
    for line in (
        *_counted("injected faults", report.injected),
        *_counted("how jobs and messages ended", report.outcomes),
        *_counted("what the function counted (metrics)", report.counted),
        *_counted("excused, as the design leaves it", report.excused),
    ):
        print(line)
    for broken, violation in report.broken:
        print(f"\nBROKEN: {violation}\n  to see it: make faults N=1 SEED={broken}")
    missed = 0
    if not alone and not report.broken:
        _, missed = _hunt_all()
        missed += _try_outages()
    failed = len(report.broken) + missed
    print(
        f"\n{report.passed} schedules, {report.calls} requests, "
        f"{sum(report.injected.values())} faults, seed {seed}, "
        f"{time.perf_counter() - began:.0f} s"
    )
    print(f"{report.passed} passed, {failed} failed")
    return 1 if failed else 0
