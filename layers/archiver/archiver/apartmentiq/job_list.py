"""One page of the vendor's job list, as values: for the sweep, and for who looks for one job. Pure.

`pagination` is believed as far as it can be read; where it cannot, the pages themselves tell.
"""

from __future__ import annotations

from archiver.apartmentiq.protocol import Answer, decipher_jobs_and_pagination
from archiver.listing import JobsPage, ListedJob

__all__ = ["decipher_listing"]


def decipher_listing(answer: Answer, per_page: int) -> JobsPage | None:
    """Read a page with all that its pagination tells; entries without a job id are counted.

    None: it is longer than our limit, so that fewer are to be asked for. `jobs_per_page` is what
    the vendor says that it gives, which need not be the `per_page` that was asked for.
    """
    if answer.is_cut and answer.status == 200:
        return None
    entries, told = decipher_jobs_and_pagination(answer)
    jobs = [job for entry in entries if (job := ListedJob.from_vendor(entry)) is not None]
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
