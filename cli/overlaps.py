"""Which archived windows overlap without being equal: what no view of current revisions can mend.

Of equal windows with equal properties the newest revision is current; of two that only overlap,
both are, and the days that they share are read twice (docs/athena.md). What is known of properties
is the fingerprint of their set, so that sets are equal or not: whether two that differ share a
property cannot be told here. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Windows"]

_Kind = tuple[str, str, str]  # report type, format, properties
_Window = tuple[date, date]


@dataclass(slots=True)
class Windows:
    """The windows that exports were archived of. `ends_before`: the vendor's last day is not in it.

    A job of which the dates or the properties are not told is by itself, and is left out.
    """

    ends_before: bool = False
    _jobs: dict[_Kind, Counter[_Window]] = field(default_factory=dict)

    def noting(self, jobs: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield archived jobs as they are, and remember their windows."""
        for job in jobs:
            self._note(job)
            yield job

    def overlapping(self) -> list[dict[str, Any]]:
        """Return the windows that share days with another of the same kind and properties.

        Those that hang together are told together, the oldest first.
        """
        return [
            {
                "report_type": report_type,
                "output_format": output_format,
                "property_set": property_set,
                "windows": [
                    {"from": first.isoformat(), "to": last.isoformat(), "jobs": jobs[first, last]}
                    for first, last in chain
                ],
            }
            for (report_type, output_format, property_set), jobs in sorted(self._jobs.items())
            for chain in self._chains(sorted(jobs))
            if len(chain) > 1
        ]

    def _note(self, job: Mapping[str, Any]) -> None:
        told = [job.get(name) for name in ("report_type", "output_format", "property_set")]
        try:
            first = date.fromisoformat(str(job.get("start_date")))
            last = date.fromisoformat(str(job.get("end_date")))
        except ValueError:
            return
        if not {None, "unknown"} & set(told) and first <= last:
            kind = (str(told[0]), str(told[1]), str(told[2]))
            self._jobs.setdefault(kind, Counter())[first, last] += 1

    def _chains(self, windows: list[_Window]) -> Iterator[list[_Window]]:
        """Part windows, which are in order, where no day is shared."""
        chain: list[_Window] = []
        reached = date.min
        for window in windows:
            shares = window[0] < reached or (window[0] == reached and not self.ends_before)
            if chain and not shares:
                yield chain
                chain, reached = [], date.min
            chain.append(window)
            reached = max(reached, window[1])
        yield chain
