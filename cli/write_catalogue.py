"""`archiver audit --write-catalogue`: an entry for each receipt that has none.

For what was archived before there was a catalogue. The function writes (catalogue.py); interrupted,
the same command goes on, because what has its entry is not asked for again.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from archiver.catalogue import job_of_entry
from cli.catalogue import archive_of, progress
from cli.failure import NO, Failure
from cli.job_items import scan_receipts
from cli.marks import Marks
from cli.survey import due_entry

if TYPE_CHECKING:
    from cli.catalogue import Archive

__all__ = ["write_catalogue"]

_JOBS_A_CALL = 200  # three requests each: some ten seconds, of the 30 that a function has at least
_EXPLAINED = {
    "catalogued": "receipts got their entry",
    "changed": "jobs were archived again meanwhile, which writes an entry of its own",
    "not_archived": "jobs are archived no more",
    "conflict": "entries were NOT written: another object is at their key",
}


def write_catalogue(stack: str, *, as_json: bool) -> int:
    """Have the missing entries written; 0 if all are there now. Raises Failure."""
    archive = archive_of(stack)
    catalogued = _catalogued(archive)
    counts: Counter[str] = Counter()
    waiting: list[str] = []
    receipts = 0
    for page in scan_receipts(archive.table):
        receipts += len(page)
        waiting += [
            each["job_id"]
            for each in page
            if (key := due_entry(each, archive.prefix)) is None or key not in catalogued
        ]
        while len(waiting) >= _JOBS_A_CALL:
            waiting = _ask(archive, waiting, counts)
            progress(f"{receipts} receipts read, {counts['catalogued']} entries written")
    while waiting:
        waiting = _ask(archive, waiting, counts)
    if as_json:
        print(json.dumps({"receipts": receipts, **{name: counts[name] for name in _EXPLAINED}}))
    else:
        for name, number in counts.items():
            print(f"{number:>11} {_EXPLAINED[name]}")
        lacking = counts["conflict"]
        print(
            f"{lacking} of {receipts} receipts have no entry"
            if lacking
            else f"all {receipts} receipts have their entry in the catalogue"
        )
    return NO if counts["conflict"] else 0


def _ask(archive: Archive, waiting: list[str], counts: Counter[str]) -> list[str]:
    """Have some entries written; return the jobs that are still waiting."""
    now, later = waiting[:_JOBS_A_CALL], waiting[_JOBS_A_CALL:]
    told = archive.ask(job_ids=now)
    left: list[str] = told.pop("left")
    if left == now:
        raise Failure("the function had no time for a single entry: raise its FunctionTimeout", NO)
    counts.update(told)
    return [*left, *later]


def _catalogued(archive: Archive) -> Marks:
    """Return the keys of the entries that are there, alone or in a month."""
    found = Marks()
    for page in archive.pages(archive.catalogue):
        for listed in page:
            if listed.is_month:
                for _, told in archive.lines(listed.key):
                    if told is not None and told.catalogue_key is not None:
                        found.add(told.catalogue_key)
            elif job_of_entry(listed.key) is not None:
                found.add(listed.key)
    return found
