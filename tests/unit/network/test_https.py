"""The HTTP client: whatever a server sends is an answer or a Failure("network"), never a bug."""

from __future__ import annotations

import socket
import ssl
import threading
import traceback
from contextlib import suppress

import pytest

from archiver.errors import Failure
from archiver.network.answer import Answer
from archiver.network.https import Network, UrllibClient

_PATIENCE_SECONDS = 10.0
UNSENDABLE = "canary\r\nX-Evil: 1"


def ask(raw: bytes, header: str = "x") -> Answer:
    """Send a request to a server that answers with these bytes and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PATIENCE_SECONDS)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # nothing was sent
            with connection:
                connection.settimeout(_PATIENCE_SECONDS)
                connection.recv(65_536)
                connection.sendall(raw)

        server = threading.Thread(target=serve)
        server.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            headers = {"Authorization": f"Bearer {header}"}
            return UrllibClient(Network(ssl.create_default_context())).send(
                "GET", url, headers, None
            )
        finally:
            with suppress(OSError):  # closing alone does not wake who waits in accept
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            server.join(_PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2",
        b"HTTP/1.1 20",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000,
    ],
    ids=[
        *("nothing", "cut short", "negative chunk", "no chunk", "no gzip", "no empty line"),
        *("half a header", "half a status", "interim alone", "endless head", "endless interims"),
    ],
)
def test_an_answer_that_breaks_off_or_is_no_http_is_the_networks_failure(raw: bytes) -> None:
    """It is tried again with growing delays, and the alarm names the network, not a bug of ours."""
    with pytest.raises(Failure) as failed:
        ask(raw)
    assert failed.value.reason == "network"


def test_a_header_that_cannot_be_sent_is_not_quoted() -> None:
    """The text of http.client's refusal holds the token, and the log shows exceptions' causes."""
    with pytest.raises(Failure) as failed:
        ask(b"", UNSENDABLE)
    assert UNSENDABLE[:6] not in "".join(traceback.format_exception(failed.value))


def test_a_whole_answer_is_given_with_its_headers_in_lower_case() -> None:
    """The protocol reads headers by their lower-case names."""
    answer = ask(b"HTTP/1.1 302 Found\r\nLOCATION: x\r\nContent-Length: 2\r\n\r\n{}")
    assert (answer.status, answer.headers["location"], answer.body) == (302, "x", b"{}")


def test_a_head_is_read_as_http_says_and_not_as_e_mail() -> None:
    """White space, lone CRs, folded lines, lines that are none, 1,000 headers, the first of two."""
    answer = ask(
        b"HTTP/1.1 103 Early Hints\r\nLocation: hint\r\n\r\n"
        b"HTTP/1.1 302 Found\r\n"
        b"no header at all\r\n goes on\r\n"
        b"Location : \t https://x.example/a \t \r\n"
        b"Location: https://y.example/\r\n"
        b"X-Folded: a\r\n\t b\r\n"
        b"X-Return: a\rb\r\n" + b"".join(b"X-%d: y\n" % n for n in range(1_000)) + b"\r\n"
    )
    assert answer.status == 302
    assert answer.headers["location"] == "https://x.example/a"
    assert answer.headers["x-folded"] == "a b"
    assert answer.headers["x-return"] == "a b"
    assert answer.headers["x-999"] == "y"


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        (b"Content-Length: 2\r\nContent-Length: 2", b"{}"),
        (b"Content-Length: 2, 2", b"{}"),
        (b"Content-Length: 2\r\nContent-Length: 1", b"{}+"),
        (b"Content-Length: +2", b"{}+"),
        (b"Content-Length: 1_0", b"{}+"),
    ],
)
def test_a_length_that_is_said_in_two_ways_was_not_told(lengths: bytes, body: bytes) -> None:
    """RFC 9112, 6.3: then the body ends with the connection."""
    assert ask(b"HTTP/1.1 200 OK\r\n" + lengths + b"\r\n\r\n{}+").body == body
