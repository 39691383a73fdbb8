"""Sweeps: whatever completed at the vendor is queued once, and nothing is asked for twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from archiver.apartmentiq.listing import JobsPage, ListedJob, Position
from archiver.errors import (
    Deferral,
    Failure,
    FailureReason,
    Interruption,
    Rejection,
    RejectionReason,
)
from archiver.states import LOST_AFTER
from archiver.sweep.reconcile import RESERVE_SECONDS, JobRecord
from tests.unit.sweep.fakes import NOW, World, listed

UNDER_WAY = ("queued", "waiting", "copying", "failing")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONE_PAGE_SECONDS = RESERVE_SECONDS + 59  # enough for one page that takes a minute


def ordered(count: int) -> list[ListedJob]:
    """Return completed jobs, newest first, a minute apart."""
    return [listed(age=timedelta(minutes=number + 1)) for number in range(count)]


# --- what is queued ---


def test_a_completed_job_that_nobody_knows_is_queued() -> None:
    """A lost callback costs an hour and not an export; the message is the plainest one."""
    job = listed()
    world = World([job])
    answer = world.sweep()
    assert world.queued == [f'{{"job_id":"{job.job_id}"}}']
    assert (answer["outcome"], answer["queued"], answer["never_seen"]) == ("finished", 1, 1)


@pytest.mark.parametrize("status", ["submitted", "failed", "cancelled"])
def test_a_job_without_an_export_is_only_counted(status: str) -> None:
    """The documented words for it are believed, and the table is not even asked for these."""
    world = World([listed(status=status)])
    world.sweep()
    assert world.queued == []
    assert world.asked["batch reads"] == 0


@pytest.mark.parametrize("state", ["archived", "dead_lettered"])
@pytest.mark.parametrize("ago", [timedelta(), 29 * DAY])
def test_a_job_that_has_ended_here_is_left_alone_for_good(state: str, ago: timedelta) -> None:
    """Archived or a person's: its age changes nothing."""
    job = listed(age=29 * DAY)
    world = World([job])
    world.know([job], state, ago)
    world.sweep()
    assert world.queued == []


REASONS = get_args(RejectionReason) + get_args(FailureReason)


@pytest.mark.parametrize("reason", sorted({*REASONS} - {"no_such_job", "waited_too_long"}))
def test_a_letter_whose_reason_the_list_says_nothing_of_is_a_persons(reason: str) -> None:
    """It would only become a second letter."""
    job = listed()
    world = World([job])
    world.know([job], "dead_lettered", reason=reason)
    assert world.sweep()["dead_lettered"] == 1
    assert world.queued == []


@pytest.mark.parametrize("status", ["succeeded", "done"])
def test_a_job_that_was_unknown_and_is_listed_is_taken_up(status: str) -> None:
    """A callback was quicker than the replica, or the secret held another account's client."""
    job = listed(status=status)
    world = World([job])
    world.know([job], "dead_lettered", DAY, reason="no_such_job")
    answer = world.sweep()
    assert world.queued_ids() == [job.job_id]
    assert (answer["taken_up"], answer["unarchived"], answer["dead_lettered"]) == (1, 1, 0)


@pytest.mark.parametrize(("status", "taken_up"), [("succeeded", 1), ("done", 0)])
def test_a_job_that_had_failed_and_has_succeeded_is_taken_up(status: str, taken_up: int) -> None:
    """The vendor has changed its mind; a word that nobody knows does not say so."""
    job = listed(status=status)
    world = World([job])
    world.know([job], "ended_at_vendor", DAY, reason="job_failed")
    assert world.sweep()["taken_up"] == taken_up


@pytest.mark.parametrize(("hours", "taken_up"), [(3, 1), (1, 0)])
def test_what_was_waited_for_too_long_is_taken_up_if_it_came_later(
    hours: int, taken_up: int
) -> None:
    """It completed two hours ago: after its letter, or before, and then that was not the cause."""
    job = listed(age=100 * HOUR, finished=2 * HOUR)
    world = World([job])
    world.know([job], "dead_lettered", hours * HOUR, reason="waited_too_long")
    assert world.sweep()["taken_up"] == taken_up


def test_a_list_that_contradicts_the_answers_makes_three_letters_and_no_more() -> None:
    """Listed for ever, and 404 whenever it is asked for."""
    job = listed()
    world = World([job])
    taken_up = 0
    for _ in range(10):
        at, record = world.now, world.items.get(job.job_id, JobRecord("", None, None))
        world.items[job.job_id] = replace(
            record, state="dead_lettered", reason="no_such_job", touched_at=at, updated_at="x"
        )
        taken_up += world.sweep()["taken_up"]
    assert taken_up == 3


@pytest.mark.parametrize("status", ["done", "SUCCESS", "", "unknown", "completed"])
def test_a_status_that_nobody_knows_may_mean_an_export(status: str) -> None:
    """Whoever archives asks the results endpoint then: the sweep must not say that all is well."""
    job = listed(status=status)
    world = World([job])
    answer = world.sweep()
    assert world.queued_ids() == [job.job_id]
    assert (answer["queued"], answer["unarchived"]) == (1, 1)
    assert answer["jobs"]["other"] == 1
    assert world.metrics["OldestUnarchivedSeconds"] == HOUR.total_seconds()


def test_a_job_that_tells_no_date_is_as_old_as_what_is_known_of_it() -> None:
    """Else the alarm on the oldest could not ring for it."""
    job = replace(listed(), created_at=None, updated_at=None)
    world = World([job])
    assert world.sweep()["oldest_unarchived_seconds"] == 0
    world.items[job.job_id] = JobRecord(
        "waiting", world.now, world.now.isoformat(), known_since=world.now - 9 * HOUR
    )
    assert world.sweep()["oldest_unarchived_seconds"] == 9 * HOUR.total_seconds()


@pytest.mark.parametrize("state", UNDER_WAY)
def test_a_job_under_way_is_queued_again_only_when_its_message_must_be_lost(state: str) -> None:
    """Up to the longest possible silence it has a message; beyond it, it has none."""
    fresh, stuck = listed(), listed()
    world = World([fresh, stuck])
    world.know([fresh], state, LOST_AFTER)
    world.know([stuck], state, LOST_AFTER + timedelta(seconds=1))
    answer = world.sweep()
    assert world.queued_ids() == [stuck.job_id]
    assert (answer["lost"], answer["never_seen"], answer["unarchived"]) == (1, 0, 2)


def test_an_item_that_tells_no_time_counts_as_lost() -> None:
    """A second message costs a read; a job without one costs the export."""
    job = listed()
    world = World([job])
    world.know([job], "copying")
    world.items[job.job_id] = type(world.items[job.job_id])("copying", None, None)
    world.sweep()
    assert world.queued_ids() == [job.job_id]


def test_what_was_queued_is_not_queued_by_the_next_sweep() -> None:
    """A queue that stands still for a day holds four messages a job at most, not twenty-four."""
    world = World([listed(age=2 * HOUR)])
    for _ in range(24):
        world.sweep()
        world.left_seconds = 300
        world.now += HOUR
    assert len(world.queued) <= 4


def test_a_mark_never_covers_what_somebody_quicker_wrote() -> None:
    """The archiver may claim the job between our message and our mark."""
    job = listed()
    world = World([job])
    world.on_send = lambda: world.know([job], "copying")
    world.sweep()
    assert world.items[job.job_id].state == "copying"


def test_a_mark_that_cannot_be_written_costs_a_second_message_and_no_more() -> None:
    """The message is in the queue: the sweep goes on."""
    world = World(ordered(3))

    class Refusing(World):
        def mark_queued(self, *_: object) -> None:
            raise Failure("aws_error", "no")

    refusing = Refusing(world.jobs)
    assert refusing.sweep()["queued"] == 3


def test_what_the_queue_does_not_take_is_left_to_the_next_sweep() -> None:
    """Half a batch refused: the other half is queued and marked, and nothing is lost."""
    world = World(ordered(25))
    world.refused = {job.job_id for job in world.jobs[::2]}
    answer = world.sweep()
    assert (answer["queued"], answer["refused_by_the_queue"]) == (12, 13)
    world.refused = set()
    world.sweep()
    assert sorted(world.queued_ids()) == sorted(job.job_id for job in world.jobs)


def test_batches_are_as_large_as_sqs_takes() -> None:
    """101 missing jobs are ten messages a request."""
    world = World(ordered(101))
    world.sweep()
    assert len(set(world.queued_ids())) == 101
    assert world.asked["sends"] == 10 + 1


# --- what it costs ---


def test_a_thousand_archived_jobs_cost_ten_pages_and_ten_batch_reads() -> None:
    """Nothing missing: no message, no mark, no results call."""
    world = World(ordered(1_000))
    world.know(world.jobs, "archived")
    answer = world.sweep()
    assert world.asked == {"place": 1, "throttle": 10, "pages": 10, "batch reads": 10}
    assert answer["archived"] == 1_000
    assert answer["oldest_unarchived_seconds"] == 0


def test_paging_ends_behind_the_window() -> None:
    """Ten years of jobs cost the pages of thirty days, and one to see that it is behind."""
    world = World([*ordered(150), *(listed(age=31 * DAY) for _ in range(5_000))])
    world.know(world.jobs, "archived")
    world.sweep()
    assert world.pages == [1, 2, 3]


def test_a_late_finisher_keeps_the_paging_going() -> None:
    """It was ordered before the window and completed in it: it is meant, and so is its page."""
    late = listed(age=60 * DAY, finished=DAY)
    world = World([*(listed(age=31 * DAY) for _ in range(99)), late, listed(age=61 * DAY)])
    world.sweep()
    assert world.queued_ids() == [late.job_id]
    assert world.pages == [1, 2]


# --- pages that move ---


def test_new_jobs_push_others_to_later_pages_and_nothing_is_queued_twice() -> None:
    """What was at the end of a page comes again at the beginning of the next."""
    world = World(ordered(250))
    expected = {job.job_id for job in world.jobs}
    world.before_page = lambda page: world.jobs.insert(0, listed()) if page > 1 else None
    answer = world.sweep()
    assert len(world.queued) == len(set(world.queued)) == 250
    assert set(world.queued_ids()) == expected  # the new ones are the next sweep's
    assert answer["unarchived"] == 250


def test_a_job_that_vanishes_pulls_nobody_past_the_sweep() -> None:
    """The one that crossed to the page before is found by reading that page again."""
    world = World(ordered(250))
    gone, crossing = world.jobs[3], world.jobs[100]
    removed = [gone]
    world.before_page = lambda page: (
        world.jobs.remove(removed.pop()) if page == 2 and removed else None
    )
    world.sweep()
    assert crossing.job_id in world.queued_ids()
    assert len(world.queued) == 250  # the one that is gone had been seen
    assert world.pages == [1, 2, 1, 2, 3]


def test_many_that_vanish_at_once_are_read_back_as_far_as_they_can_have_moved() -> None:
    """A clear-out of 150 jobs moves others over two boundaries."""
    world = World(ordered(500))
    survivors = world.jobs[150:]

    def clear_out(page: int) -> None:
        if page == 4:
            world.jobs = [job for job in world.jobs if job in survivors]

    world.before_page = clear_out
    world.sweep()
    assert set(world.queued_ids()) >= {job.job_id for job in survivors}


@pytest.mark.parametrize("seed", range(200))
def test_no_job_that_stays_is_missed_however_the_list_moves(seed: int) -> None:
    """Orders and removals at random between any two reads; page sizes small, so that many cross."""
    chance = random.Random(seed)  # noqa: S311 - a test's own
    world = World(ordered(chance.randint(0, 60)), page_size=chance.randint(1, 7))
    world.longest_page = chance.choice([1, 3, 100])
    staying = list(world.jobs)
    moves = chance.randint(0, 25)

    def move(_page: int) -> None:
        nonlocal moves
        while moves > 0 and chance.random() < 0.6:
            moves -= 1
            if chance.random() < 0.5 and world.jobs:
                gone = chance.choice(world.jobs)
                world.jobs.remove(gone)
                if gone in staying:
                    staying.remove(gone)
            else:
                world.jobs.insert(0, listed())

    world.before_page = move
    world.left_seconds = 1e9
    answer = world.sweep()
    assert answer["outcome"] == "finished"
    assert set(world.queued_ids()) >= {job.job_id for job in staying}
    assert len(world.queued) == len(set(world.queued))


@pytest.mark.parametrize("page_size", [100, 40])
def test_pages_too_long_to_be_read_are_read_by_fewer_jobs(page_size: int) -> None:
    """Also where the vendor gives fewer than were asked for, and where they are long later on."""
    world = World(ordered(250), page_size=page_size)
    world.longest_page = 9
    assert world.sweep()["outcome"] == "finished"
    assert set(world.queued_ids()) == {job.job_id for job in world.jobs}
    assert len(world.queued) == 250
    assert world.asked["pages"] < 60


def test_a_sweep_of_long_pages_goes_on_where_it_ran_out_of_time() -> None:
    """In the same short pages: none of its jobs is missed or counted twice."""
    world = World(ordered(120), page_seconds=10)
    world.longest_page = 30
    answers = []
    for _ in range(6):
        world.left_seconds = RESERVE_SECONDS + 25
        answers.append(world.sweep())
    assert [answer["outcome"] for answer in answers].index("finished") == 2
    assert set(world.queued_ids()) == {job.job_id for job in world.jobs}
    assert answers[2]["jobs"]["succeeded"] == 120


def test_a_job_too_long_to_be_read_alone_is_the_vendors_error() -> None:
    """Nothing narrower can be asked for; the sweep says so, and does not look healthy."""
    world = World(ordered(3))
    world.longest_page = 0
    answer = world.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "vendor_error")


def test_a_list_that_says_the_same_on_every_page_is_given_up() -> None:
    """A page number that is ignored, and no totals: else only the time would end it."""

    class Stuck(World):
        def jobs_page(self, position: Position) -> JobsPage | None:
            return super().jobs_page(replace(position, page=1))

    stuck = Stuck(ordered(100), tells_totals=False)
    answer = stuck.sweep()
    assert (answer["reason"], answer["queued"]) == ("vendor_error", 100)
    assert stuck.asked["pages"] < 20


def test_totals_that_go_up_and_down_for_ever_do_not_hold_a_sweep() -> None:
    """Two copies of the list that disagree by one: the sweep comes to its end all the same."""

    class Wavering(World):
        def jobs_page(self, position: Position) -> JobsPage:
            told = super().jobs_page(position)
            assert told is not None
            return replace(told, total_count=300 - self.asked["pages"] % 2)

    wavering = Wavering(ordered(300))
    assert wavering.sweep()["outcome"] == "finished"
    assert len(wavering.queued) == 300
    assert wavering.asked["pages"] < 200


def test_a_list_that_tells_no_totals_is_read_to_its_end() -> None:
    """`pagination` may lack what the documents promise: the empty page is the end then."""
    world = World(ordered(200), tells_totals=False)
    world.sweep()
    assert len(world.queued) == 200
    assert world.pages == [1, 2, 3]


def test_a_page_of_nothing_readable_is_not_the_end() -> None:
    """Entries without a job id are counted, and the pages behind them are read."""
    job = listed()

    class Odd(World):
        def jobs_page(self, position: Position) -> JobsPage | None:
            if position.page == 1:
                return JobsPage((), 100, None, None, 100)
            return super().jobs_page(replace(position, page=position.page - 1))

    odd = Odd([job], tells_totals=False)
    answer = odd.sweep()
    assert odd.queued_ids() == [job.job_id]
    assert answer["unreadable_entries"] == 100


def test_an_empty_page_before_the_last_is_an_error_and_not_the_end() -> None:
    """A hiccup of the vendor's must not look like a window in which all is archived."""

    class Hollow(World):
        def jobs_page(self, position: Position) -> JobsPage:
            told = super().jobs_page(position)
            assert told is not None
            return replace(told, jobs=())

    hollow = Hollow(ordered(200))
    answer = hollow.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "vendor_error")
    assert answer["detail"] == "Page 1 of 2 of the job list is empty."
    assert "OldestUnarchivedSeconds" not in hollow.metrics


def test_a_vendor_without_a_single_job_is_swept() -> None:
    """An empty first page of one is the whole list."""
    world = World([])
    assert world.sweep()["outcome"] == "finished"
    assert world.metrics["OldestUnarchivedSeconds"] == 0


# --- out of time, and the vendor's manners ---


def test_a_sweep_that_runs_out_of_time_goes_on_where_it_was() -> None:
    """Three short invocations see every page once, and the last one publishes all of it."""
    world = World(ordered(900), page_seconds=60)
    answers = []
    for _ in range(3):
        world.left_seconds = ONE_PAGE_SECONDS + 2 * 60
        answers.append(world.sweep())
    assert [answer["outcome"] for answer in answers] == ["unfinished", "unfinished", "finished"]
    assert answers[0]["reason"] == "out_of_time"
    assert world.pages == list(range(1, 10))
    assert len(world.queued) == 900
    assert world.metrics["VendorJobs"]["status"]["succeeded"] == 900
    assert world.metrics["OldestUnarchivedSeconds"] > 900 * 60
    assert world.kept is None


def test_the_list_may_move_between_two_invocations() -> None:
    """The place remembers the total: what crossed in the meantime is read back for."""
    world = World(ordered(300), page_seconds=60)
    world.left_seconds = ONE_PAGE_SECONDS
    crossing = world.jobs[100]
    world.sweep()
    assert world.kept is not None
    assert world.kept.position.page == 2
    del world.jobs[5]
    world.left_seconds = 1_000
    world.sweep()
    assert crossing.job_id in world.queued_ids()
    assert world.pages == [1, 2, 1, 2, 3]


def test_half_a_sweep_publishes_nothing_that_would_look_like_health() -> None:
    """The oldest jobs are on the last pages: only a whole sweep knows their age."""
    world = World(ordered(300), page_seconds=60, left_seconds=ONE_PAGE_SECONDS)
    world.sweep()
    assert world.metrics == {
        "QueuedBySweep": 100,
        "SweepsUnfinished": {"reason": {"out_of_time": 1}},
    }
    world.left_seconds, world.metrics = 1_000, {}
    assert world.sweep()["queued"] == 300
    assert world.metrics["QueuedBySweep"] == 200  # each message is counted once


def test_a_place_that_is_a_week_old_is_forgotten() -> None:
    """Whoever switches the schedule on again gets a whole sweep."""
    world = World(ordered(300), page_seconds=60, left_seconds=ONE_PAGE_SECONDS)
    world.sweep()
    world.left_seconds, world.page_seconds = 300, 0
    world.now += timedelta(days=8)
    world.sweep()
    assert world.pages == [1, 1, 2, 3]


def test_a_sweep_by_hand_keeps_no_place_and_answers_how_to_go_on() -> None:
    """The payload to go on with is in the answer; the schedule's place is nobody else's."""
    world = World(ordered(300), page_seconds=60, left_seconds=ONE_PAGE_SECONDS)
    answer = world.sweep({"report_types": ["units"], "until": "2026-12-31"})
    assert world.kept is None
    assert answer["continue_with"]["continue_from"] == {"page": 2, "total_count": 300}
    world.left_seconds = 1_000
    again = world.sweep(answer["continue_with"])
    assert again["outcome"] == "finished"
    assert (again["since"], again["until"]) == (answer["since"], answer["until"])
    assert world.pages == [1, 2, 3]


def test_the_vendor_is_not_asked_while_the_fleet_keeps_away() -> None:
    """Another runtime was told to wait, before the sweep and in the middle of it."""
    world = World(ordered(300), closed_until=NOW.timestamp() + 20)

    def told(page: int) -> None:
        if page == 2:
            world.closed_until = world.now.timestamp() + 30

    world.before_page = told
    assert world.sweep()["outcome"] == "finished"
    assert world.pauses == [20, 30]
    assert world.pages == [1, 2, 3]


def test_a_wait_that_does_not_fit_ends_the_sweep_at_its_place() -> None:
    """Nobody pays for an hour of waiting, and nobody knocks: the next sweep goes on from there."""
    world = World(ordered(300))

    def told(page: int) -> None:
        if page == 2:
            world.closed_until = world.now.timestamp() + 3_600

    world.before_page = told
    answer = world.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "rate_limited")
    assert (world.pages, world.pauses) == ([1, 2], [])
    assert world.kept is not None
    assert world.kept.position.page == 3


def raising(*errors: Exception) -> Callable[[int], None]:
    """Return a hook that raises these, one a page read, and then lets all through."""
    left = list(errors)

    def raise_next(_page: int) -> None:
        if left:
            raise left.pop(0)

    return raise_next


def test_a_vendor_that_always_says_later_is_left_alone() -> None:
    """Each Retry-After is kept to, but not for ever."""
    world = World(ordered(10))
    world.before_page = raising(
        *(Deferral("rate_limited", "429", wait_seconds=2.0) for _ in range(100))
    )
    assert world.sweep()["reason"] == "rate_limited"
    assert world.pauses == [2.0] * 5
    assert world.asked["pages"] == 6


def test_a_stumble_is_tried_again_in_a_moment() -> None:
    """A 500 or a dead connection costs seconds and not an hour."""
    world = World(ordered(10))
    world.before_page = raising(Failure("vendor_error", "500"), Failure("network", "reset"))
    assert world.sweep()["outcome"] == "finished"
    assert world.pauses == [1.0, 2.0]


def test_a_vendor_that_is_down_is_asked_three_times() -> None:
    """Then the sweep ends where it is, with the reason."""
    world = World(ordered(10))
    world.before_page = raising(*(Failure("vendor_error", "500") for _ in range(9)))
    answer = world.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "vendor_error")
    assert world.asked["pages"] == 3


@pytest.mark.parametrize(
    "error",
    [
        Rejection("forbidden", "403"),
        Rejection("quota_exceeded", "429"),
        Rejection("no_such_job", "404 from the job list"),
        Deferral("credentials_rejected", "401"),
        Failure("vendor_error", "500"),
    ],
    ids=lambda error: error.reason,
)
def test_an_error_leaves_no_place(error: Interruption) -> None:
    """It may stay at that page, and the newest jobs, on the first, must not wait behind it."""
    world = World(ordered(300), page_seconds=60, left_seconds=ONE_PAGE_SECONDS)
    world.sweep()
    world.left_seconds = 300
    world.before_page = raising(error, error, error)
    answer = world.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", error.reason)
    assert ("continue_with" in answer) is not isinstance(error, Rejection)
    assert world.kept is None


def test_missing_credentials_end_the_sweep_with_their_reason() -> None:
    """People fill them in; the next sweep works."""
    world = World(ordered(10))
    world.before_page = raising(Deferral("credentials_missing", "no value"))
    answer = world.sweep()
    assert (answer["outcome"], answer["reason"]) == ("unfinished", "credentials_missing")


def test_a_queue_that_fails_half_way_loses_no_job() -> None:
    """The page is not counted as done; the next sweep queues the rest, and only the rest."""
    world = World(ordered(30))
    sends = 0

    def fail_second() -> None:
        nonlocal sends
        sends += 1
        if sends == 2:
            raise Failure("aws_error", "Sending messages: InternalError.")

    world.on_send = fail_second
    assert world.sweep()["reason"] == "aws_error"
    assert len(world.queued) == 10
    world.sweep()
    assert len(world.queued) == len(set(world.queued)) == 30


# --- what it tells ---


def test_the_oldest_unarchived_job_is_told_in_seconds() -> None:
    """Since its completion, over all that have no end here; nothing unarchived is 0."""
    archived, old, young = (listed(age=d * DAY, finished=d * HOUR) for d in (9, 5, 2))
    dead = listed(age=20 * DAY)
    world = World([young, old, archived, dead])
    world.know([archived], "archived")
    world.know([dead], "dead_lettered")
    world.sweep()
    assert world.metrics["OldestUnarchivedSeconds"] == 5 * 3600
    assert world.metrics["UnarchivedJobs"] == 2
    world.know([old, young], "archived")
    world.sweep()
    assert (world.metrics["OldestUnarchivedSeconds"], world.metrics["UnarchivedJobs"]) == (0, 0)


def test_jobs_are_told_by_status_and_failed_ones_by_name() -> None:
    """A status that the documents do not know is `other`."""
    failed = listed(status="failed")
    world = World([failed, listed(status="submitted"), listed(status="odd"), listed()])
    answer = world.sweep()
    assert world.metrics["VendorJobs"] == {
        "status": {"submitted": 1, "succeeded": 1, "failed": 1, "cancelled": 0, "other": 1}
    }
    assert World([]).sweep()["jobs"]["other"] == 0
    assert answer["failed_at_vendor"] == [failed.job_id]


def test_one_last_log_line_says_all_of_it() -> None:
    """It is the answer, field by field."""
    world = World(ordered(3))
    answer = world.sweep()
    assert world.lines[-1] == ("swept", answer)
    assert sum(line[0] == "swept" for line in world.lines) == 1


# --- by hand ---


def test_a_dry_run_lists_and_queues_nothing() -> None:
    """The first hundred by name, all of them by number, and no metric of a sweep."""
    world = World(ordered(250))
    answer = world.sweep({"dry_run": True})
    assert (answer["never_seen"], answer["queued"]) == (250, 0)
    assert [entry["job_id"] for entry in answer["would_queue"]] == [
        job.job_id for job in world.jobs[:100]
    ]
    assert answer["would_queue"][0]["why"] == "unknown"
    assert (world.queued, world.items, world.metrics) == ([], {}, {})


def test_a_backfill_means_its_window_and_types() -> None:
    """Jobs whose life touches the window; what is younger is passed by, what is older ends it."""
    january = listed(age=NOW - NOW.replace(month=1, day=15))
    wrong_type = listed(age=NOW - NOW.replace(month=1, day=16), report_type="property")
    young, old = listed(), listed(age=400 * DAY)
    world = World([young, wrong_type, january, old])
    world.sweep({"since": "2026-01-01", "until": "2026-01-31", "report_types": ["units"]})
    assert world.queued_ids() == [january.job_id]
    assert world.metrics == {"QueuedBySweep": 1}
