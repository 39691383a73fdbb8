"""Sets of whole numbers, kept as the runs that they consist of: ten years of days in a line. Pure.

Every question costs what the runs cost, never what the numbers between them would.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Spans"]


@dataclass(frozen=True, slots=True)
class Spans:
    """A set of whole numbers; `runs`: (first, last), ascending, and between two of them a gap."""

    runs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def between(cls, first: int, last: int) -> Spans:
        """Return all from `first` to `last`, both included; none where the last comes first."""
        return cls(((first, last),)) if first <= last else cls()

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Spans:
        """Return the set of these numbers."""
        return cls(_joined(sorted((number, number) for number in numbers)))

    @classmethod
    def from_text(cls, text: str) -> Spans:
        """Read what `to_text` wrote; raises ValueError for anything else."""
        runs = []
        for part in filter(None, text.split(",")):
            first, _, last = part.partition("-")
            runs.append((int(first), int(last or first)))
        return cls(_joined(sorted(runs)))

    def to_text(self) -> str:
        """Return the set as text, such as "739000-739012,739014"."""
        return ",".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self.runs
        )

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.runs, (number, float("inf"))) - 1
        return at >= 0 and number <= self.runs[at][1]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.runs)

    def __or__(self, other: Spans) -> Spans:
        return Spans(_joined(sorted((*self.runs, *other.runs))))

    def __sub__(self, other: Spans) -> Spans:
        left: list[tuple[int, int]] = []
        holes, at = other.runs, 0
        for first, last in self.runs:
            begin = first
            while at < len(holes) and holes[at][1] < begin:
                at += 1
            while at < len(holes) and holes[at][0] <= last:
                if begin < holes[at][0]:
                    left.append((begin, holes[at][0] - 1))
                begin = holes[at][1] + 1
                if begin > last:
                    break  # this hole may reach into the next run
                at += 1
            if begin <= last:
                left.append((begin, last))
        return Spans(tuple(left))

    def newest_first(self) -> Iterator[int]:
        """Yield the numbers, the greatest first."""
        for first, last in reversed(self.runs):
            yield from range(last, first - 1, -1)

    def oldest_first(self) -> Iterator[int]:
        """Yield the numbers, the least first."""
        for first, last in self.runs:
            yield from range(first, last + 1)


def _joined(ascending: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the runs with those made one that overlap or touch."""
    runs: list[tuple[int, int]] = []
    for first, last in ascending:
        if first > last:
            raise ValueError(f"a run from {first} back to {last}")
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return tuple(runs)
