"""A world in which orders are placed: the real use case, client and adapter, by a seed.

One run is done at a time, but for a second one that begins in the middle of the first, wherever the
seed wants it: at each call to the table or the vendor. There a run may die, too, before or after
what it asked for is done. Time passes in ticks, as the schedule has it; nothing sleeps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.link import TrustedHosts
from archiver.apartmentiq.protocol import Credentials
from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.aws.order_items import OrderItems
from archiver.errors import Failure, Interruption
from archiver.network.answer import Answer
from archiver.orders import head as heads
from archiver.orders.adoption import Told
from archiver.orders.ordering import OrderExports
from archiver.orders.plan import Plan, read_plan
from archiver.telemetry import NoSteps
from tests.faults.aws_calls import client_error
from tests.faults.expressions import Names, condition_holds, updated
from tests.faults.orders_vendor import API, TOKEN_URL, Temper, Vendor

__all__ = ["FUNCTION_SECONDS", "START", "Killed", "MemoryTable", "Record", "World"]

START = datetime(2026, 10, 29, 10, 0, tzinfo=UTC)  # the clocks change on 1 November in Chicago
FUNCTION_SECONDS = 300.0
TICK = timedelta(minutes=15)
_CALLBACK_URL = "https://hooks.example/canary-callback-token-0123456789abcdef"


class Killed(BaseException):
    """The runtime died here."""


class MemoryTable:
    """One table's client, whose conditions are evaluated and not assumed."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.reads = self.writes = 0
        self._step = step

    def get_item(self, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        """Read one item."""
        self.reads += 1
        self._step("before a read")
        item = self.items.get(call["Key"]["id"]["S"])
        return {} if item is None else {"Item": dict(item)}

    def batch_get_item(self, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        """Read several."""
        self.reads += 1
        self._step("before a read")
        ((name, asked),) = call["RequestItems"].items()
        found = [self.items.get(key["id"]["S"]) for key in asked["Keys"]]
        return {"Responses": {name: [dict(item) for item in found if item is not None]}}

    def put_item(self, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        """Write one item."""
        self._step("before a write")
        self.items[call["Item"]["id"]["S"]] = dict(call["Item"])
        self._step("after a write")

    def update_item(self, **call: Any) -> Any:  # noqa: ANN401 - boto3's own
        """Change one item, if its condition holds."""
        self.writes += 1
        self._step("before a write")
        key, names = call["Key"]["id"]["S"], Names.of(call)
        before = self.items.get(key)
        holds = condition_holds(call.get("ConditionExpression"), names, before)
        after = updated(call["UpdateExpression"], names, before or {})
        names.check()
        if not holds:
            standing = {"Item": dict(before)} if before is not None else {}
            raise client_error("ConditionalCheckFailedException", 400, "UpdateItem", **standing)
        self.items[key] = {**after, "id": {"S": key}}
        self._step("after a write")
        return {}


@dataclass(frozen=True, slots=True)
class Record:
    """What a job's item says."""

    state: str
    reason: str | None = None


@dataclass
class Numbers:
    """Metrics as they were last told."""

    windows: int = -1
    oldest_seconds: float = -1.0
    is_held_up: bool = False
    is_used_up: bool = False

    def missing(self, windows: int, oldest_seconds: float) -> None:
        """Remember them."""
        self.windows, self.oldest_seconds = windows, oldest_seconds

    def held_up(self, *, is_held_up: bool) -> None:
        """Remember it."""
        self.is_held_up = is_held_up

    def quota(self, *, is_used_up: bool) -> None:
        """Remember it."""
        self.is_used_up = is_used_up


class Quiet:
    """A log that nobody reads."""

    def info(self, msg: object, **fields: Any) -> None:  # noqa: ANN401 - the logger's own
        """Forget it."""

    warning = error = exception = info


class _Wire:
    """The vendor at the end of a wire on which a run may die, or another begin."""

    def __init__(self, vendor: Vendor, step: Callable[[str], None]) -> None:
        self._vendor, self._step = vendor, step

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        self._step(f"before a {method}")
        answer = self._vendor.send(method, url, headers, body)
        self._step(f"after a {method}")
        return answer


class _Credentials:
    def read(self, *, again: bool = False) -> Credentials:
        del again
        return Credentials("id", "secret")


class World:
    """Everything, and the clock."""

    def __init__(self, seed: int, temper: Temper, written: Mapping[str, Any]) -> None:
        self.random = random.Random(f"orders {seed}")  # noqa: S311 - no secret
        self.temper = temper
        self.clock = START.timestamp()
        self.written = written
        self.table = MemoryTable(self._step)
        self.vendor = Vendor(lambda: self.clock, _iso, self.random, temper)
        self.archived: dict[str, Record] = {}
        self.told: list[Told] = []
        self.numbers = Numbers()
        self.answers: list[dict[str, Any]] = []
        self.steps = 0
        self.deviations: dict[int, str] = {}  # at which step something goes wrong, and what
        self.build: Callable[[OrderExports], OrderExports] = lambda built: built
        self.quiet = False
        self._closed_until = 0.0
        self._tokens = 0
        self._depth = 0
        self._plan: Plan | None = None
        self._deaths_left = 12
        self.apply(written)

    # --- people ---

    def apply(self, written: Mapping[str, Any]) -> Plan:
        """Apply a plan, as the command line does."""
        items = self._items()
        head = items.head()
        plan = read_plan(written).applied(self._plan, self.now())
        digest, parts = items.write_plan(head.plan + 1, plan, head, self.now().isoformat())
        assert items.move(heads.apply(head, digest, parts, self._token(), self.now()), "Applying")
        self._plan = plan
        return plan

    def resume(self) -> None:
        """Resume everything, as the command line does."""
        items = self._items()
        items.move(heads.resume(), "Resuming")
        assert self._plan is not None
        for ledger in items.ledgers([chunk.id for _, chunk in self._plan.chunks()]).values():
            if ledger.stopped or ledger.failed:
                items.save(ledger.resumed(), self._token())

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        assert self._plan is not None
        return self._plan

    # --- time ---

    def now(self) -> datetime:
        """Return the date and time."""
        return datetime.fromtimestamp(self.clock, UTC)

    def tick(self) -> None:
        """Let a quarter of an hour pass, in which jobs end and are archived, and run once."""
        self.clock += TICK.total_seconds() * self.random.choice([1, 1, 1, 1, 3])
        self.vendor.execute_late()
        self._archive()
        self.run()

    def run(self) -> None:
        """Run the function once; it may die."""
        self._depth += 1
        begun = self.clock
        try:
            self.answers.append(self._built(begun).run())
        except (Killed, Interruption):
            pass
        finally:
            self._depth -= 1

    def _archive(self) -> None:
        for job in self.vendor.jobs:
            if job.ends == "succeeded" and job.ends_at + 120 <= self.clock:
                self.archived[job.job_id] = Record("archived")

    # --- the function ---

    def _built(self, begun: float) -> OrderExports:
        def remaining_seconds() -> float:
            return FUNCTION_SECONDS - (self.clock - begun)

        wire = _Wire(self.vendor, self._step)
        vendor = ApartmentIq(
            ThrottledHttp(wire, self._close_vendor, self.now),
            _Credentials(),
            api_base_url=API,
            token_url=TOKEN_URL,
            trusted_hosts=TrustedHosts(),
            steps=NoSteps(),
            pause=self._pause,
        )
        return self.build(
            OrderExports(
                vendor=vendor,
                items=self._items(),
                jobs=self,
                queue=self,
                callback_url=lambda: _CALLBACK_URL if self.temper.callbacks else None,
                emit=self.told.append,
                gauges=self.numbers,
                log=Quiet(),
                now=self.now,
                pause=self._pause,
                remaining_seconds=remaining_seconds,
                token=self._token,
                function_seconds=FUNCTION_SECONDS,
            )
        )

    def _items(self) -> OrderItems:
        return OrderItems(cast("Any", self.table), "table", self._pause)

    def _token(self) -> str:
        self._tokens += 1
        return f"token {self._tokens}"

    def _pause(self, seconds: float) -> None:
        self.clock += seconds

    def _close_vendor(self, until: float) -> None:
        self._closed_until = max(self._closed_until, until)

    # --- ordering.Jobs and ordering.Queue ---

    def vendor_closed_until(self) -> float:
        """Return the fleet's throttle."""
        return self._closed_until

    def records(self, job_ids: Any) -> Mapping[str, Record]:  # noqa: ANN401 - a sequence
        """Return what is archived."""
        self._step("before it is known what is archived")
        return {each: self.archived[each] for each in job_ids if each in self.archived}

    def send_batch(self, bodies: Any) -> list[bool]:  # noqa: ANN401 - a sequence
        """Take messages: what has ended is archived without them."""
        return [True] * len(bodies)

    # --- what goes wrong ---

    def _step(self, where: str) -> None:
        """Let time pass, and perhaps something go wrong, wherever a run touches the world."""
        if not self._depth:
            return
        self.clock += self.random.choice([0.01, 0.01, 0.3])
        self.steps += 1
        self._deviate(where, self.deviations.get(self.steps, ""))
        if self.quiet:
            return
        temper = self.temper
        if self._depth == 1 and self.random.random() < temper.second_run:
            if self.random.random() < 0.5:
                self.clock += 40.0
            self.run()
        if self._deaths_left and self.random.random() < temper.dies:
            self._deaths_left -= 1
            raise Killed
        if where.endswith(("read", "write")) and self.random.random() < temper.table:
            raise client_error("InternalServerError", 500, "UpdateItem")

    def _deviate(self, where: str, what: str) -> None:
        if what == "another run" and self._depth == 1:
            self.run()
        elif what == "dies":
            raise Killed
        elif what == "fails" and where.endswith(("read", "write")):
            raise client_error("InternalServerError", 500, "UpdateItem")
        elif what == "fails":
            raise Failure("network", "The vendor did not answer.")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
