"""Stacks as the page's tests want them, the same at every run: nothing here is asked of AWS."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cli.letters import Letter
from cli.report import coverage
from cli.report.document import build
from cli.report.found import Alarm, Found
from cli.report.page import render
from local.aws.queues import Depth

__all__ = [
    "COMMANDS",
    "HOSTILE",
    "NOW",
    "calm",
    "found_of",
    "hostile",
    "jobs",
    "orders",
    "page_of",
    "troubled",
]

NOW = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)
STACK = "apartmentiq-archiver-prod"
COMMANDS = {
    "again": f"archiver report --stack {STACK}",
    "status": f"archiver status JOB --stack {STACK}",
    "send": f"archiver verify JOB --stack {STACK}",
}
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\u2028'\"`${7*7}{{7*7}}"
)
_TYPES = ("units", "property", "floorplans")
_FORMATS = ("parquet", "csv", "jsonl")


def _id(draw: random.Random) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jobs(number: int, *, seed: int = 1, days: int = 60) -> Iterator[dict[str, Any]]:
    """Yield so many archived jobs of the last days, as the table has them; weekends are quiet."""
    draw = random.Random(seed)  # noqa: S311 - no secret is made of it
    for place in range(number):
        job_id = _id(draw)
        archived_at = NOW - timedelta(seconds=(days * 86_400) * (place / number) + draw.random())
        if archived_at.weekday() > 4 and draw.random() < 0.8:
            archived_at -= timedelta(days=2)
        took = draw.lognormvariate(0, 0.8)
        waited = draw.lognormvariate(3.2, 0.7)
        kind, output = draw.choice(_TYPES), _FORMATS[min(2, int(draw.expovariate(1.6)))]
        first = date(2023, 1, 1) + timedelta(days=31 * draw.randrange(44))
        first = first.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        path = f"report_type={kind}/format={output}/start_date={first}/end_date={last}"
        yield {
            "id": f"job#{job_id}",
            "job_id": job_id,
            "state": "archived",
            "report_type": kind,
            "output_format": output,
            "start_date": f"{first}",
            "end_date": f"{last}",
            "bucket": "apartmentiq-exports",
            "key": f"{path}/{job_id}.{output}",
            "version_id": f"{draw.getrandbits(128):032x}",
            "size_bytes": int(draw.lognormvariate(16.5, 1.6)),
            "etag": f"{draw.getrandbits(128):032x}",
            "checksum_crc64nvme": "".join(draw.choices("abcdefghijkLMNOPQ0123456789", k=11)) + "=",
            "copy_method": "streaming",
            "verified_by": "crc64nvme",
            "completed_at": _iso(archived_at - timedelta(seconds=waited)),
            "first_seen_at": _iso(archived_at - timedelta(seconds=waited * 0.8)),
            "archived_at": _iso(archived_at),
            "updated_at": _iso(archived_at),
            "duration_seconds": round(took, 3),
            "emitted_at": _iso(archived_at + timedelta(milliseconds=40)),
            "attempts": 1,
            "owner": f"{draw.getrandbits(128):032x}",
        }


def open_job(
    state: str, reason: str, detail: str, *, seed: int, minutes: float = 7
) -> dict[str, Any]:
    """Return a job that is not archived."""
    job_id = _id(random.Random(seed))  # noqa: S311 - as above
    told = {
        "id": f"job#{job_id}",
        "job_id": job_id,
        "state": state,
        "reason": reason,
        "detail": detail,
        "attempts": 2,
        "first_seen_at": _iso(NOW - timedelta(hours=3)),
        "updated_at": _iso(NOW - timedelta(minutes=minutes)),
    }
    if state in {"waiting", "failing"}:
        told["next_try_at"] = _iso(NOW + timedelta(minutes=minutes))
    return told


def found_of(items: list[dict[str, Any]], **other: Any) -> Found:  # noqa: ANN401 - Found's fields
    """Return a stack with these jobs, where nothing else is the matter."""
    told: dict[str, Any] = {
        "stack": STACK,
        "region": "us-east-1",
        "bucket": "apartmentiq-exports",
        "redrive_command": "aws sqs start-message-move-task --region us-east-1 --source-arn "
        f"arn:aws:sqs:us-east-1:123456789012:{STACK}-DeadLetterQueue --destination-arn "
        f"arn:aws:sqs:us-east-1:123456789012:{STACK}-archive",
        "jobs": [items],
        "fleet": {},
        "queue": Depth(0, 0, 0),
        "letters": [],
        "letters_total": 0,
        "alarms": [],
        "alarms_set": 13,
    }
    return Found(**{**told, **other})


def calm(number: int = 1204) -> Found:
    """Return a stack in which everything is archived."""
    return found_of(list(jobs(number)))


def troubled(number: int = 1204) -> Found:
    """Return one with dead letters, waiting jobs, an alarm and a job that the vendor cancelled."""
    forbidden = open_job("dead_lettered", "forbidden", "403: this account may not read it", seed=11)
    gone = open_job("dead_lettered", "no_such_job", "404 for five minutes", seed=12)
    waiting = [
        open_job("waiting", "rate_limited", "429, Retry-After: 420", seed=13),
        open_job("waiting", "not_finished", "The job is still `submitted`.", seed=14, minutes=3),
        open_job("failing", "network", "The connection broke off after 81 MB.", seed=15, minutes=2),
    ]
    copying = {**open_job("copying", "", "", seed=16, minutes=0.2)}
    for name in ("reason", "detail"):
        del copying[name]
    ended = open_job("ended_at_vendor", "job_cancelled", "Cancelled at the vendor.", seed=17)
    said = _iso(NOW - timedelta(hours=2))
    return found_of(
        [*jobs(number), forbidden, gone, *waiting, copying, ended],
        letters=[
            (forbidden["job_id"], Letter("forbidden", forbidden["detail"], said)),
            (gone["job_id"], Letter("no_such_job", gone["detail"], said)),
        ],
        letters_total=2,
        fleet={"until": (NOW + timedelta(minutes=7)).timestamp()},
        queue=Depth(0, 1, 3),
        alarms=[
            Alarm(
                "DeadLettersAlarm",
                "There is a dead letter: an export that is not archived until a person decides.",
                _iso(NOW - timedelta(hours=2)),
            )
        ],
    )


def hostile() -> Found:
    """Return one in which every text that comes from outside tries to be markup."""
    first, second = jobs(2)
    named = ("report_type", "output_format", "start_date", "end_date", "verified_by", "copy_method")
    first |= dict.fromkeys((*named, "checksum_crc64nvme", "version_id"), HOSTILE)
    first["key"] = f"{HOSTILE}/{first['job_id']}{HOSTILE}"
    odd = open_job(HOSTILE, HOSTILE, HOSTILE, seed=3)
    waiting = open_job("waiting", HOSTILE, HOSTILE, seed=4)
    return replace(
        found_of([first, second, odd, waiting]),
        stack=f"prod{HOSTILE}",
        letters=[(HOSTILE, Letter(HOSTILE, HOSTILE, HOSTILE))],
        letters_total=1,
        alarms=[Alarm(HOSTILE, HOSTILE, HOSTILE)],
        notes=[HOSTILE],
    )


def orders(found: Found) -> dict[str, Any]:
    """Return the coverage of three orders, as the page takes it."""
    archived = [job["job_id"] for page in found.jobs for job in page if job["state"] == "archived"]
    told = [
        _order("monthly-units", "units", "parquet", "month", date(2023, 1, 1), archived),
        _order("weekly-floorplans", "floorplans", "csv", "week", date(2025, 12, 29), archived),
        _order("daily-property", "property", "jsonl", "day", date(2026, 1, 1), archived),
    ]
    missing = [w for order in told for w in order["windows"] if w["state"] == "missing"]
    oldest = min((date.fromisoformat(w["to"]) for w in missing), default=NOW.date())
    age = (NOW.date() - oldest).days * 86_400
    return coverage.shown({"orders": told, "oldest_missing_seconds": age})


def _order(
    name: str, kind: str, output: str, every: str, first: date, archived: list[str]
) -> dict[str, Any]:
    windows: list[Mapping[str, Any]] = []
    while first <= date(2026, 12, 31):
        following = {
            "month": (first.replace(day=1) + timedelta(days=32)).replace(day=1),
            "week": first + timedelta(days=7),
            "day": first + timedelta(days=1),
        }[every]
        last, place = following - timedelta(days=1), len(windows)
        days_ago = (NOW.date() - last).days
        state = "not_due" if days_ago < 1 else "on_its_way" if days_ago < 2 else "archived"
        if state == "archived" and every == "month" and first == date(2026, 8, 1):
            state = "missing"
        if state == "archived" and every == "week" and place == 30:
            state = "failed"
        of = [archived[place % len(archived)]] if archived and state == "archived" else []
        if of and every == "month" and place % 5 == 0:
            of.append(archived[(place + 7) % len(archived)])
        told = [
            {"job_id": job, "cycle": f"{following + timedelta(days=31 * n)}"}
            for n, job in enumerate(of)
        ]
        windows.append({"from": f"{first}", "to": f"{last}", "state": state, "jobs": told})
        first = following
    return {
        "name": name,
        "report_type": kind,
        "output_format": output,
        "every": every,
        "windows": windows,
    }


def page_of(found: Found, told: Mapping[str, Any] | None = None) -> str:
    """Return the page of a stack."""
    return render(build(found, NOW, told), COMMANDS, follows=False)
