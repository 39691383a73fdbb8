"""The TLS socket against the standard library's, at the other end of a socket pair."""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from archiver.network.tls import TlsSocket, tls_context
from local.certificates import CertificateAuthority

_HOST = "localhost"
_BYTES = random.Random(5).randbytes(1_000_000)  # noqa: S311 - sample bytes

Peer = Callable[[ssl.SSLSocket], Any]
Connect = Callable[..., TlsSocket]  # with what the peer does after the handshake


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority for this file."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def context(authority: CertificateAuthority) -> ssl.SSLContext:
    """Return the context of a function that trusts the authority."""
    return tls_context(str(authority.bundle_path))


@pytest.fixture
def connect(authority: CertificateAuthority, context: ssl.SSLContext) -> Iterator[Connect]:
    """Return what makes a connection whose other end is a thread with an SSLSocket."""
    with ExitStack() as ends:

        def start(peer: Peer, *, host: str = _HOST) -> TlsSocket:
            ours, theirs = socket.socketpair()
            theirs.settimeout(10)
            serving = (theirs, authority.server_context(), peer)
            thread = threading.Thread(target=_serve, args=serving)
            thread.start()
            ends.callback(_join, thread)
            ours.settimeout(10)
            tls = TlsSocket(ours, context, host)
            ends.callback(tls.close)
            return tls

        yield start


def _serve(plain: socket.socket, context: ssl.SSLContext, peer: Peer) -> None:
    with (
        plain,
        suppress(ConnectionError, ssl.SSLError),
        context.wrap_socket(plain, server_side=True) as tls,
    ):
        peer(tls)


def _join(thread: threading.Thread) -> None:
    thread.join(timeout=10)
    assert not thread.is_alive()


def _echo(tls: ssl.SSLSocket) -> None:
    """Send everything back, once all of it has come: a peer that reads and writes in turn."""
    content = b""
    while len(content) < len(_BYTES):
        content += tls.recv(100_000)
    tls.sendall(content)


def _receive_all(tls: TlsSocket) -> bytes:
    buffer, content = bytearray(70_000), b""
    while count := tls.recv_into(buffer):
        content += buffer[:count]
    return content


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_pass_both_ways_in_either_version(
    connect: Connect, context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """A megabyte goes out and comes back, in pieces of any size."""
    context.minimum_version = context.maximum_version = version
    tls = connect(_echo)
    tls.sendall(_BYTES[:1])
    tls.sendall(memoryview(_BYTES)[1:70_000])
    tls.sendall(_BYTES[70_000:])
    buffer = bytearray(300_000)
    assert tls.fill(memoryview(buffer)) == len(buffer)
    assert bytes(buffer) == _BYTES[: len(buffer)]
    assert _receive_all(tls) == _BYTES[len(buffer) :]


def test_a_megabyte_takes_few_calls_to_the_kernel(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many records go out in one call; SSLSocket makes one for each (62 here)."""
    tls = connect(_echo)
    plain = _Counting(tls._plain)
    monkeypatch.setattr(tls, "_plain", plain)
    tls.sendall(_BYTES)
    assert plain.sends <= 1 + len(_BYTES) // (48 * 1024)


class _Counting:
    """A socket that counts what is sent."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self.sends = 0

    def sendall(self, data: bytes) -> None:
        self.sends += 1
        self._plain.sendall(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the socket's
        return getattr(self._plain, name)


def test_a_view_that_is_not_of_bytes_is_sent_whole(connect: Connect) -> None:
    """Its length is counted in bytes, not in its items."""
    tls = connect(_echo)
    tls.sendall(memoryview(_BYTES).cast("Q"))
    assert _receive_all(tls) == _BYTES


def test_a_peer_that_renegotiates_has_its_turn(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS 1.2 may want to read before it writes; Python's server cannot ask for that, so we do."""

    def greet(peer: ssl.SSLSocket) -> None:
        peer.sendall(b"hello")
        _echo(peer)

    tls = connect(greet)
    monkeypatch.setattr(tls, "_tls", _WantsToRead(tls._tls))
    tls.sendall(_BYTES)
    assert _receive_all(tls) == b"hello" + _BYTES


class _WantsToRead:
    """A TLS object that will read before it writes, once."""

    def __init__(self, tls: ssl.SSLObject) -> None:
        self._tls = tls
        self._wants = True

    def write(self, data: memoryview) -> int:
        if self._wants:
            self._wants = False
            raise ssl.SSLWantReadError
        return self._tls.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the object's
        return getattr(self._tls, name)


# --- whom it speaks to ---


def test_a_certificate_for_another_host_is_refused(connect: Connect) -> None:
    """Before the peer's side of the handshake is done: there is nobody to send a byte to."""
    shaken: list[ssl.SSLSocket] = []
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(shaken.append, host="bucket.s3.us-east-1.amazonaws.com")
    assert shaken == []


def test_an_unknown_authority_is_refused_and_told_why(authority: CertificateAuthority) -> None:
    """The peer gets the alert, so that its log can say what was wrong."""
    ours, theirs = socket.socketpair()
    told: list[str] = []

    def serve() -> None:
        with theirs:
            try:
                authority.server_context().wrap_socket(theirs, server_side=True).recv(1)
            except ssl.SSLError as error:
                told.append(str(error.reason))

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsSocket(ours, tls_context(None), _HOST)
    _join(thread)
    assert told == ["TLSV1_ALERT_UNKNOWN_CA"]
    assert ours.fileno() == -1


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_peer_that_speaks_no_tls_is_an_error_and_no_wait(
    context: ssl.SSLContext, answer: bytes
) -> None:
    """It hangs up at once, or answers in the clear."""
    ours, theirs = socket.socketpair()
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with theirs, pytest.raises(ssl.SSLError):
        TlsSocket(ours, context, _HOST)
    assert ours.fileno() == -1


def test_a_handshake_takes_no_longer_than_said_however_it_drips(
    authority: CertificateAuthority, context: ssl.SSLContext
) -> None:
    """A byte now and then keeps each wait short, and the whole would take for ever."""
    ours, theirs = socket.socketpair()
    ours.settimeout(1.0)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = authority.server_context().wrap_bio(incoming, outgoing, server_side=True)

    def drip() -> None:
        incoming.write(theirs.recv(65536))
        with suppress(ssl.SSLWantReadError):
            peer.do_handshake()
        with suppress(OSError):  # until it is hung up on
            for byte in outgoing.read():
                theirs.sendall(bytes([byte]))
                gone.wait(0.02)

    gone = threading.Event()
    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(TimeoutError, match="handshake"):
        TlsSocket(ours, context, _HOST)
    gone.set()
    _join(thread)
    theirs.close()
    assert ours.fileno() == -1


# --- how it ends ---


def test_an_end_is_an_end_told_or_not(connect: Connect) -> None:
    """With or without close_notify what came before is handed over first."""
    for goodbye in (ssl.SSLSocket.unwrap, lambda _: None):

        def peer(tls: ssl.SSLSocket, goodbye: Peer = goodbye) -> None:
            tls.sendall(_BYTES[:50_000])
            goodbye(tls)

        tls = connect(peer)
        buffer = bytearray(60_000)
        assert tls.fill(memoryview(buffer)) == 50_000
        assert bytes(buffer[:50_000]) == _BYTES[:50_000]
        assert _receive_all(tls) == b""
        tls.close()


def test_a_changed_byte_is_an_error(connect: Connect) -> None:
    """The record's own check finds it; no byte of that record is handed over."""
    tls = connect(lambda peer: (peer.recv(1), peer.sendall(_BYTES[:1000])))
    tls._plain = _Meddling(tls._plain)  # type: ignore[assignment]
    tls.sendall(b"?")
    buffer = bytearray(2000)
    with pytest.raises(ssl.SSLError):
        tls.recv_into(buffer)
    assert not any(buffer)


class _Meddling:
    """A socket on whose way one bit is flipped of all that comes."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain

    def recv_into(self, buffer: memoryview) -> int:
        count = self._plain.recv_into(buffer)
        buffer[count - 1] ^= 1
        return count

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the socket's
        return getattr(self._plain, name)


def test_a_silent_peer_is_waited_for_no_longer_than_said(connect: Connect) -> None:
    """A wait that is over raises what sockets raise."""
    tls = connect(lambda peer: peer.recv(1))
    tls.settimeout(0.05)
    with pytest.raises(TimeoutError):
        tls.recv_into(bytearray(10))


def test_another_thread_can_end_a_wait(connect: Connect) -> None:
    """What was received before is still handed over, then the end."""
    tls = connect(lambda peer: (peer.sendall(b"early"), peer.recv(1)))
    timer = threading.Timer(0.1, tls.shutdown, args=(socket.SHUT_RDWR,))
    timer.start()
    assert _receive_all(tls) == b"early"
    timer.join()


def test_a_reader_keeps_it_open_until_both_are_closed(connect: Connect) -> None:
    """As http.client needs it for an answer that is the connection's last."""
    tls = connect(lambda peer: peer.sendall(b"line\nrest"))
    reader = tls.makefile("rb")
    tls.close()
    assert reader.readline() == b"line\n"
    assert reader.read() == b"rest"
    plain = tls._plain
    assert plain.fileno() != -1
    reader.close()
    assert plain.fileno() == -1


def test_no_other_file_is_made_of_it(connect: Connect) -> None:
    """A mode that it does not have is a mistake of the program."""
    tls = connect(lambda peer: peer.recv(1))
    with pytest.raises(ValueError, match="'wb'"):
        tls.makefile("wb")


@pytest.mark.parametrize("records", [[b"ab"], [b"a", b"b"]], ids=["one record", "two"])
def test_what_was_received_is_told_without_waiting(connect: Connect, records: list[bytes]) -> None:
    """Also what has left the kernel and waits here, decrypted or not."""
    go = threading.Event()
    tls = connect(lambda peer: ([peer.sendall(record) for record in records], go.wait(10)))
    buffer = bytearray(1)
    assert tls.recv_into(buffer) == 1
    assert _soon(tls.has_more)
    assert tls.recv_into(buffer) == 1
    assert not tls.has_more()
    go.set()
    assert not tls.recv_into(buffer)


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()
