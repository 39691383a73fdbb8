"""What `make local` says: one line for each outcome, in the words that were found, or as JSON."""

from __future__ import annotations

import io
import json
import os
import re
from datetime import UTC, datetime
from threading import Event
from typing import Any, cast

import pytest

from local.aws.runtime import Invocation, Runtime
from local.aws.server import QueuedMessage
from local.cloud import LocalCloud
from local.speaker import LetterWatch, LogWatch, Said, Speaker, attach

JOB = "3f6c3c58-6a0f-4f6c-8f0f-3a1d4b1c9c11"
NOW = datetime(2026, 11, 26, 12, 0, 1, tzinfo=UTC)
OURS = {
    "level": "INFO",
    "location": "_tell:1",
    "timestamp": "2026-11-26T12:00:00Z",
    "service": "apartmentiq-archiver",
    "function_name": "archive",
}
ARCHIVED = {
    **OURS,
    "message": "archived",
    "job_id": JOB,
    "outcome": "archived",
    "then": "deleted",
    "size_bytes": 10_240,
    "duration_seconds": 0.4,
    "copy_method": "server_side",
    "verified_by": "crc64nvme",
}

SAID = f"message      archived           {JOB}  10 KiB in 0.4 s, server-side, verified by crc64nvme"


def invocation(*lines: object, error_type: str | None = None) -> Invocation:
    """Return one that logged so; what is no text is a JSON line."""
    log = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return Invocation("id", "trace", {}, error_type, False, 0.0, 1.26, False, None, log)  # noqa: FBT003 - as it has them


def said_of(function: str, ended: Invocation) -> list[Said]:
    """Return what is said of an invocation."""
    said: list[Said] = []
    LogWatch(function, said.append).ended(cast("Runtime", None), ended)
    return said


def lines_of(function: str, *lines: object) -> list[str]:
    """Return what people read of it, without the time."""
    return [said.as_line(NOW)[10:] for said in said_of(function, invocation(*lines))]


@pytest.mark.parametrize(
    ("function", "line", "expected"),
    [
        (
            "ArchiveExportFunction",
            ARCHIVED,
            SAID,
        ),
        (
            "ArchiveExportFunction",
            {
                **OURS,
                "message": "deferred",
                "outcome": "deferred",
                "job_id": JOB,
                "reason": "not_finished",
                "detail": "Soon.",
                "next_try_at": "no moment",
            },
            f"message      deferred           {JOB}  not_finished: Soon.; next try at no moment",
        ),
        (
            "ArchiveExportFunction",
            {**OURS, "message": "rejected", "outcome": "rejected", "reason": "malformed_message"},
            "message      rejected           malformed_message",
        ),
        (
            "ReconcileExportsFunction",
            {**OURS, "message": "swept", "outcome": "finished", "queued": 2, "unarchived": 3},
            "sweep        finished           2 queued, 3 unarchived",
        ),
        (
            "ReconcileExportsFunction",
            {**OURS, "message": "swept", "outcome": "finished", "dry_run": True, "would_queue": 1},
            "sweep        finished           a dry run; 1 would queue",
        ),
        (
            "ReceiveCallbackFunction",
            {**OURS, "message": "callback_accepted", "job_ids": [JOB], "jobs_left": 0},
            f"callback     callback_accepted  {JOB}",
        ),
        (
            "OrderExportsFunction",  # one that is yet to come
            {**OURS, "message": "ordered", "job_id": JOB},
            f"OrderExportsFunction  ordered            {JOB}",
        ),
    ],
)
def test_a_functions_last_line_is_said_in_its_own_words(
    function: str, line: dict[str, Any], expected: str
) -> None:
    """Of each function; an outcome, its job, and why."""
    assert lines_of(function, line) == [expected]


def test_what_is_no_line_of_ours_is_not_said() -> None:
    """Metrics, the runtime's own lines, a line that was cut off, and JSON that is no object."""
    metrics = {"_aws": {}, "service": "x"}
    noise = ("START RequestId: 1", metrics, '{"message": "cut o', "{}", '{"a": 1}\n[1]', "REPORT")
    assert lines_of("ArchiveExportFunction", *noise, ARCHIVED) == lines_of(
        "ArchiveExportFunction", ARCHIVED
    )


def test_a_run_that_died_is_said_although_it_logged_nothing() -> None:
    """Nobody else would: its message only comes back."""
    (said,) = said_of("ArchiveExportFunction", invocation(error_type="Sandbox.Timedout"))
    assert said.as_line(NOW).endswith(
        "run failed         Sandbox.Timedout after 1.3 s; what it held comes back"
    )
    assert json.loads(said.as_json(NOW))["error"] == "Sandbox.Timedout"


def test_json_has_all_fields_on_one_line_and_its_moment_in_utc() -> None:
    """Without what Powertools adds; `kind`, `outcome` and `job_id` are always there."""
    (said,) = said_of("ArchiveExportFunction", invocation({**ARCHIVED, "detail": "a\nb…"}))
    text = said.as_json(NOW)
    assert text.isascii()
    assert "\n" not in text
    told = json.loads(text)
    assert told == {
        "at": "2026-11-26T12:00:01.000+00:00",
        "kind": "message",
        "outcome": "archived",
        "job_id": JOB,
        "then": "deleted",
        "size_bytes": 10_240,
        "duration_seconds": 0.4,
        "copy_method": "server_side",
        "verified_by": "crc64nvme",
        "detail": "a\nb…",
    }


def test_a_line_stays_one_whatever_it_quotes() -> None:
    """The vendor's words may hold line ends and a terminal's commands."""
    said = Said("message", "ended_at_vendor", JOB, "no\r\n\x1b[2Jreport\u2028")
    assert re.search(r"  no\\r\\n\\x1b\[2Jreport\\u2028$", said.as_line(NOW))


class _Cloud:
    """What a speaker hears of a cloud."""

    def __init__(self) -> None:
        self.functions = ["ArchiveExportFunction"]
        self.letters: list[QueuedMessage] = []
        self.watchers: list[LogWatch] = []
        self.looked = Event()

    def pool(self, _name: str) -> _Cloud:
        return self

    def watch(self, watcher: LogWatch) -> None:
        self.watchers.append(watcher)

    def listen(self, listener: Any) -> None:  # noqa: ANN401 - as it takes it
        self.tell = listener

    def queued_dead_letters(self) -> list[QueuedMessage]:
        self.looked.set()
        return list(self.letters)


def test_messages_events_and_dead_letters_are_all_heard() -> None:
    """Each once, in a line."""
    cloud, out = _Cloud(), io.StringIO()
    speaker = Speaker(out, as_json=False, on_deaf=Event().set)
    letters = attach(cast("LocalCloud", cloud), speaker)
    cloud.watchers[0].ended(cast("Runtime", None), invocation(ARCHIVED))
    speaker.introduce("It is up.")
    speaker.begin()
    stored = {"bucket": "b", "key": "k.csv"}
    archived = {"job": {"job_id": JOB}, "object": stored}
    cloud.tell({"id": "1", "detail-type": "Export Archived", "detail": archived})
    failed = {"job_id": JOB, "reason": "job_failed", "detail": "It failed."}
    cloud.tell({"id": "2", "detail-type": "Export Failed At Vendor", "detail": failed})
    cloud.letters = [QueuedMessage("m", "{}", 0, 0.0, {"reason": "forbidden", "detail": "403."})]
    letters.stop()
    first, *lines = out.getvalue().splitlines()
    assert first == "It is up."  # whatever came earlier is said after it
    assert [line[10:] for line in lines] == [
        SAID,
        f"event        Export Archived    {JOB}  s3://b/k.csv",
        f"event        Export Failed At Vendor  {JOB}  job_failed: It failed.",
        "dead letter  forbidden          403.",
    ]


@pytest.mark.parametrize(
    ("body", "job_id"),
    [
        (json.dumps({"job_id": JOB, "callback_url": "https://x/a-token"}), JOB),
        (json.dumps({"job_id": "a-token"}), None),
        ("[1]", None),
        ("a-token", None),
        ("[" * 100_000, None),
    ],
)
def test_a_letter_without_attributes_says_what_that_means(body: str, job_id: str | None) -> None:
    """Its job is named where the body does, and nothing else of the body."""
    said: list[Said] = []
    letter = QueuedMessage("m", body, 6, 0.0)
    LetterWatch(lambda: [letter], said.append)._look()
    (told,) = said
    assert (told.outcome, told.job_id) == ("no reason", job_id)
    assert "the runtime died every time" in told.text
    assert "a-token" not in told.as_json(NOW)


def test_a_letter_is_said_again_when_it_comes_back_only() -> None:
    """Lying there is no outcome; coming back after a redrive is one."""
    said: list[Said] = []
    letters = [QueuedMessage("m", "{}", 0, 0.0)]
    watch = LetterWatch(lambda: list(letters), said.append)
    watch._look()
    watch._look()
    assert len(said) == 1
    letters.clear()
    watch._look()
    letters.append(QueuedMessage("m", "{}", 0, 0.0))
    watch._look()
    assert len(said) == 2


def test_nobody_who_reads_ends_the_run_instead_of_a_thread() -> None:
    """`make local | head`: it is told once, and nothing is written to the closed pipe again."""
    read_end, write_end = os.pipe()
    deaf = []
    with os.fdopen(write_end, "w") as out:
        speaker = Speaker(out, as_json=False, on_deaf=lambda: deaf.append(True))
        os.close(read_end)
        for _ in range(3):
            speaker.introduce("anybody?")
    assert deaf == [True]
