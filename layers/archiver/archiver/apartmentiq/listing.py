"""The vendor's job list: what a page says, and how it is walked. Pure.

The sweep walks it, and so does a run that looks for a job without a page of its own. `pagination`
is used as far as it can be read; otherwise the pages themselves tell where the list ends.

The list is newest first, in pages, and it shifts while it is read. A new job pushes others to later
pages: they are seen twice, which costs nothing. A job that disappears pulls others forward, and one
of them may cross to a page that was read already: it would not be seen. `Position.after` tells when
that can have happened, and steps back (docs/decisions, "The sweep reads back").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from archiver.apartmentiq.protocol import decipher_jobs_and_pagination
from archiver.errors import Deferral, Failure, Interruption
from archiver.job import Job, parse_job_id
from archiver.moment import read_vendor_moment
from archiver.network.answer import Answer

__all__ = [
    "MOST_PER_PAGE",
    "JobsPage",
    "ListedJob",
    "Position",
    "Walk",
    "decipher_listing",
    "read_patiently",
    "whole",
]

MOST_PER_PAGE = 100  # the API's maximum
# A list from which jobs vanish fifty times in five minutes is none; its totals are guesses, and who
# walks it comes to its end all the same.
_MOST_STEPS_BACK = 50
_MOST_REPEATS = 10  # of a page; orders push one page's jobs to the next, but not all the time
_TRIES_A_PAGE = 3
_FIRST_PAUSE_SECONDS = 1.0  # doubled with each try
_WAITS_A_PAGE = 5  # a vendor that says "later" oftener than this is left alone until the next run


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One job of the list; a date that cannot be read is None and excludes nothing."""

    job: Job
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def from_vendor(cls, fields: Mapping[str, Any]) -> ListedJob | None:
        """Read a job object of the list; None for one without a job id that could be asked for."""
        job_id = parse_job_id(fields.get("job_id"))
        if job_id is None:
            return None
        return cls(
            Job.from_vendor(job_id, fields),
            created_at=read_vendor_moment(fields.get("created_at")),
            updated_at=read_vendor_moment(fields.get("updated_at")),
        )

    @property
    def job_id(self) -> str:
        """Its id."""
        return self.job.job_id

    @property
    def completed_at(self) -> datetime | None:
        """When it completed, as near as the API tells: it documents no such date but these two."""
        return self.updated_at or self.created_at


@dataclass(frozen=True, slots=True)
class JobsPage:
    """One page as the vendor told it; what its `pagination` leaves out is None."""

    jobs: tuple[ListedJob, ...]
    unreadable_count: int
    total_pages: int | None
    total_count: int | None
    jobs_per_page: int

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is on it; a page of nothing readable is not empty."""
        return not self.jobs and not self.unreadable_count


@dataclass(frozen=True, slots=True)
class Position:
    """Where to read next, in pages of so many jobs, and how many there were at the last read."""

    page: int = 1
    total_count: int | None = None
    per_page: int = MOST_PER_PAGE

    def narrower(self) -> Position:
        """Return the same place in pages half as long, for one that is too long to be read.

        Where the halves do not meet, some jobs are read again, and none is missed.
        """
        if self.per_page == 1:
            raise Failure("vendor_error", "A single job of the list is too long to be read.")
        per_page = self.per_page // 2
        jobs_before = (self.page - 1) * self.per_page
        return Position(jobs_before // per_page + 1, self.total_count, per_page)

    def after(self, read: JobsPage) -> Position:
        """Return where to read on after this page.

        What stands before the boundary grows by new jobs (they come first) and shrinks by those
        that vanish there; the total changes by both and by those that vanish elsewhere. So where
        the total has not fallen nothing has come forward; where it has fallen by n, at most n have,
        and they are at the end of the pages before.
        """
        fallen = 0
        if self.total_count is not None and read.total_count is not None:
            fallen = self.total_count - read.total_count
        total_count = self.total_count if read.total_count is None else read.total_count
        # A vendor that gives fewer than were asked for counts its pages by what it gives.
        given = max(read.jobs_per_page, len(read.jobs) + read.unreadable_count)
        per_page = min(self.per_page, given)
        if fallen > 0 and self.page > 1:
            pages_back = -(-fallen // read.jobs_per_page)
            return Position(max(1, self.page - pages_back), total_count, per_page)
        return Position(self.page + 1, total_count, per_page)

    def is_last(self, read: JobsPage) -> bool:
        """Tell whether nothing comes after this page; what the list does not tell, it shows."""
        if read.is_empty:
            return True
        if read.total_pages is None or self.page < read.total_pages:
            return False
        return read.total_count is None or self.page * read.jobs_per_page >= read.total_count


class Walk:
    """One reading of the list from a position on: forward, back where it moved, and narrower.

    `read` returns the page at a position, or None for one that is too long to be read. `position`
    is that of the page which is being worked on, and after that of the next.
    """

    def __init__(
        self, read: Callable[[Position], JobsPage | None], start: Position | None = None
    ) -> None:
        """Prepare to read from a position on, or from the beginning."""
        self.position = start or Position()
        self._read = read
        self._steps_back = 0

    def pages(self, is_behind: Callable[[JobsPage], bool] = lambda _: False) -> Iterator[JobsPage]:
        """Read up to the end of the list, or to a page behind which nothing matters.

        Raises Failure("vendor_error") for a list that says the same on every page.
        """
        before: JobsPage | None = None
        repeats = 0
        while True:
            page = self._page()
            yield page
            read, self.position = self.position, self._after(page)
            if self.position.page <= read.page:
                before = None
                continue
            if read.is_last(page) or is_behind(page):
                return
            repeats = repeats + 1 if page == before else 0
            if repeats >= _MOST_REPEATS:
                told = f"Page {read.page} of the job list is the same as those before it."
                raise Failure("vendor_error", told)
            before = page

    def _page(self) -> JobsPage:
        while True:
            page = self._read(self.position)
            if page is not None:
                return page
            self.position = self.position.narrower()

    def _after(self, page: JobsPage) -> Position:
        """Return where to read on; a total that goes up and down all the time is not followed."""
        position = self.position.after(page)
        if position.page <= self.position.page:
            self._steps_back += 1
            if self._steps_back > _MOST_STEPS_BACK:
                return replace(position, page=self.position.page + 1)
        return position


def whole(page: JobsPage | None, position: Position) -> JobsPage | None:
    """Return a page, unless it is empty though the list goes on: that would look like its end."""
    if page is None or not page.is_empty or page.total_pages is None:
        return page
    if position.page < page.total_pages:
        told = f"Page {position.page} of {page.total_pages} of the job list is empty."
        raise Failure("vendor_error", told)
    return page


def read_patiently(
    ask: Callable[[], JobsPage | None],
    position: Position,
    *,
    check_time: Callable[[float, Interruption | None], None],
    pause: Callable[[float], None],
) -> JobsPage | None:
    """Read one page: wait where the vendor asks for it, try again where it stumbles.

    `check_time` raises where there is not the time to wait for so many seconds, and is given why.
    Raises what `ask` raises, after so many tries or waits.
    """
    tries = waits = 0
    while True:
        check_time(0.0, None)
        try:
            return whole(ask(), position)
        except Deferral as deferral:
            waits += 1
            if deferral.wait_seconds is None or waits > _WAITS_A_PAGE:
                raise
            check_time(deferral.wait_seconds, deferral)
            pause(deferral.wait_seconds)
        except Failure:
            tries += 1
            if tries >= _TRIES_A_PAGE:
                raise
            pause(_FIRST_PAUSE_SECONDS * 2 ** (tries - 1))


def decipher_listing(
    answer: Answer,
    per_page: int,
    read: Callable[[Mapping[str, Any]], ListedJob | None] | None = None,
) -> JobsPage | None:
    """Read a page with all that its pagination tells; entries without a job id are counted.

    None: it is longer than our limit, so that fewer are to be asked for. `jobs_per_page` is what
    the vendor says that it gives, which need not be the `per_page` that was asked for.
    """
    if answer.is_cut and answer.status == 200:
        return None
    entries, told = decipher_jobs_and_pagination(answer)
    read = read or ListedJob.from_vendor
    jobs = [job for entry in entries if (job := read(entry)) is not None]
    return JobsPage(
        jobs=tuple(jobs),
        unreadable_count=len(entries) - len(jobs),
        total_pages=_whole(told.get("total_pages")),
        total_count=_whole(told.get("total_count")),
        jobs_per_page=_whole(told.get("per_page")) or per_page,
    )


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None
