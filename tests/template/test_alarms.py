"""Every alarm tells a person, in sentences that fit, and its topic is closed to everybody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.resolved import Stack, read_template

ALARMS = [
    name
    for name, resource in read_template()["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
]
ORDERS = {"OrderSchedule": "rate(15 minutes)"}  # with which the stack has every alarm
QUERIES = [
    name
    for name, resource in read_template()["Resources"].items()
    if resource["Type"] == "AWS::Logs::QueryDefinition"
]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_person_on_call_what_it_means_and_what_to_do(name: str) -> None:
    """Whole sentences within CloudWatch's 1,024 characters; its end is told as its beginning is."""
    alarm = Stack(**ORDERS).properties(name)
    description = alarm["AlarmDescription"]
    assert description.endswith(".")
    assert 150 < len(description) <= 1_024
    assert "${" not in description
    assert alarm["AlarmActions"] == alarm["OKActions"] == ["<AlarmTopic>"]
    assert alarm["TreatMissingData"] in {"missing", "notBreaching", "ignore"}


def test_an_existing_topic_takes_the_place_of_ours() -> None:
    """Then the stack makes neither topic nor key, and every alarm goes to the company's."""
    arn = "arn:aws:sns:us-east-1:123456789012:on-call"
    stack = Stack(AlarmTopicArn=arn, AlarmEmail="on-call@example.com", **ORDERS)
    assert not [name for name in stack.resources if name.startswith("AlarmTopic")]
    assert {stack.properties(name)["AlarmActions"][0] for name in ALARMS} == {arn}
    assert stack.properties("AlarmSubscription")["TopicArn"] == arn


def test_mail_is_sent_only_where_somebody_is_named() -> None:
    """No subscription without an address, and the given one with it."""
    assert "AlarmSubscription" not in Stack().resources
    subscription = Stack(AlarmEmail="on-call@example.com").properties("AlarmSubscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "on-call@example.com")
    assert subscription["TopicArn"] == "<AlarmTopic>"


def test_only_alarms_of_this_account_publish() -> None:
    """CloudWatch acting for another account is refused; so is everybody without TLS."""
    publish, deny = Stack().properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    assert publish["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert publish["Action"] == "sns:Publish"
    assert publish["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"},
    }
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")


def test_the_topic_is_encrypted_by_a_key_that_cloudwatch_may_use_for_this_account() -> None:
    """The key that AWS keeps for SNS would silently swallow every alarm."""
    assert Stack().properties("AlarmTopic")["KmsMasterKeyId"] == "<AlarmTopicKey.Arn>"
    key = Stack().properties("AlarmTopicKey")
    assert key["EnableKeyRotation"] is True
    _, cloudwatch = key["KeyPolicy"]["Statement"]
    assert cloudwatch["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert cloudwatch["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert cloudwatch["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def terms(alarm: dict[str, Any]) -> set[str]:
    """Return the ids of the metrics that an alarm's expression is given."""
    return {query["Id"] for query in alarm["Metrics"] if "MetricStat" in query}


@pytest.mark.parametrize(
    "name", [name for name in ALARMS if "Metrics" in Stack(**ORDERS).properties(name)]
)
def test_an_expression_uses_every_metric_that_it_is_given(name: str) -> None:
    """A reason that was added and forgotten in the sum would never ring."""
    alarm = Stack(**ORDERS).properties(name)
    (expression,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
    for term in terms(alarm):
        assert term in expression.replace("(", " ").replace(",", " ").split()


def test_the_age_of_a_waiting_message_rings_later_than_any_wait() -> None:
    """SQS's longest delay is 15 minutes, and the longest FunctionTimeout too."""
    assert Stack().properties("OldestMessageAlarm")["Threshold"] > 900 + 900


def test_letters_ring_again_before_they_expire() -> None:
    """A day is left even for one that SQS moved on the last day of the first queue."""
    kept = Stack().properties("DeadLetterQueue")["MessageRetentionPeriod"]
    before = Stack().properties("ArchiveQueue")["MessageRetentionPeriod"]
    alarm = Stack().properties("DeadLettersExpireAlarm")
    assert kept - before - alarm["Period"] * alarm["EvaluationPeriods"] == 86_400


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_judges_no_more_than_cloudwatch_takes(name: str) -> None:
    """Seven days where a period is an hour or more, one where it is less; ten metrics."""
    alarm = Stack(**ORDERS).properties(name)
    stats = [q["MetricStat"] for q in alarm.get("Metrics", []) if "MetricStat" in q]
    (period,) = {int(stat["Period"]) for stat in stats} or {int(alarm["Period"])}
    # "API_PutMetricAlarm", EvaluationPeriods; "Using metric math", "as many as 10 metrics"
    assert period * alarm["EvaluationPeriods"] <= (604_800 if period >= 3_600 else 86_400)
    assert len(stats) <= 10


def test_mail_does_not_tell_that_a_new_alarm_has_found_all_in_order() -> None:
    """A deploy makes twelve alarms, and each goes from "no data" to OK."""
    subscription = Stack(AlarmEmail="on-call@example.com").properties("AlarmSubscription")
    assert subscription["FilterPolicyScope"] == "MessageBody"
    assert subscription["FilterPolicy"] == {
        "$or": [{"NewStateValue": ["ALARM", "INSUFFICIENT_DATA"]}, {"OldStateValue": ["ALARM"]}]
    }


@pytest.mark.parametrize("name", QUERIES)
def test_a_saved_query_reads_the_functions_log(name: str) -> None:
    """It is listed under the stack's name, and asks the group that the last lines are in."""
    query = Stack().properties(name)
    assert query["Name"].startswith("archiver/")
    assert query["LogGroupNames"] == ["<ArchiveExportLogGroup>"]
    assert "outcome" in query["QueryString"]
