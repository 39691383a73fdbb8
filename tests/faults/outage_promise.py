"""What is promised of outages, tried on one of a kind and a length, with so many jobs waiting.

Nothing is set aside, little is asked meanwhile, and all is archived within 20 minutes of the end;
one job that fails alone is set aside and holds nobody up. Mutants of these are hunted here,
because a random schedule has too few jobs for them.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import time_machine

from archiver.outage import Trouble
from archiver.wiring.archiving import Application
from tests.faults.chaos import Profile
from tests.faults.judge import Judge
from tests.faults.mutants import Found
from tests.faults.outages import SIDES, Outage
from tests.faults.scheduler import START
from tests.faults.vendor import ExportJob
from tests.faults.world import NO_MUTATION, Mutation, Physics, World

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "HALF_A_DAY",
    "MIB",
    "OUTAGE_MUTANTS",
    "PROMISED_SECONDS",
    "WAITED_FOR",
    "breaks_promise",
    "holds_up",
    "hunt_outage",
]

MIB = 64  # bytes of this world, whose sizes are scaled by 1 : 16,384
HALF_A_DAY = 12 * 3_600.0
PROMISED_SECONDS = 20 * 60  # after the outage's end, with five runs at once
WAITED_FOR = [side for side in SIDES if side != "sqs"]  # see docs/decisions for SQS
_NO_FAULTS = Profile(probability=0.0, budget=0)
_REST_SECONDS = 3 * 3_600.0


def breaks_promise(
    clock: time_machine.Traveller,
    side: str,
    seconds: float,
    backlog: int,
    mutation: Mutation = NO_MUTATION,
) -> str | None:
    """Return what was broken by an outage with so many jobs waiting; None: nothing."""
    world = _world(clock, mutation)
    ends = START + seconds
    world.outages.planned.append(Outage(side, START, ends))
    judge, jobs = Judge(world), list(_jobs(world, backlog))
    for job in jobs:
        _ask(world, job)
    return next(_broken(world, judge, ends), None)


def _broken(world: World, judge: Judge, ends: float) -> Iterator[str]:
    try:
        rests = world.run(until=ends + _REST_SECONDS, max_steps=5_000_000)
        judge.at_rest()
    finally:
        world.close()
    yield from world.chaos.violations
    if not rests:
        yield "the world did not come to rest"
    for letter in world.queues.dead:
        yield f"an outage set a job aside: {letter.attributes}"
    versions = [version for found in world.objects.versions.values() for version in found]
    if len(versions) != len(world.jobs):
        yield f"{len(versions)} of {len(world.jobs)} jobs are archived"
    told = {run.job_id: run.ended_at or 0.0 for run in _archived(world)}
    if max(told.values()) > ends + PROMISED_SECONDS:
        yield f"archived {max(told.values()) - ends:.0f} s after the end"
    # The three that fail first and those at work by then; then one at a time, in turns of 300 s in
    # the end. A job alone asks as often as its waits let it.
    most = 20 + (ends - START) / (300 if len(world.jobs) > 2 else 400)
    for side in ("vendor", "network"):
        if world.outages.asked[side] > most:
            yield f"{world.outages.asked[side]} requests met the outage, more than {most:.0f}"


def holds_up(clock: time_machine.Traveller, mutation: Mutation = NO_MUTATION) -> str | None:
    """Return whom one poisoned job holds up, or that it is not set aside; None: nobody."""
    world = _world(clock, mutation)
    judge = Judge(world)
    poisoned, *jobs = _jobs(world, 41)
    world.outages.poisoned.add(poisoned.job_id)
    _ask(world, poisoned)
    asked_at = {job.job_id: START + 30.0 * number for number, job in enumerate(jobs)}
    for job in jobs:
        world.scheduler.at(asked_at[job.job_id], partial(_ask, world, job))
    try:
        world.run(until=START + _REST_SECONDS, max_steps=1_000_000)
        judge.at_rest()
    finally:
        world.close()
    if world.chaos.violations:
        return world.chaos.violations[0]
    letters = [(m.attributes["job_id"], m.attributes["reason"]) for m in world.queues.dead]
    if letters != [(poisoned.job_id, "network")]:
        return f"set aside: {letters}, not the job that failed alone"
    if world.queues.dead[0].sent_at > START + 3_600:
        return "a job that fails alone was set aside too late"
    late = [r.job_id for r in _archived(world) if (r.ended_at or 0) - asked_at[r.job_id or ""] > 10]
    return f"one job that fails alone held {len(late)} up" if late else None


def _world(clock: time_machine.Traveller, mutation: Mutation) -> World:
    clock.move_to(START)
    physics = Physics(_NO_FAULTS, concurrency=5, max_receives=6, bytes_per_second=5_000.0)
    world = World("outage", physics, clock, mutation)
    world.fill_secret()
    return world


def _jobs(world: World, count: int) -> Iterator[ExportJob]:
    draw = random.Random("outage")  # noqa: S311 - no secret
    for _ in range(count):
        job_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        job = ExportJob(job_id, "export", START, "succeeded")
        job.change(draw.randbytes(MIB))
        yield world.add(job)


def _ask(world: World, job: ExportJob) -> None:
    world.queues.put(json.dumps({"job_id": job.job_id}))


def _archived(world: World) -> list[Any]:
    return [run for run in world.fleet.invocations if run.outcome == "archived"]


# --- deliberate breakages ---


def _worse(change: Callable[[Any, Any], None]) -> Mutation:
    def application(application: Application) -> None:
        change(cast("Any", application._outages), cast("Any", application._jobs))

    return Mutation(application=application)


def _blames_the_job(outages: Any, _: Any) -> None:  # noqa: ANN401 - ours, to be made worse
    outages.blame = lambda: "own"


def _closes_for_one(outages: Any, _: Any) -> None:  # noqa: ANN401 - likewise
    real = outages.enter

    def enter(known: Trouble, since: object) -> None:
        if known.failing:
            now = outages.now().timestamp()
            known = replace(known, failing={**known.failing, "a": now, "b": now})
        real(known, since)

    outages.enter = enter


def _nobody_tries(_: Any, jobs: Any) -> None:  # noqa: ANN401 - likewise
    jobs.take_turn = lambda *_: False


def _all_try(outages: Any, jobs: Any) -> None:  # noqa: ANN401 - likewise
    real = outages.enter
    jobs.take_turn = lambda *_: True
    outages.enter = lambda known, since: real(replace(known, turn_until=0.0), since)


def _keeps_its_success(outages: Any, _: Any) -> None:  # noqa: ANN401 - likewise
    outages.archived = lambda: None


def _tells_no_failure(outages: Any, _: Any) -> None:  # noqa: ANN401 - likewise
    outages.failed = lambda *_: None


OUTAGE_MUTANTS: dict[str, Mutation] = {
    "an outage's failures are the job's own": _worse(_blames_the_job),
    "one poisoned job closes the vendor for all": _worse(_closes_for_one),
    "nobody tries during an outage": _worse(_nobody_tries),
    "everybody tries during an outage": _worse(_all_try),
    "the first success is not told": _worse(_keeps_its_success),
    "a failure is not told to the fleet": _worse(_tells_no_failure),
}


def hunt_outage(name: str) -> Found:
    """Try a mutant: an hour without the vendor, for one job and for many, or a poisoned job."""
    mutation = OUTAGE_MUTANTS[name]
    with time_machine.travel(START, tick=False) as clock:
        found = (
            breaks_promise(clock, "vendor", 3_600.0, 1, mutation)
            or breaks_promise(clock, "vendor", 3_600.0, 40, mutation)
            or holds_up(clock, mutation)
        )
    return Found(name, None if found is None else 0, found or "")
