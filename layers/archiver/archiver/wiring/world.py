"""The world as it is: AWS by one boto3 session, all of it by one network; built once a runtime.

Clients share one session (five clients: 320 ms of CPU instead of 574, measured 2026-11-23) and one
TLS context. receive_callback, which starts cold more often than not, takes its clients alone
(clients.py).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archiver.aws.sending import proxy_for, send_by
from archiver.network.https import ByteConnection, Network, Spares, UrllibClient
from archiver.network.outside import Connection, Outside
from archiver.network.tls import tls_context
from archiver.network.workers import every, run_in_threads
from archiver.wiring.clients import Clients

if TYPE_CHECKING:
    from botocore.credentials import Credentials

__all__ = ["real_outside"]


def real_outside(
    extra_ca_bundle: str | None, *, most_list_bytes: int, connections_per_host: int
) -> Outside:
    """Return it; `most_list_bytes`: of a page of the vendor's job list that is still read."""
    network = Network(
        tls_context(extra_ca_bundle),
        proxy_for=proxy_for,
        connections_per_host=connections_per_host,  # what exceeds it would be connected anew
    )
    clients = Clients(sent=lambda client: send_by(network, client))
    spares = Spares()

    def credentials() -> Credentials:
        found = clients.session.get_credentials()
        if found is None:
            raise RuntimeError("There are no AWS credentials; Lambda's role gives them.")
        return found

    def connect(host: str, port: int, *, tls: bool = True) -> Connection:
        return ByteConnection(host, port, network, tls=tls, spares=spares)

    return Outside(
        client=clients,
        credentials=credentials,
        http=UrllibClient(network, most_bytes=most_list_bytes),
        connect=connect,
        now=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        pause=time.sleep,
        run_workers=run_in_threads,
        every=every,
        deadline=network.deadline,
    )
