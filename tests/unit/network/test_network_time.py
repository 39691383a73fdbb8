"""Nothing is waited for longer than an invocation has left, however a host fails to answer.

The hosts are threads on loopback that stay silent, or drip so that no time-out of a single read
ever fires. The asking is the real network: questions, boto3's calls, and connections for bytes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.config import Config

from archiver.aws.dialect import Dialect
from archiver.aws.object_store import ObjectStore
from archiver.aws.sending import send_by
from archiver.errors import Failure
from archiver.network.deadline import TELL_SECONDS, Deadline, TimeIsUp
from archiver.network.https import NETWORK_ERRORS, ByteConnection, Network, UrllibClient
from archiver.network.outside import Connection
from archiver.network.tls import tls_context
from archiver.transfer.contract import UncertainCommit, Upload
from local.certificates import CertificateAuthority

_WORK_SECONDS = 1.0
_MUCH_SECONDS = 10.0  # a wait that was not clipped takes 20 s or more
_DRIP_SECONDS = 0.1

Behave = Callable[[Any, threading.Event], None]
Start = Callable[..., int]  # Behave, and whether inside TLS → the port


def say_nothing(_connection: Any, released: threading.Event) -> None:  # noqa: ANN401 - a socket, TLS or not
    """Accept, and stay silent."""
    released.wait(_MUCH_SECONDS * 2)


def _drip(connection: Any, released: threading.Event, begin: bytes, piece: bytes) -> None:  # noqa: ANN401
    connection.recv(65_536)
    connection.sendall(begin)
    while not released.wait(_DRIP_SECONDS):
        connection.sendall(piece)


def drip_head(connection: Any, released: threading.Event) -> None:  # noqa: ANN401 - a socket, TLS or not
    """Send a header that never ends."""
    _drip(connection, released, b"HTTP/1.1 200 OK\r\nX-Never: ", b"a")


def drip_body(connection: Any, released: threading.Event) -> None:  # noqa: ANN401 - a socket, TLS or not
    """Send a body like S3's while it assembles an upload: white space, for as long as it takes."""
    _drip(connection, released, b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b" ")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Make an authority for this file."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def start(authority: CertificateAuthority) -> Iterator[Start]:
    """Return what starts a host of some behaviour, inside TLS or not, and returns its port."""
    released, threads, listeners = threading.Event(), [], []
    context = authority.server_context()

    def serve(listener: socket.socket, behave: Behave, tls: bool) -> None:  # noqa: FBT001 - as given
        while not released.is_set():
            with suppress(OSError):
                plain, _ = listener.accept()
                with plain, suppress(OSError):
                    if tls:
                        with context.wrap_socket(plain, server_side=True) as wrapped:
                            behave(wrapped, released)
                    else:
                        behave(plain, released)

    def begin(behave: Behave, *, tls: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        for _ in range(3):  # so that a try again meets the same
            thread = threading.Thread(target=serve, args=(listener, behave, tls), daemon=True)
            thread.start()
            threads.append(thread)
        return int(listener.getsockname()[1])

    yield begin
    released.set()
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(_MUCH_SECONDS)


@pytest.fixture
def network(authority: CertificateAuthority) -> Network:
    """Return a network in an invocation that has a second for work."""
    made = Network(tls_context(str(authority.bundle_path)))
    end = time.monotonic() + _WORK_SECONDS + TELL_SECONDS
    made.deadline.begin(lambda: end - time.monotonic())
    return made


def ask_vendor(network: Network, port: int) -> None:
    """Ask the vendor a question."""
    UrllibClient(network).send("GET", f"https://localhost:{port}/", {}, None)


def read_bytes(network: Network, port: int) -> None:
    """Read an export."""
    connection = ByteConnection("localhost", port, network)
    try:
        connection.begin("GET", "/", {"Host": "localhost"})
        answer = connection.answer()
        while answer.readinto(bytearray(1 << 18)):
            pass
        if not answer.isclosed():
            raise ConnectionError("ended early")
    except NETWORK_ERRORS as error:
        raise Failure("network", "broke off") from error
    finally:
        connection.close()


def commit(network: Network, port: int) -> None:
    """Complete a multipart upload, by boto3."""
    _store(network, port).commit_upload(Upload("k", "u"), [], 1, None)


def look(network: Network, port: int) -> None:
    """Look for unfinished uploads, by boto3."""
    _store(network, port).uploads_at("k")


def _store(network: Network, port: int) -> ObjectStore:
    client = boto3.client(
        "s3",
        endpoint_url=f"https://localhost:{port}",
        region_name="us-east-1",
        aws_access_key_id="A",
        aws_secret_access_key="b",
        config=Config(connect_timeout=5, read_timeout=120, retries={"total_max_attempts": 3}),
    )

    def connect(*_: object, **__: object) -> Connection:
        raise AssertionError

    client = send_by(network, client)
    aws = Dialect(is_aws=True)  # whose commits begin with the commit
    return ObjectStore(client, Any, "bucket", None, connect, aws)  # type: ignore[arg-type] # no part is sent


@pytest.mark.parametrize("ask", [ask_vendor, read_bytes, commit, look])
@pytest.mark.parametrize(
    ("behave", "tls"),
    [(say_nothing, False), (say_nothing, True), (drip_head, True), (drip_body, True)],
    ids=["no handshake", "no answer", "a head that drips", "a body that drips"],
)
def test_a_host_that_does_not_answer_costs_no_more_than_the_time_for_work(
    network: Network,
    start: Start,
    behave: Behave,
    tls: bool,  # noqa: FBT001 - a parameter of the test
    ask: Callable[[Network, int], None],
) -> None:
    """It fails when the time for work is over, and the time to tell the outcome is still there."""
    port = start(behave, tls=tls)
    with network.deadline.working(), pytest.raises(Failure):
        ask(network, port)
    assert network.deadline.left() > 0


def test_a_commit_that_was_not_heard_is_uncertain(network: Network, start: Start) -> None:
    """White space is no answer: the object may be there, and is looked for."""
    port = start(drip_body, tls=True)
    with network.deadline.working(), pytest.raises(UncertainCommit):
        commit(network, port)


def test_nothing_is_begun_that_there_is_no_time_for(authority: CertificateAuthority) -> None:
    """Without time nothing is dialled, and the error is a time-out's."""
    network = Network(tls_context(str(authority.bundle_path)))
    network.deadline.begin(lambda: 2.0)
    with pytest.raises(TimeIsUp):
        ByteConnection("localhost", 1, network).begin("GET", "/", {"Host": "localhost"})
    with pytest.raises(Failure, match="TimeIsUp"):
        look(network, 1)


def test_who_is_silent_while_the_outcome_is_told_leaves_half_of_the_time(
    network: Network, start: Start
) -> None:
    """And is not asked again: a table that says nothing must not cost the dead letter's reason."""
    end = time.monotonic() + 5.0
    network.deadline.begin(lambda: end - time.monotonic())
    with network.deadline.working():
        pass
    before = network.deadline.left()
    port = start(say_nothing, tls=True)
    with pytest.raises(Failure, match="Timeout"):
        look(network, port)
    assert 0.3 * before < network.deadline.left() <= 0.5 * before


def test_work_leaves_the_time_that_telling_takes() -> None:
    """Within the block less is left than beyond it; what is asked for is never more than that."""
    deadline = Deadline()
    deadline.begin(lambda: 30.0)
    assert deadline.clip(60.0) == 27.0
    with deadline.working():
        assert deadline.clip(60.0) == 22.0
        assert deadline.clip(5.0) == 5.0
    # And no more of the 30 s: the message is not kept hidden any longer.
    assert deadline.left() == TELL_SECONDS
    assert deadline.clip(60.0) == TELL_SECONDS / 2  # for somebody else is asked next
    deadline.begin(lambda: 5.0)
    assert deadline.clip(60.0) == 2.0


def test_a_kept_connection_that_lay_idle_is_opened_anew(
    authority: CertificateAuthority,
) -> None:
    """NAT gateways and load balancers forget it: nothing is sent into the void."""
    clock, accepted = [1000.0], 0
    context = authority.server_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            nonlocal accepted
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    accepted += 1
                    threading.Thread(target=_answer_all, args=(plain,), daemon=True).start()

        def _answer_all(plain: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                while connection.recv(65_536):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        threading.Thread(target=serve, daemon=True).start()
        network = Network(tls_context(str(authority.bundle_path)), now=lambda: clock[0])
        client = UrllibClient(network)
        seen = []
        for idle_seconds in (0.0, 49.0, 51.0, -1.0):
            clock[0] += idle_seconds
            url = f"https://localhost:{listener.getsockname()[1]}/"
            assert client.send("GET", url, {}, None).body == b"ok"
            seen.append(accepted)
        listener.shutdown(socket.SHUT_RDWR)
    assert seen == [1, 1, 2, 3]
