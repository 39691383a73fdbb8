"""Callback tokens: two are good at a time, and junk does not cost a read each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from archiver.callbacks.token import CallbackTokens
from archiver.errors import Failure

OLDEST, OLD, NEW = "oldest" * 8, "previous" * 6, "current0" * 6


@dataclass
class Secret:
    """A secret, and how often it was read; and the time."""

    tokens: list[str] = field(default_factory=lambda: [OLD, OLDEST], repr=False)
    fails: bool = False
    reads: int = 0
    now: float = 1000.0

    def read(self) -> list[str]:
        """Return the tokens that are in it."""
        self.reads += 1
        if self.fails:
            raise Failure("aws_error", "Reading the callback token: ThrottlingException.")
        return self.tokens


@pytest.fixture
def secret() -> Secret:
    """Return a secret that was rotated once."""
    return Secret()


@pytest.fixture
def tokens(secret: Secret) -> CallbackTokens:
    """Return a runtime that has read nothing yet."""
    began_at = datetime(2026, 11, 26, tzinfo=UTC)
    return CallbackTokens(secret.read, lambda: began_at + timedelta(seconds=secret.now))


def test_the_current_token_and_the_one_before_are_good(tokens: CallbackTokens) -> None:
    """And no other: not a part of one, not more than one, not nothing."""
    assert tokens.knows(OLD)
    assert tokens.knows(OLDEST)
    for wrong in ("", NEW, OLD[:-1], OLD + "x", OLD.upper(), OLD + OLDEST, "\udcff", "%00"):
        assert not tokens.knows(wrong)


def test_known_tokens_cost_no_read_while_they_are_fresh(
    tokens: CallbackTokens, secret: Secret
) -> None:
    """One read for all callbacks of five minutes."""
    for _ in range(100):
        assert tokens.knows(OLD)
        secret.now += 2.9
    assert secret.reads == 1


def test_a_flood_of_junk_costs_two_reads_a_minute(tokens: CallbackTokens, secret: Secret) -> None:
    """However many requests, an unknown token is looked up again only after a pause."""
    for number in range(6000):
        assert not tokens.knows(f"{number:048}")
        secret.now += 0.01
    assert secret.reads == 2


def test_a_new_token_is_good_within_half_a_minute(tokens: CallbackTokens, secret: Secret) -> None:
    """Jobs that are ordered right after a rotation call back, and so do those ordered before."""
    assert tokens.knows(OLD)
    secret.tokens = [NEW, OLD]
    secret.now += 30
    assert tokens.knows(NEW)
    assert tokens.knows(OLD)
    assert not tokens.knows(OLDEST)


def test_a_revoked_token_is_refused_within_five_minutes(
    tokens: CallbackTokens, secret: Secret
) -> None:
    """Also when nobody ever comes with an unknown one."""
    assert tokens.knows(OLDEST)
    secret.tokens = [NEW, OLD]
    secret.now += 300
    assert not tokens.knows(OLDEST)


@pytest.mark.parametrize("seconds", [1, 299, 86_400])
def test_a_clock_that_is_set_back_makes_no_token_good_for_longer(
    tokens: CallbackTokens, secret: Secret, seconds: int
) -> None:
    """Of an age below zero nothing follows: a revoked token is bad and the new one good at once."""
    assert tokens.knows(OLDEST)
    secret.tokens = [NEW, OLD]
    secret.now -= seconds
    assert not tokens.knows(OLDEST)
    assert tokens.knows(NEW)


def test_a_failed_read_is_made_up_for_after_the_clock_is_set_back(
    tokens: CallbackTokens, secret: Secret
) -> None:
    """The pause after a failure ends, whatever the clock does."""
    secret.fails = True
    with pytest.raises(Failure):
        tokens.knows(OLD)
    secret.fails = False
    secret.now -= 3600
    assert tokens.knows(OLD)


def test_a_secret_that_cannot_be_read_is_no_wrong_token(
    tokens: CallbackTokens, secret: Secret
) -> None:
    """The caller may come again; the reads are bounded here too, and it goes on by itself."""
    secret.fails = True
    for _ in range(50):
        with pytest.raises(Failure, match="Throttling"):
            tokens.knows(OLD)
    assert secret.reads == 1
    secret.fails = False
    secret.now += 30
    assert tokens.knows(OLD)


def test_a_known_token_is_good_while_the_secret_cannot_be_read(
    tokens: CallbackTokens, secret: Secret
) -> None:
    """A failing read that an unknown token caused shuts out nobody who is known."""
    assert tokens.knows(OLD)
    secret.fails = True
    secret.now += 30
    with pytest.raises(Failure):
        tokens.knows(NEW)
    assert tokens.knows(OLD)


@pytest.mark.parametrize(
    "value", ["", "short", "x" * 31, "y" * 257, "with a space" * 4, "a/b" * 20]
)
def test_a_token_that_could_be_guessed_opens_nothing(
    tokens: CallbackTokens, secret: Secret, value: str
) -> None:
    """A secret that a person filled badly is a fault that is told, not an open door."""
    secret.tokens = [value]
    for _ in range(2):
        with pytest.raises(Failure, match="archiver rotate-callback-token"):
            tokens.knows(value)


def test_no_token_is_remembered_as_it_is(tokens: CallbackTokens) -> None:
    """Whatever prints the object shows digests."""
    assert tokens.knows(OLD)
    assert OLD not in repr(vars(tokens))
