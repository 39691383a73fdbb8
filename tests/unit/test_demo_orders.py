"""What the demo says of its orders: nothing where each month was ordered once, else what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.demo_orders import MONTHS, judge_orders


def as_promised() -> dict[str, Any]:
    """Return what the judge is given when all went well."""
    ordered = {f"job {n}": (f"2025-{n:02}-01", f"2025-{n:02}-28") for n in range(1, MONTHS + 1)}
    return {
        "answer": {"missing": 0},
        "ordered": ordered,
        "posts": [201] * (MONTHS - 1) + [0],
        "told": dict.fromkeys(ordered, 1),
    }


def test_a_year_that_was_ordered_once_is_as_promised() -> None:
    """No sentence, and the demo ends with 0."""
    assert list(judge_orders(**as_promised())) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda it: it["answer"].update(missing=1), "not all of 12 months are archived"),
        (lambda it: it["answer"].clear(), "not all of 12 months are archived"),
        (lambda it: it["posts"].remove(0), "0 answers to orders were lost, not one"),
        (lambda it: it["posts"].append(201), "13 requests went out for 12 months"),
        (
            lambda it: it["ordered"].update({"job 13": it["ordered"]["job 1"]}),
            "the month from 2025-01-01 was ordered 2 times",
        ),
        (lambda it: it["ordered"].pop("job 3"), "11 months were ordered, not 12"),
        (lambda it: it["told"].update({"job 2": 2}), "12 of 12 jobs were told"),
        (lambda it: it["told"].pop("job 2"), "11 of 12 jobs were told"),
    ],
)
def test_what_is_not_as_promised_is_said(
    spoil: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Each by itself: the demo must not soften what it sees."""
    found = as_promised()
    spoil(found)
    assert said in " ".join(judge_orders(**found))
