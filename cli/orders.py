"""`archiver orders`: check a plan, see what it would do, put it in force, look, pause, resume.

The plan is orders.yaml, kept where the company keeps its code; what is in force lies in the
stack's table. Nothing is ordered here: the stack's function order_exports does that, once a plan is
in force.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from archiver.orders.demand import wanted
from archiver.orders.ledger import Ledger
from archiver.orders.plan import PlanRefused, read_plan
from archiver.orders.windows import label_of
from cli.failure import NO, USAGE, Failure
from cli.order_book import open_book
from cli.order_costs import compare, count_costs, per_day_text
from cli.orders_file import read_orders_file, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from archiver.orders.head import Head
    from archiver.orders.plan import Order, Plan
    from cli.order_book import Book, Version
    from cli.order_costs import Costs, Difference

__all__ = ["apply", "check", "pause", "plan", "resume", "show"]


def check(
    path: Path, *, all_dates: bool, as_json: bool, tell: Callable[[str], None], now: datetime
) -> int:
    """Judge a file without asking anybody; tell the dates that would be sent; raises Failure."""
    applied = _read(path).applied_to(None, now)
    if as_json:
        tell(json.dumps({**_as_json(applied, now), "orders": _dates_json(applied, now)}, indent=2))
        return 0
    for order in applied.orders:
        for line in _describe_order(order, now, all_dates=all_dates):
            tell(line)
    limits = applied.limits
    tell(
        f"for good: {per_day_text(applied.jobs_a_day)} of the {limits.jobs_per_day} jobs a day; "
        f"{limits.open_jobs} open at once"
    )
    return 0


def plan(
    stack: str, path: Path, *, as_json: bool, tell: Callable[[str], None], now: datetime
) -> int:
    """Say what a file would order if it were applied now, and change nothing; raises Failure."""
    proposal = _propose(open_book(stack), _read(path), now)
    if as_json:
        tell(json.dumps(proposal.to_json(now), indent=2))
        return 0
    for line in proposal.describe():
        tell(line)
    return 0


def apply(
    stack: str,
    path: Path,
    *,
    yes: bool,
    tell: Callable[[str], None],
    ask: Callable[[str], str] | None,
    now: datetime,
) -> int:
    """Put a file's plan in force once it is agreed to; 1 if it is not; raises Failure.

    Applied again, the same file changes nothing.
    """
    book, written = open_book(stack), _read(path)
    proposal = _propose(book, written, now)
    if proposal.is_in_force:
        tell(f"Version {proposal.head.plan}, in force, is this plan: nothing to change.")
    else:
        for line in proposal.describe():
            tell(line)
        if not (yes or _agreed(proposal, ask)):
            tell("nothing was changed")
            return NO
        version = book.put_in_force(proposal.head, written.document)
        tell(f"Version {version} is in force.")
    if proposal.head.is_paused:
        tell(f"Ordering is paused: archiver orders resume --stack {stack}")
    elif not proposal.is_in_force:
        tell(f"What is there, and what is missing: archiver coverage --stack {stack}")
    return 0


def show(
    stack: str,
    *,
    version: int | None,
    as_yaml: bool,
    as_json: bool,
    tell: Callable[[str], None],
    now: datetime,
) -> int:
    """Print the plan in force, or one before it, and what holds for all orders; raises Failure."""
    book = open_book(stack)
    head, in_force = book.plan_in_force()
    versions = list(book.versions(head))
    number = version or head.plan
    shown = in_force if number == head.plan else _earlier(book, versions, number)
    if as_yaml:
        for line in _as_yaml(shown):
            tell(line)
        return 0
    if as_json:
        document = {
            **_head_json(head, now),
            "versions": [
                {"version": each.head.plan, "written_at": each.written_at} for each in versions
            ],
            "shown": number,
            **_plan_document(shown),
        }
        tell(json.dumps(document, indent=2))
        return 0
    if number == head.plan:
        for line in (
            *_describe_head(head, in_force, now),
            *_describe_state(in_force, book.ledgers(in_force)),
        ):
            tell(line)
    written = {each.head.plan: each.written_at for each in versions}
    tell(f"version {number}, applied {written.get(number, 'at an unknown time')}:")
    for line in _as_yaml(shown):
        tell(f"  {line}")
    for other in versions:
        if other.head.plan != number:
            tell(f"version {other.head.plan}, applied {other.written_at}")
    return 0


def _earlier(book: Book, versions: Sequence[Version], number: int) -> Plan:
    found = next((each for each in versions if each.head.plan == number), None)
    plan = book.plan_of(found.head) if found else None
    if plan is None:
        known = ", ".join(str(each.head.plan) for each in versions)
        raise Failure(f"there is no version {number}: give one of {known}", USAGE)
    return plan


def pause(stack: str, *, tell: Callable[[str], None]) -> int:
    """Order nothing more until `resume`; raises Failure."""
    book = open_book(stack)
    book.plan_in_force()
    book.pause()
    tell("Ordering is paused. What is on its way is archived as ever.")
    tell(f"On again: archiver orders resume --stack {stack}")
    return 0


def resume(stack: str, order: str | None, *, tell: Callable[[str], None]) -> int:
    """Order again, what was stopped or given up among it; of one order that alone.

    Raises Failure.
    """
    book = open_book(stack)
    head, in_force = book.plan_in_force()
    orders = [each for each in in_force.orders if order in {None, each.name}]
    if not orders:
        known = ", ".join(each.name for each in in_force.orders)
        raise Failure(f"there is no order {order}: give one of {known}", USAGE)
    again = book.resume(order)
    if again:
        tell(f"{again} {'chunk' if again == 1 else 'chunks'} stopped or given up: tried again.")
    if order is None:
        tell("Ordering goes on with its next run.")
    elif head.is_paused:
        tell(f"Ordering as a whole is paused: archiver orders resume --stack {stack}")
    elif not again:
        tell(f"Nothing of {order} was stopped or given up.")
    return 0


# --- a file ---


@dataclass(frozen=True, slots=True)
class _Written:
    """A plan as it stands in a file; `document`: as JSON values, the properties listed."""

    document: Any
    plan: Plan
    refuse: Callable[[PlanRefused], Failure]

    def applied_to(self, before: Plan | None, now: datetime) -> Plan:
        """Return it with its chunks; raises Failure where its demand is above the limit."""
        try:
            return self.plan.applied(before, now)
        except PlanRefused as told:
            raise self.refuse(told) from told


def _read(path: Path) -> _Written:
    """Read a file; raises Failure with everything that is wrong with it."""
    read = read_orders_file(path)
    try:
        plan = read_plan(read.document)
    except PlanRefused as told:
        raise refused(read, [*read.problems, *told.problems]) from told
    if read.problems:
        raise refused(read, read.problems)
    return _Written(read.document, plan, lambda told: refused(read, told.problems))


def _dates_json(plan: Plan, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "name": order.name,
            "properties": len(order.properties),
            "chunks": len(order.chunks),
            "windows": [
                {
                    "window": label_of(order.every, number),
                    "start_date": order.dates(number)[0],
                    "end_date": order.dates(number)[1],
                    "complete_at": order.ready.at(order.every, number).isoformat(),
                }
                for number in range(order.first, max(order.last(now) + 1, order.first) + 1)
            ],
        }
        for order in plan.orders
    ]


def _describe_order(order: Order, now: datetime, *, all_dates: bool) -> Iterator[str]:
    """Yield what an order asks for, and with which dates."""
    jobs = len(order.chunks)
    yield (
        f"{order.name}: {order.report_type} as {order.output_format}, "
        f"{len(order.properties)} properties in {jobs} {'job' if jobs == 1 else 'jobs'} "
        f"every {order.every}"
    )

    def line(what: str, number: int, more: str = "") -> str:
        start, end = order.dates(number)
        label = label_of(order.every, number)
        return f"  {what:<8} {label:<10}  start_date {start}  end_date {end}{more}"

    last = order.last(now)
    if all_dates:
        for number in range(last, order.first - 1, -1):
            yield line("", number)
    elif last >= order.first:
        yield line("first", last, "  alone, until it is archived")
        if last > order.first:
            yield line("back to", order.first, f"  {last - order.first + 1} windows in all")
    following = max(last + 1, order.first)
    complete_at = order.ready.at(order.every, following).astimezone(UTC)
    yield line("next", following, f"  from {complete_at:%Y-%m-%d %H:%M} UTC on")
    if order.restate:
        yield f"  the last {order.restate} complete windows are ordered again with each new one"


# --- what it would do ---


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A plan in place of another."""

    head: Head
    before: Plan | None
    after: Plan
    costs: Costs
    difference: Difference
    first: tuple[str, ...]

    @property
    def is_in_force(self) -> bool:
        """Tell whether nothing would change."""
        return self.before is not None and self.before.to_fields() == self.after.to_fields()

    def describe(self) -> Iterator[str]:
        """Yield it for people."""
        if self.is_in_force:
            yield f"this is version {self.head.plan}, in force: nothing would change"
        for sign, lines in (("+", self.difference.added), ("~", self.difference.changed)):
            yield from (f"{sign} {line}" for line in lines)
        if self.difference.taken:
            yield "taken away (what is archived stays; nothing is cancelled):"
            yield from (f"- {line}" for line in self.difference.taken)
        yield from _costs_table(self.costs)
        yield from self.first

    def to_json(self, now: datetime) -> dict[str, Any]:
        """Return it for programs."""
        costs = self.costs
        return {
            "version_in_force": self.head.plan,
            "changes": not self.is_in_force,
            "added": self.difference.added,
            "changed": self.difference.changed,
            "taken_away": self.difference.taken,
            **_as_json(self.after, now),
            "jobs": costs.jobs,
            "days": costs.days,
            "ordered_by": costs.done_at.isoformat(),
            "orders": [
                {
                    "name": each.name,
                    "due": each.due,
                    "restated": each.again,
                    "history": each.history,
                    "jobs_a_day": round(float(each.a_day), 4),
                }
                for each in costs.orders
            ],
        }


def _propose(book: Book, written: _Written, now: datetime) -> _Proposal:
    head = book.head()
    before = book.plan_of(head)
    after = written.applied_to(before, now)
    known = book.ledgers(before, after)
    ledgers = {chunk.id: known.get(chunk.id, Ledger(chunk.id)) for _, chunk in after.chunks()}
    return _Proposal(
        head,
        before,
        after,
        count_costs(after, ledgers, now),
        compare(before, after, known),
        tuple(_first_lines(after, ledgers, now)),
    )


def _first_lines(plan: Plan, ledgers: Mapping[str, Ledger], now: datetime) -> Iterator[str]:
    """Yield what goes out alone, because nothing of its order was ever archived."""
    proven = {order.name for order, chunk in plan.chunks() if ledgers[chunk.id].is_proven}
    for each in wanted(plan, ledgers, now):
        if each.order.name not in proven:
            start, end = each.order.dates(each.window)
            label = label_of(each.order.every, each.window)
            yield (
                f"{each.order.name} begins with {label} alone (start_date {start}, "
                f"end_date {end}): look at its export"
            )


def _costs_table(costs: Costs) -> Iterator[str]:
    width = max(5, *(len(each.name) for each in costs.orders))
    yield f"{'jobs':<{width}} {'due':>8} {'again':>8} {'history':>8}  for good"
    for each in costs.orders:
        yield (
            f"{each.name:<{width}} {each.due:>8} {each.again:>8} {each.history:>8}  "
            f"{per_day_text(each.a_day)}"
        )
    if not costs.jobs:
        yield "nothing is to be ordered now"
        return
    yield (
        f"{_jobs_and_days(costs)}: all are ordered by about {costs.done_at:%Y-%m-%d}, if a job "
        f"takes at most {costs.minutes_a_job:.0f} minutes"
    )


def _jobs_and_days(costs: Costs) -> str:
    jobs = f"{costs.jobs} {'job' if costs.jobs == 1 else 'jobs'}"
    return f"{jobs} in {costs.days} {'day' if costs.days == 1 else 'days'}"


def _agreed(proposal: _Proposal, ask: Callable[[str], str] | None) -> bool:
    costs = proposal.costs
    if ask is None:
        raise Failure("nobody can be asked here: agree with --yes", USAGE)
    what = f"Order {_jobs_and_days(costs)}" if costs.jobs else "Put this plan in force"
    then = f", then {per_day_text(costs.a_day)}" if costs.a_day else ""
    return ask(f"{what}{then}? [y/N]: ").strip().lower() in {"y", "yes"}


# --- what is in force ---


def _describe_head(head: Head, plan: Plan, now: datetime) -> Iterator[str]:
    yield f"ordering  {'paused' if head.is_paused else 'on'}"
    yield (
        f"today     {head.posted_on(now)} of {plan.limits.jobs_per_day} jobs ordered "
        f"(UTC {now.astimezone(UTC):%Y-%m-%d})"
    )
    if head.held_until > now.timestamp():
        yield "          a run is at work"
    if head.closed_reason:
        until = datetime.fromtimestamp(head.closed_until, UTC)
        yield f"vendor    takes no orders ({head.closed_reason}): {head.closed_detail}"
        yield f"          asked again from {until:%Y-%m-%d %H:%M} UTC on, by itself"


def _describe_state(plan: Plan, ledgers: Mapping[str, Ledger]) -> Iterator[str]:
    """Yield what of each order waits for a person."""
    for order in plan.orders:
        for chunk in order.chunks:
            ledger = ledgers[chunk.id]
            if ledger.stopped:
                yield f"stopped   {order.name}: {ledger.stopped}"
            if ledger.failed:
                labels = ", ".join(
                    label_of(order.every, number) for number in sorted(ledger.failed)
                )
                yield f"given up  {order.name}: {labels}"


def _head_json(head: Head, now: datetime) -> dict[str, Any]:
    closed = {
        "until": datetime.fromtimestamp(head.closed_until, UTC).isoformat(),
        "reason": head.closed_reason,
        "detail": head.closed_detail,
    }
    return {
        "version": head.plan,
        "paused": head.is_paused,
        "ordered_today": head.posted_on(now),
        "vendor_takes_no_orders": closed if head.closed_reason else None,
    }


def _as_json(plan: Plan, now: datetime) -> dict[str, Any]:
    return {
        "as_of": now.isoformat(),
        "jobs_a_day": round(float(plan.jobs_a_day), 4),
        "jobs_per_day": plan.limits.jobs_per_day,
    }


def _plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as orders.yaml has it; the properties are listed."""
    limits = plan.limits
    return {
        "orders": [
            {
                "name": order.name,
                "report_type": order.report_type,
                "output_format": order.output_format,
                "properties": list(order.properties),
                "every": order.every,
                "from": order.begins.isoformat(),
                "ready": {
                    "time": order.ready.time,
                    "zone": order.ready.zone,
                    "days_after": order.ready.days_after,
                },
                "restate": order.restate,
            }
            for order in plan.orders
        ],
        "limits": {
            "open_jobs": limits.open_jobs,
            "jobs_per_day": limits.jobs_per_day,
            "tries": limits.tries,
            "properties_per_job": limits.properties_per_job,
            "order_again_after": f"{round(limits.again_after.total_seconds() / 60)}m",
        },
        "end_date": plan.orders[0].end_date if plan.orders else "inclusive",
    }


def _as_yaml(plan: Plan) -> Iterator[str]:
    """Yield the lines of an orders.yaml that says what a plan says; JSON's values are YAML's."""
    document = _plan_document(plan)
    yield "orders:"
    for order in document["orders"]:
        for at, (name, value) in enumerate(order.items()):
            yield f"  {'-' if at == 0 else ' '} {name}: {json.dumps(value)}"
    yield f"limits: {json.dumps(document['limits'])}"
    yield f"end_date: {document['end_date']}"
