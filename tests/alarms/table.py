"""Every alarm of the template over every scenario: when it tells somebody, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tests.alarms.evaluator import EXTRA_PERIODS, Metrics, State, next_state, stayed_away
from tests.alarms.scenarios import DAY, HOUR, SCENARIOS, Days, Scenario
from tests.template.resolved import Stack

__all__ = ["Told", "alarms", "play", "table"]

_ALARM = "AWS::CloudWatch::Alarm"
# CloudWatch evaluates every minute; in steps of ten the same is seen, up to ten minutes later. An
# alarm over more than a day is evaluated once an hour ("Alarm evaluation", "multi-day alarms").
_STEP_SECONDS = 600


@dataclass(frozen=True)
class Told:
    """One mail: of which alarm, when (seconds since the stack was made), and of which state."""

    alarm: str
    at: float
    state: State


def play(scenario: Scenario, extra: int = EXTRA_PERIODS) -> list[Told]:
    """Return every mail of a scenario, in order."""
    metrics = _published(scenario)
    told: list[Told] = []
    for name, alarm in Stack(**scenario.parameters).of_type(_ALARM).items():
        actions = {
            "ALARM": alarm["AlarmActions"],
            "OK": alarm["OKActions"],
            "INSUFFICIENT_DATA": alarm.get("InsufficientDataActions", []),
        }
        state: State = "INSUFFICIENT_DATA"
        for number in range(1, int(scenario.days * DAY / _STEP_SECONDS)):
            now = number * _STEP_SECONDS
            was, state = state, next_state(alarm, metrics, now, state, extra)
            if not stayed_away(state, was) and actions[state]:
                told.append(Told(name, now, state))
    return sorted(told, key=lambda mail: mail.at)


@cache
def _published(scenario: Scenario) -> Metrics:
    """Return what is published in a scenario's days: the same, however often alarms look at it."""
    days = Days()
    scenario.play(days)
    return Metrics(days.data)


def alarms() -> set[str]:
    """Return the names of all alarms."""
    return set(Stack(OrderSchedule="rate(15 minutes)").of_type(_ALARM))


def table() -> str:
    """Return the table as docs/operations.md has it."""
    lines = [
        "| what happens | which alarm tells it, how long after | mails of it |",
        "| --- | --- | --- |",
    ]
    for scenario in SCENARIOS:
        begun = [mail for mail in play(scenario) if mail.state != "OK"]
        first: dict[str, float] = {}
        for mail in begun:
            first.setdefault(mail.alarm, mail.at)
        said = [f"`{alarm}` {_about(at - scenario.cause_at)}" for alarm, at in first.items()]
        counts = [str(sum(mail.alarm == alarm for mail in begun)) for alarm in first]
        lines.append(
            f"| {scenario.name} | {', '.join(said) or 'none'} | {', '.join(counts) or '0'} |"
        )
    return "\n".join(lines) + "\n"


def _about(seconds: float) -> str:
    if seconds == 0:
        return "at once"
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR:.0f} h" if seconds < 3 * DAY else f"{seconds / DAY:.1f} days"
