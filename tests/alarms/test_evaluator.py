"""The evaluator does what CloudWatch's user guide says, row by row."""

from __future__ import annotations

import pytest

from tests.alarms.evaluator import State, state_of

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
RETAINED: State = "INSUFFICIENT_DATA"
# "Configuring how CloudWatch alarms treat missing data", both tables; the newest point is right.
ROWS: list[tuple[int, str, tuple[str, str, str, str]]] = [
    (3, "0-X-X", ("OK", "OK", "OK", "OK")),
    (3, "0----", ("OK", "OK", "OK", "OK")),
    (3, "-----", ("INSUFFICIENT_DATA", RETAINED, "ALARM", "OK")),
    (3, "0XX-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, "--X--", ("ALARM", RETAINED, "ALARM", "OK")),
    (2, "0-X-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "00X0X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "0-X--", ("OK", "OK", "ALARM", "OK")),
    (2, "----0", ("OK", "OK", "ALARM", "OK")),
    (2, "---X-", ("ALARM", RETAINED, "ALARM", "OK")),
]
POINTS = {"0": False, "X": True, "-": None}


@pytest.mark.parametrize(("to_alarm", "points", "states"), ROWS)
def test_every_row_of_the_guides_tables(
    to_alarm: int, points: str, states: tuple[str, str, str, str]
) -> None:
    """Three evaluation periods, a range of five, and each treatment of missing data."""
    newest_first = [POINTS[point] for point in reversed(points)]
    for treatment, expected in zip(TREATMENTS, states, strict=True):
        assert state_of(newest_first, 3, to_alarm, treatment, RETAINED) == expected, treatment


@pytest.mark.parametrize("points", ["----X", "---X-"])
def test_a_breaching_point_alone_rings_no_sooner_than_it_is_old_enough(points: str) -> None:
    """The next point may be a good one ("Avoiding premature transitions to alarm state")."""
    newest_first = [POINTS[point] for point in reversed(points)]
    assert state_of(newest_first, 3, 3, "missing", "OK") == "OK"
