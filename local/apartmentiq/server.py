"""The vendor on this machine: its API at one address, its links at another, as S3 is another host.

This is the only part that ties the pieces together, and the one interface for tests and the demo.
It never follows, trusts or imports anything of the archiver's.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from local.apartmentiq.callbacks import CallbackSender
from local.apartmentiq.control import Control
from local.apartmentiq.exports import BytesExport, Export, FileExport
from local.apartmentiq.given_out import GivenOut
from local.apartmentiq.jobs import AdjustableClock, Job, JobBook, Order, Status, StoredObject
from local.apartmentiq.links import LONGEST_VALIDITY_SECONDS, LinkMaker, SigningKeys, check_link
from local.apartmentiq.listener import Listener, Reply
from local.apartmentiq.messages import Answer, Body, Request, json_answer, to_bytes
from local.apartmentiq.object_store import answer_object, find_job
from local.apartmentiq.order_desk import OrderDesk, QuotaForm, beyond_quota
from local.apartmentiq.ordered_exports import export_for
from local.apartmentiq.routes import (
    API_PATH,
    TOKEN_PATH,
    UNAUTHORIZED,
    Document,
    JobRoutes,
    TokenOffice,
    find_route,
)
from local.apartmentiq.script import Journal, JournalEntry, LinkFault, Route, Script

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Content", "VendorStandIn"]

Content = Export | bytes | Path
_NO_FAULT = LinkFault()
_NO_HEADERS: dict[str, str] = {}
_CONTENT_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


class VendorStandIn:
    """ApartmentIQ's bulk export API and the bucket behind it, over TLS on the loopback address.

    `on_link_bytes` is called from the serving threads with a job's id and all the bytes of its
    export that were ever handed out; it must be quick. Times follow `clock`, which can be moved.
    `orders` takes orders, and has what can go wrong with them; `/stand-in` on the API's address
    does the same by HTTP. With `callbacks_trust`, a bundle of authorities, it calls the
    `callback_url` of jobs that end. Ports that are not given are of the system's choice.
    """

    def __init__(
        self,
        server_context: ssl.SSLContext,
        host: str = "localhost",
        *,
        bucket: str = "apartmentiq-bulk-exports",
        on_link_bytes: Callable[[str, int], None] | None = None,
        callbacks_trust: Path | None = None,
        api_port: int = 0,
        links_port: int = 0,
    ) -> None:
        self.clock = AdjustableClock()
        self.given_out = GivenOut()  # every secret so far, for tests that look for leaks
        self.tokens = TokenOffice(self.clock.now, self.given_out.note)
        self.jobs = JobBook(self.clock.now)
        self.on_link_bytes = on_link_bytes
        self.link_valid_for_seconds = LONGEST_VALIDITY_SECONDS
        self.link_signed_headers: Mapping[str, str] = _NO_HEADERS
        self.link_query: Mapping[str, str] = _NO_HEADERS
        self.orders = OrderDesk(self.jobs, self.store_export)
        self._routes = JobRoutes(self.jobs, self.orders, self.tokens, self.link_for)
        self._control = Control(self.clock.now, self.orders, self._commands())
        self._script, self._journal = Script(), Journal()
        self._lock = threading.Lock()
        self._link_bytes: dict[str, int] = {}
        self._host, self._bucket = host, bucket
        self._keys = SigningKeys.make_up()
        self._keys_by_id = {self._keys.access_key_id: self._keys}
        self._api = Listener(server_context, self._answer_api, "apartmentiq-api", api_port)
        self._links = Listener(server_context, self._answer_link, "apartmentiq-links", links_port)
        self._callbacks = (
            CallbackSender(self.jobs, callbacks_trust) if callbacks_trust is not None else None
        )

    # --- where it is and who may come in ---

    @property
    def api_base_url(self) -> str:
        """Return the base URL of the API."""
        return f"https://{self._host}:{self._api.server_port}{API_PATH}"

    @property
    def token_url(self) -> str:
        """Return the URL of the token endpoint."""
        return f"https://{self._host}:{self._api.server_port}{TOKEN_PATH}"

    @property
    def trusted_link_host(self) -> str:
        """Return the host and port of the links."""
        return f"{self._host}:{self._links.server_port}"

    @property
    def client_id(self) -> str:
        """Return the OAuth client's id."""
        return self.tokens.client_id

    @property
    def client_secret(self) -> str:
        """Return the OAuth client's secret as it is now."""
        return self.tokens.client_secret

    @property
    def access_token(self) -> str:
        """Return the long-lived token that people could have made by hand."""
        return self.tokens.access_token

    # --- life ---

    def start(self) -> None:
        """Begin to answer."""
        self._api.start()
        self._links.start()
        if self._callbacks:
            self._callbacks.start()

    def stop(self) -> None:
        """Cut every connection and end every thread; a stalled download too."""
        if self._callbacks:
            self._callbacks.stop()
        self._api.stop()
        self._links.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- jobs ---

    def add_job(
        self,
        content: Content | None = b"",
        *,
        order: Order | None = None,
        status: Status = "succeeded",
        job_id: str | None = None,
        key: str | None = None,
        etag: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        completes_after_seconds: float | None = None,
    ) -> Job:
        """Enter a job that is already so far; with a delay it stays `submitted` for as long.

        `headers` are S3's object headers, such as Content-Encoding. None as content leaves the
        export out, as for a job that failed.
        """
        delayed = completes_after_seconds is not None
        job = self.jobs.add(
            order or Order(), job_id=job_id, status="submitted" if delayed else status
        )
        if content is not None:
            job = self.store_export(job.job_id, content, key=key, etag=etag, headers=headers)
        if completes_after_seconds is not None:
            job = self._complete_later(job, completes_after_seconds)
        return job

    def complete_orders_after(
        self, seconds: float | None, make_export: Callable[[Order], Export] = export_for
    ) -> None:
        """Let every job that is ordered from now on complete by itself after so long; None: not.

        Its export is made at once.
        """
        self.orders.default_after_seconds, self.orders.make_export = seconds, make_export

    def _complete_later(self, job: Job, seconds: float) -> Job:
        due_at = job.created_at + timedelta(seconds=seconds)
        return self.jobs.change(job.job_id, lambda job: replace(job, completes_at=due_at))

    def store_export(
        self,
        job_id: str,
        content: Content,
        *,
        key: str | None = None,
        etag: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Job:
        """Put an export where the job's link points, over the one that may be there already."""
        export = _export(content)

        def store(job: Job) -> Job:
            order = job.order
            present = job.stored.key if job.stored else None
            default_key = f"exports/{job_id}/{order.report_type}.{order.output_format}"
            stored = StoredObject(
                bucket=self._bucket,
                key=key or present or default_key,
                content=export,
                etag=etag or export.etag(),
                last_modified=self.clock.now(),
                headers=(
                    *(
                        {"Content-Type": _CONTENT_TYPES[order.output_format]} | dict(headers)
                    ).items(),
                ),
            )
            return replace(job, stored=stored)

        return self.jobs.change(job_id, store)

    def complete_job(self, job_id: str, content: Content) -> Job:
        """Finish a job that was ordered, with this as its export."""
        self.store_export(job_id, content)
        return self.jobs.change(job_id, lambda job: replace(job, status="succeeded"))

    def fail_job(self, job_id: str, error_message: str) -> Job:
        """Let a job fail at the vendor."""
        return self.jobs.change(
            job_id, lambda job: replace(job, status="failed", error_message=error_message)
        )

    def set_etag(self, job_id: str, etag: str) -> Job:
        """Change the ETag of a job's export, as if it had been written again."""

        def retag(job: Job) -> Job:
            if job.stored is None:
                raise ValueError(f"job {job_id} has no export")
            return replace(job, stored=replace(job.stored, etag=etag))

        return self.jobs.change(job_id, retag)

    def forbid(self, job_id: str, body: Literal["json", "empty"] | None = "json") -> None:
        """Answer 403 to requests for a job's results, in one of the two documented ways."""
        self.jobs.change(job_id, lambda job: replace(job, refusal=body))

    def switch_job_details(self, status: Literal[200, 404, 405]) -> None:
        """Answer `GET /bulk_api/jobs/{job_id}` for every job so; 200 switches it on again."""
        self._routes.details_status = status

    def tell_jobs_as(self, change: Callable[[Document], Document]) -> None:
        """Show every job object so, in the list, by itself and in the answer to its order."""
        self.orders.tell_job = change

    def tell_pagination_as(self, change: Callable[[Document], object]) -> None:
        """Show the list's `pagination` so."""
        self._routes.tell_pagination = change

    def on_list(self, act: Callable[[int], None]) -> None:
        """Do something before each page of the list is read, as others do at the same time."""
        self._routes.on_list = act

    def hide_job(self, job_id: str, seconds: float) -> None:
        """Know nothing of a job for so long: its callback was quicker than the replica."""
        self._routes.hidden_until[job_id] = self.clock.now() + timedelta(seconds=seconds)

    # --- links ---

    def link_for(self, job: Job) -> str:
        """Return a fresh link to a job's export. Raises ValueError when there is none."""
        if job.stored is None:
            raise ValueError(f"job {job.job_id} has no export")
        link = LinkMaker(self.trusted_link_host, self._keys).link(
            job.stored.bucket,
            job.stored.key,
            at=self.clock.now(),
            valid_for_seconds=self.link_valid_for_seconds,
            signed_headers=self.link_signed_headers,
            query=self.link_query,
        )
        self.given_out.note_link(link)
        return link

    def use_temporary_keys(self, valid_for_seconds: float) -> None:
        """Sign links from now on with keys that expire, as an STS role's do."""
        expires_at = self.clock.now() + timedelta(seconds=valid_for_seconds)
        self._keys = SigningKeys.make_up(expires_at=expires_at)
        self._keys_by_id[self._keys.access_key_id] = self._keys

    # --- what goes wrong, and what was asked ---

    def answer_next(
        self,
        route: Route,
        *,
        status: int,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: Body = b"",
        times: int | None = 1,
        job_id: str | None = None,
    ) -> None:
        """Answer the route's next requests so instead; `times=None` until cleared.

        A Content-Length among the headers is sent as it is, and the connection ends after it.
        """
        answer = Answer(status, tuple(headers.items()), to_bytes(body))
        self._script.plan_answer(route, answer, times, job_id)

    def answer_raw_next(
        self,
        route: Route,
        raw: bytes,
        *,
        held_open: bool = False,
        times: int | None = 1,
        job_id: str | None = None,
    ) -> None:
        """Answer the route's next requests with these bytes and no others, then hang up.

        With `held_open` the connection stays, silent, until the client hangs up. Without a byte it
        looks to a client as if the connection had died before.
        """
        answer = Answer(0, raw=raw, held_open=held_open)
        self._script.plan_answer(route, answer, times, job_id)

    def limit_rate_next(
        self, route: Route, *, retry_after_seconds: int = 1, times: int | None = 1
    ) -> None:
        """Answer 429 as the vendor's rate limiter does: text, with its four headers."""
        window_seconds = max(60, retry_after_seconds)
        headers = {
            "Content-Type": "text/plain",
            "Retry-After": str(retry_after_seconds),
            "X-RateLimit-Limit": "60",
            "X-RateLimit-Reset-After": str(window_seconds),
            "X-RateLimit-Reset": str(int(self.clock.now().timestamp()) + window_seconds),
        }
        body = "Too many requests.\n"
        self.answer_next(route, status=429, headers=headers, body=body, times=times)

    def exceed_quota_next(
        self, route: Route, *, form: QuotaForm = "429", times: int | None = 1
    ) -> None:
        """Answer as for an account whose quota is used up: JSON without Retry-After, or 403."""
        self._script.plan_answer(route, beyond_quota(form, 5000, 5001), times, None)

    def refuse_token_next(self, route: Route, *, times: int | None = 1) -> None:
        """Answer 401, whatever token comes; nothing is done for such a request."""
        self._script.plan_answer(route, UNAUTHORIZED, times, None)

    def disturb_link(
        self, fault: LinkFault, *, times: int | None = 1, job_id: str | None = None
    ) -> None:
        """Spoil the next downloads through good links so; `times=None` until cleared."""
        self._script.plan_fault(fault, times, job_id)

    def clear_script(self) -> None:
        """Forget every scripted answer, disturbance, plan for orders and habit that is left."""
        self._script.clear()
        self.orders.clear()
        self.tell_pagination_as(lambda pagination: pagination)

    def _commands(self) -> dict[str, Callable[..., object]]:
        """Return what can be done by HTTP."""
        return {
            "advance_clock": self.clock.advance,
            "change_habits": self.orders.change_habits,
            "lose_answers": self.orders.lose_answers,
            "refuse": self.orders.refuse,
            "settle": self.orders.settle,
            "by_hand": self.orders.by_hand,
            "limit_rate": self.limit_rate_next,
            "exceed_quota": self.exceed_quota_next,
            "refuse_token": self.refuse_token_next,
            "revoke_tokens": self.tokens.revoke_all,
            "clear": self.clear_script,
        }

    @property
    def callbacks(self) -> CallbackSender:
        """Return what calls back; raises ValueError without `callbacks_trust`."""
        if self._callbacks is None:
            raise ValueError("this stand-in calls nobody back: give it callbacks_trust")
        return self._callbacks

    @property
    def journal(self) -> list[JournalEntry]:
        """Return every request so far, in the order of arrival."""
        return self._journal.entries()

    def clear_journal(self) -> None:
        """Forget the requests so far; the bytes counted per job stay."""
        self._journal.clear()

    def link_bytes(self, job_id: str) -> int:
        """Return how many bytes of a job's export were handed out, over all downloads."""
        with self._lock:
            return self._link_bytes.get(job_id, 0)

    def _answer_api(self, request: Request) -> Reply:
        route, job_id = find_route(request)
        if route == "control":
            known = self.tokens.recognises(request)
            told = self._control.answer(request) if known else UNAUTHORIZED
            return Reply(told, _NO_FAULT, lambda _: None)
        answer = self._script.take_answer(route, job_id)
        if answer is None and route == "unknown":
            answer = json_answer(404, {"error": "Not Found"})
        elif answer is None and route == "token":
            answer = self.tokens.answer(request)
        elif answer is None:
            answer = self._routes.answer(route, job_id, request)
        return self._reply(route, request, job_id, answer, _NO_FAULT)

    def _answer_link(self, request: Request) -> Reply:
        job = find_job(request, self.jobs)
        job_id = job.job_id if job else None
        fault = _NO_FAULT
        answer = self._script.take_answer("link", job_id)
        if answer is None:
            answer = check_link(request, self._keys_by_id, self.clock.now())
        if answer is None:
            fault = (job_id and self._script.take_fault(job_id)) or _NO_FAULT
            answer = answer_object(request, job, fault)
        with_server = replace(answer, headers=(("Server", "AmazonS3"), *answer.headers))
        return self._reply("link", request, job_id, with_server, fault)

    def _reply(
        self, route: Route, request: Request, job_id: str | None, answer: Answer, fault: LinkFault
    ) -> Reply:
        number = self._journal.open(route, request, job_id, answer.status)

        def count(count: int) -> None:
            self._journal.count_bytes(number, count)
            if answer.stream:
                self._count_link_bytes(answer.stream.job_id, count)

        return Reply(answer, fault, count)

    def _count_link_bytes(self, job_id: str, count: int) -> None:
        with self._lock:
            total = self._link_bytes.get(job_id, 0) + count
            self._link_bytes[job_id] = total
        if self.on_link_bytes:
            self.on_link_bytes(job_id, total)


def _export(content: Content) -> Export:
    if isinstance(content, bytes):
        return BytesExport(content)
    return FileExport(content) if isinstance(content, Path) else content
