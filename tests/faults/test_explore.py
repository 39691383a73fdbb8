"""A few scenarios in each of their schedules; `make explore` runs all, and hunts all breakages."""

from __future__ import annotations

import pytest

from tests.faults.choices import Bounds, Choices, Merged, schedules
from tests.faults.explore import explore, hunt


def test_every_list_of_choices_is_tried_once() -> None:
    """Two choices of two and three ways, with one deviation: the usual way, and three others."""

    def run(choices: Choices) -> None:
        choices.choose("fault", ["", "a"])
        choices.choose("fault", ["", "b", "c"])

    made = [choices.made for choices in schedules(Bounds(0, 1), run)]
    assert sorted(made) == [[0, 0], [0, 1], [0, 2], [1]]


def test_a_state_is_gone_on_from_once() -> None:
    """Two ways come to one state: the second is cut short there, and loses no choice behind it."""
    ends: list[str] = []

    def run(choices: Choices) -> None:
        choices.choose("preemption", ["", "another way round"])
        try:
            if choices.is_new:
                choices.meet("the same", frozenset())
            ends.append(f"end {choices.choose('fault', ['', 'a'])}")
        except Merged:
            ends.append("merged")

    assert len(list(schedules(Bounds(1, 1), run))) == 3
    assert sorted(ends) == ["end 0", "end 1", "merged"]


@pytest.mark.parametrize(
    ("scenario", "bounds"),
    [
        ("one message", Bounds(0, 1)),
        ("two messages", Bounds(1, 0)),
        ("gone: two rechecks", Bounds(0, 0)),
        ("dead letter and live copy", Bounds(0, 0)),
        ("dead letter and waiting copy", Bounds(0, 0)),
        ("old code and new", Bounds(0, 0)),
    ],
)
def test_every_schedule_keeps_what_is_promised(scenario: str, bounds: Bounds) -> None:
    """One owner, no live upload aborted, no part twice, and nobody told what is not true."""
    outcome = explore(scenario, bounds)
    assert (outcome.broken, outcome.schedule) == ("", ())
    assert outcome.run >= 1


@pytest.mark.parametrize(
    "mutant",
    ["forget: not made, aborted all the same", "miss: not written down", "complete: not made"],
)
def test_a_breakage_of_the_state_machine_is_caught(mutant: str) -> None:
    """The judge bites; `make explore` tries all."""
    assert hunt(mutant).broken
