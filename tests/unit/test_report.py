"""`archiver report`: the page says what was read, within its size, and nothing in it can be markup.

How it looks and behaves in a browser is asked by `make test-page` (tests/page).
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from archiver import outage
from archiver.errors import Failure as Failed
from archiver.errors import Rejection
from archiver.states import State
from cli.letters import Letter
from cli.report import coverage
from cli.report.document import JOBS_OF_AN_OUTAGE, MOST_JOBS, as_json, build
from cli.report.found import Found, Step
from cli.report.remedies import NO_REASON, REMEDIES
from tests.page import sample
from tests.page.sample import HOSTILE, NOW, calm, found_of, hostile, open_job, page_of, troubled

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((PROJECT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
MOST_BYTES = 4_000_000


def document(found: Found, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Build it, held to its schema."""
    return validated(build(found, NOW, told))


def validated(made: dict[str, Any]) -> dict[str, Any]:
    """Hold a document to its schema."""
    checker = Draft202012Validator.FORMAT_CHECKER
    errors = Draft202012Validator(SCHEMA, format_checker=checker).iter_errors(made)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    return made


def rows_of(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the listed jobs by name, words looked up, as the page does."""
    listed, words = made["jobs"], made["jobs"]["words"]
    numbers = {"job_id", "size_bytes", "checksum_crc64nvme", "changed_at", "completed_at", "story"}
    rows = []
    for row in listed["rows"]:
        named = dict(zip(listed["columns"], row, strict=False))
        for name, value in named.items():
            if name == "key" and value is not None:
                before, behind = value
                tail = "" if behind is None else named["job_id"] + words[behind]
                named[name] = words[before] + tail
            elif name not in numbers and value is not None:
                named[name] = words[value]
        rows.append(named)
    return rows


def answer(found: Found, told: Mapping[str, Any] | None = None) -> str:
    """Return the sentence."""
    return str(document(found, told)["answer"]["sentence"])


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (found_of([]), "Nothing is archived yet, and this stack has heard of no export."),
        (calm(1), "Yes: the one export that this stack has heard of is archived."),
        (calm(1204), "Yes: all 1,204 exports that this stack has heard of are archived."),
        (
            found_of([*sample.jobs(2), open_job("waiting", "network", "", seed=3)]),
            "Not yet: 1 of 3 exports is still on its way, and comes by itself.",
        ),
        (
            found_of([*sample.jobs(2), open_job("dead_lettered", "bug", "", seed=3)]),
            "No: 1 of 3 exports is not archived and needs you.",
        ),
        (troubled(10), "No: 6 of 16 exports are not archived: 2 need you, 4 come by themselves."),
        (
            replace(found_of(list(sample.jobs(2))), letters_total=3),
            "No: 3 of 5 exports are not archived and need you.",
        ),
    ],
    ids=["nothing", "one", "all", "on its way", "with a person", "both", "letters unseen"],
)
def test_the_first_sentence_is_the_answer_with_its_number(found: Found, sentence: str) -> None:
    """It counts what is archived, what comes by itself and what waits for a person."""
    assert answer(found) == sentence


def test_a_job_that_ended_at_the_vendor_is_not_counted_as_missing() -> None:
    """There is no export of it to archive; it is told beside the others."""
    ended = open_job("ended_at_vendor", "job_failed", "", seed=2)
    told = document(found_of([*sample.jobs(3), ended]))["answer"]
    assert (told["is_everything_archived"], told["known"], told["ended_at_vendor"]) == (True, 3, 1)


def test_a_window_that_is_missing_makes_the_answer_no() -> None:
    """All that was ordered is archived, but not all that should have been ordered."""
    found = calm(400)
    told = sample.orders(found)
    made = document(found, told)
    assert made["answer"]["is_everything_archived"] is False
    assert "2 windows of the orders are missing" in made["answer"]["sentence"]
    kinds = [need["kind"] for need in made["needs_you"]]
    assert kinds == ["missing_windows", "failed_windows"]
    assert "87 days" in made["needs_you"][0]["detail"]
    assert sum(made["coverage"]["counts"].values()) == sum(
        len(order["windows"]) for order in made["coverage"]["orders"]
    )


def test_every_state_is_one_of_three_kinds() -> None:
    """Archived or ended; by itself; with a person: a new state cannot fall out of the count."""
    kinds = ("archived", "on_its_way", "needs_you", "ended_at_vendor")
    for state in get_args(State):
        told = document(found_of([open_job(state, "bug", "", seed=5)]))["answer"]
        assert sum(told[kind] for kind in kinds) == 1, state


def test_every_reason_of_a_dead_letter_has_a_remedy() -> None:
    """And the page knows no reason that the stack does not."""
    assert set(REMEDIES) == {*Rejection.reasons, *Failed.reasons, NO_REASON}
    manual = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = manual.partition("## Dead letters")[2].partition("\n## ")[0]
    assert [reason for reason in REMEDIES if reason and f"`{reason}`" not in told] == []


def test_dead_letters_stand_by_reason_with_what_to_do_and_the_command() -> None:
    """The command stands once: it sends all of them back."""
    letters = [(job["job_id"], Letter("forbidden", "403", "")) for job in sample.jobs(60)]
    letters.append(("", Letter("malformed_message", "not JSON", "")))
    needs = document(replace(found_of([]), letters=letters, letters_total=70))["needs_you"]
    assert [need["title"] for need in needs] == [
        "60 dead letters: forbidden",
        "1 dead letter: malformed_message",
        "9 dead letters more",
        "When it is mended: send the dead letters back",
    ]
    assert len(needs[0]["jobs"]) == 50
    assert needs[0]["remedy"] == REMEDIES["forbidden"][1]
    assert [need["command"] for need in needs if "command" in need] == [needs[-1]["command"]]


def test_a_job_that_was_set_aside_and_has_no_letter_is_told() -> None:
    """Its letter was deleted; it is not archived all the same. With letters unseen nobody knows."""
    aside = open_job("dead_lettered", "object_conflict", "another is there", seed=6)
    (need,) = document(found_of([aside]))["needs_you"]
    assert (need["kind"], need["jobs"][0]["job_id"]) == ("set_aside", aside["job_id"])
    unseen = document(replace(found_of([aside]), letters_total=1))
    assert [need["kind"] for need in unseen["needs_you"]] == ["dead_letters", "redrive"]
    assert unseen["answer"]["needs_you"] == 1


def test_a_letter_of_an_archived_job_makes_nothing_unarchived() -> None:
    """It lies there and is told; but its export is in the bucket."""
    (job,) = sample.jobs(1)
    found = replace(
        found_of([job]), letters=[(job["job_id"], Letter("network", "", ""))], letters_total=1
    )
    made = document(found)
    assert made["answer"]["is_everything_archived"] is True
    assert made["needs_you"][0]["title"] == "1 dead letter: network"


def test_a_job_whose_runs_all_died_does_not_come_by_itself() -> None:
    """Its item still says that a run holds it; its letter has no reason."""
    held = open_job("copying", "", "", seed=7)
    letters = [(held["job_id"], Letter("", "", ""))]
    told = document(replace(found_of([held]), letters=letters, letters_total=1))["answer"]
    assert (told["needs_you"], told["on_its_way"], told["known"]) == (1, 0, 1)


def test_an_outage_is_told_from_as_many_jobs_on_as_the_stack_tells_it_from() -> None:
    """Three jobs that fail, and none archived since."""
    assert outage.Trouble(dict.fromkeys("abc", 0.0)).is_outage
    assert not outage.Trouble(dict.fromkeys("ab", 0.0)).is_outage
    assert JOBS_OF_AN_OUTAGE == 3
    fleet = {f"failing#{name}": NOW.timestamp() - 600 for name in "abc"} | {"failed_by": "network"}
    (need,) = document(replace(calm(3), fleet=fleet))["needs_you"]
    assert need["title"] == "The network is out of order"
    assert need["since"] == "2026-11-26T08:20:00.000Z"


def test_what_comes_by_itself_is_told_with_its_next_try() -> None:
    """The next one first; and until when nobody may ask the vendor."""
    told = document(troubled(3))["on_its_way"]
    assert told["count"] == 4
    assert [job["state"] for job in told["jobs"]] == ["copying", "failing", "waiting", "waiting"]
    assert told["jobs"][1]["next_try_at"] == "2026-11-26T08:32:00.000Z"
    assert told["closed_until"] == "2026-11-26T08:37:00.000Z"


def test_a_job_is_listed_with_all_that_its_receipt_says() -> None:
    """Key, size, checksum, how verified, when; and its story from completion to event."""
    (job,) = sample.jobs(1)
    steps = {job["job_id"]: [Step("link", 10.0, 10.014), Step("copy", 10.02, 11.0)]}
    made = document(replace(found_of([job]), steps=steps))
    (row,) = rows_of(made)
    for name in (
        "job_id",
        "state",
        "report_type",
        "start_date",
        "size_bytes",
        "key",
        "verified_by",
    ):
        assert row[name] == job[name], name
    story = row["story"]
    assert story["archived_at"] - story["claimed_at"] == round(job["duration_seconds"] * 1000)
    assert row["completed_at"] < story["first_seen_at"] < story["archived_at"] < story["told_at"]
    assert [made["jobs"]["words"][step[0]] for step in story["steps"]] == ["link", "copy"]


def test_an_item_of_any_version_is_read() -> None:
    """Older ones have fewer fields, and none says when it was completed."""
    bare = {"id": "job#7b1c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c99", "attempts": 1}
    old = {**next(sample.jobs(1)), "completed_at": None, "updated_at": None, "emitted_at": None}
    for name in ("completed_at", "updated_at", "emitted_at", "verified_by"):
        del old[name]
    made = document(found_of([bare, old]))
    assert made["counts"] == {"archived": 1, "unknown": 1}
    assert made["days"][0][3:] == [None, None]


def test_the_days_have_no_hole_and_no_invented_figure() -> None:
    """A day without an export is 0 exports, and no latency; shares are of that day's exports."""
    jobs = list(sample.jobs(21, days=1))
    for place, job in enumerate(jobs):
        job["archived_at"] = "2026-11-20T12:00:00.000Z"
        job["completed_at"] = f"2026-11-20T11:59:{59 - place:02}.000Z"
    days = document(found_of(jobs))["days"]
    assert [day[0] for day in days] == [f"2026-11-{number}" for number in range(20, 27)]
    assert days[0][1:] == [21, sum(job["size_bytes"] for job in jobs), 11.0, 20.0]
    assert {tuple(day[1:]) for day in days[1:]} == {(0, 0, None, None)}


def test_stories_are_told_of_what_is_not_archived_and_of_the_newest_thousand() -> None:
    """In the order: not archived, newest, older."""
    made = document(troubled(1500))
    rows = rows_of(made)
    assert [row["state"] for row in rows[:7]].count("archived") == 0
    assert ["story" in row for row in rows] == [True] * 1007 + [False] * 500
    changed = [row["changed_at"] for row in rows[7:]]
    assert changed == sorted(changed, reverse=True)


@pytest.mark.parametrize("kind", ["archived", "waiting", "all different"])
def test_ten_thousand_jobs_fit_into_four_megabytes(kind: str) -> None:
    """Whatever they are; what is left out is counted, and said."""
    jobs = list(sample.jobs(MOST_JOBS + 5))
    if kind != "archived":
        for place, job in enumerate(jobs):
            said = f"{place} {'x' * 400}" if kind == "all different" else "429"
            job |= {"state": "waiting", "reason": "rate_limited", "detail": said}
    found = found_of(jobs)
    told = sample.orders(calm(400)) if kind == "archived" else None
    page = page_of(found, told)
    assert len(page.encode()) < MOST_BYTES
    listed = build(found, NOW, told)["jobs"]
    assert len(listed["rows"]) + listed["left_out"] == MOST_JOBS + 5
    if kind == "archived":
        assert len(listed["rows"]) == MOST_JOBS


def test_json_in_the_page_holds_nothing_that_ends_a_script() -> None:
    """It is read back as it was; a lone surrogate, which is no text, does not stop it."""
    text = as_json({HOSTILE: [HOSTILE, "\ud800", "é"]})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)[HOSTILE][0] == HOSTILE
    assert text.encode()


def test_what_comes_from_outside_is_never_markup() -> None:
    """Stack, alarm, letter, reason, key, every field: as text, in the page and in its JSON."""
    page = page_of(hostile())
    body = page.partition("<body>")[2]
    assert body.count("<script") == 4  # two of data, the chart's and ours
    assert "<img" not in page
    assert "onerror=alert(2)&gt;" in body
    data = re.search(r'<script type="application/json" id="document">(.*?)</script>', page)
    assert data
    assert HOSTILE in json.loads(data[1])["jobs"]["words"]
    assert HOSTILE in html.unescape(body)


def test_an_id_that_is_none_gets_into_no_command() -> None:
    """Commands are copied into a shell."""
    odd = '7b1c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c99"; rm -rf ~ #'
    found = replace(found_of([]), letters=[(odd, Letter("bug", "", ""))], letters_total=1)
    assert "rm -rf" not in page_of(found)


def test_the_page_asks_no_network_and_runs_only_its_own_scripts() -> None:
    """Its policy forbids both; nothing in it names a place to load from."""
    page = page_of(troubled(3))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"<(link|iframe|img|object)\b|\bsrc=|@import|url\(", page)


def test_the_chart_library_is_the_one_that_was_published() -> None:
    """It is npm's uplot 1.6.32, byte for byte, with its licence in the page."""
    published = {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    folder = PROJECT / "cli" / "report" / "uplot"
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    assert found == published
    assert "Permission is hereby granted" in page_of(calm(1))


# --- the orders' coverage ---


def test_a_plan_of_a_hundred_orders_and_ten_years_of_days_fits() -> None:
    """The newest windows are drawn, all are counted."""
    first = NOW.date() - timedelta(days=3650)
    days = [f"{first + timedelta(days=number)}" for number in range(3651)]
    windows = [{"from": day, "to": day, "state": "archived", "jobs": []} for day in days]
    of = {"report_type": "units", "output_format": "csv", "every": "day", "windows": windows}
    told = coverage.shown(
        {"orders": [{"name": f"o{n}"} | of for n in range(100)], "oldest_missing_seconds": None}
    )
    found = calm(MOST_JOBS)
    made = build(found, NOW, told)
    assert made["coverage"]["counts"]["archived"] == 365_100
    for order in made["coverage"]["orders"]:
        assert len(order["windows"]) + order["left_out"]["archived"] == 3651
        assert order["windows"][-1][0] == days[-1]
    assert len(page_of(found, told).encode()) < MOST_BYTES
