"""HTTPS, twice: questions and answers by urllib3, and connections that carry an export's bytes.

TLS is always verified; nothing here can turn that off. No redirect is ever followed.

The byte connections are the standard library's: urllib3 rewrites percent-escapes and dot segments
of a path (a link's signature covers them as they are), puts URLs into the texts of its errors, and
its `readinto` reads and then copies.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress

import urllib3

from archiver.apartmentiq.protocol import Answer
from archiver.errors import Failure

__all__ = ["NETWORK_ERRORS", "ByteConnection", "UrllibClient", "tls_context"]

# What a connection can die of. ssl.SSLError is an OSError; so are the time-outs.
NETWORK_ERRORS = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 20.0
_BYTES_TIMEOUT_SECONDS = 60.0  # a stalled part is worth more patience than a question
_MAX_ANSWER_BYTES = 1 << 20


def tls_context(extra_ca_bundle: str | None) -> ssl.SSLContext:
    """Return the one context of a process: loading the roots costs 18 ms of CPU (design.md).

    Trust comes from the system's store (SSL_CERT_FILE is honoured by OpenSSL) and, beside it, from
    the bundle that AWS_CA_BUNDLE names.
    """
    context = ssl.create_default_context()
    if extra_ca_bundle:
        context.load_verify_locations(cafile=extra_ca_bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


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


class ByteConnection:
    """One kept-alive connection to one host, opened when first needed, for one thread."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Prepare a connection; `tls` is None only for a store on this machine's loopback."""
        self.host = host
        self.port = port
        if tls is None:
            self._connection = http.client.HTTPConnection(
                host, port, timeout=_CONNECT_TIMEOUT_SECONDS
            )
        else:
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=_CONNECT_TIMEOUT_SECONDS, context=tls
            )

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request's head, its target exactly as given; `Host` must be among the headers."""
        connection = self._connection
        if connection.sock is None:
            connection.connect()
            connection.sock.settimeout(_BYTES_TIMEOUT_SECONDS)  # type: ignore[attr-defined] # open
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of the request's body."""
        self._connection.sock.sendall(data)

    def answer(self) -> http.client.HTTPResponse:
        """Return the response, its body unread. Read it to the end, or `close`."""
        return self._connection.getresponse()

    def interrupt(self) -> None:
        """Make whoever waits on it in another thread fail at once.

        The plain socket's shutdown: SSLSocket's own forgets the TLS layer, and the other thread
        would then take what is still in the kernel's buffer for content.
        """
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):  # not connected any more
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; the next `begin` opens anew. What was half sent is thereby withdrawn."""
        self._connection.close()
