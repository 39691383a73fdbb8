"""TLS in front of a server: it notes what passes by, and can spoil it once it is told to.

So the copy meets HTTPS as it does in production, requests and bytes can be counted, and faults
happen on the wire, between the real code and the real server. Nothing is answered here: every
answer that arrives is the server's own.
"""

from __future__ import annotations

import http.client
import select
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from local.apartmentiq.listener import TlsServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["Call", "Fault", "Front"]

_PIECE_BYTES = 256 * 1024
_PATIENCE_SECONDS = 60.0
# They belong to one connection, or (Expect) were answered by http.server already.
_NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})


@dataclass(slots=True)
class Call:
    """One request that passed by. Bodies are counted as they went over the wire."""

    method: str
    path: str  # as it was sent, without the query
    query: str
    headers: dict[str, str]  # by lower-case name
    sent_bytes: int = 0
    status: int = 0
    answered_bytes: int = 0

    @property
    def part_number(self) -> int | None:
        """The part that it writes, by bytes or by copying; None for any other request."""
        numbers = parse_qs(self.query).get("partNumber")
        return int(numbers[0]) if numbers and self.method == "PUT" else None


@dataclass(slots=True)
class Fault:
    """What happens to the first `times` calls that match."""

    matches: Callable[[Call], bool]
    before: Callable[[], None] = lambda: None  # done just before the server hears of the call
    flip_a_byte: bool = False  # in the middle of the body
    lose_answer: bool = False  # the server has done it, and nobody is told
    refuse_connection: bool = False  # the server never hears of it
    times: int = 1


@dataclass(slots=True)
class _Notes:
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Front(TlsServer):
    """One front for one server, which it reaches on the loopback address."""

    def __init__(self, context: ssl.SSLContext, server_port: int) -> None:
        super().__init__(context, _Connection, "front")
        self.upstream_port = server_port
        self._notes = _Notes()

    @property
    def authority(self) -> str:
        """Host and port, as a link names them."""
        return f"localhost:{self.server_address[1]}"

    @property
    def calls(self) -> list[Call]:
        """What has passed by since `forget`, in the order in which it was finished."""
        with self._notes.lock:
            return list(self._notes.calls)

    def forget(self) -> None:
        """Begin to note anew, without any fault."""
        self._notes = _Notes()

    def forget_calls(self) -> None:
        """Begin to note anew; faults stay."""
        with self._notes.lock:
            self._notes.calls.clear()

    def spoil(self, fault: Fault) -> None:
        """Let a fault happen from now on."""
        with self._notes.lock:
            self._notes.faults.append(fault)

    def take_fault(self, call: Call) -> Fault | None:
        """Return the fault that this call meets; it is used up by that."""
        with self._notes.lock:
            for fault in self._notes.faults:
                if fault.times > 0 and fault.matches(call):
                    fault.times -= 1
                    return fault
        return None

    def note(self, call: Call) -> None:
        """Remember a call that is over."""
        with self._notes.lock:
            self._notes.calls.append(call)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(
            "127.0.0.1", self.server.upstream_port, timeout=_PATIENCE_SECONDS
        )
        self._buffer = memoryview(bytearray(_PIECE_BYTES))

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def pass_on(self) -> None:
        """Pass one request on and its answer back, unless a fault says otherwise."""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, path, query, headers)
        fault = self.server.take_fault(call) or Fault(lambda _: False)
        try:
            fault.before()
            if not fault.refuse_connection:
                self._exchange(call, fault)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # one side hung up: so does the other
            self._upstream.close()
        self.close_connection |= fault.refuse_connection or fault.lose_answer
        self.server.note(call)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = pass_on  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Write nothing: a request line can hold a link, and a link is a secret."""

    def _exchange(self, call: Call, fault: Fault) -> None:
        self._upstream.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in _NOT_PASSED_ON:
                self._upstream.putheader(name, value)
        self._upstream.endheaders()
        self._send_body(call, fault)
        answer = self._upstream.getresponse()
        call.status = answer.status
        if self.close_connection:
            self._upstream.close()
        if fault.lose_answer:
            answer.read()
        else:
            self._answer(call, answer)

    def _send_body(self, call: Call, fault: Fault) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        while call.sent_bytes < length:
            count = self.rfile.readinto1(self._buffer[: length - call.sent_bytes])
            if not count:
                raise http.client.IncompleteRead(b"")
            if fault.flip_a_byte and call.sent_bytes <= length // 2 < call.sent_bytes + count:
                self._buffer[length // 2 - call.sent_bytes] ^= 1
            call.sent_bytes += count
            if not self.close_connection and not self._send(self._buffer[:count]):
                # Refused before the body's end. What is left of it is read here, as S3 reads on,
                # and goes nowhere; LocalStack would let whoever sends it wait for a minute.
                self.close_connection = True

    def _send(self, piece: memoryview) -> bool:
        """Send a piece on, unless the server has answered already."""
        if select.select([self._upstream.sock], [], [], 0)[0]:
            return False
        try:
            self._upstream.send(piece)
        except ConnectionError:
            return False
        return True

    def _answer(self, call: Call, answer: http.client.HTTPResponse) -> None:
        told = answer.getheader("Content-Length")
        rest = answer.read() if told is None else b""  # sent in chunks: short answers alone
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        if told is None:
            self.send_header("Content-Length", str(len(rest)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(rest)
        call.answered_bytes = len(rest)
        while count := answer.readinto(self._buffer):
            self.wfile.write(self._buffer[:count])
            call.answered_bytes += count
