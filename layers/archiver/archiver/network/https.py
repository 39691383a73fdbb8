"""HTTPS, twice: questions and answers by urllib3, and connections that carry an export's bytes.

TLS is always verified; nothing here can turn that off. No redirect is ever followed. Nothing is
waited for longer than the invocation has left (deadline.py), and all go through the same proxy.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import wait_for_read

from archiver.errors import Failure
from archiver.network.answer import Answer, body_decides, head_decides
from archiver.network.answer_head import Answered, HeadUnreadable
from archiver.network.deadline import Deadline
from archiver.network.dial import Proxy, ProxyFor, dial
from archiver.network.tls import TlsSocket, hang_up

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["NETWORK_ERRORS", "ByteConnection", "Network", "Spares", "UrllibClient", "kind_of"]

# What a connection can die of. ssl.SSLError is an OSError; so are the time-outs.
NETWORK_ERRORS = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 20.0
_BYTES_TIMEOUT_SECONDS = 60.0  # a stalled part is worth more patience than a question
_MAX_ANSWER_BYTES = 1 << 20
# A refusal's body is short and comes with its head; nobody waits a minute for it.
_REFUSAL_TIMEOUT_SECONDS = 5.0
# What a body may take that decides nothing: one that only explains, and one that nobody needs, read
# so that the connection can be kept (a handshake costs two round trips).
_EXPLAINING_SECONDS = 2.0
_UNNEEDED_SECONDS = 0.25
_MAX_UNDECIDING_BYTES = 64 * 1024
_SPARE_SECONDS = 10.0  # while messages follow each other; a runtime that was frozen starts anew
_SPARES_PER_HOST = 8  # as many as a copy's workers: the next copy begins with them
# Until when a kept connection is believed to be one. NAT gateways forget after 350 s and answer
# with RST, Elastic Load Balancers close after 60 s (AWS's documents of both).
_KEPT_SECONDS = 50.0
# How a connection shows that it was dead before the question: it is reset, or ends.
_DEAD = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _KeptOneDied(ConnectionError):  # noqa: N818 - read as what it says
    """A connection that had lain idle was dead: not a byte of an answer came."""


def kind_of(error: BaseException) -> str:
    """Return what to call a network error: never its text, which may quote what was sent."""
    inner = error.args[-1] if error.args else None
    if isinstance(error, urllib3.exceptions.ProtocolError) and isinstance(inner, Exception):
        return kind_of(inner)
    if isinstance(error, _KeptOneDied) and error.__cause__ is not None:
        return kind_of(error.__cause__)
    return str(error) if isinstance(error, HeadUnreadable) else type(error).__name__


@dataclass
class Network:
    """What every connection of a runtime shares: trust, time, the way out, and kept connections.

    `tls` trusts the roots of the process; `proxy_for` gives a URL's proxy, as boto3 would choose.
    """

    tls: ssl.SSLContext
    deadline: Deadline = field(default_factory=Deadline)
    proxy_for: ProxyFor = lambda _url: None
    now: Callable[[], float] = time.time  # a frozen runtime's other clocks may stand
    connections_per_host: int = 16
    _pools: dict[str, HTTPConnectionPool] = field(default_factory=dict, init=False)

    def pool(self, url: str) -> HTTPConnectionPool:
        """Return the kept connections to a URL's host; each wait on them is to be clipped."""
        scheme, _, rest = url.partition("://")
        origin = f"{scheme}://{rest.partition('/')[0]}"
        if origin not in self._pools:
            self._pools[origin] = self._manager(self.proxy_for(url)).connection_from_url(url)
        return self._pools[origin]

    def drop_idle(self, url: str) -> None:
        """Close the kept connections to a URL's host: where one was dead, all may be."""
        scheme, _, rest = url.partition("://")
        pool = self._pools.pop(f"{scheme}://{rest.partition('/')[0]}", None)
        if pool is not None:
            pool.close()

    def timeout(self, connect_seconds: float, read_seconds: float) -> urllib3.Timeout:
        """Return a question's time-outs, clipped; raises TimeIsUp."""
        clip = self.deadline.clip
        return urllib3.Timeout(connect=clip(connect_seconds), read=clip(read_seconds))

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        options: dict[str, Any] = {"ssl_context": self.tls, "maxsize": self.connections_per_host}
        if proxy is None:
            manager = urllib3.PoolManager(**options)
        else:
            headers = Proxy(proxy).headers
            manager = urllib3.ProxyManager(
                proxy, proxy_headers=headers, proxy_ssl_context=self.tls, **options
            )
        manager.pool_classes_by_scheme = self._pool_classes()
        return manager

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        network = self

        class Plain(_Watched, HTTPConnection):
            network_ = network

        class Secure(_Watched, HTTPSConnection):
            network_ = network

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


class _Watched:
    """What urllib3's connections lack: a bound on the whole, an age, a way past dead addresses."""

    response_class: Any = Answered
    network_: Network
    sock: Any
    timeout: Any
    _dns_host: str
    port: int

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as inherited
        super().__init__(*arguments, **named)
        self._answered_by: Any = None
        self._used_at = 0.0
        self._is_new = self._was_kept = False
        self.network_.deadline.watch(self)

    @property
    def is_connected(self) -> bool:
        """Tell whether it can be used again: what lies idle is forgotten on the way."""
        idle_seconds = self.network_.now() - self._used_at
        open_still = bool(super().is_connected)  # type: ignore[misc] # the mixin's other half
        return open_still and 0 <= idle_seconds <= _KEPT_SECONDS

    def request(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as inherited
        """Send a request; raises _KeptOneDied, as `getresponse` does."""
        self._used_at = self.network_.now()
        self._was_kept, self._is_new = self.sock is not None and not self._is_new, False
        with self._telling_a_dead_one():
            super().request(*arguments, **named)  # type: ignore[misc] # likewise
        self._answered_by = self.sock  # an answer that is to be the last takes it away

    def getresponse(self) -> Any:  # noqa: ANN401 - as inherited
        """Return the answer, its body unread."""
        with self._telling_a_dead_one():
            return super().getresponse()  # type: ignore[misc] # likewise

    @contextmanager
    def _telling_a_dead_one(self) -> Iterator[None]:
        try:
            yield
        except (*_DEAD, TimeoutError) as error:  # what forgets connections may tell nobody
            # urllib3 lets a broken pipe pass: an answer may have come before it.
            if not self._was_kept or isinstance(error, BrokenPipeError):
                raise
            raise _KeptOneDied from error

    def interrupt(self) -> None:
        """Make whoever waits on it in another thread fail at once."""
        for sock in {self.sock, self._answered_by} - {None}:
            hang_up(sock)

    def _new_conn(self) -> socket.socket:
        self._is_new = True
        try:
            return dial(self._dns_host, self.port, float(self.timeout))
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, type(error).__name__) from error  # type: ignore[arg-type] # the mixin's other half


class UrllibClient:
    """Questions to the vendor's API; implements `apartmentiq.client.HttpClient`."""

    def __init__(self, network: Network, *, most_bytes: int = _MAX_ANSWER_BYTES) -> None:
        """Prepare a client that reads `most_bytes` of an answer and leaves the rest."""
        self._most_bytes = most_bytes
        self._network = network

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Send one request; raises Failure("network") that names the error's kind alone.

        Where a kept connection turns out to be dead, it is sent once more by a new one. A POST may
        have been done all the same (RFC 9110, 9.2.2): it goes out by a new one, and once.
        """
        may_repeat = method != "POST"
        try:
            if not may_repeat:
                self._network.drop_idle(url)
            try:
                response = self._ask(method, url, headers, body)
            except urllib3.exceptions.ProtocolError as error:
                if not (may_repeat and isinstance(error.args[-1], _KeptOneDied)):
                    raise
                self._network.drop_idle(url)
                response = self._ask(method, url, headers, body)
            try:
                data, unread = self._read(response)
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()  # a connection that was closed is opened anew by the pool
            self._network.deadline.check()
        except NETWORK_ERRORS as error:
            raise _no_answer(method, url, error) from error
        except ValueError as error:
            # urllib3's and http.client's, of an answer that is no HTTP (a negative chunk's size) or
            # of a header that cannot be sent, which their text quotes: not chained.
            raise _no_answer(method, url, error) from None
        lower: dict[str, str] = {}
        for name, value in response.headers.items():
            lower.setdefault(name.lower(), value)  # the first counts, as for bytes
        is_cut = len(data) >= self._most_bytes
        return Answer(response.status, lower, data, is_cut=is_cut, unread=unread)

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> urllib3.BaseHTTPResponse:
        return self._network.pool(url).request(
            method,
            urllib3.util.parse_url(url).request_uri,
            headers=headers,
            body=body,
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=self._network.timeout(_CONNECT_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS),
        )

    def _read(self, response: urllib3.BaseHTTPResponse) -> tuple[bytes, str]:
        """Return the body, and why it is not (all of) what was sent; raises what reading raises.

        A status means what it means however its body fares, unless the body decides what it means.
        """
        if body_decides(response.status):
            # The headers of a 200 with a file inline are enough: what is beyond the limit is not
            # read.
            data = response.read(self._most_bytes)
            response.drain_conn() if len(data) < self._most_bytes else response.close()
            return data, ""
        unneeded = head_decides(response.status)
        seconds = _UNNEEDED_SECONDS if unneeded else _EXPLAINING_SECONDS
        data, unread = b"", ""
        try:
            data = _read_within(seconds, response, decode=not unneeded)
        except (*NETWORK_ERRORS, ValueError) as error:
            unread = kind_of(error)
        if not response.closed:
            response.close()
        return data, "" if unneeded else unread


def _read_within(seconds: float, response: urllib3.BaseHTTPResponse, *, decode: bool) -> bytes:
    """Read a body to its end or to a limit; raises TimeoutError where it takes longer."""
    end, data = time.monotonic() + seconds, b""
    sock = getattr(response.connection, "sock", None)
    if sock is None and not decode:
        return b""  # the connection is not kept after this, so there is nothing to read it for
    while not response.closed and len(data) < _MAX_UNDECIDING_BYTES:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if sock is not None:
            sock.settimeout(left)
        data += response.read1(_MAX_UNDECIDING_BYTES, decode_content=decode)
    return data


def _no_answer(method: str, url: str, error: Exception) -> Failure:
    host = urllib3.util.parse_url(url).host
    return Failure("network", f"{host} did not answer a {method}: {kind_of(error)}.")


class _BodyFromTls(Answered):
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


class _Connection(http.client.HTTPConnection):
    """http.client's connection: dialled as all are, and inside TLS by our socket if at all."""

    response_class = _BodyFromTls

    def __init__(self, host: str, port: int, network: Network, *, tls: bool) -> None:
        url = network.proxy_for(f"https://{host}:{port}/") if tls else None
        self._network, self._tls, self._verified_host = network, tls, host
        self._proxy = None if url is None else Proxy(url)
        super().__init__(*(self._proxy.address if self._proxy else (host, port)))
        if self._proxy is not None:
            self.set_tunnel(host, port, self._proxy.headers)

    def connect(self) -> None:
        """Connect, through a tunnel where the host is reached by a proxy; raises OSError."""
        self._create_connection = self._dial
        super().connect()
        if self._tls:
            plain, self.sock = self.sock, None  # nothing can be sent before it is inside TLS
            self.sock = TlsSocket(plain, self._network.tls, self._verified_host)

    def _dial(self, address: tuple[str, int], *_: object) -> socket.socket:
        inside_tls = self._proxy is not None and self._proxy.is_tls
        seconds = self._network.deadline.clip(_CONNECT_TIMEOUT_SECONDS)
        return dial(*address, seconds, tls=self._network.tls if inside_tls else None)


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
        network: Network,
        *,
        tls: bool = True,
        spares: Spares | None = None,
    ) -> None:
        """Prepare a connection; without `tls` only to a store on this machine's loopback.

        With `spares`, it begins with one of them and ends as one, if it can.
        """
        self.host = host
        self.port = port
        self._network = network
        self._tls = tls
        self._spares = spares
        self._answer: http.client.HTTPResponse | None = None
        self._answered_by: socket.socket | TlsSocket | None = None
        self._owed_bytes = 0  # of the request's body
        self._request: tuple[str, str, Mapping[str, str]] | None = None  # while it may be repeated
        self._interrupted = False
        self._connection = self._prepare()
        network.deadline.watch(self)

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request's head, its target exactly as given; `Host` must be among the headers.

        Where a kept connection turns out to be dead, a GET is sent once more by a new one, here or
        before its answer.
        """
        kept = self._connection.sock is not None or self._open()
        self._answer, self._owed_bytes = None, int(headers.get("Content-Length", "0"))
        self._request = (method, target, headers) if kept and method == "GET" else None
        try:
            self._send_head(method, target, headers)
        except _DEAD as error:
            self._repeat(error)

    def _send_head(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        self._connection.sock.settimeout(self._network.deadline.clip(_BYTES_TIMEOUT_SECONDS))
        connection = self._connection
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _repeat(self, died: Exception) -> None:
        """Send the request once more by a new connection.

        Raises what it died of where it may not be repeated, or was made to fail on purpose.
        """
        request, self._request = self._request, None
        if request is None or self._interrupted:
            raise died
        self._connection.close()
        self._connection = self._prepare()
        self._connection.connect()
        if self._interrupted:
            raise died
        self._send_head(*request)

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the request's body."""
        self._connection.sock.sendall(data)
        self._owed_bytes -= len(data)

    def answer(self) -> http.client.HTTPResponse:
        """Return the response, its body unread. Read it to the end, or `close`."""
        try:
            self._answer = self._hear()
        except _DEAD as error:
            self._repeat(error)
            self._answer = self._hear()
        self._network.deadline.check()
        if self._answer.status >= 300 and self._answered_by is not None:
            self._answered_by.settimeout(self._network.deadline.clip(_REFUSAL_TIMEOUT_SECONDS))
        return self._answer

    def _hear(self) -> http.client.HTTPResponse:
        # A host that says it will hang up takes the socket from the connection with its answer.
        self._answered_by = self._connection.sock
        self._connection.sock.settimeout(self._network.deadline.clip(_BYTES_TIMEOUT_SECONDS))
        return self._connection.getresponse()

    def interrupt(self) -> None:
        """Make whoever waits on it in another thread fail at once."""
        self._interrupted = True
        sock = self._connection.sock or self._answered_by
        if sock is not None:
            hang_up(sock)

    def close(self) -> None:
        """Close; the next `begin` opens anew. What was half sent is thereby withdrawn."""
        if self._spares is not None and self._waits_for_a_request():
            self._spares.keep(self.host, self.port, self._connection)
            self._connection, self._answer = self._prepare(), None
        else:
            self._connection.close()
            if self._answer is not None:
                self._answer.close()
        self._answered_by = self._request = None
        self._interrupted = False

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
        return _Connection(self.host, self.port, self._network, tls=self._tls)

    def _open(self) -> bool:
        """Open it, with a spare if there is one; returns whether there was."""
        spare = None if self._spares is None else self._spares.take(self.host, self.port)
        if spare is None:
            self._connection.connect()
            return False
        self._connection = spare
        return True
