"""The vendor's client for whoever reads the whole job list; the function that archives needs none.

It asks what the other client may ask, with the same token, throttle and manners, and one thing
more.
"""

from __future__ import annotations

from archiver.apartmentiq.client import ApartmentIq
from archiver.apartmentiq.protocol import (
    JOBS_PER_PAGE,
    Answer,
    decipher_jobs_and_pagination,
    jobs_page_path,
)
from archiver.listing import JobsPage, ListedJob

__all__ = ["JobList", "decipher_listing"]


class JobList(ApartmentIq):
    """Implements `reconcile.Vendor`."""

    def jobs_page(self, page: int) -> JobsPage:
        """Return one page of the job list, newest first; pages count from 1.

        Raises what the API's errors mean.
        """
        with self._steps.step("list"):
            return decipher_listing(self._get(jobs_page_path(page)))


def decipher_listing(answer: Answer) -> JobsPage:
    """Read a page with all that its pagination tells; entries without a job id are counted.

    `jobs_per_page` is what the vendor says that it gives, which need not be what was asked for.
    """
    entries, told = decipher_jobs_and_pagination(answer)
    jobs = [job for entry in entries if (job := ListedJob.from_vendor(entry)) is not None]
    return JobsPage(
        jobs=tuple(jobs),
        unreadable_count=len(entries) - len(jobs),
        total_pages=_whole(told.get("total_pages")),
        total_count=_whole(told.get("total_count")),
        jobs_per_page=_whole(told.get("per_page")) or JOBS_PER_PAGE,
    )


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None
