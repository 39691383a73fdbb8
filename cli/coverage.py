"""`archiver coverage`: each order's windows, what has become of each, and how old the gap is.

    archived     an export of each of its chunks is archived
    on_its_way   asked for, or about to be asked for again
    failed       given up: its jobs failed at the vendor, and a person must say: again
    missing      complete at the vendor, and nobody has asked for it yet
    not_due      not complete yet

Of a window with several chunks the worst of theirs counts: failed, missing, on_its_way, archived.
It names archived windows that overlap, too, for of these rows are read twice (docs/athena.md).
It changes nothing. `gather` is pure; events/schemas/coverage.schema.json describes what it returns.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from archiver.intent import read_order_id
from archiver.orders.demand import missing
from archiver.orders.windows import label_of, number_of, read_label, window_dates
from cli.failure import NO, USAGE, Failure
from cli.order_book import open_book, orders_anything
from cli.overlaps import Windows
from cli.report.coverage import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from archiver.orders.ledger import Ledger
    from archiver.orders.plan import Order, Plan
    from cli.order_book import Book

__all__ = ["STATES", "calendar", "coverage_of", "describe", "gather"]
__all__ += ["read_coverage", "show_coverage"]

_WORST_FIRST = ("failed", "missing", "on_its_way", "archived")
_SIGNS = {"archived": "=", "on_its_way": ">", "failed": "x", "missing": "!", "not_due": "."}
_STYLES = {"archived": "green", "on_its_way": "cyan", "failed": "bold red", "missing": "bold red"}
_WORDS = {"on_its_way": "on its way", "not_due": "not due yet"}
_MOST_FULL_ROWS = 3  # of a calendar that are told one by one
_A_LINE = 2  # windows of two dates each, in 80 columns
_MOST_TOLD = 10
_HOUR_SECONDS, _DAY_SECONDS = 3_600, 86_400


def show_coverage(
    stack: str, *, order: str | None, quick: bool, as_json: bool, now: datetime
) -> int:
    """Print the windows of one order or of all; 0 if each that is complete is archived, else 1.

    `quick` leaves out what only the jobs' own items tell. Raises Failure, or what boto3 raises.
    """
    found = read_coverage(open_book(stack), order=order, quick=quick, now=now)
    if as_json:
        print(json.dumps(found))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in describe(found):
            console.print(line)
    return NO if found["missing_windows"] else 0


def coverage_of(stack: str, now: datetime) -> dict[str, Any] | None:
    """Return what is printed as JSON; None where the stack orders nothing."""
    if not orders_anything(stack):
        return None
    book = open_book(stack)
    return read_coverage(book, order=None, quick=False, now=now) if book.head().plan else None


def read_coverage(book: Book, *, order: str | None, quick: bool, now: datetime) -> dict[str, Any]:
    """Return what is printed as JSON; raises Failure, or what boto3 raises."""
    head, plan = book.plan_in_force()
    orders = tuple(each for each in plan.orders if order in {None, each.name})
    if not orders:
        known = ", ".join(each.name for each in plan.orders)
        raise Failure(f"there is no order {order}: give one of {known}", USAGE)
    asked = replace(plan, orders=orders)
    jobs = () if quick else book.archived_jobs()
    return {
        "schema_version": "1",
        "stack": book.stack,
        "as_of": now.isoformat(),
        "plan_version": head.plan,
        **gather(asked, book.ledgers(asked), jobs, now),
    }


# --- what there is ---


def gather(
    plan: Plan, ledgers: Mapping[str, Ledger], jobs: Iterable[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Return the coverage of a plan as JSON values; `jobs`: the archived ones, as items of them."""
    archived = Windows(ends_before=any(each.end_date == "exclusive" for each in plan.orders))
    known = _Jobs(plan, archived.noting(jobs))
    lacks = missing(plan, ledgers, now)
    return {
        "missing_windows": lacks.windows,
        "oldest_missing_seconds": lacks.oldest_seconds if lacks.windows else None,
        "orders": [_order(plan, order, ledgers, known, now) for order in plan.orders],
        "overlaps": archived.overlapping(),
    }


def _order(
    plan: Plan, order: Order, ledgers: Mapping[str, Ledger], known: _Jobs, now: datetime
) -> dict[str, Any]:
    lacks = missing(replace(plan, orders=(order,)), ledgers, now)
    mine = [ledgers[chunk.id] for chunk in order.chunks]
    last = order.last(now)
    today = number_of(order.every, now.date())
    windows = [
        _window(order, number, mine, known.of(order.name, number), is_due=number <= last)
        for number in range(order.first, max(last, today) + 1)
    ]
    counts = Counter(window["state"] for window in windows)
    return {
        "name": order.name,
        "report_type": order.report_type,
        "output_format": order.output_format,
        "every": order.every,
        "properties": len(order.properties),
        "chunks": len(order.chunks),
        "stopped": sorted({ledger.stopped for ledger in mine if ledger.stopped}),
        "missing_windows": lacks.windows,
        "oldest_missing_seconds": lacks.oldest_seconds if lacks.windows else None,
        "counts": {state: counts[state] for state in STATES},
        "windows": windows,
        "by_hand": known.by_hand(order, max(last, today)),
    }


def _window(
    order: Order,
    number: int,
    ledgers: Sequence[Ledger],
    archived: Sequence[dict[str, Any]],
    *,
    is_due: bool,
) -> dict[str, Any]:
    first, last = window_dates(order.every, number)
    states = {_state(ledger, number) for ledger in ledgers}
    jobs = list(archived)
    for ledger in ledgers:
        entry = ledger.open.get(number)
        if entry is not None and entry.job_id is not None:
            intent = read_order_id(entry.order_id)
            cycle = intent.cycle if intent else None
            jobs.append({"job_id": entry.job_id, "cycle": cycle, "state": "on_its_way"})
    return {
        "window": label_of(order.every, number),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "state": next(each for each in _WORST_FIRST if each in states) if is_due else "not_due",
        "jobs": jobs,
    }


def _state(ledger: Ledger, number: int) -> str:
    if number in ledger.archived:
        return "archived"
    if number in ledger.failed:
        return "failed"
    return "on_its_way" if number in ledger.open else "missing"


@dataclass(frozen=True, slots=True)
class _ByHand:
    """An archived job that no order asked for."""

    job_id: str
    first: date
    last: date
    property_set: str | None


class _Jobs:
    """The archived jobs that concern a plan: by window, and those of nobody's order by kind."""

    def __init__(self, plan: Plan, jobs: Iterable[Mapping[str, Any]]) -> None:
        kinds = {(order.report_type, order.output_format) for order in plan.orders}
        every = {order.name: order.every for order in plan.orders}
        self._of: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._by_hand: dict[tuple[str, str], list[_ByHand]] = {}
        for job in jobs:
            name, label = job.get("order_name"), read_label(str(job.get("window")))
            if name is not None:
                if label is not None and every.get(name) == label[0]:
                    told = {"job_id": job["job_id"], "cycle": job.get("cycle"), "state": "archived"}
                    self._of.setdefault((name, label[1]), []).append(told)
                continue
            kind = (str(job.get("report_type")), str(job.get("output_format")))
            if kind in kinds:
                try:
                    first = date.fromisoformat(str(job.get("start_date")))
                    last = date.fromisoformat(str(job.get("end_date")))
                except ValueError:
                    continue  # the vendor did not tell
                self._by_hand.setdefault(kind, []).append(
                    _ByHand(job["job_id"], first, last, job.get("property_set"))
                )

    def of(self, order_name: str, number: int) -> list[dict[str, Any]]:
        """Return the jobs of a window, the newest cycle last."""
        return sorted(self._of.get((order_name, number), []), key=lambda job: str(job["cycle"]))

    def by_hand(self, order: Order, last: int) -> list[dict[str, Any]]:
        """Return the jobs whose dates overlap the windows of an order; nobody ordered them for it.

        Those with the properties of a chunk hold its rows; of others nobody here can tell whether
        they share some.
        """
        chunks = {chunk.fingerprint for chunk in order.chunks}
        begins = window_dates(order.every, order.first)[0]
        ends = window_dates(order.every, last)[1] if last >= order.first else begins
        found = [
            {
                "job_id": job.job_id,
                "from": job.first.isoformat(),
                "to": job.last.isoformat(),
                "windows": number_of(order.every, min(job.last, ends))
                - number_of(order.every, max(job.first, begins))
                + 1,
                "has_properties_of_a_chunk": None
                if job.property_set is None
                else job.property_set in chunks,
            }
            for job in self._by_hand.get((order.report_type, order.output_format), [])
            if begins <= job.last and job.first <= ends and job.first <= job.last
        ]
        return sorted(found, key=lambda job: (str(job["from"]), str(job["job_id"])))


# --- for people ---


def describe(found: Mapping[str, Any]) -> Iterator[Text]:
    """Yield a calendar of each order, and what is missing of all."""
    for order in found["orders"]:
        yield from _describe_order(order)
        yield Text("")
    yield from _describe_overlaps(found["overlaps"])
    legend = Text("  ".join(f"{_SIGNS[state]} {_WORDS.get(state, state)}" for state in STATES))
    yield legend
    number = found["missing_windows"]
    if not number:
        yield Text("every window that is complete is archived", style="green")
        return
    age = found["oldest_missing_seconds"]
    verb = "window is" if number == 1 else "windows are"
    late = f"; the oldest is {_age(age)} late" if age else "; none is late"
    yield Text(f"{number} {verb} not archived{late}", style="bold red" if age else "cyan")


def _describe_order(order: Mapping[str, Any]) -> Iterator[Text]:
    counts = ", ".join(
        f"{number} {_WORDS.get(state, state)}"
        for state, number in order["counts"].items()
        if number
    )
    yield Text(f"{order['name']}: {order['report_type']} as {order['output_format']}: {counts}")
    yield from calendar(order["every"], order["windows"])
    for sentence in order["stopped"]:
        yield Text(f"  stopped: {sentence}", style="bold red")
    failed = [window["window"] for window in order["windows"] if window["state"] == "failed"]
    if failed:
        told = ", ".join(failed[:_MOST_TOLD]) + (", …" if len(failed) > _MOST_TOLD else "")
        yield Text(f"  given up: {told}: archiver orders resume --order {order['name']}")
    by_hand = order["by_hand"]
    if by_hand:
        yield Text(f"  by hand, of the same dates and kind, and whose properties: {len(by_hand)}")
    for job in by_hand[:_MOST_TOLD]:
        words = {
            True: "a chunk's",
            False: "others'",
            None: "unknown",
        }
        has = words[job["has_properties_of_a_chunk"]]
        yield Text(f"    {job['job_id']}  {job['from']} to {job['to']}  {has}")


def _describe_overlaps(overlaps: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    if not overlaps:
        return
    yield Text("archived windows that overlap, so that days of theirs are read twice:")
    for each in overlaps[:_MOST_TOLD]:
        kind = f"{each['report_type']} as {each['output_format']}, properties"
        yield Text(f"  {kind} {each['property_set']}:")
        told = [f"{it['from']} to {it['to']}" for it in each["windows"][:_MOST_TOLD]]
        told += ["…"] if len(each["windows"]) > _MOST_TOLD else []
        for first in range(0, len(told), _A_LINE):
            yield Text(f"    {', '.join(told[first : first + _A_LINE])}")
    if len(overlaps) > _MOST_TOLD:
        yield Text(f"  and {len(overlaps) - _MOST_TOLD} more: --json")
    yield Text("")


def calendar(every: str, windows: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """Yield a calendar: days in rows of a month, weeks and months in rows of a year.

    Rows in which all is archived are told in one line where there are several.
    """
    rows = [(name, list(row)) for name, row in groupby(windows, lambda it: _row_of(every, it))]
    for is_full, group in groupby(rows, lambda row: _is_full(row[1])):
        some = list(group)
        if is_full and len(some) > _MOST_FULL_ROWS:
            number = sum(len(row) for _, row in some)
            yield Text.assemble(
                f"  {some[0][0]} to {some[-1][0]}  ",
                (f"all {number} archived", _STYLES["archived"]),
            )
            continue
        for name, row in some:
            line = Text(f"  {name:<7} " + " " * _column_of(row[0]))
            for window in row:
                state = window["state"]
                line.append(_SIGNS[state], style=_STYLES.get(state, ""))
            yield line


def _row_of(every: str, window: Mapping[str, Any]) -> str:
    label = str(window["window"])
    return label[:7] if every == "day" else label[:4]


def _is_full(row: Sequence[Mapping[str, Any]]) -> bool:
    return all(window["state"] == "archived" for window in row)


def _column_of(window: Mapping[str, Any]) -> int:
    """Return how many places of a row come before a window's: 2026-11-26, 2026-W48, 2026-11."""
    return int(str(window["window"])[-2:]) - 1


def _age(seconds: float) -> str:
    if seconds < 2 * _HOUR_SECONDS:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * _DAY_SECONDS:
        return f"{seconds / _HOUR_SECONDS:.0f} hours"
    return f"{seconds / _DAY_SECONDS:.0f} days"
