"""TLS in long strides: a socket that encrypts and decrypts in memory, many records a system call.

`ssl.SSLSocket` goes to the kernel once for each record of 16 KiB that it writes, and twice for each
that it reads. OpenSSL, its checks and the context are the same here; a copy costs a tenth less CPU
(docs/decisions/2026-11-25-tls-in-long-strides.md).
"""

from __future__ import annotations

import io
import math
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from urllib3.util import wait_for_read

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["TlsSocket", "hang_up", "tls_context"]

# Seven records of 16 KiB, and three: less is more calls to the kernel; more is memory, eight of
# each at once, that no longer fits the processor's cache (the decision has the measurements).
_MOST_RECEIVED_BYTES = 112 * 1024
_MOST_SENT_BYTES = 48 * 1024
_ANSWER_BYTES = 16 * 1024  # enough for whoever reads no long body


def tls_context(extra_ca_bundle: str | None) -> ssl.SSLContext:
    """Return the one context of a process: loading the roots costs 18 ms of CPU.

    Trust comes from the system's store (SSL_CERT_FILE is honoured by OpenSSL) and, beside it, from
    the bundle that AWS_CA_BUNDLE names.
    """
    context = ssl.create_default_context()
    if extra_ca_bundle:
        context.load_verify_locations(cafile=extra_ca_bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


def hang_up(sock: socket.socket | TlsSocket) -> None:
    """Make whoever waits on a socket in another thread fail at once; one that is closed is fine."""
    with suppress(OSError):
        if isinstance(sock, socket.socket):
            # SSLSocket's own shutdown takes the encryption away first: who waits would read on, and
            # find what was received and not yet decrypted.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)


class TlsSocket:
    """A connected socket inside TLS, with what http.client needs of a socket; for one thread.

    Only `shutdown` may be called from another thread: it makes the one that waits fail at once.
    After any OSError (ssl.SSLError is one) it is good for nothing but to be closed; only an answer
    that the peer gave before it stopped listening can still be read.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands and verify that the peer is `host`; takes the plain socket over.

        Raises OSError (ssl.SSLError among them); the plain socket is closed then.
        """
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._received = memoryview(bytearray(_ANSWER_BYTES))
        self._closed = False
        self._readers = 0
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
            self._shake_hands()
        except BaseException:
            with suppress(OSError):  # the alert that tells the peer why
                self._flush()
            plain.close()
            raise

    def sendall(self, data: ReadableBuffer) -> None:
        """Send all of the data."""
        view = memoryview(data).cast("B")
        begun = 0
        while begun < len(view):
            try:
                begun += self._tls.write(view[begun : begun + _MOST_SENT_BYTES])
            except ssl.SSLWantReadError:  # the peer renegotiates (TLS 1.2): its turn first
                self._receive()
            else:
                self._flush()

    def recv_into(self, buffer: WriteableBuffer) -> int:
        """Receive what is there, up to the buffer's length or a record; 0 is the end, told or not.

        Whoever must know whether the end was meant has a length to go by, as with SSLSocket.
        """
        view = memoryview(buffer)
        while True:
            try:
                return self._tls.read(len(view), view)  # type: ignore[return-value] # a count, with a buffer
            except ssl.SSLWantReadError:
                self._receive()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

    def fill(self, view: memoryview) -> int:
        """Receive until the view is full, and return its length in bytes; less means the end."""
        if len(self._received) < _MOST_RECEIVED_BYTES:
            self._received = memoryview(bytearray(_MOST_RECEIVED_BYTES))
        filled = 0
        # Not by `recv_into`: a call more for each record is 1 % of a copy's CPU.
        with suppress(ssl.SSLZeroReturnError, ssl.SSLEOFError):
            while filled < len(view):
                try:
                    count: Any = self._tls.read(len(view) - filled, view[filled:])
                except ssl.SSLWantReadError:
                    self._receive()
                    continue
                if not count:
                    break
                filled += count
        return filled

    def has_more(self) -> bool:
        """Tell, without waiting, whether something was received: bytes, or the end."""
        held = self._tls.pending() or self._incoming.pending
        return held > 0 or wait_for_read(self._plain, timeout=0.0)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader, which keeps the connection open until both are closed."""
        if mode != "rb":
            raise ValueError(f"A reader of bytes is all there is, not {mode!r}.")
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a wait may take: for anything to come, or for 48 KiB to go.

        A peer that drips is bounded here no more than above: http.client has no time-out of a
        whole answer either.
        """
        self._plain.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """Shut the plain socket down; what was received before can still be read."""
        socket.socket.shutdown(self._plain, how)  # see `hang_up`

    def close(self) -> None:
        """Close, at once or with the last reader."""
        self._closed = True
        self._close_if_done()

    def reader_closed(self) -> None:
        """Count a reader less."""
        self._readers -= 1
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closed and not self._readers:
            self._plain.close()

    def _shake_hands(self) -> None:
        seconds = self._plain.gettimeout()
        end = math.inf if seconds is None else time.monotonic() + seconds
        while time.monotonic() < end:  # as a whole: nobody can interrupt it
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._receive()
            else:
                return self._flush()
        raise TimeoutError("The TLS handshake took too long.")

    def _receive(self) -> None:
        self._flush()  # a handshake's next step, or the answer to a new key
        count = self._plain.recv_into(self._received)
        if count:
            self._incoming.write(self._received[:count])
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.sendall(self._outgoing.read())


class _Reader(io.RawIOBase):
    """What a BufferedReader reads from."""

    def __init__(self, tls: TlsSocket) -> None:
        self._tls = tls

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._tls.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._tls.reader_closed()
