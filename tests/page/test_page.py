"""The page of `archiver report` in a real Chromium: what it shows, how it is used, what it costs.

Every page that is opened must ask no network and write no error (conftest.py). What the document
says is tests/unit's business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from cli.report.found import Found
from tests.page import sample
from tests.page.conftest import Open
from tests.page.sample import HOSTILE, calm, found_of, hostile, orders, page_of, troubled

PROJECT = Path(__file__).resolve().parents[2]
MOST_BYTES = 4_000_000
MOST_SCRIPT_SECONDS = 1.0
_IN_TROUBLE = troubled(300)
STACKS: Mapping[str, tuple[Found, Mapping[str, Any] | None]] = {
    "nothing": (found_of([]), None),
    "calm": (calm(300), None),
    "in trouble": (_IN_TROUBLE, None),
    "with orders": (_IN_TROUBLE, orders(_IN_TROUBLE)),
    "hostile": (hostile(), None),
}


def open_all(page: Page) -> None:
    """Open every part that is closed at first, and one job's story."""
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    if page.locator("#table .open").count():
        page.locator("#table .open").first.click()
    if page.locator(".cell:not(.mark)").count():
        page.locator(".cell:not(.mark)").first.click()


@pytest.mark.parametrize("width", [1200, 380])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("stack", STACKS)
def test_axe_finds_nothing(opened: Open, stack: str, scheme: str, width: int) -> None:
    """Names, roles, contrast, order: every rule of axe-core, with all parts open."""
    found, told = STACKS[stack]
    page = opened(found, told, scheme=scheme, width=width)
    open_all(page)
    violations = Axe().run(page).response["violations"]
    assert [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out


def test_the_first_thing_is_the_answer(opened: Open) -> None:
    """And what needs a person stands before everything that does not."""
    page = opened(_IN_TROUBLE)
    expect(page.locator("h1")).to_have_text(
        "No: 6 of 306 exports are not archived: 2 need you, 4 come by themselves."
    )
    titles = page.locator("h2").all_inner_texts()
    assert titles == ["What needs you", "What comes by itself", "Archived per day", "Jobs"]
    assert "No" in page.title()


def test_every_filter_shows_what_it_says(opened: Open) -> None:
    """State, type, format, dates of the data and of the change, text; alone and together."""
    found = troubled(400)
    items = [job for page in found.jobs for job in page]
    page = opened(found)

    def shown() -> int:
        text = page.locator("#found").inner_text()
        return int(text.split(" ")[0].replace(",", "")) if "No job" not in text else 0

    def count(holds: Any) -> int:  # noqa: ANN401 - a predicate
        return sum(bool(holds(job)) for job in items)

    page.select_option("#state", "waiting")
    assert shown() == 2 == page.locator("#table tbody tr").count()
    page.select_option("#state", "archived")
    page.select_option("#type", "units")
    page.select_option("#format", "csv")
    assert shown() == count(
        lambda job: job.get("report_type") == "units" and job.get("output_format") == "csv"
    )
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#found")).to_contain_text(f"{len(items)} jobs.")
    page.fill("#from", "2024-02-15")
    page.fill("#to", "2024-03-10")
    assert shown() == count(
        lambda job: (
            job.get("end_date", "") >= "2024-02-15" and job.get("start_date", "9") <= "2024-03-10"
        )
    )
    page.select_option("#dates", "changed")
    assert shown() == 0
    page.fill("#from", "2026-11-25")
    page.fill("#to", "2026-11-26")
    assert shown() == count(lambda job: job["updated_at"][:10] in {"2026-11-25", "2026-11-26"})
    page.get_by_role("button", name="Show all").click()
    wanted = next(sample.jobs(400))
    page.fill("#q", f"{wanted['job_id'][:13].upper()} units")
    kind = wanted["report_type"] == "units"
    expect(page.locator("#found")).to_contain_text("1 job." if kind else "No job is like that.")
    page.fill("#q", "nobody's")
    expect(page.locator("#found")).to_have_text("No job is like that.")


def test_a_filter_can_be_kept_and_sent(opened: Open) -> None:
    """It stands behind the page's address."""
    page = opened(_IN_TROUBLE, fragment="#state=failing")
    expect(page.locator("#found")).to_contain_text("1 job.")
    page.select_option("#state", "waiting")
    assert page.evaluate("location.hash") == "#state=waiting"


def test_a_jobs_story_tells_key_size_checksum_and_each_step(opened: Open) -> None:
    """Of an archived one from its completion to its event; the key can be copied."""
    (job,) = sample.jobs(1)
    page = opened(found_of([job]))
    page.get_by_role("button", name=f"Job {job['job_id']}: its story").click()
    facts = page.locator(".facts")
    for text in (
        job["job_id"],
        f"s3://apartmentiq-exports/{job['key']}",
        job["checksum_crc64nvme"],
    ):
        expect(facts).to_contain_text(text)
    assert facts.locator(".steps b").all_inner_texts() == [
        *("completed", "heard of", "claimed", "linked", "copied", "committed", "told")
    ]
    copy = facts.get_by_role("button", name="Copy the key")
    copy.click()
    expect(copy).to_have_text("Copied")
    expect(copy).to_have_text("Copy")


def test_all_of_it_works_by_the_keyboard(opened: Open) -> None:
    """Skip to the jobs, open a story, walk the calendar, open a window, show its job."""
    found = troubled(300)
    page = opened(found, orders(found))
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#jobs")).to_be_focused()
    story = page.locator("#table .open").first
    story.focus()
    page.keyboard.press("Enter")
    expect(story).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Space")
    expect(page.locator(".story")).to_have_count(0)
    last = page.locator(".cells.month").first.locator(".cell").last
    assert last.get_attribute("tabindex") == "0"
    last.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    missing = page.get_by_role("button", name="2026-08-01 to 2026-08-31: due and missing")
    expect(missing).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#window")).to_contain_text("2026-06-01 to 2026-06-30")
    show = page.locator("#window button").first
    job_id = page.locator("#window code").first.inner_text()
    show.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("1 job.")
    expect(page.locator(".facts")).to_contain_text(job_id)


def test_a_window_tells_its_jobs_and_revisions(opened: Open) -> None:
    """One that was ordered twice has both, the newest last; one that is missing says so."""
    found = calm(300)
    told = orders(found)
    twice = next(w for w in reversed(told["orders"][0]["windows"]) if len(w["jobs"]) == 2)
    page = opened(found, told)
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    page.get_by_role("button", name=f"{twice['from']} to {twice['to']}: archived").click()
    panel = page.locator("#window")
    assert panel.locator("code").all_inner_texts() == [job for job, _ in twice["jobs"]]
    expect(panel).to_contain_text(f"cycle {twice['jobs'][1][1]}")
    page.get_by_role("button", name="due and missing").click()
    expect(panel).to_contain_text("no job was ordered")


def test_days_and_windows_stand_where_the_calendar_has_them(opened: Open) -> None:
    """A Monday is in the first row, and an ISO week is the year's that it belongs to."""
    found = calm(10)
    page = opened(found, orders(found))
    for label, row in (("2026-11-23: archived", "1"), ("2026-11-22: archived", "7")):
        cell = page.get_by_role("button", name=label, exact=True)
        assert cell.evaluate("cell => cell.style.gridRowStart") == row
    first = page.get_by_role("button", name="2025-12-29 to 2026-01-04: archived")
    assert first.evaluate("cell => cell.parentElement.getAttribute('aria-label')") == (
        "weekly-floorplans, 2026 Jan to Jun"
    )


def test_what_comes_from_outside_is_shown_as_text(opened: Open) -> None:
    """Every place that shows it shows it whole: no dialog opens, no element is made of it."""
    page = opened(hostile())
    open_all(page)
    for button in page.locator("#table .open").all()[1:]:
        button.click()
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 4
    visible = HOSTILE.replace("\u2028", "")
    text = page.locator("body").inner_text().replace("\u2028", "").replace("\n", "")
    assert text.count(visible) >= 8
    page.fill("#q", "alert(1)")
    expect(page.locator("#found")).to_contain_text("3 jobs.")
    page.select_option("#type", HOSTILE)
    expect(page.locator("#found")).to_contain_text("1 job.")


def test_ten_thousand_jobs_take_a_second_of_script_at_most(opened: Open) -> None:
    """To open, to search and to turn to the last page; the file is 4 MB at most."""
    found = calm(10_000)
    told = orders(found)
    assert len(page_of(found, told).encode()) <= MOST_BYTES
    page = opened(found, told)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def script_seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(m["value"]) for m in metrics if m["name"] == "ScriptDuration")

    assert (
        page.evaluate("performance.getEntriesByName('page')[0].duration") / 1000
        < MOST_SCRIPT_SECONDS
    )
    assert script_seconds() < MOST_SCRIPT_SECONDS
    before = script_seconds()
    page.fill("#q", "floorplans 2024-")
    expect(page.locator("#found")).not_to_contain_text("10,000")
    page.fill("#q", "")
    expect(page.locator("#found")).to_contain_text("10,000 jobs.")
    page.get_by_role("button", name="Last page").click()
    expect(page.locator("#pages")).to_contain_text("page 200 of 200")
    assert script_seconds() - before < MOST_SCRIPT_SECONDS


def test_the_chart_has_its_units_and_a_table_beside_it(opened: Open) -> None:
    """Two pictures over one axis of days, and the same in words for those who cannot see them."""
    page = opened(calm(300))
    expect(page.locator("#chart canvas")).to_have_count(2)
    titles = page.locator("#chart .chart-title").all_inner_texts()
    assert titles[1] == "Exports"
    assert "From completion to archive, in " in titles[2]
    page.get_by_text("The same as a table").click()
    rows = page.locator("#days-table tbody tr")
    days = {job["archived_at"][:10] for job in sample.jobs(300)}
    assert rows.count() == len(days)
    expect(rows.first).to_contain_text(max(days))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_manuals_picture_can_be_taken(opened: Open, scheme: str) -> None:
    """What docs/ shows is this page; `make test-page PICTURES=docs` puts it there."""
    folder = PROJECT / (os.environ.get("PICTURES") or ".cache/page")
    found = troubled(1204)
    page = opened(found, orders(found), scheme=scheme)
    picture = folder / f"report-{scheme}.png"
    page.locator("body").evaluate("body => body.classList.add('still')")
    page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": 1200, "height": 900})
    assert 10_000 < picture.stat().st_size < 300_000
