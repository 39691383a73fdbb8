"""`archiver report` on the deployed stack: what it says is so, and no secret gets into the page.

What is made of what was read is tests/unit's business; how it behaves, `make test-page`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.app import main
from local.apartmentiq import SyntheticExport, VendorStandIn
from local.aws.queues import read_depth
from local.cloud import STACK_NAME, LocalCloud
from tests.taint.cloud import secrets_of
from tests.taint.encodings import ENCODINGS
from tests.taint.searcher import Searcher
from tests.unit.test_report import MOST_BYTES, rows_of, validated

PATIENCE_SECONDS = 60
UNKNOWN_JOB = "7b1c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c99"
LONG_AGO = {"first_seen_at": "2026-01-01T00:00:00Z"}  # else a 404 is no verdict yet
Reported = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def reported(people: LocalCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Reported:
    """Return what runs the command, and returns the page's document and the page."""

    def run(*options: str) -> tuple[dict[str, Any], str]:
        out = tmp_path / "page.html"
        assert main(["report", "--stack", STACK_NAME, "--out", str(out), *options]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        page = out.read_text(encoding="utf-8")
        told = re.search(r'<script type="application/json" id="document">(.*?)</script>', page)
        assert told
        return validated(json.loads(told[1])), page

    assert people.stack.name == STACK_NAME
    return run


def wait_for(cloud: LocalCloud, states: Mapping[str, str]) -> None:
    """Wait until each job's item says so; raises TimeoutError."""
    for job_id, state in states.items():
        cloud.event_source.wait_for(
            lambda _, job_id=job_id, state=state: (  # type: ignore[misc] # bound at once
                (cloud.job_item(job_id) or {}).get("state") == {"S": state}
            ),
            deadline_seconds=PATIENCE_SECONDS,
        )


def test_the_page_says_what_is_archived_what_waits_and_what_needs_a_person(
    cloud: LocalCloud, vendor: VendorStandIn, reported: Reported
) -> None:
    """Each of three jobs where it is; and the letters lie there afterwards as before."""
    archived = vendor.add_job(SyntheticExport(1 << 20))
    waiting = vendor.add_job(b"later", completes_after_seconds=3600)
    cloud.send({"job_id": archived.job_id})
    cloud.send({"job_id": waiting.job_id})
    cloud.send({"job_id": UNKNOWN_JOB}, LONG_AGO)
    wait_for(
        cloud,
        {archived.job_id: "archived", waiting.job_id: "waiting", UNKNOWN_JOB: "dead_lettered"},
    )
    for _ in range(2):
        document, page = reported()
        assert document["answer"]["sentence"] == (
            "No: 2 of 3 exports are not archived: 1 needs you, 1 comes by itself."
        )
        letters, redrive = document["needs_you"]
        assert letters["title"] == "1 dead letter: no_such_job"
        assert letters["jobs"][0]["job_id"] == UNKNOWN_JOB
        assert redrive["command"] == cloud.stack.outputs["RedriveCommand"]
        assert [job["job_id"] for job in document["on_its_way"]["jobs"]] == [waiting.job_id]
        rows = {row["job_id"]: row for row in rows_of(document)}
        assert rows[archived.job_id]["size_bytes"] == 1 << 20
        assert rows[archived.job_id]["story"]["told_at"]
        assert len(page.encode()) < MOST_BYTES
    assert read_depth(cloud.clients.sqs, cloud.dead_letter_queue_url).visible == 1
    cloud.empty_queues()


def test_no_secret_gets_into_the_page(
    cloud: LocalCloud, vendor: VendorStandIn, reported: Reported
) -> None:
    """Not from a letter's body, which others write, nor from the table, in any encoding."""
    job = vendor.add_job(b"four")
    cloud.send({"job_id": job.job_id})
    wait_for(cloud, {job.job_id: "archived"})
    searcher = Searcher()
    searcher.add(secrets_of(cloud))
    planted = {name: f"planted-in-a-body-{name}-0123456789" for name in ENCODINGS}
    searcher.add(planted.items())
    for name, secret in planted.items():
        cloud.clients.sqs.send_message(
            QueueUrl=cloud.dead_letter_queue_url,
            MessageBody=json.dumps({"job_id": job.job_id, "callback_url": ENCODINGS[name](secret)}),
        )
    document, page = reported()
    letters = [need for need in document["needs_you"] if need["kind"] == "dead_letters"]
    assert sum(need["count"] for need in letters) == len(planted)
    assert searcher.known_secrets > len(planted)
    assert [str(finding) for finding in searcher.search({"the page": page})] == []
    assert [str(f) for f in searcher.search({"the page": page + next(iter(planted.values()))})]
    cloud.empty_queues()
