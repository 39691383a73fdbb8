"""A seed makes a scenario: jobs and their peculiarities, triggers, settings, bad weather."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.faults.chaos import Profile
from tests.faults.judge import Judge
from tests.faults.outages import SIDES, Outage
from tests.faults.scheduler import START
from tests.faults.vendor import ExportJob
from tests.faults.world import (
    LEAST_PART_BYTES,
    NO_MUTATION,
    Mutation,
    Physics,
    World,
    loop_allowed_by_template,
)

if TYPE_CHECKING:
    import time_machine

__all__ = ["Schedule"]

_KINDS = (
    ["export"] * 40
    + ["forbidden", "quota", "untrusted", "absent", "failed", "cancelled", "conflict", "malformed"]
    + ["slow"] * 3
)
# A function's seconds, a connection's bytes per second, a factor on latencies: each lets some parts
# fit one invocation, for nothing could be archived where none does.
_PACES = (
    (60.0, 150.0, 1.0),
    (60.0, 400.0, 1.0),
    (60.0, 4_000.0, 1.0),
    (120.0, 70.0, 1.0),
    (120.0, 150.0, 1.0),
    (120.0, 1_000.0, 1.0),
    (300.0, 60.0, 1.0),
    (300.0, 400.0, 10.0),
    (900.0, 30.0, 1.0),
    (900.0, 400.0, 10.0),
)
_REST_SECONDS = 4 * 86_400.0
_MAX_STEPS = 60_000
_SIZES = (
    *(0, 1, 700, LEAST_PART_BYTES),  # one PUT
    *(
        LEAST_PART_BYTES + 1,
        2_048,
        3_000,
        3_000,
        5_000,
        5_000,
        9_000,
        14_000,
        30_000,
        60_000,
    ),  # parts
)


class Schedule:
    """One schedule: run it, then read what was broken and what happened."""

    def __init__(
        self, seed: int, clock: time_machine.Traveller, mutation: Mutation = NO_MUTATION
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"scenario {seed}")  # noqa: S311 - no secret
        self.world = World(seed, self._physics(), clock, mutation)
        self.judge = Judge(self.world)
        self.tally: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Run to rest, judge; redrive the dead letters in good weather, judge again."""
        try:
            self._run()
        finally:
            self.world.close()
        return self.world.chaos.violations

    def _run(self) -> None:
        world = self.world
        self._furnish()
        if world.run(until=START + _REST_SECONDS, max_steps=_MAX_STEPS):
            self.judge.at_rest()
            self.tally = self.judge.outcomes()
            self._redrive()
        elif not world.chaos.violations:
            world.chaos.violate("the world did not come to rest")

    def _redrive(self) -> None:
        """Do what a person does: mend what is to be mended, and move the dead letters back."""
        world = self.world
        if world.chaos.violations:
            return
        world.chaos.end()
        world.outages.planned.clear()
        world.fill_secret()
        world.chaos.note("-- people redrive the dead letters --")
        world.queues.redrive()
        steps = world.scheduler.steps + _MAX_STEPS
        if world.run(until=START + 2 * _REST_SECONDS, max_steps=steps):
            self.judge.after_redrive()
        elif not world.chaos.violations:
            world.chaos.violate("the world did not come to rest after the redrive")

    # --- the scenario ---

    def _physics(self) -> Physics:
        draw = self.random
        probability = draw.choice([0.0, 0.01, 0.03, 0.06, 0.12, 0.25])
        function_seconds, bytes_per_second, slow = draw.choice(_PACES)
        focus: Any = draw.choice(["everything", "copy", "zombies", "waits"])
        return Physics(
            profile=Profile(
                probability=probability,
                budget=draw.choice([1, 3, 6, 12, 25]),
                kills=draw.choice([0.0, 0.02, 0.1, 0.3] if focus != "zombies" else [0.05, 0.2]),
                slow=slow,
                focus=focus,
            ),
            function_seconds=function_seconds,
            concurrency=draw.choice([2, 2, 3]),
            max_receives=draw.choice([3, 4, 6]),
            bytes_per_second=bytes_per_second,
            server_side=draw.random() < 0.3,
            loop_allowed=loop_allowed_by_template(),
        )

    def _furnish(self) -> None:
        world, draw = self.world, self.random
        world.export_host.ignores_if_match = draw.random() < 0.2
        world.export_host.changes = draw.random() < 0.5
        if draw.random() < 0.9:
            world.fill_secret()
        else:
            world.scheduler.at(START + draw.uniform(10, 4_000), world.fill_secret)
        if draw.random() < 0.15:
            self._rotate(START + draw.uniform(1, 2_000))
        if draw.random() < 0.1:
            world.scheduler.at(START + draw.uniform(1, 600), self.world.vendor.revoke)
        for _ in range(draw.choice([1, 1, 2, 2, 3, 4])):
            self._order(draw.choice(_KINDS))
        if draw.random() < 0.3:
            begins = START + draw.choice([0.0, 0.0, 10.0, 300.0])
            seconds = draw.choice([20.0, 300.0, 3_600.0, 4 * 3_600.0, 12 * 3_600.0])
            world.outages.planned.append(Outage(draw.choice(SIDES), begins, begins + seconds))

    def _rotate(self, moment: float) -> None:
        """Let people rotate the secret: for a while the store has the old one."""
        world = self.world
        world.scheduler.at(moment, world.vendor.rotate)
        world.scheduler.at(moment + self.random.uniform(0, 900), world.fill_secret)

    def _order(self, kind: str) -> None:
        world, draw = self.world, self.random
        job_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        job = ExportJob(
            job_id=job_id,
            kind=kind,
            finishes_at=START + self._finishes_after(kind),
            ends=kind if kind in {"failed", "cancelled", "absent"} else "succeeded",
            output_format=draw.choice(["csv", "jsonl", "parquet"]),
            details_status=draw.choice([200, 200, 200, 404, 405]),
            granted=draw.random() < 0.7,
            tells_checksum=draw.random() < 0.3,
            etag_is_md5=draw.random() < 0.7,
            property_ids=(1, 2) if job_id < "8" else (),  # those are compared with each other
        )
        job.change(draw.randbytes(draw.choice(_SIZES)))
        if kind != "malformed":
            world.add(job)
        if kind == "conflict":
            self.judge.plant_foreign_object(job)
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            moment = START + draw.choice([0.0, 1.0, 30.0, 400.0]) * draw.random()
            world.scheduler.at(moment, partial(world.queues.put, self._body(job)))

    def _finishes_after(self, kind: str) -> float:
        if kind == "slow":
            hours = self.world.physics.max_wait_hours
            return self.random.choice([600.0, 5_000.0, 3_600.0 * (hours + 2)])
        return self.random.choice([-100.0, -100.0, -100.0, 90.0])

    def _body(self, job: ExportJob) -> str:
        form = self.random.randrange(3)
        if job.kind == "malformed":
            return self.random.choice(["{", "[]", '{"job_id": 7}'])
        if form == 0:
            return json.dumps({**job.fields(START), "error_message": None})
        plain = {"job_id": job.job_id.upper() if form == 1 else job.job_id}
        return json.dumps(plain if form == 1 else {"detail": plain, "detail-type": "Job Completed"})
