"""What AWS is told to do wrong: chosen calls get a scripted answer, on the wire, in moto's place.

The function's own clients, retries and parsers stay as they are; nothing of ours is patched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from local.aws.server import EmbeddedAws

__all__ = ["AwsScript", "Refusal", "answer_at_once", "operation", "s3_call"]

Environ = Mapping[str, Any]
WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


def operation(name: str) -> Callable[[Environ], bool]:
    """Match a call of one of the JSON services: DynamoDB, SQS, EventBridge, Secrets Manager."""
    return lambda environ: environ.get("HTTP_X_AMZ_TARGET", "").endswith(f".{name}")


def s3_call(method: str, bucket: str, query: str = "") -> Callable[[Environ], bool]:
    """Match a call of S3 on an object of a bucket whose query string holds a text."""

    def matches(environ: Environ) -> bool:
        return (
            environ["REQUEST_METHOD"] == method
            and environ["PATH_INFO"].startswith(f"/{bucket}/")
            and query in environ.get("QUERY_STRING", "")
        )

    return matches


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of AWS's own. `too_late`: AWS does the work, and then this is answered.

    `silent_until`: nothing is answered before the event is set, for 30 s at the most.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    too_late: bool = False
    silent_until: threading.Event | None = None

    @classmethod
    def s3(
        cls, status: int, code: str, *, message: str = "scripted", too_late: bool = False
    ) -> Refusal:
        """Return an error as S3 writes it."""
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        return cls(status, body, {"Content-Type": "application/xml"}, too_late)

    @classmethod
    def json(cls, status: int, body: bytes) -> Refusal:
        """Return an answer as the JSON services write it."""
        return cls(status, body, {"Content-Type": "application/x-amz-json-1.1"})


@dataclass(slots=True)
class _Plan:
    matches: Callable[[Environ], bool]
    refusal: Refusal
    times: int
    skip: int


def answer_at_once(aws: EmbeddedAws) -> None:
    """Halve the time of each call: werkzeug writes head and body apart, and each awaits an ACK."""
    cast("Any", aws._server).RequestHandlerClass.disable_nagle_algorithm = True


class AwsScript:
    """Stands before moto's applications; what no plan matches goes through."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()
        recorder = cast("Any", aws._recorder)  # the one place where calls pass by
        self._moto = recorder._application
        recorder._application = self

    def answer_next(
        self,
        matches: Callable[[Environ], bool],
        refusal: Refusal,
        *,
        times: int = 1,
        skip: int = 0,
    ) -> None:
        """Answer the next calls that match so, after `skip` that go through."""
        with self._lock:
            self._plans.append(_Plan(matches, refusal, times, skip))

    def clear(self) -> None:
        """Forget all plans."""
        with self._lock:
            self._plans.clear()

    def get_application(self, environ: dict[str, Any]) -> WsgiApplication:
        """Return what answers this call, as moto's own dispatcher does."""
        moto: WsgiApplication = self._moto.get_application(environ)
        refusal = self._take(environ)
        return moto if refusal is None else _refusing(refusal, moto)

    def _take(self, environ: Environ) -> Refusal | None:
        with self._lock:
            for plan in self._plans:
                if plan.times <= 0 or not plan.matches(environ):
                    continue
                if plan.skip > 0:
                    plan.skip -= 1
                    return None
                plan.times -= 1
                return plan.refusal
        return None


def _refusing(refusal: Refusal, moto: WsgiApplication) -> WsgiApplication:
    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        if refusal.too_late:
            b"".join(moto(environ, lambda *_: lambda _data: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if refusal.silent_until is not None:
            refusal.silent_until.wait(30.0)
        headers = {"Content-Length": str(len(refusal.body)), **refusal.headers}
        phrase = HTTPStatus(refusal.status).phrase
        start_response(f"{refusal.status} {phrase}", list(headers.items()))
        return [refusal.body]

    return answer
