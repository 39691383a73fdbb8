"""Who dies when: chosen by seed alone, so that a run can be asked for again.

A moment is an aim (what must have happened) and a delay after it. Uniform moments alone would
hardly ever meet the commit, which takes a tenth of a copy's time, or the event, which takes less.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["MIB", "SIZE_BYTES", "Aim", "JobPlan", "Trigger", "kill_anywhere"]

MIB = 1 << 20
SIZE_BYTES = 64 * MIB

# The invocation has begun; the link has given its first byte; Complete has arrived at S3; S3 has
# carried it out.
Trigger = Literal["begun", "copying", "committing", "committed"]
How = Literal["kill", "freeze", "hold"]

_MOST_KILLS_A_JOB = 5  # with 12 receives (rounds.py), no job can lose all of its receives
_PART_SECONDS = (1.0, 9.0)  # a part of 16 MiB; all four are read at once, so each has its own pace
_PART_BYTES = 16 * MIB
# trigger: how often of 100, and up to how many seconds after it
_MOMENTS: dict[Trigger, tuple[int, float]] = {
    "begun": (20, 2.5),  # a cold start takes about one
    "copying": (45, 8.0),
    "committing": (20, 0.6),  # what the embedded S3 takes to join 64 MiB
    "committed": (15, 0.15),  # the event and the receipt follow within some 50 ms
}
_AFTERWARDS_SECONDS = 0.4  # a run that finds the object there is over this soon after its look


@dataclass(frozen=True, slots=True)
class Aim:
    """One death: `delay_seconds` after the trigger.

    "kill" is SIGKILL. "freeze" stops the process, so that it dies of its time-out without having
    beaten again; "hold" lets S3 keep Complete waiting, so that it dies of its time-out beating.
    """

    trigger: Trigger
    delay_seconds: float
    how: How = "kill"


@dataclass
class JobPlan:
    """What one job goes through; `choose` is asked at each of its attempts."""

    seed: str
    choose: Callable[[random.Random, bool], Aim]
    kills: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible on purpose
        self.kills = self.kills or self._random.randint(1, _MOST_KILLS_A_JOB)

    def next_aim(self, *, committed: bool) -> Aim:
        """Return when the attempt that begins now is to die."""
        return self.choose(self._random, committed)

    def bytes_per_second(self) -> float:
        """Return the pace of the next download."""
        return _PART_BYTES / self._random.uniform(*_PART_SECONDS)


def kill_anywhere(chance: random.Random, committed: bool) -> Aim:  # noqa: FBT001 - as JobPlan asks
    """Aim a SIGKILL at any moment of an attempt."""
    if committed:
        trigger: Trigger = chance.choice(("begun", "copying"))
        longest = _AFTERWARDS_SECONDS if trigger == "copying" else _MOMENTS["begun"][1]
    else:
        weights = [often for often, _ in _MOMENTS.values()]
        trigger = chance.choices(list(_MOMENTS), weights)[0]
        longest = _MOMENTS[trigger][1]
    return Aim(trigger, chance.uniform(0, longest))
