"""Breakages of ordering that the judge must catch: each takes one promise's reason away."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, cast

from archiver.apartmentiq.job_order import Outcome
from archiver.orders.adoption import Reading, Sightings
from archiver.orders.head import HeadMove
from archiver.orders.ledger import Ledger
from archiver.orders.ordering import OrderExports
from archiver.orders.plan import Plan
from archiver.orders.windows import Ready
from tests.faults.orders_world import World

__all__ = ["MUTANTS", "Build"]

Build = Callable[[World, OrderExports], OrderExports]


class _Instead:
    """Another's attributes, but for those that are given."""

    def __init__(self, whose: object, **given: object) -> None:
        self._whose, self._given = whose, given

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        return self._given[name] if name in self._given else getattr(self._whose, name)


def _with(built: OrderExports, part: str, **given: object) -> OrderExports:
    changed: OrderExports = cast("Any", replace)(
        built, **{part: _Instead(getattr(built, part), **given)}
    )
    return changed


def _as(kind: type[OrderExports], built: OrderExports) -> OrderExports:
    return kind(**{each.name: getattr(built, each.name) for each in fields(built) if each.init})


def post_before_the_intent_is_written(_: World, built: OrderExports) -> OrderExports:
    """Write the intent down when the answer is there."""
    kept: list[tuple[Ledger, str]] = []

    def save(ledger: Ledger, token: str) -> Ledger:
        if any(entry.state == "posted" for entry in ledger.open.values()):
            kept.append((ledger, token))
            return ledger
        return built.items.save(ledger, token)

    return _with(built, "items", save=save)


def adopt_without_looking(_: World, built: OrderExports) -> OrderExports:
    """Take the first job of the list for one whose answer was lost."""

    class Blind(OrderExports):
        def _adopt(self, run: Any, sightings: Sightings, reading: Reading) -> None:  # noqa: ANN401 - a run
            super()._adopt(run, sightings, reading)
            for chunk_id, window, entry in list(run.entries()):
                if entry.state == "posted" and sightings.open_job_ids:
                    job_id = min(sightings.open_job_ids)
                    self._save(run, run.ledgers[chunk_id].bind(window, job_id))

    return _as(Blind, built)


def look_on_one_page_only(_: World, built: OrderExports) -> OrderExports:
    """Believe that the first page is all there is."""

    def jobs_page(position: Any, read: Any) -> Any:  # noqa: ANN401 - a page
        page = built.vendor.jobs_page(position, read)
        return page and replace(page, total_pages=1, total_count=len(page.jobs))

    return _with(built, "vendor", jobs_page=jobs_page)


def trust_an_empty_list_at_once(_: World, built: OrderExports) -> OrderExports:
    """Ask again as soon as the list shows nothing."""

    class Hasty(OrderExports):
        def _certain_after(self, run: Any) -> timedelta:  # noqa: ANN401 - a run
            del run
            return timedelta()

    return _as(Hasty, built)


def count_a_failed_post_as_ordered(_: World, built: OrderExports) -> OrderExports:
    """Believe that what was asked for is there."""

    def create_job(body: str) -> Outcome:
        outcome = built.vendor.create_job(body)
        if outcome.verdict in {"in_doubt", "not_sent"}:
            return Outcome("ordered", job_id=str(uuid.UUID(int=1)))
        return outcome

    return _with(built, "vendor", create_job=create_job)


def ignore_the_quota(_: World, built: OrderExports) -> OrderExports:
    """Take the end of the quota for a moment's refusal."""

    def create_job(body: str) -> Outcome:
        outcome = built.vendor.create_job(body)
        return replace(outcome, verdict="not_sent") if outcome.verdict == "closed" else outcome

    return _with(built, "vendor", create_job=create_job)


def naive_local_time(_: World, built: OrderExports) -> OrderExports:
    """Take the vendor's clock for ours, which is UTC."""

    def plan(head: Any) -> Plan:  # noqa: ANN401 - a head
        known = built.items.plan(head)
        ready = Ready(zone="UTC")
        return replace(known, orders=tuple(replace(order, ready=ready) for order in known.orders))

    return _with(built, "items", plan=plan)


def two_runs_at_once(_: World, built: OrderExports) -> OrderExports:
    """Let every run have the lease."""

    def move(move: HeadMove, doing: str) -> bool:
        used = f"{move.update}"
        values = {name: value for name, value in move.values.items() if _uses(used, name)}
        return built.items.move(HeadMove(move.update, values), doing)

    return _with(built, "items", move=move)


def _uses(expression: str, name: str) -> bool:
    return name in expression.replace(",", " ").split()


MUTANTS: Mapping[str, Build] = {
    each.__name__: each
    for each in (
        post_before_the_intent_is_written,
        adopt_without_looking,
        look_on_one_page_only,
        trust_an_empty_list_at_once,
        count_a_failed_post_as_ordered,
        ignore_the_quota,
        naive_local_time,
        two_runs_at_once,
    )
}
