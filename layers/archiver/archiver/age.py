"""One rule for every age that outlives an invocation. Pure.

On the wall clock: whether a monotonic one runs on while Lambda has frozen the runtime is promised
by nobody, and reports say that it stands. Python's does not count a suspension
(https://peps.python.org/pep-0418/#monotonic-clocks: CLOCK_MONOTONIC on Linux). The wall clock can
be set back: an age below zero tells nothing, and counts as run out.
Within one invocation, the monotonic clock is the right one (transfer/pace.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["is_within"]


def is_within(seconds: float, since: datetime | None, now: datetime) -> bool:
    """Tell whether less than `seconds` have passed since a moment; None is no moment, so not."""
    return since is not None and timedelta() <= now - since < timedelta(seconds=seconds)
