"""HTTP/1.1 over TLS on the loopback address: reads requests, sends answers, breaks when told to.

What is answered is decided elsewhere; this file only moves bytes, quickly, and may be cut off at
any moment without leaving a thread or a socket behind.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from local.apartmentiq.messages import Answer, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from local.apartmentiq.script import LinkFault

__all__ = ["Listener", "Reply", "TlsServer"]

_LOOPBACK = "127.0.0.1"
_MIB = 1024 * 1024
_LONGEST_BODY_BYTES = _MIB  # every documented request is far below
_JOIN_SECONDS = 5.0
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends a reset


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, how to spoil it, and whom to tell of each piece before it is sent."""

    answer: Answer
    fault: LinkFault
    count: Callable[[int], None]


class TlsServer(ThreadingHTTPServer):
    """A server on a port (0: of its own choice), with one daemon thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        context: ssl.SSLContext,
        handler: type[BaseHTTPRequestHandler],
        name: str,
        port: int = 0,
    ) -> None:
        super().__init__((_LOOPBACK, port), handler)
        self.stopping = threading.Event()
        self._context = context
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name)
        self._thread.daemon = True

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Cut every connection, also one in mid-answer, and wait for the threads to end."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join(_JOIN_SECONDS)
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):  # gone already
                # Not SSLSocket's own shutdown(): that would change TLS state under another thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(_JOIN_SECONDS)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept without a handshake, which the connection's own thread does at its first read."""
        plain, address = self.socket.accept()
        return self._context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        ), address

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own signature
        """Serve one connection, registered so that stop() can cut it."""
        with self._lock:
            self._open[request] = threading.current_thread()
        try:
            if not self.stopping.is_set():
                super().process_request_thread(request, client_address)
        finally:
            request.close()
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own signature
        """Stay silent: clients hang up and distrust certificates on purpose in many tests."""


class Listener(TlsServer):
    """A server that asks one function for each of its answers."""

    def __init__(
        self,
        context: ssl.SSLContext,
        respond: Callable[[Request], Reply],
        name: str,
        port: int = 0,
    ) -> None:
        super().__init__(context, _Connection, name, port)
        self.respond = respond


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener
    requests_before = 0

    def handle_any(self) -> None:
        """Read one request, send its answer."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LONGEST_BODY_BYTES:
            self.close_connection = True
            self._send_head(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        body = self.rfile.read(int(length))
        request = Request(self.command, self.path, self.headers, body, self.requests_before)
        self.requests_before += 1
        reply = self.server.respond(request)
        if reply.answer.raw is not None:
            self._send_raw(reply.answer.raw, held_open=reply.answer.held_open)
            return
        self.wfile.write(reply.answer.interim)
        self._send_head(reply.answer)
        if self.command != "HEAD":
            self._send_body(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_any  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Write nothing: a request line can hold a link, and a link is a secret."""

    def _send_head(self, answer: Answer) -> None:
        headers = {"Date": formatdate(usegmt=True)} | dict(answer.headers)
        if not any(name.lower() == "content-length" for name in headers):
            headers["Content-Length"] = str(len(answer.body))
        elif answer.stream is None:  # a scripted length may be a lie; nothing may follow it
            self.close_connection = True
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_raw(self, raw: bytes, *, held_open: bool) -> None:
        self.close_connection = True
        self.wfile.write(raw)
        connection = cast("socket.socket", self.connection)
        connection.settimeout(0.05)
        while held_open and not self.server.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection.recv(1)  # it hung up, or asks again
                held_open = False

    def _send_body(self, reply: Reply) -> None:
        if reply.answer.stream is None:
            reply.count(len(reply.answer.body))
            self.wfile.write(reply.answer.body)
            return
        fault, body = reply.fault, reply.answer.stream
        limits = (fault.truncate_after_bytes, fault.reset_after_bytes, body.length)
        limit = min(each for each in limits if each is not None)
        self._send_pieces(reply, body.content.chunks(body.start, limit))
        if fault.reset_after_bytes == limit:
            self._reset()
        elif limit < body.length:
            self.close_connection = True

    def _send_pieces(self, reply: Reply, views: Iterable[memoryview]) -> None:
        fault = reply.fault
        sent, started_at = 0, time.monotonic()
        for piece in _cut(views, fault):
            if fault.stall_until and sent == fault.stall_after_bytes:
                self._stall(fault.stall_until)
            reply.count(len(piece))
            self.wfile.write(_spoilt(piece, fault.flip_byte_at, sent))
            sent += len(piece)
            if fault.bytes_per_second:
                due_at = started_at + sent / fault.bytes_per_second
                self.server.stopping.wait(max(0.0, due_at - time.monotonic()))

    def _stall(self, released: threading.Event) -> None:
        while not released.wait(0.05) and not self.server.stopping.is_set():
            pass

    def _reset(self) -> None:
        self.close_connection = True
        connection = cast("socket.socket", self.connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.rfile.close()  # the socket closes for good with its last reader
        connection.close()


def _spoilt(piece: memoryview, flip_byte_at: int | None, sent: int) -> bytes | memoryview:
    """Return a piece that begins at `sent`, one bit of the byte to be spoilt turned."""
    if flip_byte_at is None or not sent <= flip_byte_at < sent + len(piece):
        return piece
    spoilt = bytearray(piece)
    spoilt[flip_byte_at - sent] ^= 1
    return bytes(spoilt)


def _cut(views: Iterable[memoryview], fault: LinkFault) -> Iterator[memoryview]:
    """Yield the views in pieces, one of which starts where a stall is due."""
    largest = int(min(_MIB, max(1.0, (fault.bytes_per_second or _MIB * 20) / 20)))
    done = 0
    for view in views:
        start = 0
        while start < len(view):
            count = min(largest, len(view) - start)
            if done < fault.stall_after_bytes:
                count = min(count, fault.stall_after_bytes - done)
            yield view[start : start + count]
            start += count
            done += count
