"""The small scenarios of `make explore`, and what must hold in each, judged from outside.

What is looked at: the bucket, the queues, the events, the table, and what each message was told.
The judge of `make faults` looks on as well.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from archiver.network.deadline import Deadline
from archiver.receipt import iso_utc
from tests.faults.chaos import ENDLESS, Run
from tests.faults.fleet import Invocation
from tests.faults.judge import Judge
from tests.faults.objects import Upload
from tests.faults.scheduler import START
from tests.faults.vendor import ExportJob
from tests.faults.world import NO_MUTATION, World

__all__ = ["SCENARIOS", "Told"]

_SIZE = 2_000  # two parts
_HOUR = 3_600.0
_ARCHIVED: list[Any] = []  # what services hold an hour after a job was archived: each time the same


class Told:
    """A world with one job, and what its messages were told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.judge = Judge(world)
        self.gone = False  # the object was removed, and nobody has put it back
        self.known_gone_at: int | None = None  # since which step somebody has looked
        self._began: dict[str, int] = {}
        self._owners: dict[str, str] = {}  # which run has which token
        world.fill_secret()
        draw = random.Random("explore")  # noqa: S311 - no secret
        job_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        self.job = ExportJob(job_id, "export", START - 1, "succeeded", granted=False)
        self.job.change(draw.randbytes(_SIZE))
        world.add(self.job)
        ended, aborted = world.fleet.on_end, world.objects.on_abort
        committed, began = world.objects.on_commit, world.fleet.on_begin

        def on_end(run: Invocation) -> None:
            ended(run)
            self._on_end(run)

        def on_abort(upload: Upload) -> None:
            aborted(upload)
            self._on_abort(upload)

        def on_commit(version: Any) -> None:  # noqa: ANN401 - a Version
            committed(version)
            self.gone, self.known_gone_at = False, None

        def on_begin(run: Invocation) -> None:
            began(run)
            self._began[run.name] = world.scheduler.steps

        world.table.on_change = self._on_change
        world.fleet.on_end, world.objects.on_abort = on_end, on_abort
        world.objects.on_commit, world.fleet.on_begin = on_commit, on_begin

    # --- what happens ---

    def ask(self, at: float = 0.0, *, recheck: bool = False, **attributes: str) -> None:
        """Send a message."""
        body = {"job_id": self.job.job_id} | ({"recheck": True} if recheck else {})

        def send() -> None:
            self.world.queues.put(json.dumps(body), attributes=attributes)

        self.world.scheduler.at(START + at, send)

    def people(self, at: float, act: Callable[[], object]) -> None:
        """Let people do something, from a moment on: runs that are at work then may go first."""
        self._begin(at, f"people at {at:g}", act)

    def weather(self, at: float, act: Callable[[], object]) -> None:
        """Let something happen at a moment."""
        self.world.scheduler.at(START + at, act)

    def _begin(
        self, at: float, name: str, act: Callable[[], object], patience: Deadline = ENDLESS
    ) -> None:
        def begin() -> None:
            task = self.world.scheduler.start(act, Run(name, patience=patience))
            task.can_wait = True

        self.world.scheduler.at(START + at, begin)

    def archived(self) -> None:
        """Begin with a job that was archived an hour ago, by this version."""
        world, chaos = self.world, cast("Any", self.world.chaos)
        if world.mutation is NO_MUTATION and _ARCHIVED:
            items, versions, entries, uploads, events = deepcopy(_ARCHIVED)
            world.table.items.update(items)
            world.objects.versions.update(versions)
            world.objects.entries.update(entries)
            world.objects.uploads.update(uploads)
            world.bus.events += events
            return
        chaos.choices.off = True
        world.queues.put(json.dumps({"job_id": self.job.job_id}))
        world.run(until=START + _HOUR - 1, max_steps=20_000)
        chaos.choices.off = False
        chaos.asked.clear()
        assert self.item()["state"] == {"S": "archived"}, self.item()
        if world.mutation is NO_MUTATION:
            objects = world.objects
            kept = (objects.versions, objects.entries, objects.uploads, world.bus.events)
            _ARCHIVED[:] = deepcopy([world.table.items, *kept])

    def remove(self) -> None:
        """Delete the object, as people do."""
        self.gone = bool(self.world.objects.versions)
        self.world.objects.versions.clear()

    def item(self) -> Mapping[str, Any]:
        """Return the job's item."""
        return self.world.table.items.get(f"job#{self.job.job_id}", {})

    def sweep(self, at: float) -> None:
        """Let the real reconcile_exports sweep by hand, as far as faults let it."""
        deadline = Deadline(self.world.chaos.ring_after)

        def work() -> None:
            self.world.sweeper(deadline).sweep({}, cast("Any", _SweepsContext()))

        self._begin(at, f"sweep at {at:g}", work, deadline)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.world.now, UTC)

    def _would_queue(self) -> int:
        """Return how many jobs a sweep would queue now; it asks nobody anything by a wire."""
        sweeper = self.world.sweeper(Deadline(self.world.chaos.ring_after))
        answer = sweeper.sweep({"dry_run": True}, cast("Any", _SweepsContext()))
        return len(answer["would_queue"])

    # --- what must hold ---

    def _on_end(self, run: Invocation) -> None:
        found = any(self.job.job_id in key for key in self.world.objects.versions)
        looked = self.item().get("state") == {"S": "missing"} or run.how == "died"
        if self.gone and looked and self.known_gone_at is None and self._is_missing():
            self.known_gone_at = self.world.scheduler.steps
        if run.outcome not in {"archived", "already_archived"} or found:
            return
        if not self.gone or self.knew_better(run):
            self._violate(f"{run.name} was told {run.outcome}, and there is no object")

    def _is_missing(self) -> bool:
        asked = cast("Any", self.world.chaos).asked
        return any("HeadObject" in name for name in asked)

    def state(self) -> tuple[bool, ...]:
        """Return what it knows beyond what the world shows."""
        return self.gone, self.known_gone_at is not None, self._is_missing()

    def knew_better(self, run: Invocation) -> bool:
        """Tell whether a run began after somebody had found the object gone."""
        return self.known_gone_at is not None and self._began[run.name] > self.known_gone_at

    def _on_change(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Let only its owner change what is held, and only its message what waits."""
        if after["id"] != {"S": f"job#{self.job.job_id}"}:
            return
        run = self.world.chaos.run()
        who = run.name if run is not None else "somebody"
        was = {name: next(iter(value.values())) for name, value in before.items()}
        owner, now = was.get("owner", ""), iso_utc(self._now())
        is_owners = self._owners.get(owner) == who
        self._check_at_work(was, after, who)
        if was.get("held_until", "") > now and not is_owners:
            raise self.world.chaos.violate(f"{who} changed what {self._owners.get(owner)} holds")
        if "owner" in after and after["owner"]["S"] != owner:
            self._owners[after["owner"]["S"]] = who
        states = (was.get("state"), after["state"]["S"])
        if states[0] == "archived" and states[1] not in {"archived", "missing"}:
            raise self.world.chaos.violate(f"{who} wrote {states[1]} over a receipt")
        if states[0] != "archived" and states[1] == "missing" != states[0]:
            raise self.world.chaos.violate(f"{who} missed the object of a job that is {states[0]}")
        if isinstance(run, Invocation) and states[0] in {"waiting", "failing", "copying"}:
            self._check_its_own(run, was, after, ended=states[1] == "dead_lettered")

    def _check_at_work(self, was: Mapping[str, Any], after: Mapping[str, Any], who: str) -> None:
        """Let nobody take a job from a run that is at it and stood still at no time."""
        taken = after.get("owner", {}).get("S") != was.get("owner")
        for run in self.world.fleet.invocations:
            if run.name != self._owners.get(was.get("owner", "")) or run.name == who:
                continue
            at_work = was["state"] == "copying" and not (run.dead or run.frozen_until or run.faults)
            if taken and at_work:
                raise self.world.chaos.violate(f"{who} took what {run.name} is at work on")

    def _check_its_own(
        self, run: Invocation, was: Mapping[str, Any], after: Mapping[str, Any], *, ended: bool
    ) -> None:
        """Let no message end what another waits with, or take its upload away."""
        mine = run.letter.attributes.get("asked_by", run.letter.message_id)
        lately = was["updated_at"] > iso_utc(self._now() - timedelta(hours=6))
        taken = after["state"]["S"] == was["state"] and "upload_id" in was.keys() - after.keys()
        if was.get("asked_by", mine) != mine and lately and (ended or taken):
            raise self.world.chaos.violate(f"{run.name} ended what another message waits with")

    def _on_abort(self, upload: Upload) -> None:
        if self.item().get("upload_id") == {"S": upload.upload_id}:
            self._violate(f"{upload.upload_id} was aborted and is the job's")

    def at_rest(self) -> None:
        """Judge everything when nothing happens any more."""
        self.judge.at_rest()
        state = self.item().get("state", {}).get("S")
        letters = self.world.queues.dead
        excused = any(letter.attributes.get("reason") is None for letter in letters)
        if state != "archived" and letters and state != "dead_lettered" and not excused:
            self._violate(f"there is a dead letter, and the job is {state}")
        if not letters and state != "archived":
            self._violate(f"nothing is left to happen, and the job is {state}")
        if state == "archived" and not self.world.objects.versions and not self.gone:
            self._violate("the job is archived, and there is no object")
        if not letters and self._would_queue():
            self._violate(f"the sweep queues a job again that is {state}")

    def _violate(self, what: str) -> None:
        self.world.chaos.violate(what)


class _SweepsContext:
    """What reconcile_exports asks of Lambda."""

    def get_remaining_time_in_millis(self) -> int:
        """Return what is always left."""
        return 900_000


def _two_messages(told: Told) -> None:
    told.ask()
    told.ask()


def _one_message(told: Told) -> None:
    told.ask()


def _message_and_recheck(told: Told) -> None:
    told.ask()
    told.ask(recheck=True)


def _gone_and_recheck(told: Told) -> None:
    told.archived()
    told.remove()
    told.ask(_HOUR, recheck=True)
    told.ask(_HOUR)


def _two_rechecks(told: Told) -> None:
    told.archived()
    told.remove()
    told.ask(_HOUR, recheck=True)
    told.ask(_HOUR, recheck=True)


def _recheck_and_sweep(told: Told) -> None:
    told.archived()
    told.remove()
    told.ask(_HOUR, recheck=True)
    for hours in (1, 8, 9, 24):
        told.sweep(hours * _HOUR)


def _ask_in_vain(told: Told, at: float) -> None:
    """Send a message that has waited for too long, while the vendor asks to wait."""
    now = datetime.fromtimestamp(START, UTC)
    long_ago = iso_utc(now - timedelta(hours=90))
    told.ask(at, first_seen_at=long_ago, deferrals="9", deferred_at=iso_utc(now))

    def close() -> None:
        told.world.vendor.retry_after = (1.0, 1.0)
        told.world.vendor.closed_until = START + at + 1.0

    told.weather(at, close)


def _long_copy(told: Told) -> None:
    """Let a copy take longer than a lease, and another message come meanwhile."""
    slow = replace(told.world.physics, bytes_per_second=20.0, chunk_bytes=400)
    told.world.physics = slow
    told.ask()
    told.ask(50.0)


def _dead_letter_and_live_copy(told: Told) -> None:
    told.ask()
    _ask_in_vain(told, 1.0)


def _dead_letter_and_waiting_copy(told: Told) -> None:
    """Let the first die; its message comes back, and goes on with its upload."""
    told.ask()
    fleet = told.world.fleet

    def kill() -> None:
        for first in fleet.invocations[:1]:
            fleet.kill(first)

    told.weather(5.0, kill)
    _ask_in_vain(told, 46.0)


def _overtaken_and_back(told: Told) -> None:
    """Three messages, of which the first stands still until another has its job."""

    def freeze() -> None:
        for first in told.world.fleet.invocations[:1]:
            first.frozen_until = START + 62.0

    told.ask()
    told.weather(5.0, freeze)
    told.ask(52.0)
    told.ask(58.0)
    told.ask(63.0)


def _forgetful(told: Told) -> None:
    """Excuse that parts are copied again: which upload has them, only the item knew."""
    told.world.objects.on_first_part = told.world.objects.on_begin = lambda _: None
    told.judge._check_uploads = lambda: None  # type: ignore[method-assign] # the lifecycle rule's


def _item_deleted(told: Told) -> None:
    _forgetful(told)
    told.ask()
    told.people(5.0, told.world.table.items.clear)
    told.ask(6.0)


def _archived_item_deleted(told: Told) -> None:
    told.archived()
    told.people(_HOUR, told.world.table.items.clear)
    told.ask(_HOUR)
    told.ask(_HOUR)
    told.ask(_HOUR + 60)  # somebody asks once more, for nobody hears of it otherwise


def _table_restored(told: Told) -> None:
    _forgetful(told)
    kept: dict[str, Any] = {}

    def restore() -> None:
        told.world.table.items.clear()
        told.world.table.items.update(deepcopy(kept))

    told.ask()
    told.people(5.0, lambda: kept.update(deepcopy(told.world.table.items)))
    told.people(30.0, restore)
    told.ask(90.0)


def _callback_sweep_and_redrive(told: Told) -> None:
    _sweep_and_message(told)
    told.ask()


def _sweep_and_message(told: Told) -> None:
    """Begin with a job that was set aside too early: a sweep takes it up, and a person does."""
    job = told.job.job_id
    at = iso_utc(datetime.fromtimestamp(START, UTC) - timedelta(hours=8))
    item = {"state": "dead_lettered", "reason": "no_such_job", "updated_at": at, "job_id": job}
    told.world.table.items[f"job#{job}"] = {
        name: {"S": value} for name, value in {"id": f"job#{job}", **item}.items()
    }
    told.sweep(0.0)
    told.ask()


def _old_code_and_new(told: Told) -> None:
    """Begin with a claim of the released version's, which may be at work for 15 minutes."""
    job, world = told.job, told.world
    at = iso_utc(datetime.fromtimestamp(START - 14 * 60, UTC))
    world.table.items[f"job#{job.job_id}"] = {
        "id": {"S": f"job#{job.job_id}"},
        "state": {"S": "copying"},
        "job_id": {"S": job.job_id},
        "updated_at": {"S": at},
        "first_seen_at": {"S": at},
        "attempts": {"N": "1"},
        "key": {"S": told.judge._key(job, job.output_format)},
    }
    told.ask()
    told.ask(1.0)
    begun = world.objects.on_begin

    def on_begin(upload: Upload) -> None:
        begun(upload)
        if world.now < START + 60:
            raise world.chaos.violate("copied beside a run of the released version")

    world.objects.on_begin = on_begin


SCENARIOS: dict[str, Callable[[Told], None]] = {
    "one message": _one_message,
    "two messages": _two_messages,
    "message and recheck": _message_and_recheck,
    "gone: recheck and message": _gone_and_recheck,
    "gone: two rechecks": _two_rechecks,
    "gone: recheck and sweeps": _recheck_and_sweep,
    "a copy longer than a lease": _long_copy,
    "dead letter and live copy": _dead_letter_and_live_copy,
    "dead letter and waiting copy": _dead_letter_and_waiting_copy,
    "overtaken, and back": _overtaken_and_back,
    "item deleted in mid copy": _item_deleted,
    "item of an archived job deleted": _archived_item_deleted,
    "table restored": _table_restored,
    "sweep and message": _sweep_and_message,
    "callback, sweep and redrive": _callback_sweep_and_redrive,
    "old code and new": _old_code_and_new,
}
