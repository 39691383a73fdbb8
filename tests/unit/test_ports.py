"""Four ports in a row, the same each time; one that is taken is told before anything is started."""

from __future__ import annotations

import socket

import pytest

from local.ports import MOST_FIRST_PORT, PORTS_IN_A_ROW, PortError, Ports


def four_free_ports() -> int:
    """Return the first of four in a row that nobody has just now."""
    for first in range(20_000, 30_000, 7):
        try:
            Ports.beginning_at(first)
        except PortError:
            continue
        return first
    raise AssertionError


def test_the_ports_are_in_a_row() -> None:
    """One for each server of a run."""
    first = four_free_ports()
    ports = Ports.beginning_at(first)
    assert [ports.aws, ports.api, ports.links, ports.function_url] == list(
        range(first, first + PORTS_IN_A_ROW)
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - as others listen
@pytest.mark.parametrize("offset", range(PORTS_IN_A_ROW))
def test_a_port_in_use_is_told_with_the_remedy(host: str, offset: int) -> None:
    """Whichever of the four it is, and on whichever address it listens."""
    first = four_free_ports()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, first + offset))
        other.listen()
        with pytest.raises(PortError) as refused:
            Ports.beginning_at(first)
    told = str(refused.value)
    assert f"port {first + offset} is in use" in told
    assert "another number" in told


@pytest.mark.parametrize("first", [0, -1, MOST_FIRST_PORT + 1])
def test_a_number_that_is_no_port_is_refused(first: int) -> None:
    """All four must be ports."""
    with pytest.raises(PortError, match=f"from 1 to {MOST_FIRST_PORT}"):
        Ports.beginning_at(first)
