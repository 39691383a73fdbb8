"""moto, in this process, behind TLS: the AWS API of the local run at `https://localhost:PORT`.

It listens on 127.0.0.1 only. It must not interpret what it serves; it may note who called what.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from local.aws.moto_locks import ConditionLocks, make_queues_atomic
from local.aws.tls_server import TlsServer, quiet

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = [
    "ACCOUNT_ID",
    "AnswersFirst",
    "EmbeddedAws",
    "QueuedMessage",
    "RequestRecord",
    "RequestWatcher",
]

ACCOUNT_ID = "123456789012"  # moto's own default

_REMEMBERED_REQUESTS = 100_000  # a day of idle polling at one call a second

# S3 tells its operations apart by method and by these query names or headers, first match first.
_OBJECT_ACTIONS = (
    ("PUT", "tagging", False, "PutObjectTagging"),
    ("GET", "tagging", False, "GetObjectTagging"),
    ("PUT", "uploadId", True, "UploadPartCopy"),
    ("PUT", "uploadId", False, "UploadPart"),
    ("PUT", None, True, "CopyObject"),
    ("PUT", None, False, "PutObject"),
    ("POST", "uploads", False, "CreateMultipartUpload"),
    ("POST", "uploadId", False, "CompleteMultipartUpload"),
    ("DELETE", "uploadId", False, "AbortMultipartUpload"),
    ("DELETE", None, False, "DeleteObject"),
    ("GET", "uploadId", False, "ListParts"),
    ("GET", None, False, "GetObject"),
    ("HEAD", None, False, "HeadObject"),
)
_BUCKET_ACTIONS = (
    ("GET", "uploads", False, "ListMultipartUploads"),
    ("GET", "versions", False, "ListObjectVersions"),
    ("GET", None, False, "ListObjects"),
    ("HEAD", None, False, "HeadBucket"),
    ("PUT", None, False, "CreateBucket"),
    ("DELETE", None, False, "DeleteBucket"),
)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One call of the AWS API; `action` is the API's operation name, `resource` S3's bucket/key.

    `sent` is all that the caller said beside an object's bytes: the body of a JSON service, or S3's
    query and headers as JSON. It may hold secrets (people fill them in), so that no repr shows it.
    """

    access_key_id: str | None
    service: str
    action: str
    resource: str
    sent: str = field(default="", repr=False)


class AnswersFirst(Protocol):
    """A WSGI application that answers some calls in moto's place."""

    def takes(self, environ: Mapping[str, Any]) -> bool:
        """Say whether a call is one of them."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's signature
        """Answer it."""


class RequestWatcher(Protocol):
    """Is told of every call, in the thread that serves it: what waits here delays the answer."""

    def began(self, record: RequestRecord) -> None:
        """Act before the call has any effect."""

    def ended(self, record: RequestRecord) -> None:
        """Act after its effect, and before its answer is sent."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """One message of a queue, seen from outside: `hidden_seconds` until it can be received."""

    message_id: str
    body: str
    receive_count: int
    hidden_seconds: float
    attributes: Mapping[str, str] = field(default_factory=dict)


class EmbeddedAws:
    """All of moto's services behind one TLS port, from `start` to `stop`.

    moto's state belongs to the process, so that one may run at a time; `stop` forgets it all.
    """

    def __init__(self, server_context: ssl.SSLContext, port: int = 0) -> None:
        """Bind the port; 0 is one of the system's choice."""
        make_queues_atomic()
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        application = _Recorder(DomainDispatcherApplication(create_backend_app))
        self._recorder = application
        handler = quiet(MotoRequestHandler)
        self._server = TlsServer(application, server_context, handler=handler, port=port)
        self._thread = Thread(target=self._serve, name="embedded-aws", daemon=True)

    @property
    def url(self) -> str:
        """Return the endpoint for every service."""
        return f"https://localhost:{self._server.server_port}"

    def start(self) -> None:
        """Begin to answer; the port is bound already, so no call is too early."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, free the port, forget every resource."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        moto_api_backend.reset()

    def answer_first(self, application: AnswersFirst) -> None:
        """Let an application answer, from now on, the calls that it takes for its own."""
        self._recorder.answering_first.append(application)

    def requests(self) -> list[RequestRecord]:
        """Return every call so far, in order of arrival."""
        return self._recorder.snapshot()

    def watch(self, watcher: RequestWatcher) -> None:
        """Tell `watcher` of all calls from now on."""
        self._recorder.watchers.append(watcher)

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no call is under way, at most so long; tells whether none is."""
        return self._recorder.wait_until_idle(seconds)

    def queued_messages(self, queue_name: str, region: str) -> list[QueuedMessage]:
        """Return what is in a queue, hidden or not, without receiving it; SQS has no such call."""
        queue = sqs_backends[ACCOUNT_ID][region].get_queue(queue_name)
        now_ms = time.time() * 1000
        with queue._messages_lock:  # noqa: SLF001 - moto has no public look at hidden messages
            return [
                QueuedMessage(
                    message.id,
                    message.body,
                    message.approximate_receive_count,
                    max(0.0, message.visible_at - now_ms, message.delayed_until - now_ms) / 1000,
                    _texts(message.message_attributes),
                )
                for message in queue._messages  # noqa: SLF001 - as above
            ]

    def version_ids(self, bucket: str, key: str) -> list[str]:
        """Return the versions at a key, delete markers included, oldest first.

        ListObjectVersions would tell the same; moto copies the whole bucket's content for it.
        """
        versions = s3_backends[ACCOUNT_ID]["aws"].get_bucket(bucket).keys.getlist(key, [])
        return [str(version.version_id) for version in versions]

    def make_messages_visible(
        self,
        queue_name: str,
        region: str,
        *,
        held_receipts: Collection[str] = (),
        message_id: str | None = None,
    ) -> int:
        """Let delays and visibility timeouts pass at once, but for messages in someone's hands.

        With `message_id`, of that message alone. Returns how many were waiting. SQS offers no such
        call: this is the local run's fast-forward, so that a test needs not wait an hour.
        """
        queue = sqs_backends[ACCOUNT_ID][region].get_queue(queue_name)
        with queue._messages_lock:  # noqa: SLF001 - moto has no public clock for a queue
            waiting = [
                message
                for message in queue._messages  # noqa: SLF001 - as above
                if (message.delayed or not message.visible)
                and message.receipt_handle not in held_receipts
                and message_id in (None, message.id)
            ]
            for message in waiting:
                message.visible_at = message.delayed_until = 0.0
            queue._messages_lock.notify_all()  # noqa: SLF001 - as above
        return len(waiting)

    def forget_messages(self, queue_name: str, region: str) -> None:
        """Empty a queue, as often as wanted: SQS allows one purge a minute."""
        queue = sqs_backends[ACCOUNT_ID][region].get_queue(queue_name)
        with queue._messages_lock:  # noqa: SLF001 - moto has no public way around the minute
            queue._messages = []  # noqa: SLF001 - as above
            queue.pending_messages.clear()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)


class _Recorder:
    """Notes each request's caller, service and action, then hands it to moto."""

    def __init__(self, application: DomainDispatcherApplication) -> None:
        self.answering_first: list[AnswersFirst] = []
        self._application = application
        self._records: deque[RequestRecord] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._lock = Lock()
        self._idle = Condition()
        self._under_way = 0
        self._locks = ConditionLocks()
        self.watchers: list[RequestWatcher] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's signature
        record = _describe(environ)
        with self._lock:
            self._records.append(record)
        for application in self.answering_first:
            if application.takes(environ):
                return application(environ, start_response)
        app = self._application.get_application(environ)
        for watcher in self.watchers:
            watcher.began(record)
        with self._counted(), self._locks.lock_for(record.service, environ):
            answer: Iterable[bytes] = app(environ, start_response)
        for watcher in self.watchers:
            watcher.ended(record)
        return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._under_way += 1
        try:
            yield
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._under_way == 0, seconds)

    def snapshot(self) -> list[RequestRecord]:
        with self._lock:
            return list(self._records)


def _texts(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return a message's attributes that are text."""
    return {name: str(value.get("StringValue", "")) for name, value in attributes.items()}


def _describe(environ: dict[str, Any]) -> RequestRecord:
    access_key_id, service = _read_credential(environ.get("HTTP_AUTHORIZATION", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        action = target.rpartition(".")[2]
        return RequestRecord(access_key_id, service, action, "", _take_body(environ))
    path = environ.get("PATH_INFO", "")
    action = _s3_action(environ, path) if service == "s3" else environ["REQUEST_METHOD"]
    return RequestRecord(access_key_id, service, action, path.lstrip("/"), _s3_words(environ))


def _take_body(environ: dict[str, Any]) -> str:
    """Read a JSON service's body and leave it there for moto."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body.decode(errors="replace")


def _s3_words(environ: Mapping[str, Any]) -> str:
    """Return an S3 request's query and headers, without the caller's own signature."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name != "HTTP_AUTHORIZATION"
    }
    return json.dumps({"query": environ.get("QUERY_STRING", ""), "headers": headers})


def _read_credential(authorization: str) -> tuple[str | None, str]:
    _, found, rest = authorization.partition("Credential=")
    scope = rest.partition(",")[0].split("/")
    if not found or len(scope) != 5:  # key/date/region/service/aws4_request
        return None, "s3"  # moto takes unsigned requests for S3's
    return scope[0], scope[3]


def _s3_action(environ: Mapping[str, Any], path: str) -> str:
    names = {name for name, _ in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)}
    copies = "HTTP_X_AMZ_COPY_SOURCE" in environ
    is_object = bool(path.strip("/").partition("/")[2])
    for method, name, copy, action in _OBJECT_ACTIONS if is_object else _BUCKET_ACTIONS:
        if method == environ["REQUEST_METHOD"] and copy == copies and (not name or name in names):
            return action
    return str(environ["REQUEST_METHOD"])
