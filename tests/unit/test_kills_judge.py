"""The judge of `make kills` is not blind: each promise, broken in a good diary, is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.kills.diary import Attempt, Diary, End, Read, State, phase_of
from tests.kills.judge import Terms, broken_promises, overdue, returns
from tests.kills.plan import MIB, SIZE_BYTES, JobPlan, kill_anywhere

PART = 16 * MIB
TERMS = Terms(lease_seconds=6, margin_seconds=15, queue_visibility_seconds=5400, part_bytes=PART)
COMMITTED = State(claims=2, archived=True, versions=1, events=1)


def read_of(number: int, served: int = PART) -> Read:
    """Return a download of one part."""
    return Read((number - 1) * PART, number * PART - 1, served)


def attempt(began_at: float, before: State, reads: list[Read]) -> Attempt:
    """Return an attempt that answered after five seconds."""
    made = Attempt(
        message_id="m",
        receive_count=1,
        began_at=began_at,
        before=before,
        journal_from=0,
        aim=None,
        ended_at=began_at + 5,
        hidden_seconds=4.0,
        reads=reads,
    )
    made.over.set()
    return made


def good_diary() -> Diary:
    """Return a job that was killed once, with two of four parts finished, and archived then."""
    killed = attempt(100.0, State(), [read_of(1, 5 * MIB), read_of(2), read_of(3), read_of(4, 0)])
    killed.error_type, killed.stopped_at = "Runtime.ExitError", 104.9
    half = State(claims=1, finished=frozenset({2, 3}), uploads=1)
    resumed = attempt(112.0, half, [Read(0, 0, 1), Read(1, PART - 1, PART - 1), read_of(4)])
    return Diary(
        "job",
        JobPlan("seed", kill_anywhere),
        "digest",
        SIZE_BYTES,
        [killed, resumed],
        End(COMMITTED, "digest", SIZE_BYTES, frozenset({"v1"}), "v1", dead_letters=0),
        served_bytes=5 * MIB + 4 * PART,
    )


def test_a_job_treated_as_promised_has_nothing_against_it() -> None:
    """A part under way at the kill may be read again, and a probe goes on as the first part."""
    diary = good_diary()
    assert broken_promises(diary, TERMS) == []
    assert returns(diary, TERMS) == [pytest.approx(7.1)]


def test_a_signal_that_came_just_after_an_answer_is_the_next_attempts_death() -> None:
    """It met a process that we had killed: no death that nobody ordered."""
    diary = good_diary()
    diary.attempts[0].stopped_at, diary.attempts[0].met_a_dead_process = None, True
    assert broken_promises(diary, TERMS) == []


def ends(**changes: object) -> Callable[[Diary], None]:
    """Return a change of how a job ended."""

    def change(diary: Diary) -> None:
        assert diary.end is not None
        diary.end = replace(diary.end, **changes)  # type: ignore[arg-type]  # the tests' own keywords

    return change


def leaves(**changes: object) -> Callable[[Diary], None]:
    """Return a change of what was there at the end."""
    return ends(state=replace(COMMITTED, **changes))  # type: ignore[arg-type]  # as above


def read_a_finished_part(diary: Diary) -> None:
    """Let the resumed attempt read what S3 lists."""
    diary.attempts[1].reads.append(read_of(2))
    diary.served_bytes += PART


def read_a_part_twice(diary: Diary) -> None:
    """Let one attempt read one part two times."""
    diary.attempts[1].reads.append(read_of(4))
    diary.served_bytes += PART


def probe_twice(diary: Diary) -> None:
    """Let one attempt ask twice what the source is."""
    diary.attempts[1].reads.append(Read(0, 0, 1))
    diary.served_bytes += 1


def serve_more_than_was_read(diary: Diary) -> None:
    """Let the vendor have served bytes that no attempt accounts for."""
    diary.served_bytes += 7


def read_part_of_a_part(diary: Diary) -> None:
    """Let a part be finished of which not all bytes were read."""
    diary.attempts[1].reads[2] = read_of(4, PART - 1)
    diary.served_bytes -= 1


def come_back_late(diary: Diary) -> None:
    """Let the next receive be a second beyond what is promised."""
    diary.attempts[1].began_at = 104.9 + 6 + 15 + 1


def die_by_itself(diary: Diary) -> None:
    """Let a runtime die that nobody killed."""
    diary.attempts[0].stopped_at = None


def claim_without_holding(diary: Diary) -> None:
    """Let a run that claimed the job leave its message to the queue's visibility."""
    diary.attempts[0].hidden_seconds = 5395.0


def fail(diary: Diary) -> None:
    """Let the function give its message back."""
    diary.attempts[1].failed = True


BROKEN: list[tuple[Callable[[Diary], None], str]] = [
    (leaves(archived=False), "does not say archived"),
    (leaves(versions=2), "2 versions"),
    (leaves(versions=0), "0 versions"),
    (leaves(uploads=1), "left over"),
    (leaves(events=0), "no Export Archived"),
    (ends(sha256="another"), "is not the export"),
    (ends(event_versions=frozenset({"v1", "v2"})), "the events name"),
    (ends(dead_letters=1), "dead letter"),
    (read_a_finished_part, "finished before"),
    (read_a_part_twice, "twice"),
    (probe_twice, "2 times for the first byte"),
    (serve_more_than_was_read, "the source served"),
    (read_part_of_a_part, "for parts that were kept"),
    (come_back_late, "until a job went on"),
    (die_by_itself, "died by itself"),
    (claim_without_holding, "did not hold its message"),
    (fail, "given back as failed"),
]


@pytest.mark.parametrize(("spoil", "sentence"), BROKEN)
def test_each_broken_promise_is_named(spoil: Callable[[Diary], None], sentence: str) -> None:
    """One thing is spoilt, and the sentence says which."""
    diary = good_diary()
    spoil(diary)
    assert any(sentence in said for said in broken_promises(diary, TERMS))


def test_a_job_that_never_ends_and_one_that_waits_too_long_are_named() -> None:
    """While a job waits, a message that is gone is seen at once, and a late one in time."""
    diary = good_diary()
    diary.end = None
    assert broken_promises(diary, TERMS) == ["the job never came to an end"]
    del diary.attempts[1]
    assert overdue(diary, TERMS, 110.0, queued=True) == []
    assert "lost" in overdue(diary, TERMS, 110.0, queued=False)[0]
    assert "not back" in overdue(diary, TERMS, 126.0, queued=True)[0]


@pytest.mark.parametrize(
    ("after", "commit", "phase"),
    [
        (State(claims=0), None, "before the claim"),
        (State(claims=1), None, "copying, no part finished"),
        (State(claims=1, finished=frozenset({1})), None, "copying, some parts finished"),
        (State(claims=1, versions=1), 105.5, "during Complete"),
        (State(claims=1, versions=1), 104.0, "committed, no event yet"),
        (State(claims=1, versions=1, events=1), 104.0, "event out, no receipt yet"),
        (COMMITTED, 104.0, "after the receipt"),
    ],
)
def test_the_phase_of_a_death_is_told_by_what_was_left(
    after: State, commit: float | None, phase: str
) -> None:
    """Killed at 104.9; the commit was carried out before, after, or never."""
    killed = good_diary().attempts[0]
    if commit is not None:
        killed.commit_began_at, killed.commit_ended_at = commit - 0.3, commit
    assert phase_of(killed, after) == phase


def test_the_same_seed_plans_the_same_deaths_and_no_job_loses_all_receives() -> None:
    """A run can be asked for again; with 12 receives, five kills leave enough."""
    first, again = (JobPlan("seed/1", kill_anywhere) for _ in range(2))
    assert [first.next_aim(committed=False) for _ in range(9)] == [
        again.next_aim(committed=False) for _ in range(9)
    ]
    assert {JobPlan(f"seed/{n}", kill_anywhere).kills for n in range(200)} == {1, 2, 3, 4, 5}


def test_deaths_are_aimed_at_every_moment() -> None:
    """Beginning, copy, commit and what follows it are all hit; after a commit, what is left."""
    chance = random.Random(1)  # noqa: S311 - reproducible on purpose
    before = {kill_anywhere(chance, False).trigger for _ in range(200)}  # noqa: FBT003 - as JobPlan asks
    after = {kill_anywhere(chance, True).trigger for _ in range(200)}  # noqa: FBT003 - as above
    assert before == {"begun", "copying", "committing", "committed"}
    assert after == {"begun", "copying"}
