"""Each alarm tells what it is for, in time, once, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.alarms.scenarios import DAY, SCENARIOS, Scenario
from tests.alarms.table import alarms, play, table

MANUAL = Path(__file__).parents[2] / "docs" / "operations.md"


# How many more periods CloudWatch looks back is not published: this holds for one and for three.
@pytest.mark.parametrize("extra", [1, 3])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_an_alarm_rings_in_time_and_never_without_its_cause(scenario: Scenario, extra: int) -> None:
    """Exactly the alarms that are named, each within its time, and not twice within a day."""
    begun = [mail for mail in play(scenario, extra) if mail.state != "OK"]
    assert {mail.alarm for mail in begun} == scenario.rings.keys()
    for alarm, within in scenario.rings.items():
        moments = [mail.at for mail in begun if mail.alarm == alarm]
        assert 0 <= moments[0] - scenario.cause_at <= within
        for earlier, later in itertools.pairwise(moments):
            assert later - earlier >= DAY


def test_each_alarm_of_the_template_is_rung_by_some_cause() -> None:
    """A new alarm comes with the scenario that it is for."""
    assert {name for scenario in SCENARIOS for name in scenario.rings} == alarms()


def test_the_manual_shows_what_the_command_prints() -> None:
    """`make alarms` prints the table of docs/operations.md."""
    assert table() in MANUAL.read_text(encoding="utf-8")
