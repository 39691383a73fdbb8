"""How old a cached value is, for values that outlive an invocation. Pure.

Ages are measured on the wall clock. A monotonic clock may stand still while Lambda has the runtime
frozen: nobody promises that it does not, and Python's does not count a suspension
(https://peps.python.org/pep-0418/#monotonic-clocks: CLOCK_MONOTONIC on Linux). The wall clock can
be set back: a negative age counts as expired.
Within one invocation the monotonic clock is the right one (transfer/pace.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["is_within"]


def is_within(seconds: float, since: datetime | None, now: datetime) -> bool:
    """Tell whether less than `seconds` have passed since a moment; None is no moment, so not."""
    return since is not None and timedelta() <= now - since < timedelta(seconds=seconds)
