"""The ports of a local run: of the system's choice, or the same ones each time (`--port`).

Whoever asks for certain ones is told before anything is started if one of them cannot be had.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

__all__ = ["MOST_FIRST_PORT", "PORTS_IN_A_ROW", "PortError", "Ports"]

PORTS_IN_A_ROW = 4  # AWS, the vendor's API, its links, the callback URL
MOST_FIRST_PORT = 65_535 - (PORTS_IN_A_ROW - 1)
_LOOPBACK = "127.0.0.1"


class PortError(Exception):
    """A port cannot be had; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What each server listens on; 0 lets the system choose."""

    aws: int = 0
    api: int = 0
    links: int = 0
    function_url: int = 0  # of the first function that has a URL

    @classmethod
    def beginning_at(cls, first: int) -> Ports:
        """Return ports in a row; raises PortError where one of them is taken, or is none."""
        if not 1 <= first <= MOST_FIRST_PORT:
            raise PortError(
                f"--port {first}: give a number from 1 to {MOST_FIRST_PORT}; the run takes "
                f"{PORTS_IN_A_ROW} ports from there on"
            )
        for port in range(first, first + PORTS_IN_A_ROW):
            _check(port, first)
        return cls(first, first + 1, first + 2, first + 3)


def _check(port: int, first: int) -> None:
    with socket.socket() as probe:
        # As the servers do: connections of a run that has just ended are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is in use on this machine" if taken else f"cannot be had ({error.strerror})"
            raise PortError(
                f"--port {first}: port {port} {why}; end what listens there, or give another "
                f"number (the run takes {first} to {first + PORTS_IN_A_ROW - 1})"
            ) from error
