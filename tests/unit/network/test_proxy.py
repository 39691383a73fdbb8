"""A company's proxy is the only way out for everything, and a dead address is passed by.

The proxy is a thread on loopback that tunnels (CONNECT); the host behind it answers with a body.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from archiver.aws.sending import proxy_for, send_by
from archiver.errors import Failure
from archiver.network.dial import Proxy, dial
from archiver.network.https import ByteConnection, Network, UrllibClient
from archiver.network.tls import tls_context
from local.certificates import CertificateAuthority

_PATIENCE_SECONDS = 10.0
_BODY = b"<ListAllMyBucketsResult/>"
_OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 25\r\n\r\n" + _BODY


@dataclass
class TunnelServer:
    """A proxy, inside TLS or not, and what it was asked."""

    listener: socket.socket
    tls: ssl.SSLContext | None
    refuses: bool = False
    asked: list[bytes] = field(default_factory=list)

    def serve(self) -> None:
        """Tunnel until the listener is closed."""
        with suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                threading.Thread(target=self._tunnel, args=(plain,), daemon=True).start()

    def _tunnel(self, plain: socket.socket) -> None:
        with suppress(OSError):
            plain.settimeout(_PATIENCE_SECONDS)
            client = plain if self.tls is None else self.tls.wrap_socket(plain, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65_536)
            self.asked.append(head)
            if self.refuses:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                client.close()
                return
            host, port = head.split()[1].decode().split(":")
            with client, socket.create_connection((host, int(port))) as behind:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(behind, client))
                back.start()
                _pump(client, behind)
                back.join(_PATIENCE_SECONDS)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _answer(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                if connection.recv(65_536):
                    connection.sendall(_OK)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority for this file."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def port(authority: CertificateAuthority) -> Iterator[int]:
    """Run the host behind the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = (listener, authority.server_context())
        threading.Thread(target=_answer, args=serving, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=["http", "https"])
def proxy(
    request: pytest.FixtureRequest,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TunnelServer]:
    """Run a proxy that the environment names, with a user and a password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tls = authority.server_context() if request.param == "https" else None
        server = TunnelServer(listener, tls)
        threading.Thread(target=server.serve, daemon=True).start()
        address = f"localhost:{listener.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", f"{request.param}://us%40er:pass@{address}")
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(authority: CertificateAuthority) -> Network:
    """Return the network as wiring/ makes it."""
    return Network(tls_context(str(authority.bundle_path)), proxy_for=proxy_for)


def ask_vendor(network: Network, port: int) -> bytes:
    """Ask the vendor."""
    return UrllibClient(network).send("GET", f"https://localhost:{port}/", {}, None).body


def read_bytes(network: Network, port: int) -> bytes:
    """Read an export, or send a part."""
    connection = ByteConnection("localhost", port, network)
    connection.begin("GET", "/", {"Host": "localhost"})
    body = connection.answer().read()
    connection.close()
    return body


def ask_aws(network: Network, port: int) -> bytes:
    """Call AWS by boto3."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=f"https://localhost:{port}",
        region_name="us-east-1",
        aws_access_key_id="A",
        aws_secret_access_key="b",
    )
    answer = send_by(network, client).list_buckets()
    return _BODY if answer["ResponseMetadata"]["HTTPStatusCode"] == 200 else b""


Ask = Callable[[Network, int], bytes]
ASKING = [ask_vendor, read_bytes, ask_aws]


@pytest.mark.parametrize("ask", ASKING)
def test_everything_goes_through_the_companys_proxy(
    network: Network, proxy: TunnelServer, port: int, ask: Ask
) -> None:
    """Links, parts, tokens and AWS alike, with the proxy's user, inside TLS that the host holds."""
    assert ask(network, port) == _BODY
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT localhost:{port} HTTP/1.".encode())
    assert b"Proxy-Authorization: Basic dXNAZXI6cGFzcw==".lower() in asked.lower()


@pytest.mark.parametrize("ask", ASKING)
def test_no_proxy_means_the_same_for_all(
    network: Network,
    proxy: TunnelServer,
    port: int,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What NO_PROXY names is reached straight."""
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert ask(network, port) == _BODY
    assert proxy.asked == []


@pytest.mark.parametrize("proxy", ["http"], indirect=True)
def test_a_proxy_that_refuses_is_the_networks_failure_and_its_password_is_not_told(
    network: Network, proxy: TunnelServer, port: int
) -> None:
    """The error says what happened, and quotes no URL."""
    proxy.refuses = True
    with pytest.raises(Failure) as caught:
        ask_vendor(network, port)
    assert caught.value.reason == "network"
    assert "pass" not in str(caught.value)
    with pytest.raises(OSError, match="Tunnel connection failed") as refused:
        read_bytes(network, port)
    assert "pass" not in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://proxy:1", "http:///secret", "https:///x", "socks5://h:1"])
def test_a_proxy_that_cannot_be_used_is_told_with_the_form_that_can(url: str) -> None:
    """The text names the variable, and not its value: it may hold a password."""
    with pytest.raises(ValueError, match=r"HTTPS_PROXY must read http://host:port") as caught:
        _ = Proxy(url).address
    assert url not in str(caught.value)


def test_a_dead_address_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose first address never answers is reached by its second, within the time given."""
    with (
        socket.create_server(("127.0.0.1", 0)) as dead,
        socket.create_server(("127.0.0.1", 0)) as ok,
    ):
        full = _fill(dead)
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", one.getsockname()) for one in (dead, ok)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: addresses)
        began = time.monotonic()
        with dial("two.example", 443, 5.0) as reached:
            assert reached.getpeername() == ok.getsockname()
        assert time.monotonic() - began < 5.0
        for one in full:
            one.close()


def test_no_address_is_waited_for_longer_than_the_time_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dead addresses share the time, however many there are."""
    with socket.create_server(("127.0.0.1", 0)) as dead:
        full = _fill(dead)
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", dead.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address] * 50)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            dial("dead.example", 443, 0.5)
        assert time.monotonic() - began < _PATIENCE_SECONDS
        for one in full:
            one.close()


def _fill(listener: socket.socket) -> list[socket.socket]:
    """Fill a listener's queue, so that it drops whoever comes: an address that does not answer."""
    listener.listen(0)
    full = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)  # noqa: FBT003 - the library's own
        with suppress(BlockingIOError):
            one.connect(listener.getsockname())
        full.append(one)
    time.sleep(0.05)  # the handshakes are the kernel's own business
    return full
