"""`archiver reconcile` repeats what passes by itself, and nothing else."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from archiver.errors import DeferralReason, FailureReason
from cli.reconcile import seconds_until_next


def unfinished(reason: str, detail: str = "It could not be done.") -> dict[str, Any]:
    """Return what an unfinished sweep answers."""
    return {
        "outcome": "unfinished",
        "reason": reason,
        "detail": detail,
        "continue_with": {"continue_from": {"page": 2, "total_count": 300}},
    }


@pytest.mark.parametrize("reason", ["network", "vendor_error", "aws_error", "out_of_time"])
def test_a_sweep_that_gets_on_goes_on_and_one_that_stands_still_ends(reason: str) -> None:
    """A minute between, none where only time was lacking; the third try at a place is the last."""
    pause = 0.0 if reason == "out_of_time" else 60.0
    answer = unfinished(reason)
    assert [seconds_until_next(answer, n) for n in range(4)] == [pause, pause, pause, None]


def test_a_vendor_that_asks_to_wait_is_waited_for() -> None:
    """However often: nothing is wrong."""
    assert seconds_until_next(unfinished("rate_limited"), 50) == 60.0


@pytest.mark.parametrize(
    "answer",
    [
        unfinished("credentials_missing"),
        unfinished("credentials_rejected"),
        unfinished("aws_error", "Reading the items of jobs: AccessDeniedException."),
        unfinished("aws_error", "Sending messages: AWS.SimpleQueueService.NonExistentQueue."),
        unfinished("aws_error", "Reading the items of jobs: ResourceNotFoundException."),
        unfinished("aws_error", "Reading the items of jobs: KMSInvalidStateException."),
        {"outcome": "unfinished", "reason": "forbidden", "detail": "403"},
    ],
    ids=lambda answer: f"{answer['reason']}-{answer['detail'][-20:]}",
)
def test_what_a_person_must_mend_is_not_repeated(answer: dict[str, Any]) -> None:
    """At the first answer: a hundred more of it would be the same."""
    assert seconds_until_next(answer, 0) is None


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError", "SlowDown"])
def test_what_aws_says_of_a_busy_moment_is_repeated(code: str) -> None:
    """It is over in a minute."""
    assert seconds_until_next(unfinished("aws_error", f"Reading: {code}."), 1) == 60.0


def test_no_reason_is_repeated_for_ever_but_the_vendors_wait() -> None:
    """A reason that is added later, too."""
    for reason in {*get_args(DeferralReason), *get_args(FailureReason), "new"} - {"rate_limited"}:
        assert seconds_until_next(unfinished(reason), 3) is None
