"""Lambda's Invoke call, answered by the real runtimes: `aws lambda invoke` works on the local run.

moto would answer with a stub. The shape is that of the API reference, "Lambda: Invoke": an answer
of the function's own error is a 200, with a header that says so.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.aws.runtime import Invocation

__all__ = ["InvokeApi"]

_PATH = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations")
_MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # Lambda's limit for a synchronous call


class InvokeApi:
    """A WSGI application for the calls that `takes` says are its own."""

    def __init__(
        self,
        invoke: Mapping[str, Callable[[object], Invocation]],
        submit: Mapping[str, Callable[[object], object]],
    ) -> None:
        """Take both by the function's name: to wait for the answer, and to let it come."""
        self._invoke = invoke
        self._submit = submit

    def takes(self, environ: Mapping[str, Any]) -> bool:
        """Say whether a request is an invocation."""
        return environ["REQUEST_METHOD"] == "POST" and bool(_PATH.fullmatch(environ["PATH_INFO"]))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        """Invoke; the answer's body is the function's."""
        status, headers, body = self._answer(environ)
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers],
        )
        return [body]

    def _answer(self, environ: Mapping[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        name = _name_in(environ["PATH_INFO"])
        if name not in self._invoke:
            return _error(404, "ResourceNotFoundException", f"Function not found: {name}")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > _MAX_PAYLOAD_BYTES:
            return _error(413, "RequestTooLargeException", "The payload is larger than 6 MiB.")
        try:
            event = json.loads(environ["wsgi.input"].read(length) or b"{}")
        except ValueError:
            return _error(400, "InvalidRequestContentException", "The payload is not JSON.")
        if environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "Event":
            self._submit[name](event)
            return 202, [], b""
        invocation = self._invoke[name](event)
        headers = [("X-Amz-Executed-Version", "$LATEST")]
        if not invocation.succeeded:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        return 200, headers, json.dumps(invocation.payload).encode()


def _name_in(path: str) -> str:
    """Return a function's name out of a path that names it, or its ARN, perhaps with a version."""
    match = _PATH.fullmatch(path)
    given = unquote(match["function"]) if match else ""
    return re.sub(r"^arn:[^:]*:lambda:[^:]*:[^:]*:function:", "", given).partition(":")[0]


def _error(status: int, kind: str, message: str) -> tuple[int, list[tuple[str, str]], bytes]:
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return status, [("X-Amzn-ErrorType", kind)], body
