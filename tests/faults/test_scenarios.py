"""Exact stories in the simulated world: long waits, long copies, and crashes at a chosen moment."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from archiver.transfer.plan import PartPlan
from tests.faults.chaos import Fault, Profile, Stall, silences
from tests.faults.fleet import Invocation
from tests.faults.judge import Judge
from tests.faults.mutants import GREEDY_WAITS, LOCKED_BEATS
from tests.faults.objects import Upload, Version
from tests.faults.queues import Letter
from tests.faults.scheduler import START
from tests.faults.vendor import ExportJob
from tests.faults.world import NO_MUTATION, Mutation, Physics, World

if TYPE_CHECKING:
    import time_machine

HOUR = 3_600.0
DAY = 24 * HOUR
NO_FAULTS = Profile(probability=0.0, budget=0)
GIB_IN_MIB = 1_024
SILENCE = silences("somebody", "aws", retried=True)[0]


@dataclass
class Story:
    """A world in good weather, and what a test wants to know of it."""

    clock: time_machine.Traveller
    physics: dict[str, Any] = field(default_factory=dict)
    mutation: Mutation = NO_MUTATION

    def __post_init__(self) -> None:
        """Make the world."""
        physics = Physics(profile=NO_FAULTS, **self.physics)
        self.world = World("story", physics, self.clock, self.mutation)
        self.judge = Judge(self.world)
        self.world.fill_secret()
        self.random = random.Random("story")  # noqa: S311 - no secret

    def order(self, size_bytes: int, *, finishes_at: float = START, **more: Any) -> ExportJob:  # noqa: ANN401 - of ExportJob
        """Let the vendor have a job with an export."""
        job_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        job = ExportJob(job_id, "export", finishes_at, "succeeded", **more)
        job.change(self.random.randbytes(size_bytes))
        return self.world.add(job)

    def ask(self, job: ExportJob) -> None:
        """Put a message on the queue."""
        self.world.queues.put(f'{{"job_id": "{job.job_id}"}}')

    def meets(self, which: Callable[[str, Sequence[Fault]], Fault | None]) -> None:
        """Choose which fault a request meets, by the side that it asks and what it could meet."""
        chaos = self.world.chaos

        def pick(side: str, _cause: str, faults: Sequence[Fault], _weight: float = 1.0) -> Any:  # noqa: ANN401 - a Fault or None
            return which(side, faults)

        chaos.pick = pick  # type: ignore[assignment,method-assign] # this world's weather

    def rest(self, *, days: float = 4) -> None:
        """Run until nothing happens any more; every invariant must hold."""
        came_to_rest = self.world.run(until=self.world.now + days * DAY, max_steps=2_000_000)
        self.judge.at_rest()
        self.world.close()
        assert self.world.chaos.violations == []
        assert came_to_rest

    def state(self, job: ExportJob) -> str:
        """Return what the job's item says."""
        item = self.world.table.items[f"job#{job.job_id}"]
        return str(item["state"]["S"])

    @property
    def dead(self) -> list[Letter]:
        """The dead letters."""
        return self.world.queues.dead

    @property
    def runs(self) -> list[Invocation]:
        """The invocations."""
        return self.world.fleet.invocations

    def versions(self) -> list[Version]:
        """Return every object that was committed."""
        return [version for found in self.world.objects.versions.values() for version in found]

    def told(self, kind: str) -> int:
        """Return how many events of a kind were emitted."""
        return sum(emitted == kind for emitted, _, _ in self.world.bus.events)


def test_a_job_that_is_submitted_for_two_days_is_archived(clock: time_machine.Traveller) -> None:
    """Waiting costs no receive: after 48 hours the job is archived, by messages received once."""
    story = Story(clock, {"max_wait_hours": 72})
    job = story.order(700, finishes_at=START + 2 * DAY)
    story.ask(job)
    story.rest()
    assert story.state(job) == "archived"
    assert {run.letter.receives for run in story.runs} == {1}
    assert story.versions()[0].at - job.finishes_at < 1_100  # one longest wait, and its jitter


def test_a_job_that_outlasts_max_wait_is_rejected(clock: time_machine.Traveller) -> None:
    """After MaxWaitHours the message is set aside with a reason that says so."""
    story = Story(clock, {"max_wait_hours": 72})
    story.ask(story.order(700, finishes_at=START + 9 * DAY))
    story.rest()
    assert [letter.attributes["reason"] for letter in story.dead] == ["waited_too_long"]
    assert 72 * HOUR <= story.dead[0].sent_at - START < 72.5 * HOUR
    assert story.told("Export Rejected") == 1


def test_1000_jobs_wait_out_an_hour_of_429(clock: time_machine.Traveller) -> None:
    """All are archived, none is set aside, and nobody asks before a Retry-After (judge.py)."""
    story = Story(clock, {"concurrency": 10})
    story.world.vendor.closed_until = START + HOUR
    story.world.vendor.longest_retry_after = 600
    for _ in range(1_000):
        story.ask(story.order(10))
    story.rest()
    assert len(story.versions()) == 1_000
    assert story.dead == []
    assert {run.letter.receives for run in story.runs} == {1}
    # At each end of a Retry-After, at most the requests that were on their way when it was told.
    assert story.world.vendor.knocks <= (HOUR / 600 + 1) * 10


def test_200_gib_over_a_three_minute_function(clock: time_machine.Traveller) -> None:
    """A copy takes as many invocations as it needs, sends no part twice, and nothing is set aside.

    One byte stands for one MiB here: 3,200 parts of 64, eight at a time, 60 MiB/s each.
    """
    size = 200 * GIB_IN_MIB
    story = Story(
        clock,
        {
            "function_seconds": 180.0,
            "bytes_per_second": 60.0,
            "chunk_bytes": 64,
            "least_part_bytes": 5,
            "plan": PartPlan(
                single_put_bytes=16,
                small_part_bytes=16,
                large_part_bytes=64,
                unit_bytes=1,
            ),
        },
    )
    story.world.objects.page = 1_000
    job = story.order(size)
    story.ask(job)
    story.rest()
    assert story.state(job) == "archived"
    assert story.dead == []
    assert {run.letter.receives for run in story.runs} == {1}
    assert [run.outcome for run in story.runs][:-1] == ["deferred"] * (len(story.runs) - 1)
    assert 3 <= len(story.runs) <= 6
    assert len(story.world.objects.uploads) == 1
    dropped = story.world.export_host.bytes_read - size
    assert 0 <= dropped <= len(story.runs) * 8 * 64  # parts under way when time was up


def test_a_crash_between_commit_and_emission_emits_on_the_retry(
    clock: time_machine.Traveller,
) -> None:
    """An object whose event is missing is found by the next attempt, which tells."""
    story = Story(clock)
    world = story.world
    watched = world.objects.on_commit

    def die_after_commit(version: Version) -> None:
        watched(version)
        world.fleet.kill(world.chaos.run())

    world.objects.on_commit = die_after_commit
    job = story.order(5_000)
    story.ask(job)
    story.rest()
    # A message that comes back before the claim has run out waits once more, for seconds.
    assert {run.how for run in story.runs[1:]} == {"done"}
    assert story.runs[-1].outcome == "archived"
    assert story.runs[-1].began_at - START < 60
    assert story.told("Export Archived") == 1
    assert len(story.versions()) == 1
    assert story.state(job) == "archived"


@pytest.mark.parametrize("granted_bucket_is_listed", [False, True])
def test_a_killed_copy_is_back_within_a_minute_and_sends_no_part_twice(
    clock: time_machine.Traveller,
    granted_bucket_is_listed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Also where SourceBuckets lists the vendor's bucket, which then does not let us read."""
    story = Story(clock, {"bytes_per_second": 60.0, "server_side": granted_bucket_is_listed})
    world = story.world
    job = story.order(40_000)
    story.ask(job)
    killed_at = START + 70
    world.scheduler.at(killed_at, lambda: world.fleet.kill(story.runs[0]))
    story.rest()
    assert [run.how for run in story.runs] == ["died", "done"]
    assert story.runs[1].began_at - killed_at <= 60
    assert [upload.state for upload in world.objects.uploads.values()] == ["completed"]
    (upload,) = world.objects.uploads.values()
    assert len({number for number, _, _ in upload.log}) == len(upload.log)
    assert {who for _, _, who in upload.log} == {"i1", "i2"}
    assert story.state(job) == "archived"


def test_a_source_that_changed_meanwhile_is_copied_afresh(clock: time_machine.Traveller) -> None:
    """The old upload is aborted; what is archived is the export as it is now."""
    story = Story(clock, {"bytes_per_second": 60.0})
    world = story.world
    job = story.order(40_000)
    story.ask(job)

    def crash_and_change() -> None:
        world.fleet.kill(story.runs[0])
        job.change(story.random.randbytes(39_000))

    world.scheduler.at(START + 70, crash_and_change)
    story.rest()
    states = [upload.state for upload in world.objects.uploads.values()]
    assert states == ["aborted", "completed"]
    assert [version.body for version in story.versions()] == [job.source.body]


def test_an_upload_that_vanished_is_begun_again(clock: time_machine.Traveller) -> None:
    """S3, or a person, gave the upload up between two attempts."""
    story = Story(clock, {"bytes_per_second": 60.0})
    world = story.world
    job = story.order(40_000)
    story.ask(job)

    def crash_and_lose() -> None:
        world.fleet.kill(story.runs[0])
        for upload in world.objects.open_uploads():
            world.objects.give_up(upload.upload_id)

    world.scheduler.at(START + 70, crash_and_lose)
    story.rest()
    states = [upload.state for upload in world.objects.uploads.values()]
    assert states == ["given up", "completed"]
    assert story.state(job) == "archived"


def test_two_messages_for_one_job_make_one_object(clock: time_machine.Traveller) -> None:
    """One run archives; the other waits without a failure and finds the job archived."""
    story = Story(clock, {"bytes_per_second": 60.0})
    job = story.order(40_000)
    story.ask(job)
    story.ask(job)
    story.rest()
    assert len(story.versions()) == 1
    assert story.dead == []
    outcomes = {run.outcome for run in story.runs}
    assert outcomes == {"archived", "deferred", "already_archived"}
    assert story.told("Export Archived") == 1


def test_a_runtime_that_was_frozen_past_its_lease_ends_quietly(
    clock: time_machine.Traveller,
) -> None:
    """The winner's object stays the only one; the zombie neither fails nor takes its parts."""
    story = Story(clock, {"bytes_per_second": 60.0})
    world = story.world
    job = story.order(40_000)
    story.ask(job)

    def freeze() -> None:
        story.runs[0].frozen_until = world.now + 100

    world.scheduler.at(START + 70, freeze)
    story.rest()
    assert len(story.versions()) == 1
    assert story.dead == []
    assert "failed" not in {run.how for run in story.runs}
    assert story.state(job) == "archived"


def test_a_runtime_that_was_overtaken_before_it_wrote_its_upload_down_leaves_nothing(
    clock: time_machine.Traveller,
) -> None:
    """Its checkpoint is refused, its upload aborted, and the newer run's is left alone."""
    story = Story(clock, {"bytes_per_second": 60.0})
    objects, begun = story.world.objects, story.world.objects.on_begin

    def freeze_the_first(upload: Upload) -> None:
        begun(upload)
        run = story.world.chaos.run()
        if run is story.runs[0]:
            run.frozen_until = story.world.now + 120

    objects.on_begin = freeze_the_first
    job = story.order(40_000)
    story.ask(job)
    story.rest()
    assert [upload.state for upload in objects.uploads.values()] == ["aborted", "completed"]
    assert story.runs[0].reason == "in_progress_elsewhere"
    assert story.state(job) == "archived"
    assert story.dead == []


def test_after_the_table_is_lost_the_object_itself_prevents_a_second_copy(
    clock: time_machine.Traveller,
) -> None:
    """Records expire and tables are lost; what is in the bucket is recognised."""
    story = Story(clock)
    world = story.world
    job = story.order(5_000)
    story.ask(job)

    def lose_everything() -> None:
        world.table.items.clear()
        story.ask(job)

    world.scheduler.at(START + HOUR, lose_everything)
    story.rest()
    assert len(story.versions()) == 1
    assert story.state(job) == "archived"
    assert world.objects.open_uploads() == []


def test_an_upload_of_a_job_that_is_cancelled_meanwhile_is_aborted(
    clock: time_machine.Traveller,
) -> None:
    """Where the job ends otherwise, its upload goes at once and not by the lifecycle rule."""
    story = Story(clock, {"bytes_per_second": 60.0})
    world = story.world
    job = story.order(40_000)
    story.ask(job)
    aborted: list[Upload] = []
    world.objects.on_abort = aborted.append

    def crash_and_cancel() -> None:
        world.fleet.kill(story.runs[0])
        job.ends = "cancelled"

    world.scheduler.at(START + 70, crash_and_cancel)
    story.rest()
    assert len(aborted) == 1
    assert story.told("Export Failed At Vendor") == 1
    assert story.versions() == []


@pytest.mark.parametrize("silent", ["vendor", "secretsmanager", "events", "s3", "parts", "link"])
def test_whoever_is_silent_the_run_ends_in_time(clock: time_machine.Traveller, silent: str) -> None:
    """For half an hour: the job waits without a dead letter, Lambda ends no run, and it goes on."""
    story = Story(clock, {"function_seconds": 60.0, "max_receives": 20})

    def which(side: str, _faults: Sequence[Fault]) -> Fault | None:
        return SILENCE if side == silent and story.world.now < START + HOUR / 2 else None

    story.meets(which)
    job = story.order(5_000)
    story.ask(job)
    story.rest()
    assert story.state(job) == "archived"
    assert len(story.runs) > 1
    assert {run.how for run in story.runs} <= {"done", "failed"}
    longest = max((run.ended_at or 0.0) - run.began_at for run in story.runs)
    assert longest <= 60.0 - 3.0  # nothing is asked in the last three seconds


@pytest.mark.parametrize("drips", [False, True])
def test_a_commit_that_outlasts_the_run_is_found_by_the_next(
    clock: time_machine.Traveller,
    drips: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """S3 assembles for minutes, in silence or with white space, after we had to leave."""
    story = Story(clock, {"function_seconds": 60.0})
    late: list[Fault] = []

    def which(_side: str, faults: Sequence[Fault]) -> Fault | None:
        found = [fault for fault in faults if fault.name == "complete drips, then it is done"]
        if late or not found:
            return None
        stall = Stall(before=100.0, late=True, drips=drips)
        late.append(replace(found[0], stall=lambda *_: stall))
        return late[0]

    story.meets(which)
    job = story.order(5_000)
    story.ask(job)
    story.rest()
    assert len(late) == 1
    assert (story.runs[0].outcome, story.runs[0].reason) == ("deferred", "out_of_time")
    assert len(story.versions()) == 1
    assert story.state(job) == "archived"
    assert story.dead == []


@pytest.mark.parametrize(("mutation", "waits"), [(NO_MUTATION, False), (LOCKED_BEATS, True)])
def test_nobody_waits_for_a_heartbeat(
    clock: time_machine.Traveller,
    mutation: Mutation,
    waits: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The table answers no beat: the run stores its receipt meanwhile, unless a lock is held."""
    story = Story(clock, {"bytes_per_second": 200.0}, mutation)
    scheduler = story.world.scheduler

    def which(side: str, _faults: Sequence[Fault]) -> Fault | None:
        beat = scheduler.current is not None and scheduler.current.role == "beat"
        return SILENCE if beat and side == "dynamodb" else None

    story.meets(which)
    job = story.order(18_000)  # committed between a beat and its last try
    story.ask(job)
    came_to_rest = story.world.run(until=story.world.now + DAY, max_steps=2_000_000)
    story.world.close()
    assert came_to_rest != waits  # the judge stops the world
    caught = [broken for broken in story.world.chaos.violations if "its heartbeat" in broken]
    assert bool(caught) == waits
    assert story.state(job) == "archived"


@pytest.mark.parametrize(
    ("mutation", "reasons"), [(NO_MUTATION, ["forbidden"]), (GREEDY_WAITS, [])]
)
def test_a_silent_table_does_not_cost_the_reason(
    clock: time_machine.Traveller, mutation: Mutation, reasons: list[str]
) -> None:
    """Silent once the vendor has refused: the first receive sets the message aside all the same.

    Unless one wait may take all that is left for telling.
    """
    story = Story(clock, mutation=mutation)

    def which(side: str, _faults: Sequence[Fault]) -> Fault | None:
        return SILENCE if side == "dynamodb" and story.told("Export Rejected") else None

    story.meets(which)
    job_id = str(uuid.UUID(int=1, version=4))
    story.ask(story.world.add(ExportJob(job_id, "forbidden", START, "succeeded")))
    story.world.run(until=START + HOUR, max_steps=2_000_000)
    story.world.close()
    assert [letter.attributes["reason"] for letter in story.dead] == reasons


def test_credentials_are_waited_for(clock: time_machine.Traveller) -> None:
    """A secret without a value costs waiting, and neither receives nor dead letters."""
    story = Story(clock)
    world = story.world
    world.secrets.value = None
    job = story.order(10)
    story.ask(job)
    world.scheduler.at(START + 3 * HOUR, world.fill_secret)
    story.rest()
    assert story.state(job) == "archived"
    assert {run.letter.receives for run in story.runs} == {1}


def test_runtimes_that_revoke_each_others_tokens_all_come_through(
    clock: time_machine.Traveller,
) -> None:
    """Each new token revokes the last: nobody is told to check the credentials, and all goes on.

    Thirty jobs that come at once to five runtimes are archived within two minutes.
    """
    story = Story(clock, physics={"concurrency": 5})
    story.world.vendor.revokes_earlier = True
    jobs = [story.order(700) for _ in range(30)]
    for job in jobs:
        story.ask(job)
    story.rest()
    assert {story.state(job) for job in jobs} == {"archived"}
    assert [run.reason for run in story.runs if run.reason] == []
    assert max(version.at for version in story.versions()) < START + 120
