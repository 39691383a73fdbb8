"""Every schedule instead of a random one: choices that are recorded, and taken anew each in turn.

A schedule is the list of the choices that were made in it. Where nothing else was chosen, the task
that runs goes on and nothing goes wrong. A deviation costs: another task goes on (a preemption), or
something goes wrong (a fault); a schedule may have only so many of each. All schedules within the
bounds are tried by running the world from its beginning with a longer and longer list.

Two schedules that come to the same state go on in the same way: the state of the services, the
clock, what each task has asked and heard so far, and what is left of the bounds. The second of them
is cut short (`Merged`). So it is counted, and not run to its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Bounds", "Choices", "Merged", "schedules"]


class Merged(BaseException):
    """This schedule goes on as one that was tried."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many deviations a schedule may have."""

    preemptions: int
    faults: int

    def without(self, kind: str) -> Bounds:
        """Return what is left after one."""
        taken = (kind == "preemption", kind == "fault")
        return Bounds(self.preemptions - taken[0], self.faults - taken[1])

    def allow(self, kind: str) -> bool:
        """Tell whether one more may be."""
        return (self.preemptions if kind == "preemption" else self.faults) > 0


@dataclass
class Choices:
    """The choices of one schedule: those that are given, then nothing unusual."""

    given: Sequence[int]
    bounds: Bounds
    seen: dict[bytes, list[Bounds]]
    state: Callable[[], str] = lambda: ""
    names: list[str] = field(default_factory=list)
    options: list[tuple[str, int, Bounds]] = field(default_factory=list)  # kind, how many, left
    made: list[int] = field(default_factory=list)
    merged: bool = False
    off: bool = False  # until the scenario begins

    def choose(self, kind: str, options: Sequence[str]) -> int:
        """Choose one of several ways on; the first is the usual one."""
        at = len(self.made)
        if self.off or self.merged or not self.bounds.allow(kind) or len(options) < 2:
            return 0
        if at >= len(self.given):
            self._check_merged(f"{kind} {options}")
        chosen = self.given[at] if at < len(self.given) else 0
        self.options.append((kind, len(options), self.bounds))
        self.made.append(chosen)
        if chosen:
            self.bounds = self.bounds.without(kind)
            self.names.append(options[chosen])
        return chosen

    def _check_merged(self, point: str) -> None:
        key = hashlib.blake2b(f"{point} {self.state()}".encode(), digest_size=16).digest()
        tried = self.seen.setdefault(key, [])
        left = self.bounds
        if any(t.preemptions >= left.preemptions and t.faults >= left.faults for t in tried):
            self.merged = True
            raise Merged
        tried.append(left)


def schedules(
    bounds: Bounds, run: Callable[[Choices], None], state_of: dict[bytes, list[Bounds]]
) -> Iterator[Choices]:
    """Run all schedules within the bounds; yields each, run."""
    to_try: list[list[int]] = [[]]
    while to_try:
        given = to_try.pop()
        choices = Choices(given, bounds, state_of)
        run(choices)
        yield choices
        for at in range(len(given), len(choices.made)):
            kind, many, left = choices.options[at]
            if left.allow(kind):
                to_try += [[*choices.made[:at], other] for other in range(1, many)]
