"""Lambda Function URLs: a port for each, whose requests invoke the real runtime as events.

The events and answers have payload format 2.0 ("Request and response payloads" in the Lambda
developer guide). It must not know what a function does with a request.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from local.aws.tls_server import TlsServer, quiet

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from local.aws.runtime import Invocation

__all__ = ["FunctionUrls"]

_MOST_BODY_BYTES = 6 * 1024 * 1024  # Lambda's limit of a synchronous payload
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")

Invoke = Callable[[str, object], "Invocation"]


class FunctionUrls:
    """Gives functions their URLs when the stack is made, and answers once they can run."""

    def __init__(self, context: ssl.SSLContext, first_port: int = 0) -> None:
        """Prepare; the first URL gets this port, 0 is one of the system's choice."""
        self._context = context
        self._next_port = first_port
        self._servers: dict[str, TlsServer] = {}
        self._threads: list[Thread] = []
        self._invoke: Invoke | None = None

    def open(self, function_name: str) -> str:
        """Bind a port for a function and return its URL; requests wait until `answer`."""
        application = _Gate(function_name, self._call)
        handler = quiet(WSGIRequestHandler)
        server = TlsServer(application, self._context, handler=handler, port=self._next_port)
        self._next_port = 0
        self._servers[function_name] = server
        if self._invoke is not None:  # of a stack that somebody makes beside ours
            self._serve(function_name, server)
        return f"https://localhost:{server.server_port}/"

    def answer(self, invoke: Invoke) -> None:
        """Begin to answer; `invoke` takes a function's name and an event."""
        self._invoke = invoke
        for name, server in self._servers.items():
            self._serve(name, server)

    def _serve(self, name: str, server: TlsServer) -> None:
        thread = Thread(target=server.serve_forever, args=(0.05,), name=f"url-{name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop answering and free the ports."""
        for server in self._servers.values():
            if self._threads:
                server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._servers, self._threads = {}, []

    def _call(self, function_name: str, event: object) -> Invocation:
        assert self._invoke is not None  # noqa: S101 - `answer` sets it before any request is read
        return self._invoke(function_name, event)


class _Gate:
    """The WSGI application of one URL."""

    def __init__(self, function_name: str, invoke: Invoke) -> None:
        self._function_name = function_name
        self._invoke = invoke

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if (request.content_length or 0) > _MOST_BODY_BYTES:
            return _message(413, "Request must be smaller than 6291556 bytes")
        try:
            invocation = self._invoke(self._function_name, _as_event(request))
        except (RuntimeError, KeyError):  # the pool has stopped, or the function is not ours
            return _message(502, "Internal Server Error")
        if not invocation.succeeded:
            return _message(502, "Internal Server Error")
        return _as_response(invocation.payload)


def _as_event(request: Request) -> dict[str, Any]:
    now = time.time()
    path = str(request.environ.get("REQUEST_URI", "/")).partition("?")[0]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query_string.decode("latin-1"),
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.remote_addr,
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": str(uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if request.args:
        event["queryStringParameters"] = {
            name: ",".join(values) for name, values in request.args.lists()
        }
    return event | _body_of(request)


def _body_of(request: Request) -> dict[str, Any]:
    """Return the body as Lambda hands it over: what is no text type is base64."""
    body = request.get_data()
    if not body:
        return {}
    if request.mimetype.startswith(_TEXT_TYPES):
        return {"body": body.decode(errors="replace"), "isBase64Encoded": False}
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _as_response(payload: Any) -> Response:  # noqa: ANN401 - whatever a function returned
    if not (isinstance(payload, dict) and "statusCode" in payload):
        return Response(json.dumps(payload), 200, content_type="application/json")
    headers: Mapping[str, str] = payload.get("headers", {})
    body = payload.get("body", "")
    content = base64.b64decode(body) if payload.get("isBase64Encoded") else body
    return Response(content, payload["statusCode"], headers)


def _message(status: int, text: str) -> Response:
    return Response(json.dumps({"Message": text}), status, content_type="application/json")
