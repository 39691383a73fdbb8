"""What a company wants to have, as data: read with every complaint at once, and cut into chunks.

`read_plan` takes orders.yaml as JSON values (the command line parses YAML) and is the one judge of
it; events/schemas/orders.schema.json says the same to editors, and a test holds both together.
`Plan.applied` makes what lies in the table: the orders with their chunks. Pure.

A chunk is the part of an order's properties that one job asks for. It is founded once, from those
properties that no chunk has; it may lose properties, and never gets others. So a new property makes
a new chunk, and nothing of the old ones is ordered again. What an order is called does not matter.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, cast
from zoneinfo import available_timezones

from archiver.intent import NAME, Parameters, fingerprint
from archiver.orders.windows import EVERY, Every, Ready, number_of, window_dates

__all__ = ["Chunk", "EndDate", "Limits", "Order", "Plan", "PlanRefused", "Problem", "read_plan"]

EndDate = Literal["inclusive", "exclusive"]
REPORT_TYPES = ("floorplans", "property", "units")  # apartmentiq-api, "Ordering"
OUTPUT_FORMATS = ("csv", "jsonl", "parquet")
_DAYS_OF_A_WINDOW: Mapping[Every, Fraction] = {
    "day": Fraction(1),
    "week": Fraction(7),
    "month": Fraction(146_097, 4_800),  # 400 Gregorian years have so many days and months
}
# What one item of the table holds is bounded by these (aws/order_items.py): a chunk of 27 years of
# days in which every other one is missing takes 150 KB of DynamoDB's 400.
_EARLIEST = date(2000, 1, 1)
_MOST_ORDERS = 1_000
_MOST_CHUNKS = 5_000  # 50 reads of a hundred
_MOST_PROPERTIES = 500_000  # of a plan
_MOST_PROPERTY_ID = 2**53 - 1  # what every reader of JSON takes for a whole number
_AGAIN_AFTER = re.compile(r"([1-9][0-9]{0,3})(m|h)", re.ASCII)
_AGAIN_AFTER_BOUNDS = timedelta(minutes=10), timedelta(days=7)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
# Twice the time that history takes if every day's limit is used up, and a day: limits and vendor
# leave some days unused.
_HISTORY_SLACK, _HISTORY_LEAST = 2, timedelta(days=1)
_MOST_DAYS = 36_500  # a century: for ever, and still a date
_NOT_YET = datetime.max.replace(tzinfo=UTC)  # of a history whose end is about to be computed


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a plan. `path`: the keys and indices that lead to it."""

    path: tuple[str | int, ...]
    message: str
    remedy: str

    def __str__(self) -> str:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return f"{where.lstrip('.') or 'the plan'}: {self.message} {self.remedy}"


class PlanRefused(ValueError):  # noqa: N818 - read as what it says
    """A plan that cannot be; `problems` has all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stack may ask of the vendor. `again_after`: how long its list may lag behind."""

    open_jobs: int = 5
    jobs_per_day: int = 200
    tries: int = 5
    properties_per_job: int = 1_000  # the vendor documents no limit; a job object names them all
    again_after: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Chunk:
    """The properties of one job. `since`: when it was applied; `history_by`: when it is due."""

    id: str
    properties: tuple[int, ...]
    since: datetime
    history_by: datetime

    @cached_property
    def fingerprint(self) -> str:
        """What the properties are known by, as a set."""
        return fingerprint(self.properties)


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `chunks` are there once it is applied."""

    name: str
    report_type: str
    output_format: str
    every: Every
    begins: date  # `from`
    properties: tuple[int, ...] = field(repr=False)
    ready: Ready = field(default_factory=Ready)
    restate: int = 0
    end_date: EndDate = "inclusive"
    chunks: tuple[Chunk, ...] = field(default=(), repr=False)

    @property
    def first(self) -> int:
        """The number of its first window: the one that holds `from`."""
        return number_of(self.every, self.begins)

    def last(self, now: datetime) -> int:
        """Return the number of the last window that is complete now; below `first`: none is."""
        return self.ready.last(self.every, now)

    def dates(self, number: int) -> tuple[str, str]:
        """Return the `start_date` and `end_date` that are sent for a window."""
        first, last = window_dates(self.every, number)
        end = last if self.end_date == "inclusive" else last + timedelta(days=1)
        return first.isoformat(), end.isoformat()

    def parameters(self, chunk: Chunk, number: int) -> Parameters:
        """Return what a job is ordered with."""
        return Parameters(
            self.report_type, self.output_format, chunk.fingerprint, *self.dates(number)
        )

    def jobs_a_day(self, chunks: int) -> Fraction:
        """Return how many jobs it takes on an average day once its history is there."""
        return chunks * (1 + self.restate) / _DAYS_OF_A_WINDOW[self.every]

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """What makes jobs of the same properties different ones."""
        return self.report_type, self.output_format, self.every, self.end_date


@dataclass(frozen=True, slots=True)
class Plan:
    """All orders and the limits that they share."""

    orders: tuple[Order, ...]
    limits: Limits = field(default_factory=Limits)

    def chunks(self) -> Iterator[tuple[Order, Chunk]]:
        """Yield each chunk with its order."""
        return ((order, chunk) for order in self.orders for chunk in order.chunks)

    @property
    def jobs_a_day(self) -> Fraction:
        """How many jobs it takes on an average day, restatements included, without history."""
        zero = Fraction(0)
        return sum((order.jobs_a_day(len(order.chunks)) for order in self.orders), zero)

    def days_for(self, jobs: int) -> int:
        """Return how many days so many jobs take beside the steady demand."""
        left_a_day = max(self.limits.jobs_per_day - self.jobs_a_day, Fraction(1, 30))
        return min(-(-jobs // left_a_day), _MOST_DAYS)

    def applied(self, before: Plan | None, now: datetime) -> Plan:
        """Return the plan with its chunks: those of the plan before, and new ones for what is new.

        Raises PlanRefused where the steady demand is above the limit.
        """
        size = self.limits.properties_per_job
        kept: dict[tuple[str, str, str, str], list[tuple[Order, Chunk]]] = {}
        for order, chunk in before.chunks() if before else ():
            if len(chunk.properties) <= size:  # one that no job takes any more is founded anew
                kept.setdefault(order.kind, []).append((order, chunk))
        taken: set[str] = set()
        history_jobs = 0
        orders = []
        for order in self.orders:
            wanted = set(order.properties)
            windows = order.last(now) - order.first + 1
            chunks = []
            for was, chunk in kept.get(order.kind, ()):
                left = tuple(each for each in chunk.properties if each in wanted)
                if left and chunk.id not in taken:
                    taken.add(chunk.id)
                    wanted.difference_update(left)
                    earlier = max(0, was.first - order.first)
                    history_jobs += min(earlier, max(0, windows))
                    history_by = _NOT_YET if earlier else chunk.history_by
                    chunks.append(replace(chunk, properties=left, history_by=history_by))
            new = [_found(order, part, now) for part in _cut(sorted(wanted), size)]
            history_jobs += len(new) * max(0, windows)
            orders.append(replace(order, chunks=(*chunks, *new)))
        plan = replace(self, orders=tuple(orders))
        _check_demand(plan)
        days = timedelta(days=plan.days_for(history_jobs))
        return _with_history(plan, now + days * _HISTORY_SLACK + _HISTORY_LEAST)

    # --- as it lies in the table ---

    def to_fields(self) -> dict[str, Any]:
        """Return an applied plan as JSON values."""
        limits = self.limits
        return {
            "orders": [_order_fields(order) for order in self.orders],
            "limits": {
                "open_jobs": limits.open_jobs,
                "jobs_per_day": limits.jobs_per_day,
                "tries": limits.tries,
                "properties_per_job": limits.properties_per_job,
                "again_after_seconds": round(limits.again_after.total_seconds()),
            },
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Plan:
        """Read what `to_fields` wrote; raises KeyError, TypeError or ValueError for others."""
        told = dict(fields["limits"])
        again_after = timedelta(seconds=told.pop("again_after_seconds"))
        limits = Limits(again_after=again_after, **told)
        return cls(tuple(map(_order_from_fields, fields["orders"])), limits)


def _cut(properties: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(properties), size):
        yield tuple(properties[start : start + size])


def _found(order: Order, properties: tuple[int, ...], since: datetime) -> Chunk:
    # The moment, too: what leaves a plan and comes back knows nothing of the time between.
    told = json.dumps([order.kind, properties, since.isoformat()])
    return Chunk(hashlib.sha256(told.encode()).hexdigest()[:16], properties, since, _NOT_YET)


def _with_history(plan: Plan, history_by: datetime) -> Plan:
    """Say until when the history is to be there that was not asked for before."""
    orders = []
    for order in plan.orders:
        chunks = [
            replace(chunk, history_by=history_by) if chunk.history_by == _NOT_YET else chunk
            for chunk in order.chunks
        ]
        orders.append(replace(order, chunks=tuple(chunks)))
    return replace(plan, orders=tuple(orders))


def _check_demand(plan: Plan) -> None:
    demand, limit = plan.jobs_a_day, plan.limits.jobs_per_day
    if demand > limit:
        by_order = sorted(plan.orders, key=lambda each: -each.jobs_a_day(len(each.chunks)))
        most = ", ".join(
            f"{order.name} {float(order.jobs_a_day(len(order.chunks))):.1f}"
            for order in by_order[:3]
        )
        raise PlanRefused(
            [
                Problem(
                    ("limits", "jobs_per_day"),
                    f"the orders take {float(demand):.1f} jobs a day for good ({most}), which is "
                    f"above {limit}.",
                    "Raise jobs_per_day, order less often, or restate fewer windows.",
                )
            ]
        )


def _order_fields(order: Order) -> dict[str, Any]:
    return {
        "name": order.name,
        "report_type": order.report_type,
        "output_format": order.output_format,
        "every": order.every,
        "from": order.begins.isoformat(),
        "ready": {
            "time": order.ready.time,
            "zone": order.ready.zone,
            "days_after": order.ready.days_after,
        },
        "restate": order.restate,
        "end_date": order.end_date,
        "chunks": [
            {
                "id": chunk.id,
                "properties": list(chunk.properties),
                "since": chunk.since.isoformat(),
                "history_by": chunk.history_by.isoformat(),
            }
            for chunk in order.chunks
        ],
    }


def _order_from_fields(fields: Mapping[str, Any]) -> Order:
    chunks = tuple(
        Chunk(
            chunk["id"],
            tuple(chunk["properties"]),
            datetime.fromisoformat(chunk["since"]),
            datetime.fromisoformat(chunk["history_by"]),
        )
        for chunk in fields["chunks"]
    )
    return Order(
        name=fields["name"],
        report_type=fields["report_type"],
        output_format=fields["output_format"],
        every=fields["every"],
        begins=date.fromisoformat(fields["from"]),
        properties=tuple(sorted(each for chunk in chunks for each in chunk.properties)),
        ready=Ready(**fields["ready"]),
        restate=fields["restate"],
        end_date=fields["end_date"],
        chunks=chunks,
    )


# --- reading what people write ---


def read_plan(document: object) -> Plan:
    """Read orders.yaml, given as JSON values (dates as text, properties listed).

    Raises PlanRefused with everything that is wrong. The steady demand is judged by
    `Plan.applied`, which knows the chunks.
    """
    reader = _Reader()
    plan = reader.plan(document)
    if reader.problems:
        raise PlanRefused(reader.problems)
    return plan


_Path = tuple[str | int, ...]


class _Reader:
    """Reads values, and collects what is wrong with them; what is wrong reads as a default."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def plan(self, document: object) -> Plan:
        fields = self._fields((), document, needs=("orders",), takes=("limits", "end_date"))
        end_date = self._one_of(("end_date",), fields.get("end_date", "inclusive"), _END_DATES)
        listed = fields.get("orders", [])
        if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_ORDERS:
            if "orders" in fields:
                self._wrong(("orders",), "is no list of orders.", f"Give 1 to {_MOST_ORDERS}.")
            listed = []
        orders = [
            self._order(("orders", index), value, cast("EndDate", end_date))
            for index, value in enumerate(listed)
        ]
        limits = self._limits(fields.get("limits", {}))
        self._check_together(orders, limits)
        return Plan(tuple(orders), limits)

    def _order(self, path: _Path, value: object, end_date: EndDate) -> Order:
        fields = self._fields(
            path,
            value,
            needs=("name", "report_type", "output_format", "properties", "every", "from"),
            takes=("ready", "restate"),
        )

        def told(name: str, read: Callable[[_Path, object], Any], default: object) -> Any:  # noqa: ANN401 - as `read` returns
            return read((*path, name), fields[name]) if name in fields else default

        def one_of(words: Sequence[str]) -> Callable[[_Path, object], str]:
            return lambda at, word: self._one_of(at, word, words)

        return Order(
            name=told("name", self._name, "?"),
            report_type=told("report_type", one_of(REPORT_TYPES), REPORT_TYPES[0]),
            output_format=told("output_format", one_of(OUTPUT_FORMATS), OUTPUT_FORMATS[0]),
            every=told("every", one_of(EVERY), "day"),
            begins=told("from", self._begins, _EARLIEST),
            properties=told("properties", self._properties, ()),
            ready=told("ready", self._ready, Ready()),
            restate=told("restate", lambda at, number: self._whole(at, number, 0, 366), 0),
            end_date=end_date,
        )

    def _limits(self, value: object) -> Limits:
        fields = self._fields(
            ("limits",),
            value,
            takes=("open_jobs", "jobs_per_day", "tries", "properties_per_job", "order_again_after"),
        )
        default = Limits()

        def whole(name: str, most: int) -> int:
            number = fields.get(name, getattr(default, name))
            return self._whole(("limits", name), number, 1, most)

        return Limits(
            open_jobs=whole("open_jobs", 100),
            jobs_per_day=whole("jobs_per_day", 100_000),
            tries=whole("tries", 20),
            properties_per_job=whole("properties_per_job", 100_000),
            again_after=self._again_after(fields.get("order_again_after", "1h")),
        )

    # --- values ---

    def _name(self, path: _Path, value: object) -> str:
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        self._wrong(path, "is no name.", "Give 1 to 40 lower-case letters, digits and hyphens.")
        return "?"

    def _begins(self, path: _Path, value: object) -> date:
        day = None
        if isinstance(value, str) and _DATE.fullmatch(value):
            try:
                day = date.fromisoformat(value)
            except ValueError:
                day = None
        if day is None:
            self._wrong(path, "is no date of the calendar.", "Write it as 2023-01-01.")
        elif not _EARLIEST <= day < date(2100, 1, 1):
            self._wrong(path, "is too far away.", f"The first day there is is {_EARLIEST}.")
        else:
            return day
        return _EARLIEST

    def _properties(self, path: _Path, value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or not value:
            remedy = "List at least one, or name a file: {file: properties.csv}."
            self._wrong(path, "is no list of property ids.", remedy)
            return ()
        seen: set[int] = set()
        for index, each in enumerate(value):
            if isinstance(each, bool) or not isinstance(each, int):
                self._wrong((*path, index), "is no property id.", "Ids are whole numbers.")
            elif not 0 < each <= _MOST_PROPERTY_ID:
                self._wrong((*path, index), f"{each} is no property id.", "Ids are above zero.")
            elif each in seen:
                self._wrong((*path, index), f"{each} stands there twice.", "Take one out.")
            else:
                seen.add(each)
        return tuple(sorted(seen))

    def _ready(self, path: _Path, value: object) -> Ready:
        fields = self._fields(path, value, takes=("time", "zone", "days_after"))
        default = Ready()
        at = fields.get("time", default.time)
        if not (isinstance(at, str) and _TIME.fullmatch(at)):
            self._wrong((*path, "time"), "is no time of a day.", 'Write it as "11:00".')
            at = default.time
        zone = fields.get("zone", default.zone)
        if not (isinstance(zone, str) and zone in available_timezones()):
            remedy = "Take a name of the IANA time zone database, such as America/Chicago or UTC."
            self._wrong((*path, "zone"), "is no time zone that is known.", remedy)
            zone = default.zone
        days = fields.get("days_after", default.days_after)
        return Ready(at, zone, self._whole((*path, "days_after"), days, 0, 60))

    def _again_after(self, value: object) -> timedelta:
        found = _AGAIN_AFTER.fullmatch(value) if isinstance(value, str) else None
        least, most = _AGAIN_AFTER_BOUNDS
        if found is not None:
            unit = timedelta(hours=1) if found[2] == "h" else timedelta(minutes=1)
            if least <= (told := int(found[1]) * unit) <= most:
                return told
        path = ("limits", "order_again_after")
        self._wrong(path, "is no time to wait.", "Give 10m to 168h, such as 90m or 1h.")
        return least

    def _one_of(self, path: _Path, value: object, words: Sequence[str]) -> str:
        if value in words:
            return cast("str", value)
        self._wrong(path, "is none of the words that are known.", f"Take {', '.join(words)}.")
        return words[0]

    def _whole(self, path: _Path, value: object, least: int, most: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self._wrong(path, "is no number that can be.", f"Give {least} to {most}.")
        return least

    def _fields(
        self, path: _Path, value: object, *, takes: Iterable[str] = (), needs: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        known = (*needs, *takes)
        if not isinstance(value, dict):
            self._wrong(path, "is no mapping.", f"It takes {', '.join(known)}.")
            return {}
        for name in value:
            if name not in known:
                self._wrong((*path, str(name)), "is not known.", f"Known are {', '.join(known)}.")
        for name in needs:
            if name not in value:
                self._wrong(path, f"`{name}` is missing.", f"Add {name}.")
        return value

    # --- what cannot be together ---

    def _check_together(self, orders: Sequence[Order], limits: Limits) -> None:
        names: set[str] = set()
        owners: dict[tuple[str, str], dict[int, Order]] = {}
        chunks = 0
        for index, order in enumerate(orders):
            if order.name in names:
                remedy = "Give each order a name of its own."
                self._wrong(("orders", index, "name"), "is another order's, too.", remedy)
            names.add(order.name)
            owned = owners.setdefault((order.report_type, order.output_format), {})
            shared = [each for each in order.properties if each in owned]
            if shared:
                other = owned[shared[0]]
                self._wrong(
                    ("orders", index, "properties"),
                    f"{len(shared)} of them ({shared[0]} …) are ordered as {order.report_type} in "
                    f"{order.output_format} by {other.name}, too: the windows of both overlap.",
                    "Leave each property in one of the two.",
                )
            owned |= dict.fromkeys(order.properties, order)
            chunks += -(-len(order.properties) // limits.properties_per_job)
        if chunks > _MOST_CHUNKS:
            told = f"cuts the orders into {chunks} chunks; {_MOST_CHUNKS} are the most."
            self._wrong(("limits", "properties_per_job"), told, "Raise it.")
        if sum(len(order.properties) for order in orders) > _MOST_PROPERTIES:
            self._wrong(("orders",), "name too many properties.", f"{_MOST_PROPERTIES} at most.")

    def _wrong(self, path: _Path, message: str, remedy: str) -> None:
        self.problems.append(Problem(path, message, remedy))


_END_DATES = ("inclusive", "exclusive")
