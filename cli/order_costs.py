"""What a plan would order, what that costs in jobs and days, and what it takes away. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from archiver.orders.demand import wants
from archiver.orders.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from archiver.orders.plan import Order, Plan

__all__ = ["Costs", "Difference", "OrderCosts", "compare", "count_costs", "per_day_text"]

_MOST_IDS_TOLD = 5
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class OrderCosts:
    """The jobs of one order: what is due, what is ordered again, history, and on average a day."""

    name: str
    due: int
    again: int
    history: int
    a_day: Fraction

    @property
    def jobs(self) -> int:
        """How many jobs it takes now."""
        return self.due + self.again + self.history


@dataclass(frozen=True, slots=True)
class Costs:
    """The jobs of a plan; `done_at`: when they are ordered at the limits."""

    orders: tuple[OrderCosts, ...]
    jobs: int
    days: int
    done_at: datetime
    a_day: Fraction
    minutes_a_job: float  # how long a job may take, so that open_jobs is no narrower than the day


def count_costs(plan: Plan, ledgers: Mapping[str, Ledger], now: datetime) -> Costs:
    """Count what an applied plan lacks; a chunk without a ledger has nothing yet."""
    orders = tuple(_order_costs(order, ledgers, now) for order in plan.orders)
    jobs = sum(each.jobs for each in orders)
    days = plan.days_for(jobs)
    limits = plan.limits
    return Costs(
        orders,
        jobs,
        days,
        now + timedelta(days=days),
        plan.jobs_a_day,
        limits.open_jobs * _MINUTES_A_DAY / limits.jobs_per_day,
    )


def _order_costs(order: Order, ledgers: Mapping[str, Ledger], now: datetime) -> OrderCosts:
    lacks = [
        wants(order, chunk, ledgers.get(chunk.id, Ledger(chunk.id)), now) for chunk in order.chunks
    ]
    return OrderCosts(
        order.name,
        sum(len(each.due) for each in lacks),
        sum(len(each.restated) for each in lacks),
        sum(len(each.history) for each in lacks),
        order.jobs_a_day(len(order.chunks)),
    )


def per_day_text(a_day: Fraction) -> str:
    """Return a rate for people: 3.2 a day; below one in words of days."""
    if a_day == 0:
        return "none"
    if a_day < 1:
        return f"one in {float(1 / a_day):.0f} days"
    return f"{float(a_day):.1f} a day"


# --- what differs ---


@dataclass(frozen=True, slots=True)
class Difference:
    """What a plan changes of another: lines for people; `taken`: what nobody orders any more."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    taken: tuple[str, ...]


def compare(before: Plan | None, after: Plan, ledgers: Mapping[str, Ledger]) -> Difference:
    """Compare two applied plans; None: there was none."""
    was = {order.name: order for order in before.orders} if before else {}
    will = {order.name: order for order in after.orders}
    now = _After(after)
    added = [f"{name}: {_told(order)}" for name, order in will.items() if name not in was]
    changed = [
        f"{name}: {told}"
        for name, order in was.items()
        for told in (*_changes(order, will.get(name)), *now.moved(order))
    ]
    taken = [
        f"{order.name}: {told}" for order in was.values() for told in now.taken(order, ledgers)
    ]
    if before and before.limits != after.limits:
        changed += [
            f"limits: {name} {getattr(before.limits, name)} -> {getattr(after.limits, name)}"
            for name in before.limits.__slots__
            if getattr(before.limits, name) != getattr(after.limits, name)
        ]
    return Difference(tuple(added), tuple(changed), tuple(taken))


def _told(order: Order) -> str:
    return (
        f"{order.report_type} as {order.output_format}, every {order.every} from {order.begins}, "
        f"{_number(len(order.properties), 'property', 'properties')}"
    )


def _changes(was: Order, will: Order | None) -> Iterator[str]:
    if will is None:
        return
    names = ("report_type", "output_format", "every", "begins", "ready", "restate", "end_date")
    for name in names:
        old, new = getattr(was, name), getattr(will, name)
        if old != new:
            label = "from" if name == "begins" else name
            if name == "ready":
                old, new = (f"{it.time} {it.zone}, {it.days_after} days after" for it in (old, new))
            yield f"{label} {old} -> {new}"
    if was.kind != will.kind:
        yield "these are other jobs: every window is ordered anew"
    more = sorted(set(will.properties) - set(was.properties))
    if more:
        yield f"{_number(len(more), 'property', 'properties')} more ({_some(more)})"


class _After:
    """Where the chunks and properties of the plan before have gone."""

    def __init__(self, after: Plan) -> None:
        self._owners = {chunk.id: (order, chunk) for order, chunk in after.chunks()}
        self._ordered: dict[tuple[str, ...], set[int]] = {}
        for order in after.orders:
            self._ordered.setdefault(order.kind, set()).update(order.properties)

    def moved(self, was: Order) -> Iterator[str]:
        """Yield what is ordered as before, but under another name or in other chunks."""
        kept: set[int] = set()
        names = set()
        for chunk in was.chunks:
            if chunk.id in self._owners:
                order, now = self._owners[chunk.id]
                kept |= set(now.properties)
                names |= {order.name} - {was.name}
        if names:
            yield f"goes on as {', '.join(sorted(names))}"
        anew = (set(was.properties) & self._ordered.get(was.kind, set())) - kept
        if anew:
            yield (
                f"{_number(len(anew), 'property', 'properties')} in other chunks: every window of "
                "them is ordered anew"
            )

    def taken(self, was: Order, ledgers: Mapping[str, Ledger]) -> Iterator[str]:
        """Yield what nobody orders any more."""
        lost = sorted(set(was.properties) - self._ordered.get(was.kind, set()))
        if lost:
            whole = "all of it" if len(lost) == len(was.properties) else "a part"
            yield (
                f"{whole}: {was.report_type} as {was.output_format}, every {was.every}, of "
                f"{_number(len(lost), 'property', 'properties')} ({_some(lost)})"
            )
        on_their_way = [
            ledgers[chunk.id].open
            for chunk in was.chunks
            if chunk.id not in self._owners and chunk.id in ledgers
        ]
        if any(on_their_way):
            yield (
                f"{_number(sum(map(len, on_their_way)), 'window', 'windows')} on the way: what the "
                "vendor has is archived, and not counted any more"
            )
        firsts = [
            self._owners[chunk.id][0].first for chunk in was.chunks if chunk.id in self._owners
        ]
        later = max(firsts, default=was.first) - was.first
        if later > 0:
            yield f"the oldest {_number(later, 'window', 'windows')}"


def _some(ids: list[int]) -> str:
    told = ", ".join(map(str, ids[:_MOST_IDS_TOLD]))
    return told + (", …" if len(ids) > _MOST_IDS_TOLD else "")


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
