"""The round with the lease as it is deployed, and with deaths by the function's own time-out.

A copy leaves in time by itself (transfer/pace.py), so that a time-out takes more than a slow
source: a process that gets no processor at all (stopped here), or an S3 that keeps Complete waiting
longer than the invocation lasts, and carries it out afterwards.
"""

from __future__ import annotations

import random

from tests.kills.plan import MIB, Aim
from tests.kills.rounds import Round

__all__ = ["time_outs_round"]

_JOBS = 8


def time_outs_round() -> Round:
    """Return the round: each job's first run dies, in one of three ways."""
    return Round(
        title="time-outs, and the lease of 45 s",
        lease_seconds=45,
        kills=_JOBS,
        live=_JOBS,
        deadline_seconds=240,
        choose=_one_of_three,
        kills_a_job=1,
        parameters={"FunctionTimeout": "30"},  # the shortest that the template takes
        part_bytes=5 * MIB,  # what of the slowest network fits into that, and S3's least
    )


def _one_of_three(chance: random.Random, _committed: bool) -> Aim:  # noqa: FBT001 - as JobPlan asks
    how = chance.choice(("kill", "freeze", "hold"))
    if how == "hold":
        return Aim("committing", 0.0, "hold")
    return Aim("copying", chance.uniform(0.5, 4.0), "freeze" if how == "freeze" else "kill")
