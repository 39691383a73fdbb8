"""Outages of every kind and of half a day: nothing is set aside, and all is archived soon after."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.outage_promise import (
    HALF_A_DAY,
    MIB,
    PROMISED_SECONDS,
    WAITED_FOR,
    breaks_promise,
    holds_up,
    hunt_outage,
)
from tests.faults.outages import Outage
from tests.faults.scheduler import START
from tests.faults.test_scenarios import HOUR, Story
from tests.faults.vendor import ExportJob

if TYPE_CHECKING:
    import time_machine

BACKLOG = 100
STACK = {"concurrency": 5, "max_receives": 6, "bytes_per_second": 5_000.0}


def story(clock: time_machine.Traveller, **physics: Any) -> Story:  # noqa: ANN401 - of Physics
    """Return a world with the template's defaults."""
    return Story(clock, {**STACK, **physics})


def breaks(told: Story, side: str, seconds: float, *, after: float = 0.0, **more: Any) -> float:  # noqa: ANN401 - of Outage
    """Let a side be out of order; returns when that ends."""
    begins = START + after
    told.world.outages.planned.append(Outage(side, begins, begins + seconds, **more))
    return begins + seconds


def archived_at(told: Story, job: ExportJob) -> float:
    """Return when the run ended that archived a job."""
    return min(
        run.ended_at or 0.0
        for run in told.runs
        if run.job_id == job.job_id and run.outcome == "archived"
    )


@pytest.mark.parametrize(
    ("side", "seconds", "backlog"),
    [
        *((side, 300.0, 100) for side in WAITED_FOR),
        *((side, HALF_A_DAY, 1) for side in WAITED_FOR),
    ],
)
def test_jobs_outlast_an_outage_and_are_archived_within_20_minutes_of_its_end(
    clock: time_machine.Traveller, side: str, seconds: float, backlog: int
) -> None:
    """None is set aside, whatever is out of order; `make faults` tries each with a hundred jobs."""
    assert breaks_promise(clock, side, seconds, backlog) is None


def test_one_poisoned_job_is_set_aside_and_holds_nobody_up(clock: time_machine.Traveller) -> None:
    """Its export breaks off each time; a job comes each half minute, and is archived at once."""
    assert holds_up(clock) is None


@pytest.mark.parametrize(
    "name",
    [
        "an outage's failures are the job's own",
        "everybody tries during an outage",
        "a failure is not told to the fleet",
    ],
)
def test_a_breakage_of_these_promises_is_caught(name: str) -> None:
    """The judge bites; `make faults` tries all breakages."""
    assert hunt_outage(name).violation


def test_a_larger_backlog_has_begun_within_20_minutes(clock: time_machine.Traveller) -> None:
    """Two hundred jobs of five MiB take as long as they take, and do not wait for each other."""
    told = story(clock)
    ends = breaks(told, "vendor", HOUR)
    for _ in range(200):
        told.ask(told.order(5 * MIB))
    told.rest()
    assert told.dead == []
    assert len(told.versions()) == 200
    assert sum(version.at <= ends + PROMISED_SECONDS for version in told.versions()) > 150


def test_an_outage_is_no_waiting_that_max_wait_hours_counts(
    clock: time_machine.Traveller,
) -> None:
    """A job that is not finished for another half an hour after it is not rejected."""
    told = story(clock, max_wait_hours=1)
    ends = breaks(told, "network", HALF_A_DAY, after=600)
    jobs = [told.order(MIB, finishes_at=ends + 1_800) for _ in range(5)]
    for job in jobs:
        told.ask(job)
    told.rest()
    assert told.dead == []
    assert len(told.versions()) == 5


def test_a_retry_after_holds_for_the_fleet_and_is_bounded(clock: time_machine.Traveller) -> None:
    """A vendor that asks for a day is asked every five minutes; all end in time."""
    told = story(clock)
    ends = breaks(told, "vendor", 2 * HOUR, headers={"retry-after": "86400"})
    for _ in range(BACKLOG):
        told.ask(told.order(MIB))
    told.rest()
    assert told.dead == []
    assert max(version.at for version in told.versions()) <= ends + PROMISED_SECONDS
    assert told.world.outages.asked["vendor"] <= 2 * HOUR / 300 + 20


def test_three_poisoned_jobs_hold_the_others_up_for_minutes_at_the_most(
    clock: time_machine.Traveller,
) -> None:
    """They look like an outage until the next job tries; each is found out and set aside."""
    told = story(clock)
    poisoned = [told.order(MIB) for _ in range(3)]
    for job in poisoned:
        told.world.outages.poisoned.add(job.job_id)
        told.ask(job)
    jobs = [told.order(MIB) for _ in range(60)]
    for number, job in enumerate(jobs):
        told.world.scheduler.at(START + 60.0 * number, partial(told.ask, job))
    told.rest()
    assert sorted(letter.attributes["job_id"] for letter in told.dead) == sorted(
        job.job_id for job in poisoned
    )
    assert len(told.versions()) == len(jobs)
    for number, job in enumerate(jobs):
        assert archived_at(told, job) - (START + 60.0 * number) < PROMISED_SECONDS


def test_a_poisoned_job_in_a_company_without_others_is_set_aside_after_a_day(
    clock: time_machine.Traveller,
) -> None:
    """Waiting ends, and the letter has the reason of its failures."""
    told = story(clock)
    job = told.order(MIB)
    told.world.outages.poisoned.add(job.job_id)
    told.ask(job)
    told.rest()
    assert [letter.attributes["reason"] for letter in told.dead] == ["network"]
    assert 24 * HOUR <= told.dead[0].sent_at - START <= 25 * HOUR


def test_while_sqs_takes_nothing_receives_last_half_a_day(clock: time_machine.Traveller) -> None:
    """Jobs that must wait cannot be sent on; their receives are spread until SQS is back."""
    told = story(clock)
    breaks(told, "sqs.send_message", HALF_A_DAY - 600)
    jobs = [told.order(MIB, finishes_at=START + HALF_A_DAY - 600) for _ in range(10)]
    for job in jobs:
        told.ask(job)
    told.rest()
    assert told.dead == []
    assert len(told.versions()) == 10
    assert {run.letter.receives for run in told.runs} == {6}  # by the end: each was tried six times
