"""What must hold of orders, whatever goes wrong, and one seeded schedule that is held to it.

Judged is the vendor's side: what was asked of it and when, never what our table says of that.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from archiver.intent import fingerprint
from archiver.orders.ordering import OrderExports
from archiver.orders.plan import Chunk, Order
from archiver.orders.windows import number_of
from tests.faults.orders_vendor import Job, Temper
from tests.faults.orders_world import World

__all__ = ["PLAN", "Broken", "Schedule", "run_schedule", "temper_of"]

_ZONE = ZoneInfo("America/Chicago")
_LIMITS = {"open_jobs": 3, "jobs_per_day": 30, "tries": 4, "properties_per_job": 2}
PLAN: dict[str, Any] = {
    "orders": [
        {
            "name": "daily-units",
            "report_type": "units",
            "output_format": "csv",
            "properties": [11, 12, 13],
            "every": "day",
            "from": "2026-10-25",
            "restate": 1,
        },
        {
            "name": "weekly-property",
            "report_type": "property",
            "output_format": "parquet",
            "properties": [11, 12],
            "every": "week",
            "from": "2026-10-05",
        },
    ],
    "limits": _LIMITS,
}
_MOST_LAG_SECONDS = 3_000.0  # below `order_again_after`, an hour
_QUIET_TICKS = 500


class Broken(AssertionError):  # noqa: N818 - read as what it says
    """A promise was broken."""


def temper_of(seed: int) -> Temper:
    """Return what goes wrong in a schedule: a few things at a time, of each of them some."""
    calm = Temper(echoes=seed % 3 != 0, callbacks=seed % 7 != 0, per_page=(2, 3, 50)[seed % 3])
    kinds: list[dict[str, float]] = [
        {"lost_after": 0.3, "lag_seconds": _MOST_LAG_SECONDS},
        {"lost_before": 0.4, "late": 0.5, "lag_seconds": _MOST_LAG_SECONDS},
        {"dies": 0.02},
        {"second_run": 0.03, "dies": 0.004},
        {"rate_limited": 0.2, "list_fails": 0.05},
        {"quota": 0.1},
        {"invalid": 0.05},
        {"fails": 0.3},
        {"by_hand": 0.1, "lag_seconds": 600.0},
        {"table": 0.02},
        {"lost_after": 0.15, "lost_before": 0.1, "dies": 0.01, "table": 0.01, "by_hand": 0.03},
    ]
    chosen = {**kinds[seed % len(kinds)], **kinds[(seed // len(kinds)) % len(kinds)]}
    return replace(calm, **chosen)  # type: ignore[arg-type] # numbers, each of them


@dataclass
class Schedule:
    """One world and its judge."""

    seed: int
    build: Callable[[World, OrderExports], OrderExports] = lambda _, built: built
    temper: Temper | None = None
    plan: Mapping[str, Any] = field(default_factory=lambda: PLAN)
    faulty_ticks: int = 110
    may_restore: bool = True
    broken: list[str] = field(default_factory=list)
    restored_at: float = 0.0

    def __post_init__(self) -> None:
        self.world = World(self.seed, self.temper or temper_of(self.seed), self.plan)
        self.world.vendor.on_post = self._on_post
        self.world.build = lambda built: self.build(self.world, built)
        self.random = self.world.random

    def run(self) -> None:
        """Let time pass, first with faults and then without; raises Broken."""
        world = self.world
        restores_at = self.random.choice([0, 0, 60]) * self.may_restore
        snapshot: dict[str, Any] = {}
        for tick in range(self.faulty_ticks):
            if tick == 25:
                snapshot = {key: dict(item) for key, item in world.table.items.items()}
            if tick == restores_at and restores_at:
                # It takes longer than the list lags (docs/orders.md, "After a restore").
                world.clock += _MOST_LAG_SECONDS
                world.table.items = snapshot
                self.restored_at = world.clock
            if self.random.random() < world.temper.by_hand:
                self._order_by_hand()
            world.tick()
        world.quiet = world.vendor.quiet = True
        world.vendor.invalid_kinds.clear()
        for tick in range(_QUIET_TICKS):
            if tick % 100 == 0:
                world.resume()
            world.tick()
            if world.numbers.windows == 0 and not self._lacking() and self._is_calm():
                break
        self._judge()

    # --- while it runs ---

    def _on_post(self, fields: dict[str, Any]) -> None:
        """Hold each request to the limits, the clock and the intent that must be written."""
        world, now = self.world, self.world.clock
        known_as = self._intent_of(fields)
        if known_as is None:
            self._break("a request went out whose intent is not written")
        fields["_id"] = known_as
        ours = [job for job in world.vendor.jobs if job.order_id is not None]
        seen = [
            job
            for job in world.vendor.jobs
            if job.order_id is None and job.created_at < now - world.temper.lag_seconds - 900
        ]
        is_open = [job for job in (*ours, *seen) if job.status(now) == "submitted"]
        if len(is_open) + len(world.vendor.pending) >= _LIMITS["open_jobs"]:
            self._break(f"a request went out while {len(is_open)} jobs were open")
        today = [job for job in ours if _day(job.sent_at) == _day(now)]
        if len(today) >= _LIMITS["jobs_per_day"]:
            self._break(f"a request went out after {len(today)} jobs on that day")
        last = date.fromisoformat(fields["end_date"]) + timedelta(days=1)
        ready = datetime(last.year, last.month, last.day, 11, tzinfo=_ZONE)
        if now < ready.timestamp():
            self._break(f"{fields['end_date']} was ordered {ready.timestamp() - now:.0f} s early")

    def _intent_of(self, fields: Mapping[str, Any]) -> str | None:
        for order, chunk in self.world.plan.chunks():
            if order.report_type != fields["report_type"]:
                continue
            if chunk.fingerprint != fingerprint(fields["property_ids"]):
                continue
            window = number_of(order.every, date.fromisoformat(fields["start_date"]))
            item = self.world.table.items.get(f"orders#chunk#{chunk.id}")
            entry = json.loads(item["body"]["S"])["open"].get(str(window)) if item else None
            if entry and entry.get("posted_at"):
                return str(entry["order_id"])
        return None

    def _order_by_hand(self) -> None:
        order, chunk = self.random.choice(list(self.world.plan.chunks()))
        window = self.random.randint(order.first, order.last(self.world.now()) + 1)
        start, end = order.dates(window)
        fields = {
            "report_type": order.report_type,
            "output_format": order.output_format,
            "start_date": start,
            "end_date": end,
            "property_ids": list(chunk.properties),
        }
        if self.random.random() < 0.5:
            fields["callback_url"] = "https://hooks.example/canary-callback-token"
        lag = self.world.temper.lag_seconds
        self.world.vendor.order(fields, self.world.clock, at_most=lag)

    # --- at the end ---

    def _judge(self) -> None:
        asked = Counter(job.order_id for job in self._ours())
        for order_id, count in asked.items():
            if count > 1 and not self._may_repeat(str(order_id)):
                self._break(f"{order_id} was ordered {count} times")
        good = Counter(
            str(job.order_id).rpartition(".")[0].rpartition(".")[0] + _of(job)
            for job in self._ours()
            if job.ends != "failed"
        )
        for cycle, count in good.items():
            if count > 1:
                self._break(f"{cycle} was ordered {count} times, though none failed")
        for lacking in self._lacking():
            self._break(f"{lacking} is missing")
        if self.world.numbers.windows:
            self._break(f"{self.world.numbers.windows} windows are told missing, and none is")
        refused = [when for when, what in self.world.vendor.posts if what == "quota"]
        for before, after in itertools.pairwise(refused):
            # A run that dies with the answer in its hands has told nobody: once a run it may ask.
            least = 800 if self.world.temper.dies or self.world.temper.table else 3_500
            if after - before < least and not before < self.restored_at <= after:
                self._break(f"without quota two requests went out in {after - before:.0f} s")
        if self.broken:
            raise Broken(f"seed {self.seed}: {'; '.join(self.broken[:5])}")

    def _may_repeat(self, order_id: str) -> bool:
        """Tell whether a restored table may ask again what failed: no list tells it of the ids."""
        temper = self.world.temper
        tells_ids = temper.echoes and temper.callbacks
        *before, _ = [job for job in self._ours() if job.order_id == order_id]
        have_failed = all(job.ends == "failed" for job in before)
        return bool(self.restored_at) and not tells_ids and have_failed

    def _ours(self) -> list[Job]:
        return [job for job in self.world.vendor.jobs if job.order_id is not None]

    def _lacking(self) -> list[str]:
        """Return the windows without an export that was ordered when they were complete."""
        there = {
            _of(job)
            for job in self.world.vendor.jobs
            if job.job_id in self.world.archived and job.created_at >= _ready(job).timestamp() - 300
        }
        lacking = []
        for order, chunk in self.world.plan.chunks():
            for window in range(order.first, order.last(self.world.now()) + 1):
                name = _named(order, chunk, window)
                if name not in there:
                    lacking.append(name)
        return lacking

    def _is_calm(self) -> bool:
        bodies = [
            json.loads(item["body"]["S"])
            for key, item in self.world.table.items.items()
            if key.startswith("orders#chunk#")
        ]
        return not any(body["open"] for body in bodies)

    def _break(self, what: str) -> None:
        self.broken.append(what)


def run_schedule(
    seed: int, build: Callable[[World, OrderExports], OrderExports] | None = None
) -> Schedule:
    """Run one schedule to its end; raises Broken."""
    schedule = Schedule(seed) if build is None else Schedule(seed, build)
    schedule.run()
    return schedule


def _named(order: Order, chunk: Chunk, window: int) -> str:
    start, end = order.dates(window)
    return f" {order.report_type} {chunk.fingerprint} {start} {end}"


def _of(job: Job) -> str:
    told = job.fields
    properties = fingerprint(told["property_ids"])
    return f" {told['report_type']} {properties} {told['start_date']} {told['end_date']}"


def _ready(job: Job) -> datetime:
    last = date.fromisoformat(job.fields["end_date"]) + timedelta(days=1)
    return datetime(last.year, last.month, last.day, 11, tzinfo=_ZONE)


def _day(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()
