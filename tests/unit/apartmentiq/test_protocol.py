"""The vendor's answers, where they are odd: understood or classified, and no secret is shown."""

from __future__ import annotations

import json

import pytest

from archiver.apartmentiq.protocol import decipher_results, decipher_token
from archiver.errors import Failure, Rejection
from archiver.network.answer import Answer

TOKEN = "Qx3-Zk2WqPs9-hLx4VbN8r-JmC3yTgF6-dUe1KoRw0_t"


def answer(status: int, body: object, *secrets: str) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, {}, json.dumps(body).encode(), secrets)


@pytest.mark.parametrize("lifetime", [10**400, 1e308, float("inf"), 90_000])
def test_a_token_that_lives_too_long_to_be_true_is_asked_for_again_within_a_day(
    lifetime: float,
) -> None:
    """A number beyond what a float holds is no bug of ours."""
    token = decipher_token(answer(200, {"access_token": "t", "expires_in": lifetime}))
    assert token.lifetime_seconds == 24 * 3600


@pytest.mark.parametrize("count", [TOKEN, [TOKEN], {"a": TOKEN}, 10**20, -1, None, 0.5])
def test_a_quota_is_told_in_plain_numbers_or_not_at_all(count: object) -> None:
    """What stands in the place of a count is the vendor's text, and could be anything."""
    with pytest.raises(Rejection) as rejected:
        decipher_results(answer(429, {"quota_limit": 5_000, "quota_usage": count}), "succeeded")
    assert rejected.value.detail.endswith("(used an unknown count of 5000)")


def test_a_secret_of_the_question_is_hidden_however_short_it_is() -> None:
    """A vendor may quote what it was sent."""
    with pytest.raises(Failure) as failed:
        decipher_results(answer(500, {"error": "the token 'short' is odd"}, "short"), "succeeded")
    assert failed.value.detail.endswith("the token '[hidden]' is odd")


def test_a_long_list_of_errors_is_told_by_its_first() -> None:
    """A dead letter has room for a sentence, not for a mebibyte."""
    with pytest.raises(Failure) as failed:
        decipher_results(answer(500, {"errors": ["no " * 60] * 5_000}), "succeeded")
    assert len(failed.value.detail) < 1_000
