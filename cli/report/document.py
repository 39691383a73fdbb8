"""The one JSON document that the page shows, made of what was read. Pure.

Its form is docs/report.schema.json. It carries no link, no message's body and no secret: of a job's
item only the fields that are named here, of a dead letter its attributes.

Short where it is long: a text that comes again and again stands once, in `words`, and a moment is
milliseconds since 1970, so that 10,000 jobs fit into the page's 4 MB.
"""

from __future__ import annotations

import heapq
import json
import re
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.report.coverage import compact, count_states
from cli.report.remedies import REMEDIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.letters import Letter
    from cli.report.found import Found, Step

__all__ = ["COLUMNS", "JOBS_OF_AN_OUTAGE", "MOST_JOBS", "as_json", "build"]

MOST_JOBS = 10_000  # that the page lists; what is older is counted
_TOLD_STORIES = 1_000  # of the newest; and of all that are not archived
_MOST_BYTES = 3_800_000  # of the document; with the page's own 100 KB it stays below 4 MB
_MOST_DETAIL = 300  # characters of a sentence
_MOST_LISTED = 50  # of what waits, and of a kind of dead letter
_DAYS = 400  # that the chart shows, the last ones
JOBS_OF_AN_OUTAGE = 3  # archiver/outage.py; a test holds the two together

COLUMNS = (
    *("job_id", "state", "report_type", "output_format", "start_date", "end_date"),
    *("size_bytes", "checksum_crc64nvme", "verified_by", "copy_method", "key"),
    *("changed_at", "completed_at", "story"),
)
_ON_ITS_WAY = ("queued", "waiting", "failing", "copying", "missing")
_HELD_BY_A_MESSAGE = ("failing", "copying")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_DATE = datetime.fromtimestamp(0, UTC)


def as_json(document: Any) -> str:  # noqa: ANN401 - any part of it
    """Return JSON that can stand inside a <script> of HTML: no `<`, no `>`, no `&`.

    U+2028 and U+2029 end a line for older JavaScript ("JSON superset", ECMAScript 2019).
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is no UTF-8


def build(found: Found, now: datetime, coverage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the document; `coverage` as coverage.parse returns it, None where there is none."""
    jobs = _Jobs(found.steps, {job_id: letter.reason for job_id, letter in found.letters})
    for page in found.jobs:
        for item in page:
            jobs.add(item)
    head = {
        "schema_version": "1",
        "stack": found.stack,
        "region": found.region,
        "bucket": found.bucket,
        "generated_at": _iso(now),
        "answer": _answer(found, jobs, coverage),
        "counts": dict(sorted(jobs.counts.items())),
        "archived_bytes": jobs.archived_bytes,
        "needs_you": list(_needs_you(found, jobs, coverage)),
        "on_its_way": _on_its_way(found, jobs, now),
        "queue": {
            "ready": found.queue.visible,
            "in_hand": found.queue.in_flight,
            "delayed": found.queue.delayed,
        },
        "alarms_set": found.alarms_set,
        "notes": found.notes,
        "days": list(jobs.days(now.date())),
    }
    if coverage is not None:
        head["coverage"] = compact(coverage)
    room = _MOST_BYTES - len(as_json(head).encode())
    return {**head, "jobs": jobs.listed(room)}


# --- the jobs ---


@dataclass
class _Jobs:
    """All jobs as they pass by: what is counted of all, and what is kept of the newest."""

    steps: Mapping[str, list[Step]]
    letters: Mapping[str, str]  # the reason of each job's dead letter
    lettered: set[str] = field(default_factory=set)  # jobs with an item and a letter
    died: set[str] = field(default_factory=set)  # of those: none comes by itself, as its item says
    counts: Counter[str] = field(default_factory=Counter)
    archived_bytes: int = 0
    open: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    set_aside: dict[str, dict[str, Any]] = field(default_factory=dict)
    _archived: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    _per_day: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _latencies: defaultdict[str, array[float]] = field(
        default_factory=lambda: defaultdict(lambda: array("d"))
    )

    def add(self, item: Mapping[str, Any]) -> None:
        """Take one job's item."""
        job = {**item, "job_id": str(item.get("job_id") or str(item["id"]).removeprefix("job#"))}
        state = job["state"] = str(item.get("state") or "unknown")
        self.counts[state] += 1
        if job["job_id"] in self.letters:
            self.lettered.add(job["job_id"])
            # Killed on every receive: nobody could write down that it was set aside.
            if state in _HELD_BY_A_MESSAGE and not self.letters[job["job_id"]]:
                self.died.add(job["job_id"])
        kept = (self._changed_at(job), job["job_id"], job)
        if state != "archived":
            _keep_newest(self.open, kept)
            if state == "dead_lettered":
                self.set_aside[job["job_id"]] = job
            return
        _keep_newest(self._archived, kept)
        self.archived_bytes += int(job.get("size_bytes") or 0)
        day = kept[0][:10]
        self._per_day[day].update(exports=1, bytes=int(job.get("size_bytes") or 0))
        seconds = _seconds_between(job.get("completed_at"), job.get("archived_at"))
        if seconds is not None:
            self._latencies[day].append(max(0.0, seconds))  # two clocks are compared

    @staticmethod
    def _changed_at(job: Mapping[str, Any]) -> str:
        names = ("archived_at", "updated_at") if job["state"] == "archived" else ("updated_at",)
        told = next((moment for name in names if (moment := _moment(job.get(name)))), _NO_DATE)
        return _iso(told)

    def days(self, today: date) -> Iterator[list[Any]]:
        """Yield [day, exports, bytes, median seconds, 95th percentile] for each day, in UTC.

        Days without an export are told, too; the seconds from completion to archive are None where
        no export of the day tells them.
        """
        if not self._per_day:
            return
        first = date.fromisoformat(min(self._per_day))
        last = max(today, date.fromisoformat(max(self._per_day)))
        first = max(first, last - timedelta(days=_DAYS - 1))
        for number in range((last - first).days + 1):
            day = (first + timedelta(days=number)).isoformat()
            told, took = self._per_day.get(day, Counter()), sorted(self._latencies.get(day, ()))
            within = [
                round(took[int((len(took) - 1) * share)], 1) if took else None
                for share in (0.5, 0.95)
            ]
            yield [day, told["exports"], told["bytes"], *within]

    def listed(self, room: int) -> dict[str, Any]:
        """Return what the page lists, within `room` bytes: first what is not archived."""
        words, rows = _Words(), []
        for place, (_, _, job) in enumerate(
            [*sorted(self.open, reverse=True), *sorted(self._archived, reverse=True)]
        ):
            number = place - len(self.open)
            row = self._row(job, words, tells=number < _TOLD_STORIES)
            room -= len(as_json(row).encode()) + 1 + words.grown_bytes()
            if place >= MOST_JOBS or room < 0:
                break
            rows.append(row)
        return {
            "columns": list(COLUMNS),
            "words": words.all,
            "rows": rows,
            "left_out": self.counts.total() - len(rows),
        }

    def _row(self, job: Mapping[str, Any], words: _Words, *, tells: bool) -> list[Any]:
        archived = job["state"] == "archived"
        row: list[Any] = [
            job["job_id"],
            *(words.place(job.get(name)) for name in COLUMNS[1:6]),
            int(job["size_bytes"]) if archived and "size_bytes" in job else None,
            job.get("checksum_crc64nvme") if archived else None,
            words.place(job.get("verified_by") if archived else None),
            words.place(job.get("copy_method") if archived else None),
            _split_key(job, words),
            _milliseconds(self._changed_at(job)),
            _milliseconds(job.get("completed_at")),
        ]
        if tells:
            row.append(_story(job, self.steps.get(job["job_id"], []), words))
        return row


@dataclass
class _Words:
    """Texts that stand once; a row has their place."""

    all: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _grown: int = 0

    def place(self, value: object) -> int | None:
        """Return a text's place; None for none."""
        if value is None:
            return None
        text = str(value)
        if text not in self._places:
            self._places[text] = len(self.all)
            self.all.append(text)
            self._grown += len(as_json(text).encode()) + 1
        return self._places[text]

    def grown_bytes(self) -> int:
        """Return what was added since it was last asked."""
        grown, self._grown = self._grown, 0
        return grown


def _keep_newest(heap: list[tuple[str, str, dict[str, Any]]], kept: Any) -> None:  # noqa: ANN401 - one of it
    if len(heap) < MOST_JOBS:
        heapq.heappush(heap, kept)
    elif kept[:2] > heap[0][:2]:
        heapq.heapreplace(heap, kept)


def _split_key(job: Mapping[str, Any], words: _Words) -> list[int | None] | None:
    """Return a key as what stands before and behind the job's id; [whole, None] without it."""
    key = job.get("key")
    if key is None:
        return None
    before, found, behind = str(key).partition(job["job_id"])
    return [words.place(before), words.place(behind) if found else None]


def _story(job: Mapping[str, Any], steps: list[Step], words: _Words) -> dict[str, Any]:
    """Return what is known of how a job came here; what is not known is left out."""
    archived_at, took = _moment(job.get("archived_at")), job.get("duration_seconds")
    archived = job["state"] == "archived"
    claimed = archived_at - timedelta(seconds=took) if archived_at and took is not None else None
    told = {
        "attempts": job.get("attempts"),
        "first_seen_at": _milliseconds(job.get("first_seen_at") or job.get("known_since")),
        "claimed_at": _milliseconds(claimed) if archived else None,
        "archived_at": _milliseconds(archived_at) if archived else None,
        "told_at": _milliseconds(job.get("emitted_at")) if archived else None,
        "version_id": job.get("version_id") if archived else None,
    }
    if not archived:
        told |= {
            "reason": words.place(job.get("reason")),
            "detail": words.place(_short(job.get("detail"))),
            "next_try_at": _milliseconds(job.get("next_try_at")),
            "failing_since": _milliseconds(job.get("failing_since")),
            "held_until": _milliseconds(job.get("held_until")),
        }
    elif steps:
        told["steps"] = [
            [
                words.place(step.name),
                round(step.start * 1000),
                round((step.end - step.start) * 1000),
            ]
            for step in steps
        ]
    return {name: value for name, value in told.items() if value is not None}


# --- the answer, and who must do something ---


def _answer(found: Found, jobs: _Jobs, coverage: Mapping[str, Any] | None) -> dict[str, Any]:
    archived = jobs.counts["archived"]
    way = sum(jobs.counts[state] for state in (*_ON_ITS_WAY, "unknown")) - len(jobs.died)
    # A letter that names no job of the table counts as one: somebody sent it to have it archived.
    # One of a job that was archived meanwhile, or that another message brings, counts for nothing.
    strangers = sum(job_id not in jobs.lettered for job_id, _ in found.letters)
    # Those that nobody saw may be of jobs that are set aside and have no other letter.
    unseen = found.letters_total - len(found.letters) - len(jobs.set_aside.keys() - jobs.lettered)
    needs = jobs.counts["dead_lettered"] + len(jobs.died) + strangers + max(0, unseen)
    counts = {} if coverage is None else count_states(coverage)
    missing = counts.get("missing", 0) + counts.get("failed", 0)
    known = archived + way + needs
    answer = None if not (known or missing) else not (way or needs or missing)
    return {
        "is_everything_archived": answer,
        "tone": "nothing"
        if answer is None
        else "yes"
        if answer
        else "no"
        if needs or missing
        else "way",
        "sentence": _sentence(archived, way, needs, missing, len(found.alarms or [])),
        "archived": archived,
        "known": known,
        "needs_you": needs,
        "on_its_way": way,
        "ended_at_vendor": jobs.counts["ended_at_vendor"],
        "missing_windows": missing,
    }


def _sentence(archived: int, way: int, needs: int, missing: int, alarms: int) -> str:
    """Answer "is everything archived?" with the number that counts."""
    known = archived + way + needs
    among = f"{way + needs:,} of {_many(known, 'export')} {_is(way + needs)}"
    their = "comes by itself" if way == 1 else "come by themselves"
    windows = f"{_many(missing, 'window')} of the orders {_is(missing)} missing"
    if needs and way:
        told = f"No: {among} not archived: {needs:,} need{_s(needs)} you, {way:,} {their}"
    elif needs:
        told = f"No: {among} not archived and need{_s(needs)} you"
    elif way and missing:
        told = f"No: {among} still on {'its' if way == 1 else 'their'} way"
    elif way:
        told = f"Not yet: {among} still on {'its' if way == 1 else 'their'} way, and {their}"
    elif missing:
        return f"No: {windows}. What was ordered is archived, {_many(archived, 'export')}."
    elif archived:
        whole = "the one export" if archived == 1 else f"all {archived:,} exports"
        rings = f", but {_many(alarms, 'alarm')} ring{_s(alarms)}" if alarms else ""
        return f"Yes: {whole} that this stack has heard of {_is(archived)} archived{rings}."
    else:
        return "Nothing is archived yet, and this stack has heard of no export."
    return f"{told}; {windows}." if missing else f"{told}."


def _needs_you(
    found: Found, jobs: _Jobs, coverage: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    for alarm in found.alarms or []:
        yield _need(
            "alarm",
            f"{alarm.name} rings",
            alarm.description,
            "",
            since=alarm.since,
        )
    yield from _outage(found)
    yield from _letters(found, jobs)
    if coverage is not None:
        yield from _windows(coverage)


def _windows(coverage: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    counts, age = count_states(coverage), coverage["oldest_missing_seconds"]
    if missing := counts["missing"]:
        yield _need(
            "missing_windows",
            f"{_many(missing, 'window')} {_is(missing)} due and missing",
            f"The oldest has been missing for {_lasting(age)}." if age else "",
            "The calendar below shows which. A plan that is paused orders nothing; else the log of "
            "order_exports says why.",
            count=missing,
        )
    if failed := counts["failed"]:
        yield _need(
            "failed_windows",
            f"{_many(failed, 'window')} failed at the vendor",
            "",
            "Event and log of order_exports have the vendor's sentence: mend the order.",
            count=failed,
        )


def _outage(found: Found) -> Iterator[dict[str, Any]]:
    failing = {n: float(at) for n, at in found.fleet.items() if n.startswith("failing#")}
    if len(failing) < JOBS_OF_AN_OUTAGE:
        return
    what = {"network": "The network", "aws_error": "AWS, or what the stack needs of it,"}
    reason = str(found.fleet.get("failed_by", "vendor_error"))
    yield _need(
        "outage",
        f"{what.get(reason, 'The vendor')} is out of order",
        f"{len(failing)} jobs have failed ({reason}) and none was archived since. One at a time "
        "tries; the first that is archived lets all in.",
        "Once the cause is mended, nothing needs to be done: all are archived within 20 minutes.",
        since=_iso(datetime.fromtimestamp(min(failing.values()), UTC)),
    )


def _letters(found: Found, jobs: _Jobs) -> Iterator[dict[str, Any]]:
    by_reason: defaultdict[str, list[tuple[str, Letter]]] = defaultdict(list)
    for job_id, letter in found.letters:
        by_reason[letter.reason].append((job_id, letter))
    for reason, letters in sorted(by_reason.items(), key=lambda one: (-len(one[1]), one[0])):
        happened, remedy = REMEDIES.get(reason, ("", "Look it up in docs/operations.md."))
        told = [
            {"job_id": _id(job_id), "detail": _short(letter.detail) or "", "at": letter.rejected_at}
            for job_id, letter in letters[:_MOST_LISTED]
        ]
        title = f"{_many(len(letters), 'dead letter')}: {reason or 'no reason given'}"
        yield _need("dead_letters", title, happened, remedy, count=len(letters), jobs=told)
    if unseen := found.letters_total - len(found.letters):
        title = (
            f"{_many(unseen, 'dead letter')} more"
            if found.letters
            else _many(unseen, "dead letter")
        )
        yield _need("dead_letters", title, "SQS has not shown what is in them.", "", count=unseen)
    if found.letters_total:
        yield _need(
            "redrive",
            "When it is mended: send the dead letters back",
            "This sends all of them. One that was archived meanwhile is answered from its receipt; "
            "one whose cause is not mended comes back.",
            "",
            command=found.redrive_command,
        )
    # With some unseen, a job's letter may be among those.
    gone = sorted(jobs.set_aside.keys() - {job_id for job_id, _ in found.letters})
    if gone and not unseen:
        aside = [jobs.set_aside[job_id] for job_id in gone[:_MOST_LISTED]]
        yield _need(
            "set_aside",
            f"{_many(len(gone), 'job')} set aside without a letter",
            "Somebody deleted the dead letter, or it has just been sent back.",
            "Send the job once more if it is wanted after all.",
            count=len(gone),
            jobs=[
                {
                    "job_id": job["job_id"],
                    "detail": f"{job.get('reason', '')}: {_short(job.get('detail')) or ''}",
                    "at": str(job.get("updated_at", "")),
                }
                for job in aside
            ],
        )


def _need(kind: str, title: str, detail: str, remedy: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - its fields
    return {"kind": kind, "title": title, "detail": detail, "remedy": remedy, **more}


def _on_its_way(found: Found, jobs: _Jobs, now: datetime) -> dict[str, Any]:
    """Return what comes by itself, the next first; `closed_until` holds for all of them."""
    closed = float(found.fleet.get("until", 0))
    coming = [
        job
        for _, _, job in jobs.open
        if job["state"] in _ON_ITS_WAY and job["job_id"] not in jobs.died
    ]
    coming.sort(key=lambda job: (str(job.get("next_try_at") or ""), job["job_id"]))
    return {
        "count": sum(jobs.counts[state] for state in _ON_ITS_WAY) - len(jobs.died),
        "closed_until": _iso(datetime.fromtimestamp(closed, UTC))
        if closed > now.timestamp()
        else None,
        "jobs": [
            {
                "job_id": job["job_id"],
                "state": job["state"],
                "reason": str(job.get("reason") or ""),
                "detail": _short(job.get("detail")) or "",
                "next_try_at": job.get("next_try_at"),
                "since": job.get("updated_at"),
            }
            for job in coming[:_MOST_LISTED]
        ],
    }


# --- words and moments ---


def _id(told: str) -> str:
    """Return a job's id; empty for what is none: it would stand in a command to copy."""
    return told if _UUID.fullmatch(told) else ""


def _short(text: object) -> str | None:
    if text is None:
        return None
    told = str(text)
    return told if len(told) <= _MOST_DETAIL else f"{told[: _MOST_DETAIL - 1]}…"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _s(number: int) -> str:
    """Return the third person's ending."""
    return "s" if number == 1 else ""


def _lasting(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return _many(round(seconds / size), unit)
    return _many(round(seconds), "second")


def _moment(told: object) -> datetime | None:
    """Return a moment that an item tells, whichever version wrote it; None for none."""
    if isinstance(told, datetime):
        return told
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _milliseconds(told: object) -> int | None:
    moment = _moment(told)
    return None if moment is None else round(moment.timestamp() * 1000)


def _seconds_between(first: object, last: object) -> float | None:
    begun, ended = _moment(first), _moment(last)
    return None if begun is None or ended is None else (ended - begun).total_seconds()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
