"""ApartmentIQ in memory: tokens, jobs, links, limits. And the host that its links point to.

Documents: tests/data/apartmentiq-jobs-openapi.yaml and tests/data/apartmentiq-results-openapi.yaml.
Every secret of this world has "canary" in it, so that the judge can look for them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from archiver.errors import Failure
from archiver.network.answer import Answer
from tests.faults.chaos import FOREVER_SECONDS, Chaos, Fault, Line, Run, Stall, silences
from tests.faults.objects import SOURCE, Source, encode_crc
from tests.faults.wires import Refusal, Reply, Request, network_faults

__all__ = ["API", "EXPORT_HOST", "TOKEN_URL", "ExportHost", "ExportJob", "Vendor"]

API = "https://api.apartmentiq.example/v1"
TOKEN_URL = "https://api.apartmentiq.example/oauth/token"
EXPORT_HOST = "s3.us-west-2.amazonaws.com"
_ROUTE = re.compile(r"/bulk_api/jobs(?:/([0-9a-f-]{36})(/results)?|\?page=(\d+)&per_page=(\d+))")
_TOKEN_SECONDS = 7_200
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 20.0
_DRIPS = Stall(after=FOREVER_SECONDS / 2, drips=True)


@dataclass
class ExportJob:
    """One job at the vendor, and its export. `kind` is what is peculiar about it."""

    job_id: str
    kind: str
    finishes_at: float
    ends: str  # succeeded, failed, cancelled; "absent": the vendor knows no such job
    sources: list[Source] = field(default_factory=list)  # all that it ever was; the last is it now
    output_format: str = "csv"
    details_status: int = 200
    granted: bool = False
    tells_checksum: bool = False
    etag_is_md5: bool = True
    property_ids: tuple[int, ...] = ()  # none: the vendor does not tell them

    @property
    def key(self) -> str:
        """The export's key in the vendor's bucket."""
        return f"exports/{self.job_id}.csv"

    @property
    def source(self) -> Source:
        """The export as it is now."""
        return self.sources[-1]

    def change(self, body: bytes) -> None:
        """Write the export anew."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.sources.append(Source(body, f'"{digest}"' if self.etag_is_md5 else f'"{digest}-7"'))

    def fields(self, now: float) -> dict[str, Any]:
        """Return the job object; the vendor repeats the callback URL, which holds a token."""
        return {
            "job_id": self.job_id,
            "report_type": "units",
            "output_format": self.output_format,
            "start_date": "2026-10-01",
            "end_date": "2026-10-31",
            "status": self.ends if now >= self.finishes_at else "submitted",
            "callback_url": "https://hooks.example/?token=canary-callback",
            "error_message": "see https://vendor.example/?canary-error-link",
            "property_ids": list(self.property_ids),
        }


@dataclass
class _Link:
    job: ExportJob
    expires_at: float


class Vendor:
    """The API. Implements archiver.network.outside.HttpClient."""

    def __init__(self, chaos: Chaos, jobs: Mapping[str, ExportJob]) -> None:
        self.client_secret = "canary-client-secret-1"
        self.links: dict[str, _Link] = {}
        self.closed_until = 0.0
        self.told: list[tuple[float, float, Run]] = []  # when, until, whom
        self.longest_retry_after = 86_400  # what it tells at most, however long it is closed
        self.retry_after: tuple[float, float] = (5.0, 120.0)
        self.link_seconds = (20.0, 604_800.0)
        self.revokes_earlier = False  # a new token revokes the last
        self.knocks = 0
        self._jobs = jobs
        self._chaos = chaos
        self._tokens: dict[str, float] = {}
        self._count = 0

    def rotate(self) -> None:
        """Take another client secret, and no token that the old one bought."""
        self._count += 1
        self.client_secret = f"canary-client-secret-{self._count + 1}"
        self.revoke()

    def revoke(self) -> None:
        """Refuse every token that was given out."""
        self._tokens.clear()

    # --- the wire ---

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Answer a request, or not."""
        self._chaos.check()
        run, now = self._chaos.run(), self._chaos.scheduler.now
        if run is not None:
            self._check_patience(run, now)
        name = f"vendor {method} {url.removeprefix(API)[:70]}"
        fault = self._chaos.pick("vendor", "network", self._faults())

        def act() -> Answer:
            return self._answer(method, url, headers, body)

        try:
            with self._chaos.alone():
                answer = self._exchange(name, act, fault)
        except Refusal as refusal:
            answer = Answer(refusal.reply.status, dict(refusal.reply.headers), refusal.reply.body)
        except OSError as error:  # as https.UrllibClient says it
            self._chaos.hear(name, error)
            raise Failure(
                "network", f"api.apartmentiq.example did not answer: {type(error).__name__}."
            ) from error
        self._chaos.hear(name, answer)
        if answer.status == 429 and "retry-after" in answer.headers and run is not None:
            until = self._chaos.scheduler.now + float(answer.headers["retry-after"])
            run.closed_until = max(run.closed_until, until)
            self.told.append((self._chaos.scheduler.now, until, run))
        return answer

    def _exchange(self, name: str, act: Callable[[], Answer], fault: Fault | None) -> Answer:
        connect, read = self._chaos.clip(_CONNECT_SECONDS), self._chaos.clip(_READ_SECONDS)
        patience = connect if fault is not None and fault.connects else read
        answer = self._chaos.exchange(name, act, fault, Line(self._chaos), patience)
        self._chaos.clip(0.0)  # what is heard after the end is not believed
        return answer

    def _check_patience(self, run: Run, now: float) -> None:
        """Nobody asks before a Retry-After that they know of, or that the fleet was told."""
        if now < run.closed_until:
            raise self._chaos.violate(
                f"{run.name} asked the vendor {run.closed_until - now:.1f} s before its Retry-After"
            )
        for when, until, told in self.told:
            telling = 5.0 * self._chaos.profile.slow
            if (
                now < until - 0.001
                and run.looked_at > when + telling
                and not told.faults_after(when)
            ):
                raise self._chaos.violate(
                    f"{run.name} asked the vendor {until - now:.1f} s too early; "
                    f"{told.name} had been told"
                )

    def _faults(self) -> tuple[Fault, ...]:
        def refusal(status: int) -> Fault:
            body = (
                b'{"error": "Internal", "message": "at https://x.example/?canary"}'
                if status == 500
                else b""
            )
            return Fault(f"vendor {status}", 0, lambda: Refusal(Reply(status, {}, body)), "vendor")

        return (
            Fault("vendor lost", 0, lambda: ConnectionRefusedError("refused"), "network"),
            Fault("vendor answer lost", 1, lambda: ConnectionResetError("reset"), "network"),
            *silences("vendor", "network"),
            Fault("vendor drips", 1, None, "network", stall=lambda *_: _DRIPS),
            refusal(500),
            refusal(503),
            Fault("vendor closes for a while", 1, None, "vendor", self._close),
            Fault("vendor closes for a while", 1, None, "vendor", self._close),
            Fault("vendor revokes tokens", 1, None, "vendor", self.revoke),
        )

    def _close(self) -> None:
        wait = self._chaos.random.uniform(*self.retry_after)
        self.closed_until = max(self.closed_until, self._chaos.scheduler.now + wait)

    # --- the answers ---

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> Answer:
        now = self._chaos.scheduler.now
        if now < self.closed_until:
            self.knocks += 1
            wait = min(self.longest_retry_after, math.ceil(self.closed_until - now))
            return Answer(429, {"retry-after": str(wait), "content-type": "text/plain"}, b"slow")
        if (method, url) == ("POST", TOKEN_URL):
            return self._token(body or "")
        match = _ROUTE.fullmatch(url.removeprefix(API))
        if method != "GET" or match is None or not url.startswith(API):
            raise self._chaos.violate(f"an unknown request: {method} {url}")
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) <= now:
            return _json(401, {"error": "Unauthorized", "message": "Missing or invalid token"})
        if match[3]:
            return self._page(int(match[3]), int(match[4]))
        job = self._jobs.get(match[1])
        return self._results(job) if match[2] else self._details(job)

    def _token(self, body: str) -> Answer:
        fields = parse_qs(body)
        if fields.get("client_secret") != [self.client_secret]:
            return _json(401, {"error": "invalid_client"})
        self._count += 1
        token = f"canary-token-{self._count}"
        if self.revokes_earlier:
            self.revoke()
        self._tokens[token] = self._chaos.scheduler.now + _TOKEN_SECONDS
        return _json(200, {"access_token": token, "expires_in": _TOKEN_SECONDS})

    def _details(self, job: ExportJob | None) -> Answer:
        if job is None or job.ends == "absent":
            return _json(404, {"error": "Not Found"})
        if job.details_status != 200:
            return Answer(job.details_status, {}, b"")
        return _json(200, job.fields(self._chaos.scheduler.now))

    def _page(self, page: int, per_page: int) -> Answer:
        now = self._chaos.scheduler.now
        known = [job.fields(now) for job in self._jobs.values() if job.ends != "absent"]
        shown = known[(page - 1) * per_page : page * per_page]
        pages = max(1, -(-len(known) // per_page))
        return _json(200, {"jobs": shown, "pagination": {"total_pages": pages}})

    def _results(self, job: ExportJob | None) -> Answer:
        if job is None or job.ends == "absent":
            return _json(404, {"error": "Not Found", "message": "no such job"})
        if job.kind == "forbidden":
            return Answer(403, {}, b"")
        if job.kind == "quota":
            return _json(429, {"error": "Trial API quota limit exceeded", "quota_limit": 5})
        if job.fields(self._chaos.scheduler.now)["status"] != "succeeded":
            return _json(400, {"error": "Invalid operation", "message": "not available"})
        return Answer(302, {"location": self._link(job)}, b"")

    def _link(self, job: ExportJob) -> str:
        self._count += 1
        signature = f"canary-link-{self._count}"
        seconds = self._chaos.random.choice(self.link_seconds) if self._chaos.left else 604_800.0
        self.links[signature] = _Link(job, self._chaos.scheduler.now + seconds)
        host = "files.rented.example" if job.kind == "untrusted" else EXPORT_HOST
        return (
            f"https://{host}/{SOURCE}/{job.key}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
        )


class ExportHost:
    """The S3 that the vendor's links point to."""

    side = "link"

    def __init__(self, chaos: Chaos, vendor: Vendor) -> None:
        self.ignores_if_match = False
        self.changes = True
        self.bytes_read = 0
        self._chaos = chaos
        self._vendor = vendor

    def faults(self, request: Request) -> tuple[Fault, ...]:
        """Return what can go wrong with a read."""
        link = self._find(request)

        def status(code: int) -> Fault:
            return Fault(f"link {code}", 0, lambda: Refusal(Reply(code)), "vendor")

        def expire() -> None:
            if link is not None:
                link.expires_at = 0.0

        spoiling: tuple[Fault, ...] = ()
        if link is not None and link.job.tells_checksum:  # else nobody could find it out
            spoilt = partial(self._twisted, request, "spoilt")
            spoiling = (Fault("link spoilt a byte", 1, spoilt, "vendor"),)
        changing: tuple[Fault, ...] = ()
        if link is not None and self.changes and link.job.source.body:
            changing = (Fault("export changes", 1, None, "vendor", lambda: self._change(link)),)
        return (
            *network_faults("link", "network"),
            status(500),
            status(503),
            status(429),
            Fault("link expires", 1, None, "vendor", expire),
            Fault("link expires", 1, None, "vendor", expire),
            *changing,
            *spoiling,
            *(
                Fault(f"link {how}", 1, partial(self._twisted, request, how), "vendor")
                for how in (
                    "truncated",
                    "broken off",
                    "over-long",
                    "other range",
                    "200 for a range",
                )
            ),
        )

    def reply(self, request: Request) -> Reply:
        """Answer a read."""
        if {"authorization", "x-amz-date"} & set(request.headers):
            raise self._chaos.violate("the link's host was sent what is not for it")
        link = self._find(request)
        if link is None or link.expires_at <= self._chaos.scheduler.now:
            expired = self._chaos.random.random() < 0.5
            return Reply(400 if expired else 403, {}, b"<Error><Code>ExpiredToken</Code></Error>")
        return self._read(request, link.job)

    def delivered(self, request: Request, reply: Reply) -> None:
        """Do nothing."""

    def was_read(self, size_bytes: int) -> None:
        """Count what was read of exports."""
        self.bytes_read += size_bytes

    def _read(self, request: Request, job: ExportJob) -> Reply:
        body, etag = job.source.body, job.source.etag
        wanted = request.headers.get("if-match")
        if wanted is not None and wanted != etag and not self.ignores_if_match:
            return Reply(412, {}, b"<Error/>")
        headers = {"ETag": etag}
        if job.tells_checksum:
            headers |= {"x-amz-checksum-crc64nvme": encode_crc(body)}
        asked = request.headers.get("range")
        if asked is None:
            return Reply(200, {**headers, "Content-Length": str(len(body))}, body)
        if not body:
            return Reply(416, {}, b"<Error/>")
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last), len(body) - 1)
        piece = body[start : end + 1]
        headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        return Reply(206, {**headers, "Content-Length": str(len(piece))}, piece)

    def _twisted(self, request: Request, how: str) -> Exception:
        right = self.reply(request)
        if right.status != 206:
            return Refusal(right)
        headers, body = dict(right.headers), right.body
        if how in {"truncated", "broken off"}:
            ends = self._chaos.random.randrange(len(body))
            return Refusal(Reply(206, headers, body, ends, how == "broken off"))
        if how == "spoilt":
            return Refusal(Reply(206, headers, bytes([body[0] ^ 1]) + body[1:]))
        if how == "over-long":
            longer = body + b"more than was asked for"
            return Refusal(Reply(206, {**headers, "Content-Length": str(len(longer))}, longer))
        if how == "other range":
            told = headers["Content-Range"].replace("bytes ", "bytes 1")
            return Refusal(Reply(206, {**headers, "Content-Range": told}, body))
        link = self._find(request)
        assert link is not None
        del headers["Content-Range"]
        whole = link.job.source.body
        return Refusal(Reply(200, {**headers, "Content-Length": str(len(whole))}, whole))

    def _change(self, link: _Link) -> None:
        job = link.job
        shorter = self._chaos.random.choice([0, 0, 3])
        job.change(self._chaos.random.randbytes(max(1, len(job.source.body) - shorter)))

    def _find(self, request: Request) -> _Link | None:
        signature = request.target.partition("X-Amz-Signature=")[2]
        return self._vendor.links.get(signature)


def _json(status: int, value: Mapping[str, Any]) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(value).encode())
