"""Emitted events are kept if the company wants it, and can be sent again to one consumer."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.template.resolved import Stack

OURS = "arn:aws:events:us-east-1:123456789012:event-bus/shared"


def test_by_default_no_event_is_kept() -> None:
    """No archive is made, and no command is shown that could not work."""
    stack = Stack()
    assert not stack.of_type("AWS::Events::Archive")
    assert "ReplayCommand" not in stack.outputs


@pytest.mark.parametrize(("bus", "arn"), [("", "<EventBus.Arn>"), ("shared", OURS)])
def test_emitted_events_are_kept_for_the_days_that_were_asked_for(bus: str, arn: str) -> None:
    """Of the bus that is emitted on: our events, and not those that would start work again."""
    stack = Stack(EventArchiveDays="30", EventBusName=bus)
    archive = stack.properties("EventArchive")
    assert (archive["SourceArn"], archive["RetentionDays"]) == (arn, "30")
    assert archive["EventPattern"] == {"source": ["apartmentiq.archiver"]}
    taken = stack.properties("JobCompletedRule")["EventPattern"]["source"]
    assert not set(taken) & set(archive["EventPattern"]["source"])


@pytest.mark.parametrize(("bus", "arn"), [("", "<EventBus.Arn>"), ("shared", OURS)])
def test_the_replay_command_can_be_pasted(bus: str, arn: str) -> None:
    """It names this stack's archive and bus; rule, name and times are left to fill in."""
    command = Stack(EventArchiveDays="30", EventBusName=bus).outputs["ReplayCommand"]["Value"]
    words = shlex.split(command)
    assert words[:3] == ["aws", "events", "start-replay"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given["--event-source-arn"] == "<EventArchive.Arn>"
    assert json.loads(given["--destination"]) == {"Arn": arn, "FilterArns": ["RULE_ARN"]}
    for time in ("--event-start-time", "--event-end-time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", given[time])
