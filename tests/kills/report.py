"""Says for people what a run was like, and tells the story of a job that was let down."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence

from tests.kills.diary import PHASES, Attempt, Diary, phase_of
from tests.kills.judge import Terms, is_probe, returns, turned_away
from tests.kills.plan import MIB

__all__ = ["say", "story", "summary"]

_LOG_LINES = 200
_METRICS = '{"_aws"'


def say(text: str) -> None:
    """Tell people, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def summary(diaries: Sequence[Diary], terms: Terms) -> str:
    """Return the counts of jobs that are over."""
    phases, hows = _deaths(diaries)
    attempts = sum(len(diary.attempts) for diary in diaries)
    unheld = sum(
        a.died and not a.was_held(terms.queue_visibility_seconds)
        for d in diaries
        for a in d.attempts
    )
    waited = [seconds for diary in diaries for seconds in returns(diary, terms)]
    ways = ", ".join(f"{count} by {how}" for how, count in hows.items())
    lines = [
        f"jobs {len(diaries)}, receives {attempts}, deaths {sum(hows.values())} ({ways})",
        *(f"  {phase:<32}{phases[phase]:>5}" for phase in PHASES),
        _bytes(diaries),
        f"events emitted: {sum(d.end.state.events for d in diaries if d.end)}",
        _times(waited, terms),
    ]
    if away := sum(turned_away(d, index) for d in diaries for index in range(len(d.attempts))):
        lines.append(f"receives that met a dead run's claim and waited some seconds more: {away}")
    if unheld:
        lines.append(
            f"died before their first beat: {unheld}; their messages were left to the queue's own "
            f"visibility ({terms.queue_visibility_seconds:g} s), which was skipped here"
        )
    return "\n".join(lines)


def story(diary: Diary, terms: Terms) -> str:
    """Return all that is known of one job: its attempts, and what its runtimes logged."""
    lines = [f"job {diary.job_id}, plan {diary.plan.seed} ({diary.plan.kills} kills)"]
    for index, attempt in enumerate(diary.attempts):
        lines.append(_line(index, attempt, diary, terms))
    lines.append(f"  end: {diary.end}")
    for index, attempt in enumerate(diary.attempts):
        lines.append(f"--- log of attempt {index + 1} ---")
        said = [line for line in attempt.log.splitlines() if not line.startswith(_METRICS)]
        lines += said[-_LOG_LINES:]
    return "\n".join(lines)


def _deaths(diaries: Sequence[Diary]) -> tuple[Counter[str], Counter[str]]:
    phases: Counter[str] = Counter()
    hows: Counter[str] = Counter()
    for diary in diaries:
        for index, attempt in enumerate(diary.attempts):
            if attempt.died:
                phases[phase_of(attempt, diary.after(index))] += 1
                hows["time-out" if attempt.timed_out else "SIGKILL"] += 1
    return phases, hows


def _bytes(diaries: Sequence[Diary]) -> str:
    served = sum(diary.served_bytes for diary in diaries)
    archived = sum(diary.size_bytes for diary in diaries)
    probes = sum(is_probe(r) for d in diaries for a in d.attempts for r in a.reads)
    return (
        f"bytes read from the source per byte archived: {served / max(1, archived):.3f} "
        f"({served} of {archived}; {probes} probes of one byte; no finished part again)"
    )


def _times(waited: Sequence[float], terms: Terms) -> str:
    if not waited:
        return "no time from a death until the job went on was measured"
    ordered = sorted(waited)
    return (
        f"seconds from a death until the job went on, with a lease of {terms.lease_seconds:g}: "
        f"median {statistics.median(ordered):.1f}, 95 % {ordered[int(0.95 * len(ordered))]:.1f}, "
        f"longest {ordered[-1]:.1f} (promised: {terms.longest_return_seconds:g})"
    )


def _line(index: int, attempt: Attempt, diary: Diary, terms: Terms) -> str:
    reads = ", ".join(
        "probe"
        if is_probe(read)
        else f"part {read.start // terms.part_bytes + 1}: {read.served / MIB:.1f} MiB"
        for read in attempt.reads
    )
    how = attempt.error_type or ("given back" if attempt.failed else "answered")
    followed = diary.end is not None or index + 1 < len(diary.attempts)
    where = phase_of(attempt, diary.after(index)) if followed else "where is not known yet"
    phase = f", {where}" if attempt.died else ""
    lasted = (attempt.ended_at or attempt.began_at) - attempt.began_at
    hidden = "gone" if attempt.hidden_seconds is None else f"hidden {attempt.hidden_seconds:.1f} s"
    return (
        f"  attempt {index + 1} (receive {attempt.receive_count}, began {attempt.began_at:.1f}): "
        f"{attempt.before}; aim {attempt.aim}; {how}{phase} after {lasted:.1f} s; "
        f"message {hidden}; read {reads or 'nothing'}"
    )
