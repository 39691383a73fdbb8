"""The promises, held against one job's diary. Pure: no cloud, no clock.

Each sentence that comes back is a promise broken, with the figures that show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.kills.diary import Attempt, Diary, End, Read

__all__ = ["Terms", "broken_promises", "is_probe", "overdue", "returns", "turned_away"]

_PROBES = 1  # a resumed copy asks for one byte, to learn whether the source is still the same


@dataclass(frozen=True, slots=True)
class Terms:
    """What a round promises.

    `queue_visibility_seconds` is what a message keeps of a run that died before its first beat.
    """

    lease_seconds: float
    margin_seconds: float
    queue_visibility_seconds: float
    part_bytes: int

    @property
    def longest_return_seconds(self) -> float:
        """How soon a killed job's message is received again."""
        return self.lease_seconds + self.margin_seconds


def broken_promises(diary: Diary, terms: Terms) -> list[str]:
    """Return every promise that was broken to a job that is over."""
    if diary.end is None:
        return ["the job never came to an end"]
    return [
        *_archived_once(diary, diary.end),
        *_deaths(diary, terms),
        *_no_part_twice(diary, terms),
        *_bytes_add_up(diary, terms),
    ]


def overdue(diary: Diary, terms: Terms, now: float, *, queued: bool) -> list[str]:
    """Return what is broken already while the job waits: its message is gone, or late."""
    last = diary.attempts[-1] if diary.attempts else None
    if last is None or not last.over.is_set() or not last.died:
        return []
    if not queued:
        return ["the message of a run that died was deleted: its job is lost"]
    held = last.was_held(terms.queue_visibility_seconds)
    # One that was not held is brought back by us, as soon as the emulator has told the death.
    waited = now - ((last.killed_at if held else last.ended_at) or now)
    if waited <= terms.longest_return_seconds:
        return []
    return [f"{waited:.1f} s after its runtime died the job is not back ({_promised(terms)})"]


def returns(diary: Diary, terms: Terms) -> list[float]:
    """Return the seconds from each death to the next receive that could go on with the job.

    Runs that died before they held their message are left out: see Terms.
    """
    waits = []
    for index, attempt in enumerate(diary.attempts):
        if attempt.killed_at is None or not attempt.was_held(terms.queue_visibility_seconds):
            continue
        for later in range(index + 1, len(diary.attempts)):
            if not turned_away(diary, later):
                waits.append(diary.attempts[later].began_at - attempt.killed_at)
                break
    return waits


def turned_away(diary: Diary, index: int) -> bool:
    """Tell whether an attempt found the claim of the dead still standing, and came back later."""
    attempt = diary.attempts[index]
    claimed = diary.after(index).claims > attempt.before.claims
    return not (attempt.died or attempt.failed or claimed or attempt.before.archived)


def is_probe(read: Read) -> bool:
    """Tell whether a download asked for the first byte alone."""
    return (read.start, read.end) == (0, 0)


def _archived_once(diary: Diary, end: End) -> Iterator[str]:
    state = end.state
    if not state.archived:
        yield "the job's item does not say archived"
    if state.versions != 1:
        yield f"the key has {state.versions} versions instead of one"
    if (end.sha256, end.size_bytes) != (diary.sha256, diary.size_bytes):
        yield f"the object ({end.size_bytes} bytes, SHA-256 {end.sha256}) is not the export"
    if state.uploads:
        yield f"{state.uploads} upload(s) were left over"
    if state.events < 1:
        yield "no Export Archived was emitted"
    if end.event_versions != {end.version_id}:
        yield f"the events name {sorted(end.event_versions)}, the object is {end.version_id}"
    if end.dead_letters:
        yield f"{end.dead_letters} dead letter(s), though it was not killed on each receive"


def _deaths(diary: Diary, terms: Terms) -> Iterator[str]:
    for index, attempt in enumerate(diary.attempts):
        if attempt.failed:
            yield f"attempt {index + 1} was given back as failed by the function itself"
        if not attempt.died:
            continue
        if attempt.killed_at is None:
            yield f"attempt {index + 1} died by itself: {attempt.error_type}"
        claimed = diary.after(index).claims > attempt.before.claims
        if claimed and not attempt.was_held(terms.queue_visibility_seconds):
            yield f"attempt {index + 1} claimed the job and did not hold its message"
    for seconds in returns(diary, terms):
        if seconds > terms.longest_return_seconds:
            yield f"{seconds:.1f} s until a job went on after a death ({_promised(terms)})"


def _no_part_twice(diary: Diary, terms: Terms) -> Iterator[str]:
    finished: set[int] = set()
    for index, attempt in enumerate(diary.attempts):
        finished |= attempt.before.finished
        if attempt.before.versions:
            finished |= set(range(1, -(-diary.size_bytes // terms.part_bytes) + 1))
        yield from _reads_of(attempt, f"attempt {index + 1}", finished, terms)


def _reads_of(attempt: Attempt, name: str, finished: set[int], terms: Terms) -> Iterator[str]:
    seen: set[int] = set()
    for read in attempt.reads:
        if is_probe(read):
            continue
        parts = set(range(read.start // terms.part_bytes + 1, read.end // terms.part_bytes + 2))
        if again := parts & finished:
            yield f"{name} read {read.served} bytes of part(s) {sorted(again)}, finished before"
        if again := parts & seen:
            yield f"{name} read part(s) {sorted(again)} twice"
        seen |= parts
    probes = sum(map(is_probe, attempt.reads))
    if probes > _PROBES:
        yield f"{name} asked {probes} times for the first byte"


def _bytes_add_up(diary: Diary, terms: Terms) -> Iterator[str]:
    """Each byte served is a part's, once; or a probe's; or was lost under way to a death."""
    served = useful = unexplained = 0
    for index, attempt in enumerate(diary.attempts):
        after = diary.after(index)
        for read in attempt.reads:
            served += read.served
            if after.versions or read.start // terms.part_bytes + 1 in after.finished:
                useful += 0 if _is_only_a_probe(read, attempt) else read.served
            elif not (attempt.died or is_probe(read)):
                unexplained += read.served
    if served != diary.served_bytes:
        yield f"all attempts read {served} bytes; the source served {diary.served_bytes}"
    if useful != diary.size_bytes:
        yield f"{useful} bytes were read for parts that were kept, of {diary.size_bytes}"
    if unexplained:
        yield f"{unexplained} bytes were read and thrown away without a death"


def _is_only_a_probe(read: Read, attempt: Attempt) -> bool:
    """Tell whether the first byte was asked for alone: else the first part goes on from it."""
    return is_probe(read) and all(other.start != 1 for other in attempt.reads)


def _promised(terms: Terms) -> str:
    return f"promised: a lease of {terms.lease_seconds:g} s, and {terms.margin_seconds:g} s for us"
