"""What was read of a stack, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.letters import Letter
    from local.aws.queues import Depth

__all__ = ["Alarm", "Found", "Step"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that rings: its name without the stack's, what it means, since when (ISO 8601)."""

    name: str
    description: str
    since: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the run that archived a job; Unix seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Found:
    """A stack as it was read; `alarms` None: they could not be, and `notes` says why.

    `jobs` are pages of the jobs' items, to be read once.
    """

    stack: str
    region: str
    bucket: str
    redrive_command: str
    jobs: Iterable[list[dict[str, Any]]]
    fleet: Mapping[str, Any]
    queue: Depth
    letters: list[tuple[str, Letter]]
    letters_total: int
    alarms: list[Alarm] | None
    alarms_set: int
    steps: Mapping[str, list[Step]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
