"""The vendor's token is kept for as long as it is good, by the clock on the wall."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from archiver.apartmentiq.protocol import Credentials
from archiver.apartmentiq.token import TokenCache
from archiver.network.answer import Answer

LIFETIME_SECONDS = 7200  # what the vendor says


@dataclass
class Vendor:
    """Gives a token at each request; and the secret, and the time."""

    credentials: Credentials = field(default_factory=lambda: Credentials("id", "secret"))
    now: datetime = datetime(2026, 11, 26, 12, tzinfo=UTC)
    given: int = 0

    def read(self, *, again: bool = False) -> Credentials:  # noqa: ARG002 - the interface's
        """Return what the secret holds."""
        return self.credentials

    def request_token(self, credentials: Credentials) -> Answer:
        """Return a token of its own."""
        assert credentials == self.credentials
        self.given += 1
        body = {"access_token": f"token-{self.given}", "expires_in": LIFETIME_SECONDS}
        return Answer(200, {"content-type": "application/json"}, json.dumps(body).encode())

    def cache(self) -> TokenCache:
        """Return a runtime's cache."""
        return TokenCache(self, self.request_token, lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "token-1"),
        (LIFETIME_SECONDS - 61, "token-1"),
        (LIFETIME_SECONDS - 60, "token-2"),
        (86_400, "token-2"),
        (-1, "token-2"),  # the clock was set back: how old the token is, is not known
        (-86_400, "token-2"),
    ],
)
def test_a_token_is_used_until_a_minute_before_its_end(seconds: int, expected: str) -> None:
    """And never when its age cannot be told."""
    vendor = Vendor()
    tokens = vendor.cache()
    assert tokens.current() == "token-1"
    vendor.now += timedelta(seconds=seconds)
    assert tokens.current() == expected


def test_a_clock_that_jumps_costs_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for once more, not at each request; no other clock is looked at."""
    monkeypatch.delattr("time.monotonic")
    vendor = Vendor()
    tokens = vendor.cache()
    tokens.current()
    vendor.now -= timedelta(days=1)
    assert {tokens.current() for _ in range(10)} == {"token-2"}


def test_a_token_made_by_hand_has_no_age() -> None:
    """It is good until the vendor refuses it."""
    vendor = Vendor(Credentials(access_token="by-hand"))
    tokens = vendor.cache()
    for days in (0, 400, -800):
        vendor.now += timedelta(days=days)
        assert tokens.current() == "by-hand"
    assert vendor.given == 0
