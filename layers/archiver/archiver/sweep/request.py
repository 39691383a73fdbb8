"""A sweep's payload: the schedule's, or a person's. Pure.

A payload is validated as a whole, and all its errors are reported at once: a backfill that silently
ignored a misspelt field would look as if it had worked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from archiver.apartmentiq.listing import MOST_PER_PAGE, ListedJob, Position
from archiver.moment import read_moment
from archiver.receipt import iso_utc

__all__ = ["REPORT_TYPES", "RequestRefused", "SweepRequest", "Window", "read_sweep_request"]

REPORT_TYPES = ("floorplans", "property", "units")  # as the vendor documents them (job.py)
_FIELDS = ("since", "until", "report_types", "dry_run", "continue_from")
_SCHEDULERS = frozenset({"aws.events", "aws.scheduler"})
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MAX_PAGE = 1_000_000  # 100 million jobs; a larger number is a slip
_MAX_SHOWN_CHARACTERS = 40
_ONE_DAY = timedelta(days=1)
_FIRST_PAGE = Position()


class RequestRefused(ValueError):  # noqa: N818 - an outcome, read as a sentence
    """The payload cannot be worked with; the text says everything that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The jobs that a sweep means: those whose life, from creation to last change, touches it.

    `since` belongs to it, `until` does not; None is open.
    """

    since: datetime
    until: datetime | None = None

    def holds(self, job: ListedJob) -> bool:
        """Tell whether a job is meant."""
        begun = job.created_at or job.updated_at
        too_young = begun is not None and self.until is not None and begun >= self.until
        return not self.is_after(job) and not too_young

    def is_after(self, job: ListedJob) -> bool:
        """Tell whether the window begins after a job's last change.

        By the later of its dates, whichever of them the list is sorted by: a page on which this is
        true of all ends the list's part that matters.
        """
        dates = [moment for moment in (job.created_at, job.updated_at) if moment is not None]
        return bool(dates) and max(dates) < self.since


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """One sweep's errand. `report_types` None means all; `scheduled` sweeps keep their place."""

    window: Window
    report_types: frozenset[str] | None = None
    dry_run: bool = False
    start: Position = _FIRST_PAGE
    scheduled: bool = False

    def means(self, job: ListedJob) -> bool:
        """Tell whether a job is one that this sweep is about."""
        return self.window.holds(job) and (
            self.report_types is None or job.job.report_type in self.report_types
        )

    def reaching_back_to(self, since: datetime) -> SweepRequest:
        """Return the same errand with another beginning of its window."""
        return replace(self, window=replace(self.window, since=since))

    def payload_from(self, position: Position) -> dict[str, Any]:
        """Return the payload that goes on from a position."""
        payload: dict[str, Any] = {"since": iso_utc(self.window.since)}
        if self.window.until is not None:
            payload["until"] = iso_utc(self.window.until)
        if self.report_types is not None:
            payload["report_types"] = sorted(self.report_types)
        if self.dry_run:
            payload["dry_run"] = True
        payload["continue_from"] = {"page": position.page, "total_count": position.total_count}
        if position.per_page != MOST_PER_PAGE:
            payload["continue_from"]["per_page"] = position.per_page
        return payload


def read_sweep_request(event: object, *, now: datetime, look_back: timedelta) -> SweepRequest:
    """Return what an event asks for: EventBridge's scheduled event, or a person's payload.

    Without `since` the look-back decides. Raises RequestRefused.
    """
    window = Window(now - look_back)
    if not isinstance(event, Mapping):
        raise RequestRefused(
            f'The payload must be a JSON object such as {{"since": "2026-01-01"}}; '
            f"found {_shown(event)}."
        )
    if _is_scheduled(event):
        return SweepRequest(window, scheduled=True)
    problems = list(_problems(event, window.since, now))
    if problems:
        raise RequestRefused("The payload was refused: " + " ".join(problems))
    since = read_moment(event.get("since"))
    report_types = event.get("report_types")
    return SweepRequest(
        window=Window(window.since if since is None else since, _end(event.get("until"))),
        report_types=None if report_types is None else frozenset(report_types),
        dry_run=event.get("dry_run") is True,
        start=_position(event.get("continue_from")),
    )


def _is_scheduled(event: Mapping[str, Any]) -> bool:
    kind, source = event.get("detail-type"), event.get("source")
    return kind == "Scheduled Event" and isinstance(source, str) and source in _SCHEDULERS


def _problems(event: Mapping[str, Any], default_since: datetime, now: datetime) -> Iterator[str]:
    """Say what is wrong, one sentence each."""
    unknown = sorted(_shown(name) for name in event if name not in _FIELDS)
    if unknown:
        yield f"It has no field {', '.join(unknown[:5])}; it takes {', '.join(_FIELDS)}."
    for name in ("since", "until"):
        if event.get(name) is not None and read_moment(event[name]) is None:
            yield (
                f"`{name}` must be a date such as 2026-01-31 or a moment such as "
                f"2026-01-31T12:00:00Z; found {_shown(event[name])}."
            )
    since = read_moment(event.get("since")) or default_since
    yield from _wrong_order(since, _end(event.get("until")), now)
    yield from _wrong_types(event.get("report_types"))
    if not isinstance(event.get("dry_run", False), bool):
        yield f"`dry_run` must be true or false; found {_shown(event['dry_run'])}."
    if not _is_position(event.get("continue_from")):
        yield (
            "`continue_from` must be what an unfinished sweep answered, such as "
            f'{{"page": 7, "total_count": 1234}}; found {_shown(event["continue_from"])}.'
        )


def _wrong_order(since: datetime, until: datetime | None, now: datetime) -> Iterator[str]:
    if since > now:
        yield f"`since` lies in the future ({iso_utc(since)})."
    if until is not None and until <= since:
        yield f"`until` ({iso_utc(until)}) must be later than `since` ({iso_utc(since)})."


def _wrong_types(report_types: object) -> Iterator[str]:
    if report_types is None:
        return
    known = ", ".join(REPORT_TYPES)
    if not isinstance(report_types, list) or not report_types:
        yield f"`report_types` must be a list of {known}; found {_shown(report_types)}."
        return
    for name in report_types[:5]:
        if not isinstance(name, str) or name not in REPORT_TYPES:
            yield f"There is no report type {_shown(name)}; there are {known}."


def _end(value: object) -> datetime | None:
    """Return the end of the window: a bare date takes its whole day in."""
    moment = read_moment(value)
    if moment is not None and isinstance(value, str) and _is_date(value.strip()):
        return None if moment.date() == date.max else moment + _ONE_DAY
    return moment


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None


def _is_position(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping) or value.keys() - {"page", "total_count", "per_page"}:
        return False
    page, total = value.get("page"), value.get("total_count")
    return (
        _is_whole(page, 1, _MAX_PAGE)
        and (total is None or _is_whole(total, 0, 10**12))
        and _is_whole(value.get("per_page", MOST_PER_PAGE), 1, MOST_PER_PAGE)
    )


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _position(value: Mapping[str, Any] | None) -> Position:
    if value is None:
        return Position()
    per_page = value.get("per_page", MOST_PER_PAGE)
    return Position(value["page"], value.get("total_count"), per_page)


def _shown(value: object) -> str:
    """Name a value for people: short, on one line, and nothing of an object's content."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "an empty list" if not value else "a list"
    text = "".join(c if c.isprintable() else "?" for c in str(value)[:_MAX_SHOWN_CHARACTERS])
    return repr(text) if isinstance(value, str) else {"None": "null"}.get(text, text.lower())
