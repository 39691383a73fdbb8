"""A WSGI application behind TLS on the loopback address, a thread for each connection.

It must write no log: request lines hold signed links and tokens.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    import ssl

    from _typeshed.wsgi import WSGIApplication

__all__ = ["TlsServer", "quiet"]


class TlsServer(ThreadedWSGIServer):
    """Werkzeug's threaded server, its TLS handshakes done by the worker, not by the acceptor."""

    def __init__(
        self,
        application: WSGIApplication,
        context: ssl.SSLContext,
        *,
        handler: type[WSGIRequestHandler],
        port: int = 0,
    ) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        super().__init__("127.0.0.1", port, application, handler=handler)
        self.ssl_context = context
        self._context = context

    def get_request(self) -> tuple[Any, Any]:
        """Wrap the accepted socket; the first read shakes hands, in the worker's thread."""
        plain, address = super().get_request()
        wrapped = self._context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - werkzeug's signature
        """Ignore clients that went away: a killed runtime is an everyday event here."""


def quiet(handler: type[WSGIRequestHandler]) -> type[WSGIRequestHandler]:
    """Return a handler that logs nothing, whatever happens."""

    class Quiet(handler):  # type: ignore[valid-type, misc] # moto's own, or werkzeug's
        # werkzeug writes head and body apart; with Nagle's algorithm each answer waits for an ACK
        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ANN401 - werkzeug's signature
            """Drop werkzeug's log line."""

    return Quiet
