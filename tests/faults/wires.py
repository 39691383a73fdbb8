"""Connections that carry bytes: to the link's host and, for parts, to S3. One class for both ends.

A connection has the methods of archiver.network.https.ByteConnection, and its answers those of
http.client.HTTPResponse that the archiver uses. What a host answers is its `Site`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.faults.chaos import COPY_WEIGHT, Chaos, Fault, Line, silences

_CONNECT_SECONDS = 5.0
_BYTES_SECONDS = 60.0

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
    """A host. `side`: what it is called where the world is judged."""

    side: str

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
        *(fault for fault in silences(side, cause) if not fault.connects),
    )


class Wire(Line):
    """One connection, as archiver.network.https.ByteConnection is one."""

    def __init__(
        self, chaos: Chaos, host: str, site: Site, rate: Callable[[], float], chunk_bytes: int
    ) -> None:
        super().__init__(chaos)
        self.host = host
        self.chunk_bytes = chunk_bytes
        self.site = site
        self._patience = _BYTES_SECONDS
        self._rate = rate
        self._request: Request | None = None

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect if need be, and send a request's head."""
        self.chaos.check()
        self.broken = False
        self.allow(self.chaos.clip(_CONNECT_SECONDS))
        self._may_break("connect")
        self.allow(self.chaos.clip(_BYTES_SECONDS))
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
        name = f"{self.site.side} {request.method} {request.target[:60]}"

        def act() -> Reply:
            return self.site.reply(request)

        self.chaos.check()
        faults = self.site.faults(request)
        fault = self.chaos.pick(self.site.side, "network", faults, COPY_WEIGHT)
        self._patience = self.chaos.clip(_BYTES_SECONDS)
        try:
            reply = self.chaos.exchange(name, act, fault, self, self._patience)
        except Refusal as refusal:
            reply = refusal.reply
        except OSError as error:
            self.chaos.hear(name, error)
            raise
        self.chaos.hear(name, (reply.status, sorted(reply.headers.items()), reply.body))
        self.check()
        self.chaos.clip(0.0)  # what is heard after the end is not believed
        self.site.delivered(request, reply)
        return Answered(self, reply)

    def close(self) -> None:
        """Close; a half-sent request is withdrawn."""
        self._request = None

    def pace(self, size_bytes: int) -> None:
        """Take the time that these bytes need, or more; raises TimeoutError."""
        self.allow(self._patience)
        self.sleep(size_bytes / self._rate())
        self._may_stall("read")

    def _may_break(self, doing: str) -> None:
        self.check()
        if self.chaos.draws(0.3):
            self.chaos.count("network", f"connection broke at {doing}")
            self.broken = True
            raise (
                BrokenPipeError("broken") if doing == "send" else ConnectionRefusedError("refused")
            )
        self._may_stall(doing)

    def _may_stall(self, doing: str) -> None:
        seconds = self.chaos.stalls()
        if seconds:
            self.chaos.count("network", f"connection stalled at {doing}")
            self.wait(seconds)


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
        self._wire.chaos.hear("piece", (len(piece), self._position))
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
