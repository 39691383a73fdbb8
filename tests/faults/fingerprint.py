"""All that decides how a world goes on, and nothing else; by it `make explore` merges schedules.

The services are told by what they hold. A runtime is told by all that it was ever answered, and
when (exhaustive.py, `hear`): the application is what follows from that. So it does not matter in
which order runs did what does not touch, nor how often boto3 had to try. Names that count (tokens,
links) are as good as any other; the job's owner is named after its run.

What only the judge looks at belongs to it where it makes a verdict; what only excuses does not, but
stands beside it (`excuses`): a schedule with more of it may end with one that has less.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from tests.faults.exhaustive import Chosen, Exhaustive

if TYPE_CHECKING:
    from tests.faults.choices import Excuses
    from tests.faults.fleet import Invocation
    from tests.faults.stories import Told

__all__ = ["excuses", "fingerprint"]


def excuses(told: Told) -> Excuses:
    """Return which runs met what: the judge is easier on them."""
    runs = told.world.fleet.invocations
    return frozenset((run.name, cause) for run in runs for cause, _ in run.faults)


def fingerprint(told: Told) -> Hashable:
    """Return a world's state, to be compared with others of the same scenario."""
    world, scheduler, chaos = told.world, told.world.scheduler, told.world.chaos
    assert isinstance(scheduler, Exhaustive)
    assert isinstance(chaos, Chosen)
    due = scheduler.due()
    last = getattr(scheduler.last, "name", "")
    queues = world.queues
    return hash(
        (
            scheduler.now,
            last if any(getattr(task.owner, "name", "") == last for _, task in due) else "",
            frozenset((at, *_task(chaos, task)) for at, task in due),
            frozenset((key, _item(item)) for key, item in world.table.items.items()),
            frozenset(_letter(letter) for letter in queues.messages.values()),
            tuple(_letter(letter) for letter in queues.dead),
            len(queues.sent),
            tuple(
                (
                    *(upload.upload_id, upload.state, upload.by, upload.at, upload.ended_by),
                    *(tuple(upload.parts), tuple(upload.log), frozenset(upload.known)),
                )
                for upload in world.objects.uploads.values()
            ),
            tuple(
                (key, *((v.version_id, v.by, v.at) for v in versions))
                for found in (world.objects.versions, world.objects.entries)
                for key, versions in found.items()
            ),
            frozenset(sent for _, _, sent in world.bus.events),
            tuple(_run(chaos, told, run) for run in world.fleet.invocations),
            tuple(chaos.heard.get(id(runtime.patience)) for runtime in world.fleet.warm),
            (world.vendor.closed_until, len(world.vendor.told)),
            told.state(),
        )
    )


def _task(chaos: Chosen, task: Any) -> tuple[Hashable, ...]:  # noqa: ANN401 - a Task
    known = getattr(task.owner, "patience", None)
    turn = 0 if id(known) in chaos.heard else task.turn  # nobody tells a sweep anything
    doing = chaos.under_way.get(id(task))
    return task.owner.name, task.owner.frozen_until, task.role, task.number, turn, doing


def _item(item: Any) -> Hashable:  # noqa: ANN401 - DynamoDB's
    return frozenset((name, repr(value)) for name, value in item.items())


def _letter(letter: Any) -> Hashable:  # noqa: ANN401 - a Letter
    return (
        *(letter.message_id, letter.body, letter.sent_at, letter.visible_at, letter.receives),
        *(letter.first_received_at, letter.handle, letter.twice_at, letter.delete_lost),
        *(letter.redriven, letter.acknowledged, getattr(letter.sent_in, "name", ""), letter.chain),
        frozenset(letter.attributes.items()),
    )


def _run(chaos: Chosen, told: Told, run: Invocation) -> Hashable:
    came_to: tuple[Hashable, ...] = (
        run.name,
        run.how,
        run.outcome,
        run.reason,
        run.began_at,
        run.ended_at,
    )
    came_to += (run.letter.message_id, run.timed_out, run.committed_at, run.frozen_until)
    if run.ended_at is not None:
        return came_to
    return (
        *came_to,
        *(run.letter.handle, run.dead, run.closed_until, run.looked_at, tuple(sorted(run.sides))),
        *(len(run.aborts), told.knew_better(run), chaos.heard.get(id(run.patience))),
    )
