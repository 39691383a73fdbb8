"""Bodies read from the TLS socket itself: the same bytes as the standard library's way, or an end.

The server is a socket on loopback that sends exactly the records it is told to.
"""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest

from archiver.network.https import ByteConnection, Network, Spares
from archiver.network.tls import tls_context
from local.certificates import CertificateAuthority

_SERVER = "server"
_BUFFER_BYTES = 64 * 1024
_BODY = random.Random(3).randbytes(300_000)  # noqa: S311 - sample bytes
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"

Records = Sequence[bytes]
Serve = Callable[..., ByteConnection]  # with the records of each answer, one answer a request


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority for this file."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def serve(authority: CertificateAuthority) -> Iterator[Serve]:
    """Return what starts a server that answers so many requests on one connection, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(*answers: Records, spares: Spares | None = None) -> ByteConnection:
            context = authority.server_context()
            serving = (listener, context, answers)
            threading.Thread(target=_answer, args=serving, name=_SERVER).start()
            port = listener.getsockname()[1]
            tls = tls_context(str(authority.bundle_path))
            return ByteConnection("localhost", port, Network(tls), spares=spares)

        yield start
        _wait_for_servers()


def _answer(listener: socket.socket, context: ssl.SSLContext, answers: Sequence[Records]) -> None:
    plain, _ = listener.accept()
    with context.wrap_socket(plain, server_side=True) as connection:
        for records in answers:
            try:
                if not connection.recv(65536):  # a request is one record here
                    return
            except ConnectionResetError:  # closed with bytes on the way
                return
            for record in records:
                connection.sendall(record)


def _cut(content: bytes, size_bytes: int) -> list[bytes]:
    return [content[at : at + size_bytes] for at in range(0, len(content), size_bytes)]


def _ask(connection: ByteConnection) -> http.client.HTTPResponse:
    connection.begin("GET", "/export", {"Host": "localhost"})
    return connection.answer()


def _wait_for_servers() -> None:
    for thread in threading.enumerate():
        if thread.name == _SERVER:
            thread.join(timeout=10)
            assert not thread.is_alive()


def _read_all(connection: ByteConnection) -> tuple[bytes, bool]:
    """Return the bytes until the end or the first empty read, and whether it was the end."""
    answer = _ask(connection)
    buffer, content = bytearray(_BUFFER_BYTES), b""
    while not answer.isclosed():
        count = answer.readinto(buffer)
        content += buffer[:count]
        if not count:
            break
    return content, len(content) == len(_BODY)


@pytest.mark.parametrize(
    "records",
    [
        [_HEAD + _BODY],
        [_HEAD, _BODY],
        [_HEAD + _BODY[:100], _BODY[100:]],
        [_HEAD + _BODY[:9_000], _BODY[9_000:]],
        _cut(_HEAD + _BODY, 997),
        [_HEAD, *_cut(_BODY, _BUFFER_BYTES)],
    ],
    ids=["at once", "head apart", "a little", "more than the read-ahead", "crumbs", "as read"],
)
def test_a_body_arrives_byte_for_byte_however_it_was_cut(
    serve: Serve, records: list[bytes]
) -> None:
    """Where records end, and how much came along with the head, makes no difference."""
    connection = serve(records)
    assert _read_all(connection) == (_BODY, True)
    connection.close()


@pytest.mark.parametrize("sent", [0, 5, 8_192, 65_536, 299_999])
def test_a_body_that_breaks_off_is_never_taken_for_whole(serve: Serve, sent: int) -> None:
    """An early end is an empty read before the length is reached; nothing is made up."""
    connection = serve([_HEAD, _BODY[:sent]] if sent else [_HEAD])
    assert _read_all(connection) == (_BODY[:sent], False)
    connection.close()


def test_a_connection_is_good_for_the_next_answer(serve: Serve) -> None:
    """A body that was read to its end leaves the connection open and in step."""
    connection = serve([_HEAD + _BODY], [_HEAD + _BODY])
    assert _read_all(connection) == (_BODY, True)
    assert _read_all(connection) == (_BODY, True)
    connection.close()


# --- the spare connection ---

_WHOLE = [_HEAD + _BODY]


def test_the_next_copy_from_the_same_host_needs_no_handshake(serve: Serve) -> None:
    """A connection that was read to the end outlives its copy."""
    spares = Spares()
    first = serve(_WHOLE, _WHOLE, spares=spares)
    _read_all(first)
    first.close()
    trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # so it cannot open one of its own
    second = ByteConnection("localhost", first.port, Network(trusts_nobody), spares=spares)
    assert _read_all(second) == (_BODY, True)
    second.close()


def test_a_connection_goes_to_its_own_host_and_port_alone(serve: Serve) -> None:
    """Another port is another server: it gets a handshake of its own."""
    spares = Spares()
    first = serve(_WHOLE, _WHOLE, spares=spares)
    _read_all(first)
    first.close()
    assert spares.take("localhost", first.port + 1) is None
    assert spares.take("127.0.0.1", first.port) is None
    kept = spares.take("localhost", first.port)
    assert kept is not None
    kept.close()


@pytest.mark.parametrize("idle_seconds", [-1.0, 10.1, 3600.0])
def test_a_connection_that_lay_idle_is_not_trusted(serve: Serve, idle_seconds: float) -> None:
    """Neither after some seconds, nor after a clock that was set back."""
    clock = [1000.0]
    spares = Spares(now=lambda: clock[0])
    first = serve(_WHOLE, spares=spares)
    _read_all(first)
    first.close()
    clock[0] += idle_seconds
    assert spares.take("localhost", first.port) is None


def test_a_connection_that_the_host_closed_is_not_used(serve: Serve) -> None:
    """The end is seen before a request is sent into it."""
    spares = Spares()
    first = serve(_WHOLE, spares=spares)  # one answer, and the server hangs up
    _read_all(first)
    _wait_for_servers()  # on loopback its end has come by then
    first.close()
    assert spares.take("localhost", first.port) is None


@pytest.mark.parametrize(
    ("owed_bytes", "read_bytes"),
    [(0, 1000), (0, 0), (1, len(_BODY))],
    ids=["half read", "closed unread", "half sent"],
)
def test_a_connection_that_may_be_out_of_step_is_closed(
    serve: Serve, owed_bytes: int, read_bytes: int
) -> None:
    """An answer was not read to its end, or a body not sent to its end."""
    spares = Spares()
    first = serve(_WHOLE, spares=spares)
    headers = {"Host": "localhost", "Content-Length": str(owed_bytes)}
    first.begin("PUT" if owed_bytes else "GET", "/export", headers)
    answer = first.answer()
    assert answer.read(read_bytes) == _BODY[:read_bytes]
    answer.close()
    first.close()
    assert spares.take("localhost", first.port) is None


# The server waits for a second request, that is: until the connection is really closed.
_HANGS_UP = ([_HEAD[:-2] + b"Connection: close\r\n\r\n" + _BODY[:100_000]], _WHOLE)


def test_closing_hangs_up_on_an_answer_that_would_be_the_last(serve: Serve) -> None:
    """http.client gives such an answer the socket: only closing both lets the host know."""
    connection = serve(*_HANGS_UP)
    answer = _ask(connection)
    assert answer.readinto(bytearray(1000)) == 1000

    connection.close()

    assert answer.isclosed()
    _wait_for_servers()


def test_an_answer_that_would_be_the_last_can_be_interrupted(serve: Serve) -> None:
    """Or a part of a host that always hangs up would hold a copy that is out of time."""
    connection = serve(*_HANGS_UP)
    answer = _ask(connection)
    threading.Timer(0.2, connection.interrupt).start()

    with suppress(OSError):
        while answer.readinto(bytearray(_BUFFER_BYTES)):
            pass

    connection.close()
    _wait_for_servers()


# --- a kept connection that died ---


@pytest.fixture
def flaky(authority: CertificateAuthority) -> Iterator[tuple[int, list[int], threading.Event]]:
    """Serve one answer a connection, and hang up at the second question; note the questions.

    Yields the port, how many questions each connection had, and an event that, once set, makes new
    connections hang up at the first question, too.
    """
    questions: list[int] = []
    broken = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            context = authority.server_context()
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                questions.append(0)
                with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                    while connection.recv(65536):
                        questions[-1] += 1
                        if questions[-1] > 1 or broken.is_set():
                            break
                        connection.sendall(_HEAD + _BODY)

        threading.Thread(target=serve, name=_SERVER).start()
        yield listener.getsockname()[1], questions, broken
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    _wait_for_servers()


Flaky = tuple[int, list[int], threading.Event]


def test_a_get_is_sent_once_more_where_the_kept_connection_was_dead(
    flaky: Flaky, authority: CertificateAuthority
) -> None:
    """By a new one, be it a spare that died or its own; nobody hears of it."""
    port, questions, _ = flaky
    network, spares = Network(tls_context(str(authority.bundle_path))), Spares()
    first = ByteConnection("localhost", port, network, spares=spares)
    assert _read_all(first) == (_BODY, True)
    assert _read_all(first) == (_BODY, True)
    first.close()
    second = ByteConnection("localhost", port, network, spares=spares)
    assert _read_all(second) == (_BODY, True)
    second.close()
    assert questions[:2] == [2, 2]
    _empty(spares, port)


def test_a_get_is_not_sent_a_third_time(flaky: Flaky, authority: CertificateAuthority) -> None:
    """A new connection that dies says that the host is out of order."""
    port, questions, broken = flaky
    connection = ByteConnection("localhost", port, Network(tls_context(str(authority.bundle_path))))
    assert _read_all(connection) == (_BODY, True)
    broken.set()
    with pytest.raises(ConnectionError):
        _ask(connection)
    connection.close()
    assert questions == [2, 1]


def test_a_part_is_not_sent_again_by_itself(flaky: Flaky, authority: CertificateAuthority) -> None:
    """Its body is gone: who sent it knows how to send it again."""
    port, questions, _ = flaky
    connection = ByteConnection("localhost", port, Network(tls_context(str(authority.bundle_path))))
    assert _read_all(connection) == (_BODY, True)
    connection.begin("PUT", "/part", {"Host": "localhost", "Content-Length": "1"})
    with suppress(OSError):  # the host may have hung up by now
        connection.send(b"x")
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an end, as the kernel likes
        connection.answer()
    connection.close()
    assert questions[0] >= 1
    assert len(questions) == 1


def test_what_was_interrupted_is_not_sent_again(
    flaky: Flaky, authority: CertificateAuthority
) -> None:
    """Somebody wants it to end, and not to begin anew."""
    port, questions, _ = flaky
    connection = ByteConnection("localhost", port, Network(tls_context(str(authority.bundle_path))))
    assert _read_all(connection) == (_BODY, True)
    connection.interrupt()
    with pytest.raises(OSError):  # noqa: PT011 - a broken pipe or an end, as the kernel likes
        _ask(connection)
    connection.close()
    assert questions == [1]


def _empty(spares: Spares, port: int) -> None:
    while (spare := spares.take("localhost", port)) is not None:
        spare.close()
