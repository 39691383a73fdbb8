"""Getting a TCP connection: to the first address that answers, through a proxy where there is one.

The links' hosts, S3's parts, the vendor and AWS are all reached this way, so that a company's proxy
and a dead address mean the same for each of them.
"""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["Proxy", "ProxyFor", "dial"]

# What an address is given before the next is tried: time to send a lost SYN once more (after 1 s,
# RFC 6298, 2.1); RFC 8305, 5, tells clients to go on after at most 2 s.
_ADDRESS_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as HTTPS_PROXY names it; its user and password are a secret."""

    url: str = field(repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Return its host and port; raises ValueError without them."""
        parts = urlsplit(self.url)
        if not parts.hostname or parts.scheme not in {"http", "https"}:
            raise ValueError("HTTPS_PROXY must read http://host:port or https://host:port.")
        return parts.hostname, parts.port or (443 if self.is_tls else 80)

    @property
    def is_tls(self) -> bool:
        """Tell whether the proxy itself is spoken to inside TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def headers(self) -> dict[str, str]:
        """Return what it wants to see with a CONNECT (RFC 7617: Basic)."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


ProxyFor = Callable[[str], str | None]  # a URL → its proxy's URL; None: straight to the host


def dial(
    host: str, port: int, seconds: float, *, tls: ssl.SSLContext | None = None
) -> socket.socket:
    """Connect to the first of a host's addresses that answers, in so many seconds altogether.

    One that is dead costs 1.5 s, not all of them. (The resolver keeps its own time.) With `tls` the
    host, a proxy, is spoken to inside TLS. Raises OSError.
    """
    end = time.monotonic() + seconds
    addresses: Sequence[Any] = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    error: OSError = OSError(f"{host} has no address.")
    for position, (family, kind, protocol, _, address) in enumerate(addresses, 1):
        left = end - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as http.client and urllib3
            sock.settimeout(left if position == len(addresses) else min(left, _ADDRESS_SECONDS))
            sock.connect(address)
            sock.settimeout(max(0.001, end - time.monotonic()))  # for the handshakes that follow
            return sock if tls is None else tls.wrap_socket(sock, server_hostname=host)
        except OSError as raised:
            sock.close()
            error = raised
    raise error
