"""`python -m tests.faults.orders_runner`: schedules of orders, and the breakages they must catch.

By seeds (`make faults`), or every single deviation of one small scenario (`make explore`): at each
step that touches the table or the vendor the run dies, the call fails, or another run begins.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from typing import Any

from tests.faults.orders_judge import Broken, Schedule, run_schedule
from tests.faults.orders_mutants import MUTANTS
from tests.faults.orders_vendor import Temper

__all__ = ["explored", "hunted", "main", "seeds_broken"]

_PROCESSES = 2
_CHUNK = 25
_MOST_HUNTED = 400
_DEVIATIONS = ("dies", "fails", "another run")
SMALL: dict[str, Any] = {
    "orders": [
        {
            "name": "daily-units",
            "report_type": "units",
            "output_format": "csv",
            "properties": [11, 12],
            "every": "day",
            "from": "2026-10-27",
        }
    ],
    "limits": {"open_jobs": 3, "jobs_per_day": 30, "properties_per_job": 2},
}


def seeds_broken(seeds: Sequence[int]) -> list[str]:
    """Run schedules, and return what they broke."""
    broken = []
    for seed in seeds:
        try:
            run_schedule(seed)
        except Broken as error:
            broken.append(str(error))
    return broken


def hunted(name: str) -> int | None:
    """Return the first seed whose schedule catches a breakage."""
    for seed in range(_MOST_HUNTED):
        try:
            run_schedule(seed, MUTANTS[name])
        except Broken:
            return seed
    return None


def explored(deviations: Sequence[tuple[int, str]], *, echoes: bool) -> tuple[int, str]:
    """Run the small scenario with deviations at these steps; return its steps, and what broke."""
    temper = Temper(echoes=echoes, lag_seconds=600.0)
    schedule = Schedule(1, temper=temper, plan=SMALL, faulty_ticks=12, may_restore=False)
    schedule.world.deviations = dict(deviations)
    try:
        schedule.run()
    except Broken as error:
        return schedule.world.steps, f"{list(deviations)}: {error}"
    return schedule.world.steps, ""


def _explore_many(tried: Sequence[tuple[tuple[tuple[int, str], ...], bool]]) -> list[str]:
    return [told for each, echoes in tried if (told := explored(each, echoes=echoes)[1])]


def _explore(level: int, seconds: float) -> int:
    """Try every deviation; beyond the first level also pairs of them, as time allows."""
    began, broken, count = time.perf_counter(), 0, 0
    steps = max(explored([], echoes=echoes)[0] for echoes in (True, False))
    singles = [(step, what) for step in range(1, steps + 1) for what in _DEVIATIONS]
    tried: list[tuple[tuple[tuple[int, str], ...], bool]] = [
        ((each,), echoes) for each in singles for echoes in (True, False)
    ]
    if level > 1:
        pairs = [((a, b), True) for a, b in combinations(singles, 2) if a[0] < b[0]]
        random.Random(level).shuffle(pairs)  # noqa: S311 - no secret
        tried += pairs
    parts = [tried[start : start + _CHUNK] for start in range(0, len(tried), _CHUNK)]
    with _processes() as pool:
        for part, told in zip(parts, pool.map(_explore_many, parts), strict=True):
            count += len(part)
            broken += len(told)
            for line in told:
                print(f"BROKEN: {line}")
            if level > 1 and time.perf_counter() - began > seconds:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    print(f"orders: {count} schedules of {steps} steps, {broken} broken")
    return broken


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(_PROCESSES, mp_context=multiprocessing.get_context("spawn"))


def _run(first: int, count: int) -> int:
    chunks = [
        range(start, min(start + _CHUNK, first + count))
        for start in range(first, first + count, _CHUNK)
    ]
    broken = 0
    with _processes() as pool:
        for told in pool.map(seeds_broken, chunks):
            broken += len(told)
            for line in told:
                print(f"BROKEN: {line}", flush=True)
        print(f"orders: {count} schedules from seed {first}, {broken} broken", flush=True)
        for name, seed in zip(MUTANTS, pool.map(hunted, MUTANTS), strict=True):
            broken += seed is None
            print(f"  {name:<44} {'NOT CAUGHT' if seed is None else f'seed {seed}'}", flush=True)
    return broken


def main() -> int:
    """Run, print, and say by the exit code whether every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.orders_runner")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--level", type=int, default=0, help="explore instead")
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    if options.level:
        return 1 if _explore(options.level, options.seconds) else 0
    seed = options.seed if options.seed is not None else random.randrange(10**9)  # noqa: S311 - no secret
    return 1 if _run(seed, options.schedules) else 0


if __name__ == "__main__":
    sys.exit(main())
