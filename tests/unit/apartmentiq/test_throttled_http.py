"""Nobody knocks before the vendor's time; and a clock that was wrong shuts nobody out for long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from archiver.apartmentiq.throttle import ThrottledHttp
from archiver.errors import Deferral
from archiver.network.answer import Answer

DAY_SECONDS = 86_400


@dataclass
class Vendor:
    """Says "later" as often as it is told to; and the time."""

    retry_after: str | None = None
    now: datetime = datetime(2026, 11, 26, 12, tzinfo=UTC)
    published: list[float] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        """Answer one request."""
        assert (method, url, headers, body) == ("GET", "https://v/", {}, None)
        if self.retry_after is None:
            return Answer(200, {}, b"")
        return Answer(429, {"retry-after": self.retry_after}, b"")

    def throttled(self) -> ThrottledHttp:
        """Return a runtime's client."""
        return ThrottledHttp(self, self.published.append, lambda: self.now)

    def knock(self, http: ThrottledHttp) -> int:
        """Ask something; 0 where nothing may be asked."""
        try:
            return http.send("GET", "https://v/", {}, None).status
        except Deferral:
            return 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 0), (899, 0), (900, 200), (-1, 0), (-2 * DAY_SECONDS, 200)],
)
def test_nothing_is_asked_before_the_time_that_the_vendor_named(
    seconds: int, expected: int
) -> None:
    """But a wait that no vendor can have asked for, for the clock was set back, is none."""
    vendor = Vendor(retry_after="900")
    http = vendor.throttled()
    assert vendor.knock(http) == 429
    vendor.retry_after = None
    vendor.now += timedelta(seconds=seconds)
    assert vendor.knock(http) == expected


def test_a_throttle_from_a_clock_that_is_far_ahead_neither_holds_nor_hides_a_true_one() -> None:
    """What the fleet's item says may have been written by anybody's clock."""
    vendor = Vendor(retry_after="60")
    http = vendor.throttled()
    http.keep_away_until(vendor.now.timestamp() + 400 * DAY_SECONDS)
    assert vendor.knock(http) == 429
    assert vendor.published == [vendor.now.timestamp() + 60]
    http.keep_away_until(vendor.now.timestamp() + 400 * DAY_SECONDS)
    assert vendor.knock(http) == 0


def test_the_longest_wait_that_is_believed_holds_for_clocks_that_differ() -> None:
    """A day that another runtime wrote down, whose clock is some minutes ahead."""
    vendor = Vendor()
    http = vendor.throttled()
    http.keep_away_until(vendor.now.timestamp() + DAY_SECONDS + 600)
    assert vendor.knock(http) == 0
