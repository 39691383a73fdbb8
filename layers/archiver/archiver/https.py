"""HTTPS, twice: questions and answers by urllib3, and connections that carry an export's bytes.

TLS is always verified; nothing here can turn that off. No redirect is ever followed.

The byte connections are the standard library's: urllib3 rewrites percent-escapes and dot segments
of a path (a link's signature covers them as they are), puts URLs into the texts of its errors, and
its `readinto` reads and then copies.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.util import wait_for_read

from archiver.apartmentiq.protocol import Answer
from archiver.errors import Failure
from archiver.tls import TlsSocket

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["NETWORK_ERRORS", "ByteConnection", "Spares", "UrllibClient"]

# What a connection can die of. ssl.SSLError is an OSError; so are the time-outs.
NETWORK_ERRORS = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 20.0
_BYTES_TIMEOUT_SECONDS = 60.0  # a stalled part is worth more patience than a question
_MAX_ANSWER_BYTES = 1 << 20
_SPARE_SECONDS = 10.0  # while messages follow each other; a runtime that was frozen starts anew
_SPARES_PER_HOST = 2  # the invocation's thread, and the heartbeat beside it


class UrllibClient:
    """Questions to the vendor's API; implements `apartmentiq.client.HttpClient`."""

    def __init__(self, tls: ssl.SSLContext, *, most_bytes: int = _MAX_ANSWER_BYTES) -> None:
        """Prepare a client that reads `most_bytes` of an answer and leaves the rest."""
        self._most_bytes = most_bytes
        self._pool = urllib3.PoolManager(
            ssl_context=tls,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_SECONDS, read=_READ_TIMEOUT_SECONDS),
        )

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send one request; raises Failure("network") that names the error's kind alone."""
        try:
            response = self._pool.request(
                method, url, headers=headers, body=body, redirect=False, preload_content=False
            )
            try:
                # The headers of a 200 with a file inline are enough: what is beyond the limit is
                # not read.
                data = response.read(self._most_bytes)
            except BaseException:
                response.close()
                raise
            else:
                response.drain_conn() if len(data) < self._most_bytes else response.close()
            finally:
                response.release_conn()  # a connection that was closed is opened anew by the pool
        except NETWORK_ERRORS as error:
            raise _no_answer(method, url, error) from error
        except ValueError as error:
            # urllib3's and http.client's, of an answer that is no HTTP (a negative chunk's size) or
            # of a header that cannot be sent, which their text quotes: not chained.
            raise _no_answer(method, url, error) from None
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, lower, data)


def _no_answer(method: str, url: str, error: Exception) -> Failure:
    host = urllib3.util.parse_url(url).host
    return Failure("network", f"{host} did not answer a {method}: {type(error).__name__}.")


class _BodyFromTls(http.client.HTTPResponse):
    """A response whose long body is read from the TLS socket itself, straight into the buffer.

    Each TLS record of 16 KiB otherwise passes through two more calls in Python: 5 to 9 % of a
    copy's CPU. What came along with the head is handed over first, and the body's end goes the
    usual way, which knows when the connection can be kept.
    """

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as inherited
        super().__init__(sock, *arguments, **named)
        self._tls_socket = sock if isinstance(sock, TlsSocket) else None
        self._read_ahead = True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into the buffer, as the inherited method; also 0 before the end means broken off."""
        view = memoryview(buffer)
        left = self.length  # None where the length was not told
        if self._tls_socket is None or left is None or left <= len(view):
            return super().readinto(view)
        if self._read_ahead:
            self._read_ahead = False
            held = self.read1(len(view))  # all that the buffer below holds; else one read
            view[: len(held)] = held
            return len(held)
        filled = self._tls_socket.fill(view)
        self.length = left - filled
        return filled


class _TlsConnection(http.client.HTTPConnection):
    """http.client's connection, inside TLS by our socket."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, *, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context

    def connect(self) -> None:
        super().connect()
        plain, self.sock = self.sock, None  # nothing can be sent on it before it is inside TLS
        self.sock = TlsSocket(plain, self._context, self.host)


_Idle = tuple[http.client.HTTPConnection, float]  # since when


class Spares:
    """Idle connections that outlived their use, for the next one to the same host.

    A small job is spared a handshake for each host: 1.2 ms of CPU and two round trips. They are
    handed out for the host and port that they were opened and verified for, and for no other; not
    if the host has hung up, nor after some seconds, for by then it may have done so unheard.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Begin with none. `now` is the wall clock: a frozen runtime's other clocks may stand."""
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int], list[_Idle]] = {}
        weakref.finalize(self, _close_all, self._kept)

    def keep(self, host: str, port: int, connection: http.client.HTTPConnection) -> None:
        """Keep an open connection that waits for its next request; one too many is closed."""
        with self._lock:
            kept = self._kept.setdefault((host, port), [])
            kept.append((connection, self._now()))
            surplus = kept.pop(0)[0] if len(kept) > _SPARES_PER_HOST else None
        if surplus is not None:
            surplus.close()

    def take(self, host: str, port: int) -> http.client.HTTPConnection | None:
        """Return a connection that goes there and can still be used, the last used first."""
        while True:
            with self._lock:
                kept = self._kept.get((host, port))
                if not kept:
                    return None
                connection, since = kept.pop()
            fresh = 0 <= self._now() - since <= _SPARE_SECONDS
            # What can be read of an idle connection is its end, or nothing that we asked for.
            if fresh and not _has_more(connection.sock):
                return connection
            connection.close()


def _has_more(sock: socket.socket | TlsSocket) -> bool:
    return sock.has_more() if isinstance(sock, TlsSocket) else wait_for_read(sock, timeout=0.0)


def _close_all(kept: Mapping[tuple[str, int], Sequence[_Idle]]) -> None:
    for connection, _ in itertools.chain.from_iterable(kept.values()):
        connection.close()


class ByteConnection:
    """One kept-alive connection to one host, opened when first needed, for one thread."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        spares: Spares | None = None,
        patience_seconds: float = _BYTES_TIMEOUT_SECONDS,
    ) -> None:
        """Prepare a connection; `tls` is None only for a store on this machine's loopback.

        With `spares`, it begins with one of them and ends as one, if it can.
        """
        self.host = host
        self.port = port
        self._tls = tls
        self._spares = spares
        self._patience_seconds = patience_seconds
        self._answer: http.client.HTTPResponse | None = None
        self._answered_by: socket.socket | TlsSocket | None = None
        self._owed_bytes = 0  # of the request's body
        self._connection = self._prepare()

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request's head, its target exactly as given; `Host` must be among the headers."""
        if self._connection.sock is None:
            self._open()
        self._answer, self._owed_bytes = None, int(headers.get("Content-Length", "0"))
        connection = self._connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the request's body."""
        self._connection.sock.sendall(data)
        self._owed_bytes -= len(data)

    def answer(self) -> http.client.HTTPResponse:
        """Return the response, its body unread. Read it to the end, or `close`."""
        # A host that says it will hang up takes the socket from the connection with its answer.
        self._answered_by = self._connection.sock
        self._answer = self._connection.getresponse()
        return self._answer

    def interrupt(self) -> None:
        """Make whoever waits on it in another thread fail at once."""
        sock = self._connection.sock or self._answered_by
        if sock is not None:
            with suppress(OSError):  # not connected any more
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; the next `begin` opens anew. What was half sent is thereby withdrawn."""
        if self._spares is not None and self._waits_for_a_request():
            self._spares.keep(self.host, self.port, self._connection)
            self._connection, self._answer = self._prepare(), None
        else:
            self._connection.close()
            if self._answer is not None:
                self._answer.close()
        self._answered_by = None

    def _waits_for_a_request(self) -> bool:
        """Tell whether the last request went out whole and its answer was read to the end.

        An answer that was only closed left its bytes on the way. One without a length (chunks) does
        not say whether it was read; what we ask for has one.
        """
        if self._answer is None or self._connection.sock is None:
            return False
        read = self._answer.isclosed() and self._answer.length == 0
        return read and self._owed_bytes == 0

    def _prepare(self) -> http.client.HTTPConnection:
        seconds = _CONNECT_TIMEOUT_SECONDS
        connection = (
            http.client.HTTPConnection(self.host, self.port, timeout=seconds)
            if self._tls is None
            else _TlsConnection(self.host, self.port, self._tls, timeout=seconds)
        )
        connection.response_class = _BodyFromTls
        return connection

    def _open(self) -> None:
        spare = None if self._spares is None else self._spares.take(self.host, self.port)
        if spare is None:
            self._connection.connect()
        else:
            self._connection = spare
        self._connection.sock.settimeout(self._patience_seconds)
