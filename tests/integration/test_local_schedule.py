"""Schedules of the local run: due at their rate, never before, and gone when the run ends."""

from __future__ import annotations

import time
from queue import Empty, Queue

import pytest

from local.aws.definitions import Resource, ScheduleDefinition
from local.aws.schedule import Schedule, read_schedules, seconds_between

DEFINITION = ScheduleDefinition("stack-rule", "rate(1 hour)", "sweeper")
PATIENCE_SECONDS = 20


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(15 minutes)", 900),
        ("rate(1 hour)", 3_600),
        ("rate(2 days)", 172_800),
        ("cron(0 6 * * ? *)", None),
    ],
)
def test_rates_are_kept_and_crons_are_never_due(expression: str, seconds: float | None) -> None:
    """A local run is too short for a time of day."""
    assert seconds_between(expression) == seconds


def test_a_schedule_fires_again_and_again_until_it_is_stopped() -> None:
    """Each time with an event of its own; after the stop with none."""
    events: Queue[object] = Queue()
    schedule = Schedule(DEFINITION, events.put, region="us-east-1", seconds=0.02)
    schedule.start()
    first, second = events.get(timeout=PATIENCE_SECONDS), events.get(timeout=PATIENCE_SECONDS)
    schedule.stop()
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["id"] != second["id"]
    assert (first["source"], first["detail-type"]) == ("aws.events", "Scheduled Event")
    assert first["resources"] == ["arn:aws:events:us-east-1:123456789012:rule/stack-rule"]
    while not events.empty():
        events.get_nowait()
    with pytest.raises(Empty):
        events.get(timeout=0.1)


@pytest.mark.parametrize("expression", ["rate(1 hour)", "cron(0 6 * * ? *)"])
def test_an_hour_is_not_waited_for_at_the_end(expression: str) -> None:
    """Stopping is immediate, whatever the rate; nothing fired before its time."""
    events: Queue[object] = Queue()
    definition = ScheduleDefinition("rule", expression, "sweeper")
    schedule = Schedule(definition, events.put, region="us-east-1")
    schedule.start()
    begun = time.monotonic()
    schedule.stop()
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert events.empty()


def test_only_enabled_scheduled_rules_are_read() -> None:
    """Not a rule with a pattern, not a disabled one, and nothing else with an expression."""

    def resource(name: str, kind: str = "AWS::Events::Rule", **properties: object) -> Resource:
        targets = [{"Id": "t", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:sweeper"}]
        return Resource(name, kind, f"stack-{name}", {"Targets": targets, **properties})

    rules = [
        resource("rule", ScheduleExpression="rate(1 hour)"),
        resource("off", ScheduleExpression="rate(1 hour)", State="DISABLED"),
        resource("pattern", EventPattern={}),
        resource("other", "AWS::Scheduler::Schedule", ScheduleExpression="rate(1 hour)"),
    ]
    assert list(read_schedules({rule.logical_id: rule for rule in rules})) == [DEFINITION]
