"""The HTTP client itself: raw bytes from a server on loopback become an answer or a Failure."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from functools import cache

from hypothesis import strategies as st

from archiver.errors import Failure
from archiver.network.answer import Answer
from archiver.network.https import Network, UrllibClient
from tests.fuzz.answers import export, export_answers
from tests.fuzz.canaries import ACCESS_TOKEN
from tests.fuzz.promises import check_classified
from tests.fuzz.target import Target

__all__ = ["TARGETS", "check_transport"]

_MAX_BODY_BYTES = 1 << 20
_PATIENCE_SECONDS = 10.0


class _Server:
    """Answers each connection with the same bytes, whatever is asked, and closes it."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/oauth/token"
        threading.Thread(target=self._serve, name="raw answers", daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_PATIENCE_SECONDS)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        heard = b""
        try:
            while b"\r\n\r\n" not in heard and (more := connection.recv(65_536)):
                heard += more
            connection.sendall(self.answer)
        except OSError:
            return  # the client has seen enough


@cache
def _server() -> _Server:
    return _Server()


@cache
def _client() -> UrllibClient:
    return UrllibClient(Network(ssl.create_default_context()))


def check_transport(raw: bytes) -> str:
    """Hold that raw bytes become an answer of bounded size, or a Failure without a secret."""
    server = _server()
    server.answer = raw
    try:
        answer = _client().send(
            "GET", server.url, {"Authorization": f"Bearer {ACCESS_TOKEN}"}, None
        )
    except Failure as failure:
        check_classified(failure, "network")
        return "network"
    assert isinstance(answer, Answer)
    assert 100 <= answer.status <= 999
    assert len(answer.body) <= _MAX_BODY_BYTES
    assert all(name == name.lower() for name in answer.headers)
    return "answered"


def _zipped(body: bytes) -> bytes:
    packed = gzip.compress(body)
    return export(packed, **{"Content-Encoding": "gzip"})


_zips = st.sampled_from(
    [
        _zipped(b"{}"),
        _zipped(b"\x00" * (64 << 20)),
        _zipped(b"{}")[:-9],
        _zipped(b"x" * 99) + b"\xff",
    ]
)
TARGETS = (
    Target(
        "transport",
        2,
        export_answers.filter(lambda raw: raw is not None) | _zips,
        check_transport,
    ),
)
