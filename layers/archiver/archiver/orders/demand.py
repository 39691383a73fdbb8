"""What is missing: what a plan wants, less what its ledgers have. Pure.

A window is wanted from the moment on at which it is complete, and again in each of the `restate`
cycles that follow. A cycle begins when the next window is complete, and is called by that window's
number. Only the newest export of a window counts: a restatement that was missed is made up by the
next one, and the history is ordered once, for it is final by the time it is asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from archiver.orders.ledger import MOST_OPEN, Ledger
from archiver.orders.plan import Chunk, Order, Plan
from archiver.orders.spans import Spans

__all__ = ["Missing", "Wanted", "Wants", "cycle_of", "missing", "wanted", "wants"]

Why = Literal["due", "restated", "history"]


@dataclass(frozen=True, slots=True)
class Wants:
    """What one chunk lacks and nobody is on to; the sets are apart."""

    due: Spans  # complete since the order was applied
    restated: Spans  # archived, and complete again
    history: Spans  # complete before

    def __bool__(self) -> bool:
        return bool(self.due.runs or self.restated.runs or self.history.runs)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One window of one chunk that is to be ordered, as of a cycle."""

    order: Order
    chunk: Chunk
    window: int
    cycle: int
    why: Why


@dataclass(frozen=True, slots=True)
class Missing:
    """How many windows have no export, and for how long the oldest of them should have had one."""

    windows: int
    oldest_seconds: float


def cycle_of(order: Order, window: int, last: int) -> int:
    """Return the cycle as of which a window is wanted while `last` is the last complete one."""
    return min(last, window + order.restate)


def wants(order: Order, chunk: Chunk, ledger: Ledger, now: datetime) -> Wants:
    """Return what a chunk lacks, less what is open or given up."""
    last = order.last(now)
    every = Spans.between(order.first, last)
    on_its_way = Spans.of(ledger.open)
    never = every - ledger.archived - on_its_way - Spans.of(ledger.failed)
    old = Spans.between(order.first, order.last(chunk.since))
    stale = Spans.of(
        window
        for window, cycle in ledger.fresh.items()
        if order.first <= window and cycle < cycle_of(order, window, last)
    )
    return Wants(due=never - old, restated=stale - on_its_way, history=never - (never - old))


def wanted(plan: Plan, ledgers: Mapping[str, Ledger], now: datetime) -> Iterator[Wanted]:
    """Yield what is to be ordered, in its order.

    Windows of a chunk that is stopped, or has as much on its way as its item holds, are left out.
    What is due before what is restated before history; what is due by how long it waits, history
    from the newest on. Of an order no window of which ever came home there is one alone.
    """
    lacking = [
        (order, chunk, wants(order, chunk, ledgers[chunk.id], now))
        for order, chunk in plan.chunks()
        if not ledgers[chunk.id].stopped and len(ledgers[chunk.id].open) < MOST_OPEN
    ]
    unproven = _unproven(plan, ledgers)
    begun = {name for name in unproven if unproven[name]}
    for each in _in_order(lacking, now):
        if each.order.name in unproven:
            if each.order.name in begun:
                continue
            begun.add(each.order.name)
        yield each


def _unproven(plan: Plan, ledgers: Mapping[str, Ledger]) -> dict[str, bool]:
    """Return the orders that never had an export, and whether one is on its way."""
    found = {}
    for order in plan.orders:
        known = [ledgers[chunk.id] for chunk in order.chunks]
        if not any(ledger.is_proven for ledger in known):
            found[order.name] = any(ledger.open for ledger in known)
    return found


_Lacking = Sequence[tuple[Order, Chunk, Wants]]


def _in_order(lacking: _Lacking, now: datetime) -> Iterator[Wanted]:
    def each(
        order: Order, chunk: Chunk, windows: Iterator[int], why: Why
    ) -> Iterator[tuple[float, Wanted]]:
        last = order.last(now)
        for window in windows:
            moment = order.ready.at(order.every, window).timestamp()
            cycle = cycle_of(order, window, last)
            rank = -moment if why == "history" else moment
            yield rank, Wanted(order, chunk, window, cycle, why)

    for why in ("due", "restated", "history"):
        streams = []
        for order, chunk, lacks in lacking:
            spans: Spans = getattr(lacks, why)
            if spans.runs:
                windows = spans.newest_first() if why == "history" else spans.oldest_first()
                streams.append(each(order, chunk, windows, why))
        for _, found in heapq.merge(*streams, key=lambda ranked: ranked[0]):
            yield found


def missing(plan: Plan, ledgers: Mapping[str, Ledger], now: datetime) -> Missing:
    """Return what has no export: a window once, however many of its chunks lack it.

    A window counts as late from its completion on; history from the moment on at which it should be
    there at the plan's limits.
    """
    windows, oldest = 0, timedelta()
    for order in plan.orders:
        last = order.last(now)
        every = Spans.between(order.first, last)
        lacking = Spans()
        for chunk in order.chunks:
            lacks = every - ledgers[chunk.id].archived
            lacking |= lacks
            since = order.last(chunk.since)
            late = lacks - Spans.between(order.first, since)
            if late.runs:
                oldest = max(oldest, now - order.ready.at(order.every, late.runs[0][0]))
            if lacks.runs and lacks.runs[0][0] <= since:
                oldest = max(oldest, now - chunk.history_by)
        windows += len(lacking)
    return Missing(windows, max(0.0, oldest.total_seconds()))
