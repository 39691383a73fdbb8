"""Lets the embedded AWS keep its connections open, as AWS does, so that a warm job costs the truth.

werkzeug closes every connection after one answer, and the function would pay a TLS handshake for
each AWS call, which a warm function in Lambda does not. Here moto answers HTTP/1.1 on connections
that stay. It must not change what moto answers. It is for measuring: bodies are held in memory
whole.
"""

from __future__ import annotations

import io
from email.utils import formatdate
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from moto.moto_server.werkzeug_app import MotoRequestHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.aws.server import EmbeddedAws

__all__ = ["connections_accepted", "keep_connections"]

_OF_ONE_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


def keep_connections(aws: EmbeddedAws) -> None:
    """Let an embedded AWS that has not started yet keep its clients' connections."""
    aws._server.RequestHandlerClass = _KeepAliveHandler


def connections_accepted() -> int:
    """Return how many connections were accepted so far: each cost its client a TLS handshake."""
    return _KeepAliveHandler.accepted


class _KeepAliveHandler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    accepted: ClassVar[int] = 0
    _lock: ClassVar[Lock] = Lock()

    def setup(self) -> None:
        """Count the connection."""
        with self._lock:
            _KeepAliveHandler.accepted += 1
        super().setup()

    def run_wsgi(self) -> None:
        """Read one request to its end, answer it, and stay."""
        if "Transfer-Encoding" in self.headers:  # no AWS client of ours sends it
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        environ: dict[str, Any] = self.make_environ()
        # moto may leave a body unread; what is left over would be taken for the next request
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        environ["wsgi.input"] = io.BytesIO(body)
        told: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], *_: object
        ) -> Callable[[bytes], object]:
            told.append((int(status.partition(" ")[0]), headers))
            return written.append

        written: list[bytes] = []
        content = b"".join([*self.server.app(environ, start_response), *written])
        status, headers = told[-1]
        self._send(status, headers, content)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ANN401 - werkzeug's signature
        """Drop werkzeug's log line: request lines hold signed links."""

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        names = {name.lower() for name, _ in headers}
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        if "content-length" not in names and status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        if "date" not in names:
            self.send_header("Date", formatdate(usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
