"""A smoke of `make kills`: a real kill, and two breakages that must be caught."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from local.apartmentiq import LinkFault, SyntheticExport
from local.cloud import LocalCloud
from tests.kills.breakage import BREAKAGES
from tests.kills.diary import phase_of
from tests.kills.plan import MIB, SIZE_BYTES, Aim
from tests.kills.rounds import BrokenPromise, Round, run_round
from tests.kills.watch import look_at
from tests.receives import template_with_receives
from tests.security.watch import watched

LEASE_SECONDS = 5


def in_the_middle(chance: random.Random, _committed: bool) -> Aim:  # noqa: FBT001 - as JobPlan asks
    """Aim at a copy some of whose parts are finished; a part takes from one to nine seconds.

    The first goes alone, for a runtime that has just begun does not know this store.
    """
    return Aim("copying", chance.uniform(9.2, 9.6))


def small_round() -> Round:
    """Return a round of one job, which is killed once."""
    return Round(
        title="smoke",
        lease_seconds=LEASE_SECONDS,
        kills=1,
        live=1,
        deadline_seconds=100,
        choose=in_the_middle,
        kills_a_job=1,
        environment={"LEASE_SECONDS": str(LEASE_SECONDS)},
    )


def test_a_killed_copy_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed in the middle, back within the lease, archived once, no finished part read again."""
    (diary,) = run_round(small_round(), "smoke", tmp_path)
    assert diary.kills == 1
    killed, resumed = diary.attempts[0], diary.attempts[-1]
    assert phase_of(killed, diary.after(0)) == "copying, some parts finished"
    assert resumed.receive_count >= killed.receive_count + 1
    assert resumed.message_id == killed.message_id


@pytest.mark.parametrize("name", ["checkpoint", "message"])
def test_a_deliberate_breakage_is_caught(name: str, tmp_path: Path) -> None:
    """A checkpoint that is not kept reads parts again; a message deleted loses its job."""
    with pytest.raises(BrokenPromise, match=BREAKAGES[name].caught_by):
        run_round(small_round(), "smoke", tmp_path, BREAKAGES[name])


def test_a_job_killed_on_each_receive_is_a_dead_letter_that_a_redrive_archives(
    tmp_path: Path,
) -> None:
    """Such a letter has no reason, what was copied is kept, and sent again the job goes on."""
    local = LocalCloud(
        state_folder=tmp_path / "state",
        template_path=template_with_receives(tmp_path, 2),
        maximum_runtimes=2,
        mirror_archive=False,
        function_environment={"LEASE_SECONDS": "3"},
    )
    with local as cloud, watched(cloud):
        assert cloud.vendor is not None
        job = cloud.vendor.add_job(SyntheticExport(size_bytes=SIZE_BYTES, seed=5))
        # One part comes at once, the others take long enough to be killed under way.
        cloud.vendor.disturb_link(LinkFault(), job_id=job.job_id)
        cloud.vendor.disturb_link(LinkFault(bytes_per_second=2 * MIB), times=8, job_id=job.job_id)
        cloud.vendor.on_link_bytes = _killing(cloud, after_bytes=(20 * MIB, 25 * MIB))
        cloud.send({"job_id": job.job_id})
        _wait_until(lambda: bool(cloud.dead_letters()))

        (letter,) = cloud.dead_letters()
        left = look_at(cloud, job.job_id)
        assert letter.attributes == {}
        assert [run.error_type for run in cloud.invocations()] == ["Runtime.ExitError"] * 2
        assert (left.uploads, left.versions, left.events) == (1, 0, 0)
        assert left.finished
        served = cloud.vendor.link_bytes(job.job_id)
        cloud.send(letter.body)
        cloud.wait_until_quiet(60)
        after = look_at(cloud, job.job_id)
        assert (after.archived, after.uploads, after.versions, after.events) == (True, 0, 1, 1)
        missing_bytes = SIZE_BYTES - len(left.finished) * 16 * MIB
        assert cloud.vendor.link_bytes(job.job_id) - served <= missing_bytes + 1  # and the probe


def _killing(cloud: LocalCloud, after_bytes: tuple[int, int]) -> Callable[[str, int], None]:
    """Return a listener that kills the first run and the second, each after so many bytes."""

    def heard(_job_id: str, total_bytes: int) -> None:
        runs = len(cloud.invocations())
        if runs < len(after_bytes) and total_bytes >= after_bytes[runs]:
            cloud.pool().kill_busy()

    return heard


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 60, Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition never held"
        pause.wait(0.1)
