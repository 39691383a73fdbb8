"""What a test tells the stand-in to do wrong, and what the stand-in tells of what it was asked.

Scripted answers and disturbances are used up in the order in which they were given. The journal
keeps no secret: query values and credentials are left out when an entry is written.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

    from local.apartmentiq.messages import Answer, Request

__all__ = ["Journal", "JournalEntry", "LinkFault", "Route", "Script"]

_Outcome = TypeVar("_Outcome")
Route = Literal["token", "job", "jobs", "order", "results", "link", "control", "unknown"]


@dataclass(frozen=True, slots=True)
class LinkFault:
    """How one download goes wrong; the link itself was good.

    Byte counts are of the body, from the start of the answer. `truncate_after_bytes` ends the
    connection in an orderly way, `reset_after_bytes` with a TCP reset. `stall_until` holds the rest
    back, after `stall_after_bytes`, until the event is set or the stand-in stops. `etag` is told
    instead of the true one, whatever If-Match says. `bytes_per_second` paces the body. `headers`
    are told beside the others, or instead of them. `flip_byte_at` spoils one byte of the answer.
    `interim` is sent before the answer's head.
    """

    truncate_after_bytes: int | None = None
    reset_after_bytes: int | None = None
    stall_until: threading.Event | None = None
    stall_after_bytes: int = 0
    bytes_per_second: float | None = None
    etag: str | None = None
    content_range: str | None = None
    ignore_range: bool = False
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    flip_byte_at: int | None = None
    interim: bytes = b""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One request and how it was answered; `bytes_served` counts the body alone.

    `path` ends with the names of the query's parameters, without their values. `headers` has
    lower-case names and no credentials: `authorized` says whether there was an Authorization.
    `requests_before` counts what its connection had carried before: 0 is a fresh one.
    """

    route: Route
    method: str
    path: str
    headers: dict[str, str]
    authorized: bool
    job_id: str | None
    status: int
    bytes_served: int = 0
    requests_before: int = 0


@dataclass(slots=True)
class _Planned(Generic[_Outcome]):
    """Something to be done for the next so many requests; None means for all of them."""

    outcome: _Outcome
    times: int | None
    job_id: str | None


class Script:
    """Plans for the next requests of each route, taken by whichever request comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Route, list[_Planned[Answer]]] = {}
        self._faults: list[_Planned[LinkFault]] = []

    def plan_answer(
        self, route: Route, answer: Answer, times: int | None, job_id: str | None
    ) -> None:
        """Answer the route's next requests so. Raises ValueError for a route that is none."""
        if route not in get_args(Route):
            raise ValueError(f"no route is called {route}: {', '.join(get_args(Route))}")
        with self._lock:
            self._answers.setdefault(route, []).append(_Planned(answer, times, job_id))

    def plan_fault(self, fault: LinkFault, times: int | None, job_id: str | None) -> None:
        """Disturb the next downloads so."""
        with self._lock:
            self._faults.append(_Planned(fault, times, job_id))

    def take_answer(self, route: Route, job_id: str | None) -> Answer | None:
        """Return the planned answer for this request, using it up, or None."""
        with self._lock:
            return _take(self._answers.get(route, []), job_id)

    def take_fault(self, job_id: str) -> LinkFault | None:
        """Return the planned disturbance of this download, using it up, or None."""
        with self._lock:
            return _take(self._faults, job_id)

    def clear(self) -> None:
        """Forget every plan."""
        with self._lock:
            self._answers.clear()
            self._faults.clear()


class Journal:
    """Every request in the order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, JournalEntry] = {}
        self._numbers = itertools.count()

    def open(self, route: Route, request: Request, job_id: str | None, status: int) -> int:
        """Write an entry down before its answer is sent and return its number."""
        entry = JournalEntry(
            route=route,
            method=request.method,
            path=_without_query_values(request),
            headers=_without_credentials(request.headers),
            authorized="Authorization" in request.headers,
            job_id=job_id,
            status=status,
            requests_before=request.requests_before,
        )
        with self._lock:
            number = next(self._numbers)
            self._entries[number] = entry
            return number

    def count_bytes(self, number: int, count: int) -> None:
        """Add bytes to an entry; called as they are handed to the socket."""
        with self._lock:
            if entry := self._entries.get(number):
                served = entry.bytes_served + count
                self._entries[number] = dataclasses.replace(entry, bytes_served=served)

    def entries(self) -> list[JournalEntry]:
        """Return a copy of all entries so far."""
        with self._lock:
            return list(self._entries.values())

    def clear(self) -> None:
        """Start afresh; requests under way are forgotten too."""
        with self._lock:
            self._entries.clear()


def _take(plans: list[_Planned[_Outcome]], job_id: str | None) -> _Outcome | None:
    for plan in plans:
        if plan.job_id not in (None, job_id):
            continue
        if plan.times is not None:
            plan.times -= 1
            if plan.times <= 0:
                plans.remove(plan)
        return plan.outcome
    return None


def _without_query_values(request: Request) -> str:
    names = "&".join(request.query())
    return f"{request.raw_path}?{names}" if names else request.raw_path


def _without_credentials(headers: Message) -> dict[str, str]:
    return {
        name.lower(): value for name, value in headers.items() if name.lower() != "authorization"
    }
