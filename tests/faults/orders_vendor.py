"""The vendor of the ordering simulation: jobs that are ordered, listed late, and end as they will.

What it does wrong is a `Temper`'s; when, the seed's. It answers as documented (apartmentiq-api,
"Ordering"), and knows for every job whose it is, which its answers do not tell.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from archiver.errors import Failure
from archiver.intent import order_id_in
from archiver.network.answer import Answer

__all__ = ["API", "Job", "Temper", "Vendor"]

API = "https://api.apartmentiq.example/v1"
TOKEN_URL = "https://api.apartmentiq.example/oauth/token"
_SECRET = "canary-callback-token-0123456789"


@dataclass(frozen=True, slots=True)
class Temper:
    """What may go wrong, by chance from 0 to 1; seconds where it says so."""

    lag_seconds: float = 0.0  # at most, until a job is in the list; execution included
    echoes: bool = True
    lost_before: float = 0.0  # the request never came
    lost_after: float = 0.0  # it was done, and the answer was lost
    late: float = 0.0  # it was lost, and is done later
    rate_limited: float = 0.0
    quota: float = 0.0  # begins, for some hours
    invalid: float = 0.0  # the next request is refused for good
    fails: float = 0.0  # a job ends as failed
    list_fails: float = 0.0
    by_hand: float = 0.0  # each tick, somebody orders a window by hand
    table: float = 0.0  # a write or read of the table fails, or its answer is lost
    dies: float = 0.0  # each step
    second_run: float = 0.0  # each step, another run begins in the middle of this one
    per_page: int = 3
    callbacks: bool = True


@dataclass
class Job:
    """One job at the vendor."""

    job_id: str
    fields: Mapping[str, Any]
    created_at: float
    listed_at: float
    ends_at: float
    ends: str
    sent_at: float  # when the request for it went out
    order_id: str | None  # None: ordered by hand

    def status(self, now: float) -> str:
        """Return what the vendor says of it."""
        return self.ends if now >= self.ends_at else "submitted"


@dataclass
class Vendor:
    """Implements archiver.network.outside.HttpClient."""

    now: Callable[[], float]
    iso: Callable[[float], str]
    random: random.Random
    temper: Temper
    jobs: list[Job] = field(default_factory=list)
    pending: list[tuple[float, dict[str, Any], float]] = field(default_factory=list)
    posts: list[tuple[float, str]] = field(default_factory=list)  # when, and what came of it
    quota_until: float = 0.0
    closed_until: float = 0.0
    quiet: bool = False
    invalid_kinds: set[str] = field(default_factory=set)
    on_post: Callable[[dict[str, Any]], None] = lambda _: None

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Answer a request, or not."""
        del headers
        self.execute_late()
        if url == TOKEN_URL:
            return _json(200, {"access_token": "t", "expires_in": 7200})
        if method == "POST":
            return self._post(json.loads(body or ""))
        if self._draws(self.temper.list_fails):
            raise Failure("network", "The list did not answer.")
        if self.now() < self.closed_until:
            return self._too_many()
        query = parse_qs(urlsplit(url).query)
        return self._page(int(query["page"][0]), int(query["per_page"][0]))

    def order(self, fields: dict[str, Any], sent_at: float, *, at_most: float) -> Job:
        """Make a job; it is listed `at_most` so many seconds from when it was asked for."""
        now = self.now()
        order_id = order_id_in(fields.get("callback_url"))
        job = Job(
            job_id=f"{self.random.getrandbits(128):032x}",
            fields=fields,
            created_at=now,
            listed_at=now + self.random.uniform(0, max(0.0, at_most - (now - sent_at))),
            ends_at=now + self.random.choice([60.0, 900.0, 7_200.0]),
            ends="failed" if self._draws(self.temper.fails) else "succeeded",
            sent_at=sent_at,
            order_id=fields.get("order_id", order_id),
        )
        text = job.job_id
        job.job_id = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        self.jobs.append(job)
        return job

    def execute_late(self) -> None:
        """Do what was asked for before, and is only now done."""
        due = [each for each in self.pending if each[0] <= self.now()]
        for each in due:
            self.pending.remove(each)
            self.order(each[1], each[2], at_most=self.temper.lag_seconds)

    # --- inside ---

    def _draws(self, chance: float) -> bool:
        return not self.quiet and self.random.random() < chance

    def _post(self, fields: dict[str, Any]) -> Answer:
        now = self.now()
        self.on_post(fields)
        fields["order_id"] = order_id_in(fields.get("callback_url")) or fields.pop("_id", None)
        if self._draws(self.temper.rate_limited):
            self.closed_until = now + self.random.choice([5.0, 40.0])
        if now < self.closed_until:
            return self._told("limited", self._too_many())
        if self._draws(self.temper.quota):
            self.quota_until = now + self.random.choice([1_800.0, 20_000.0])
        if not self.quiet and now < self.quota_until:
            told = {"error": "Trial API quota limit exceeded", "quota_limit": 5, "quota_usage": 6}
            return self._told("quota", _json(self.random.choice([429, 403]), told))
        if self._draws(self.temper.invalid):
            self.invalid_kinds.add(fields["report_type"])
        if not self.quiet and fields["report_type"] in self.invalid_kinds:
            forms = [{"error": "Invalid parameter", "message": "no"}, {"errors": ["no", "never"]}]
            return self._told("invalid", _json(422, self.random.choice(forms)))
        if self._draws(self.temper.lost_before):
            if self._draws(self.temper.late):
                late = now + self.random.uniform(0, self.temper.lag_seconds / 2)
                self.pending.append((late, fields, now))
            raise self._lost("lost")
        job = self.order(fields, now, at_most=self.temper.lag_seconds)
        if self._draws(self.temper.lost_after):
            raise self._lost("done and lost")
        return self._told("done", _json(201, self._fields(job)))

    def _told(self, what: str, answer: Answer) -> Answer:
        self.posts.append((self.now(), what))
        return answer

    def _lost(self, what: str) -> Failure:
        self.posts.append((self.now(), what))
        return Failure("network", "The vendor did not answer.")

    def _too_many(self) -> Answer:
        seconds = max(1, round(self.closed_until - self.now()))
        return Answer(429, {"retry-after": str(seconds)}, b"Too Many Requests")

    def _page(self, page: int, per_page: int) -> Answer:
        listed = [job for job in self.jobs if job.listed_at <= self.now()]
        listed.sort(key=lambda job: job.created_at, reverse=True)
        size = min(per_page, self.temper.per_page)
        shown = listed[(page - 1) * size : page * size]
        told = {
            "current_page": page,
            "total_pages": -(-len(listed) // size),
            "total_count": len(listed),
            "per_page": size,
        }
        return _json(200, {"jobs": [self._fields(job) for job in shown], "pagination": told})

    def _fields(self, job: Job) -> dict[str, Any]:
        names = ("report_type", "output_format", "start_date", "end_date", "property_ids")
        fields = {name: job.fields[name] for name in names}
        if self.temper.echoes and "callback_url" in job.fields:
            fields["callback_url"] = job.fields["callback_url"]
        ids = list(fields["property_ids"])
        self.random.shuffle(ids)
        return {
            **fields,
            "property_ids": ids,
            "job_id": job.job_id,
            "status": job.status(self.now()),
            "created_at": self.iso(job.created_at),
            "updated_at": self.iso(max(job.created_at, min(self.now(), job.ends_at))),
            "error_message": f"see https://x.example/{_SECRET}" if job.ends == "failed" else None,
        }


def _json(status: int, value: object) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())
