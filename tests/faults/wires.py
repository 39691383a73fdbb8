"""Connections that carry bytes: to the link's host and, for parts, to S3. One class for both ends.

A connection has the methods of archiver.https.ByteConnection, and its answers those of
http.client.HTTPResponse that the archiver uses. What a host answers is its `Site`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.faults.chaos import COPY_WEIGHT, Chaos, Fault

__all__ = ["Answered", "Headers", "Refusal", "Reply", "Site", "Wire", "network_faults"]


class Headers(dict[str, str]):
    """HTTP headers, whatever the case of their names."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in fields.items()})

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override] # HTTPMessage's
        """Return a header's value."""
        return super().get(name.lower(), default)


@dataclass(frozen=True)
class Reply:
    """What a site answers. `ends_after`: the connection breaks off after so many bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ends_after: int | None = None
    resets: bool = False  # it breaks off with an error, and not with an early end


class Refusal(Exception):  # noqa: N818 - carried to where it becomes an answer
    """A fault that is an answer of the host's."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}")
        self.reply = reply


class Site(Protocol):
    """A host."""

    def faults(self, request: Request) -> tuple[Fault, ...]:
        """Return what can go wrong with a request to it."""

    def reply(self, request: Request) -> Reply:
        """Do what a request asks for."""

    def delivered(self, request: Request, reply: Reply) -> None:
        """Learn that an answer was heard."""

    def was_read(self, size_bytes: int) -> None:
        """Learn that a piece of a body was read."""


@dataclass
class Request:
    """A request as it was sent."""

    method: str
    target: str
    headers: Headers
    body: bytearray = field(default_factory=bytearray)


def network_faults(side: str, cause: str) -> tuple[Fault, ...]:
    """Return how a connection dies before or after a request took effect."""
    return (
        Fault(f"{side} reset before", 0, lambda: ConnectionResetError("reset"), cause),
        Fault(f"{side} done, then reset", 1, lambda: ConnectionResetError("reset"), cause),
        Fault(f"{side} done, then timeout", 1, lambda: TimeoutError("timed out"), cause),
    )


class Wire:
    """One connection, as archiver.https.ByteConnection is one."""

    def __init__(
        self, chaos: Chaos, host: str, site: Site, rate: Callable[[], float], chunk_bytes: int
    ) -> None:
        self.host = host
        self.broken = False
        self.chunk_bytes = chunk_bytes
        self.chaos = chaos
        self.site = site
        self._rate = rate
        self._request: Request | None = None

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect if need be, and send a request's head."""
        self.chaos.check()
        self.broken = False
        self._may_break("connect")
        self._request = Request(method, target, Headers(headers))

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the body."""
        self.chaos.check()
        self._may_break("send")
        assert self._request is not None
        self._request.body += data

    def answer(self) -> Answered:
        """Let the request take effect, and return the answer."""
        request = self._request
        assert request is not None
        name = f"{self.host.partition('.')[0]} {request.method} {request.target[:60]}"

        def act() -> Reply:
            return self.site.reply(request)

        try:
            reply = self.chaos.call(name, act, self.site.faults(request), weight=COPY_WEIGHT)
        except Refusal as refusal:
            reply = refusal.reply
        self.check()
        self.site.delivered(request, reply)
        return Answered(self, reply)

    def interrupt(self) -> None:
        """Make whatever is under way fail."""
        self.broken = True

    def close(self) -> None:
        """Close; a half-sent request is withdrawn."""
        self._request = None

    def check(self) -> None:
        """Fail if somebody interrupted this connection."""
        if self.broken:
            raise ConnectionAbortedError("interrupted")

    def pace(self, size_bytes: int) -> None:
        """Take the time that these bytes need."""
        self.chaos.sleep(size_bytes / self._rate())
        self.check()

    def _may_break(self, doing: str) -> None:
        self.check()
        if self.chaos.draws(0.3):
            self.chaos.count("network", f"connection broke at {doing}")
            self.broken = True
            raise (
                BrokenPipeError("broken") if doing == "send" else ConnectionRefusedError("refused")
            )


class Answered:
    """An answer whose body is read from its wire."""

    def __init__(self, wire: Wire, reply: Reply) -> None:
        self.status = reply.status
        self.headers = Headers(reply.headers)
        self._wire = wire
        self._reply = reply
        self._position = 0
        self._closed = not reply.body

    def readinto(self, buffer: memoryview) -> int:
        """Read a piece; 0 at the end, early or not."""
        self._wire.chaos.check()
        self._wire.check()
        end = len(self._reply.body) if self._reply.ends_after is None else self._reply.ends_after
        piece = self._reply.body[self._position : end][: min(len(buffer), self._wire.chunk_bytes)]
        self._wire.pace(len(piece))
        self._wire.site.was_read(len(piece))
        if not piece and self._reply.ends_after is not None and self._reply.resets:
            raise ConnectionResetError("reset")
        buffer[: len(piece)] = piece
        self._position += len(piece)
        self._closed = self._closed or not piece or self._position >= len(self._reply.body)
        return len(piece)

    def read(self, limit: int | None = None) -> bytes:
        """Read all, up to a limit."""
        body = self._reply.body if limit is None else self._reply.body[:limit]
        self._closed = len(body) == len(self._reply.body)
        return body

    def read1(self, limit: int) -> bytes:
        """Read what is there, up to a limit; nothing at the end."""
        piece = self._reply.body[self._position :][:limit]
        self._position += len(piece)
        return piece

    def isclosed(self) -> bool:
        """Tell whether the body was read to its end."""
        return self._closed

    def close(self) -> None:
        """Give up the rest."""
        self._closed = True
