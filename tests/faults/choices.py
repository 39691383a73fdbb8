"""Every schedule instead of a random one: choices that are recorded, and taken anew each in turn.

A schedule is the list of the choices that were made in it. Where nothing else was chosen, the run
that is at work goes on and nothing goes wrong. A deviation costs: another run goes on although this
one could (a preemption), or something goes wrong (a fault); a schedule may have only so many of
each. Who goes on where nobody is at work costs nothing. All schedules within the bounds are tried,
those with the fewest deviations first, by running the world from its beginning with a longer and
longer list.

Two schedules that come to the same state go on in the same way. The second of them is cut short
(`Merged`) if the first had as many deviations left, and no excuse that the second has not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Bounds", "Choices", "Merged", "Seen", "schedules"]


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
        """Tell whether one more may be; an order costs nothing."""
        left = {"preemption": self.preemptions, "fault": self.faults}
        return left.get(kind, 1) > 0


Excuses = frozenset[tuple[str, str]]
# What of each state was tried: with how much left, and what excused by (judge.py: `blames`).
Seen = dict[Hashable, list[tuple[Bounds, Excuses]]]


@dataclass
class Choices:
    """The choices of one schedule: those that are given, then nothing unusual."""

    given: Sequence[int]
    bounds: Bounds
    seen: Seen
    names: list[str] = field(default_factory=list)
    options: list[tuple[str, int, Bounds]] = field(default_factory=list)  # kind, how many, left
    made: list[int] = field(default_factory=list)
    off: bool = False  # until the scenario begins
    given_deviations: int = 0  # those with fewer were all tried before

    @property
    def is_new(self) -> bool:
        """Tell whether this schedule has gone beyond the choices that it was given."""
        return len(self.made) >= len(self.given)

    def choose(self, kind: str, options: Sequence[str]) -> int:
        """Choose one of several ways on; the first is the usual one."""
        at = len(self.made)
        if self.off or not self.bounds.allow(kind) or len(options) < 2:
            return 0
        chosen = self.given[at] if at < len(self.given) else 0
        assert chosen < len(options), "the world was not the same when it was run again"
        self.options.append((kind, len(options), self.bounds))
        self.made.append(chosen)
        if chosen:
            self.bounds = self.bounds.without(kind)
            self.names.append(options[chosen])
        return chosen

    def meet(self, state: Hashable, excuses: Excuses) -> None:
        """Note a state that was come to; raises Merged if it was tried before."""
        tried, left = self.seen.setdefault(state, []), self.bounds
        if any(
            then.preemptions >= left.preemptions
            and then.faults >= left.faults
            and excused <= excuses
            for then, excused in tried
        ):
            raise Merged
        tried.append((left, excuses))


def schedules(bounds: Bounds, run: Callable[[Choices], None]) -> Iterator[Choices]:
    """Run all schedules within the bounds; yields each, run."""
    seen: Seen = {}
    most = bounds.preemptions + bounds.faults
    to_try = [deque([b""]), *(deque[bytes]() for _ in range(most))]
    while any(to_try):
        spent = next(number for number, same in enumerate(to_try) if same)
        given = to_try[spent].popleft()
        choices = Choices(given, bounds, seen, given_deviations=spent)
        run(choices)
        yield choices
        for at in range(len(given), len(choices.made)):
            kind, many, left = choices.options[at]
            after = left.without(kind)
            spent = bounds.preemptions - after.preemptions + bounds.faults - after.faults
            made = bytes(choices.made[:at])
            to_try[spent] += [made + bytes([other]) for other in range(1, many)]
