"""A smoke of `make kills`: three real kills, and two breakages that must be caught."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.kills.breakage import BREAKAGES
from tests.kills.diary import phase_of
from tests.kills.plan import Aim
from tests.kills.rounds import BrokenPromise, Round, run_round

LEASE_SECONDS = 5


def in_the_middle(chance: random.Random, _committed: bool) -> Aim:  # noqa: FBT001 - as JobPlan asks
    """Aim at a copy some of whose parts are finished; a part takes from one to nine seconds."""
    return Aim("copying", chance.uniform(4.0, 6.0))


def small_round(jobs: int) -> Round:
    """Return a round in which each job is killed once."""
    return Round(
        title="smoke",
        lease_seconds=LEASE_SECONDS,
        kills=jobs,
        live=jobs,
        deadline_seconds=100,
        choose=in_the_middle,
        kills_a_job=1,
        environment={"LEASE_SECONDS": str(LEASE_SECONDS)},
    )


def test_three_killed_copies_go_on_where_they_were(tmp_path: Path) -> None:
    """Killed in the middle, back within the lease, archived once, no finished part read again."""
    diaries = run_round(small_round(3), "smoke", tmp_path)
    assert [diary.kills for diary in diaries] == [1, 1, 1]
    for diary in diaries:
        killed, resumed = diary.attempts[0], diary.attempts[-1]
        assert phase_of(killed, diary.after(0)) == "copying, some parts finished"
        assert resumed.receive_count >= killed.receive_count + 1
        assert resumed.message_id == killed.message_id


@pytest.mark.parametrize("name", ["checkpoint", "message"])
def test_a_deliberate_breakage_is_caught(name: str, tmp_path: Path) -> None:
    """A checkpoint that is not kept reads parts again; a message deleted loses its job."""
    with pytest.raises(BrokenPromise, match=BREAKAGES[name].caught_by):
        run_round(small_round(1), "smoke", tmp_path, BREAKAGES[name])
