"""The vendor calls back: one request to the `callback_url` of each job that has ended.

The vendor documents that it does this when a job completes, and no more: payload, method, signature
and retries are our guesses. So there are several plausible payloads to choose from, and nothing is
tried twice. Only addresses of this machine are called: a stand-in must not knock at strangers'.
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local.apartmentiq.jobs import Job, JobBook

__all__ = ["PAYLOADS", "CallbackRecord", "CallbackSender"]

_POLL_SECONDS = 0.05
_PATIENT_SECONDS = 30.0  # a cold start, and a loaded machine
_OURS = ("localhost", "127.0.0.1")
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """What became of one job's callback: the status of the answer, or None if there was none."""

    job_id: str
    payload: str
    status: int | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    body: bytes
    content_type: str
    query: str = ""


def _json_call(document: object) -> _Call:
    return _Call(json.dumps(document).encode(), _JSON)


def _form_call(fields: Mapping[str, object]) -> _Call:
    return _Call(urlencode(fields).encode(), _FORM)


PAYLOADS: Mapping[str, Callable[[Job], _Call]] = {
    "job object": lambda job: _json_call(job.document()),
    "in `job`": lambda job: _json_call({"event": "job.completed", "job": job.document()}),
    "in `data`": lambda job: _json_call({"type": "bulk_job", "data": job.document()}),
    "list": lambda job: _json_call({"jobs": [job.document()]}),
    "id": lambda job: _json_call({"job_id": job.job_id}),
    "form": lambda job: _form_call(job.document()),
    "nested form": lambda job: _form_call({f"job[{k}]": v for k, v in job.document().items()}),
    "query": lambda job: _Call(b"", _JSON, f"job_id={job.job_id}"),
}


def _with_query(url: str, query: str) -> str:
    """Return a URL with more of a query, behind the one that it may have."""
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


class CallbackSender:
    """Calls back in the background, one job after the other, from `start` to `stop`.

    `payload` names one of PAYLOADS. Each callback is lost with the probability `lose`.
    """

    def __init__(self, jobs: JobBook, ca_bundle: Path, *, lose: float = 0.0) -> None:
        self.payload = "job object"
        self.lose = lose
        self._jobs = jobs
        self._http = urllib3.PoolManager(
            ca_certs=str(ca_bundle), retries=False, timeout=_PATIENT_SECONDS
        )
        self._records: list[CallbackRecord] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="apartmentiq-callbacks", daemon=True)

    def start(self) -> None:
        """Begin to watch for jobs that end."""
        self._thread.start()

    def stop(self) -> None:
        """Call nobody any more."""
        self._stopping.set()
        self._thread.join(_PATIENT_SECONDS)
        self._http.clear()

    @property
    def records(self) -> list[CallbackRecord]:
        """Return what became of every callback so far."""
        with self._changed:
            return list(self._records)

    def wait_for(self, job_id: str, deadline_seconds: float = _PATIENT_SECONDS) -> CallbackRecord:
        """Wait for a job's callback and return its record; raises TimeoutError."""
        with self._changed:
            if self._changed.wait_for(lambda: self._find(job_id), deadline_seconds):
                return self._find(job_id)[0]
        raise TimeoutError(f"no callback for job {job_id} after {deadline_seconds} s")

    def _find(self, job_id: str) -> list[CallbackRecord]:
        return [record for record in self._records if record.job_id == job_id]

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            for job in self._jobs.take_ended():
                record = self._call(job)
                with self._changed:
                    self._records.append(record)
                    self._changed.notify_all()

    def _call(self, job: Job) -> CallbackRecord:
        name, url = self.payload, job.order.callback_url or ""
        if random.random() < self.lose:  # noqa: S311 - no secret depends on it
            return CallbackRecord(job.job_id, name, None, lost=True)
        if urlsplit(url).hostname not in _OURS:
            return CallbackRecord(job.job_id, name, None)
        call = PAYLOADS[name](job)
        try:
            answer = self._http.request(
                "POST",
                _with_query(url, call.query),
                body=call.body,
                headers={"Content-Type": call.content_type, "User-Agent": "stand-in"},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError:
            return CallbackRecord(job.job_id, name, None)
        return CallbackRecord(job.job_id, name, answer.status)
