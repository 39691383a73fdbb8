"""The sweep runs on its schedule or not at all, may do what it does, and rings when it must."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from archiver.states import LOST_AFTER
from archiver.sweep.reconcile import RESERVE_SECONDS
from archiver.sweep.request import read_sweep_request
from archiver.wiring.settings import SweepSettings
from tests.template.resolved import Stack

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aiq-a1B2c3"
STACK = [{"Name": "stack", "Value": "archiver"}]
ALARMS = ["OldestUnarchivedAlarm", "NoSweepFinishedAlarm"]
ENVIRONMENT = {
    "APARTMENTIQ_API_BASE_URL",
    "APARTMENTIQ_TOKEN_URL",
    "CREDENTIALS_SECRET_ARN",
    "TABLE_NAME",
    "QUEUE_URL",
    "LOOK_BACK_DAYS",
    "ARCHIVE_BUCKET",
    "KEY_PREFIX",
    "STACK_NAME",
    "POWERTOOLS_LOG_LEVEL",
    "BOTO_DISABLE_CRT",
}
ALLOWED = {
    "<ReconcileExportsLogGroup.Arn>": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "*": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],  # X-Ray knows no resources
    "<CredentialsSecret>": ["secretsmanager:GetSecretValue"],
    "<ArchiveTable.Arn>": [
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ],
    "<ArchiveQueue.Arn>": ["sqs:SendMessage"],
    "arn:aws:s3:::<ArchiveBucket>": ["s3:ListBucketMultipartUploads"],
    "arn:aws:s3:::<ArchiveBucket>/*": ["s3:AbortMultipartUpload"],
}


def function(**parameters: str) -> dict[str, Any]:
    """Return the function's properties for parameters."""
    return Stack(**parameters).properties("ReconcileExportsFunction")


def test_the_sweep_runs_every_hour_unless_told_otherwise() -> None:
    """One rule on the default bus, where schedules live, and leave for that rule alone."""
    stack = Stack()
    rule = stack.properties("ReconcileRule")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 hour)", "ENABLED")
    assert "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert target["Arn"] == "<ReconcileExportsFunction.Arn>"
    permission = stack.properties("ReconcilePermission")
    assert permission["FunctionName"] == "<ReconcileExportsFunction.Arn>"
    assert permission["SourceArn"] == "<ReconcileRule.Arn>"
    other = Stack(ReconcileSchedule="rate(5 minutes)")
    assert other.properties("ReconcileRule")["ScheduleExpression"] == "rate(5 minutes)"


def test_without_a_schedule_the_sweep_is_there_for_people() -> None:
    """No rule, no permission, no alarm that waits for sweeps; the function and its command stay."""
    stack = Stack(ReconcileSchedule="")
    assert not {"ReconcileRule", "ReconcilePermission", *ALARMS} & stack.resources.keys()
    assert "ReconcileExportsFunction" in stack.resources
    assert "ReconcileCommand" in stack.outputs


def test_a_failed_run_is_not_repeated_but_followed() -> None:
    """The next one does what it could not: no retry of Lambda's knocks at the vendor meanwhile."""
    configs = [
        properties
        for properties in Stack().of_type("AWS::Lambda::EventInvokeConfig").values()
        if properties["FunctionName"] == "<ReconcileExportsFunction>"
    ]
    (config,) = configs
    assert config["MaximumRetryAttempts"] == 0


def test_the_environment_has_exactly_what_a_sweep_needs() -> None:
    """And SweepSettings reads it without complaint."""
    variables = function(LookBackDays="7")["Environment"]["Variables"]
    assert variables.keys() == ENVIRONMENT
    settings = SweepSettings.from_environ(variables)
    assert settings.look_back_days == 7
    assert settings.queue_url == "<ArchiveQueue>"
    assert (settings.archive_bucket, settings.key_prefix) == ("<ArchiveBucket>", "")
    assert settings.api_base_url == "https://data.apartmentiq.io/apartmentiq/api/v1"


def test_it_runs_where_it_was_designed_to() -> None:
    """Long enough for many pages beyond the reserve that it keeps for ending in good order."""
    properties = function()
    assert properties["Handler"] == "reconcile_exports.handle"
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])
    assert properties["Timeout"] >= 5 * RESERVE_SECONDS
    assert len(properties["Layers"]) == 2
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert properties["LoggingConfig"]["LogGroup"] == "<ReconcileExportsLogGroup>"


def test_its_log_forgets_as_the_other_does() -> None:
    """LogRetentionDays is for all functions."""
    group = Stack(LogRetentionDays="30").properties("ReconcileExportsLogGroup")
    assert group["RetentionInDays"] == "30"


def test_the_role_allows_exactly_what_a_sweep_calls() -> None:
    """No action and no resource more than the written-out list; no object, no bus, no receiving."""
    assert allowed(Stack()) == ALLOWED


def test_the_role_reads_an_existing_secret_where_there_is_one() -> None:
    """That one and no other."""
    role = allowed(Stack(CredentialsSecretArn=SECRET))
    assert role[SECRET] == ["secretsmanager:GetSecretValue"]
    assert "<CredentialsSecret>" not in role


def test_the_role_aborts_below_the_prefix_of_an_existing_bucket_alone() -> None:
    """What others upload there is their business."""
    role = allowed(Stack(ExistingArchiveBucketName="ours", KeyPrefix="exports/"))
    assert role["arn:aws:s3:::ours"] == ["s3:ListBucketMultipartUploads"]
    assert role["arn:aws:s3:::ours/exports/*"] == ["s3:AbortMultipartUpload"]


def allowed(stack: Stack) -> dict[str, list[str]]:
    """Return what the role allows: resource → actions, sorted."""
    role = stack.properties("ReconcileExportsRole")
    assert "ManagedPolicyArns" not in role
    attached = stack.of_type("AWS::IAM::Policy").values()
    assert not [p for p in attached if "<ReconcileExportsRole>" in p["Roles"]]
    result: dict[str, list[str]] = {}
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            many = [actions] if isinstance(actions, str) else actions
            assert not [action for action in many if "*" in action]
            result[statement["Resource"]] = sorted(many)
    return result


def test_only_lambda_assumes_the_role() -> None:
    """Nobody else can act as the function."""
    (statement,) = Stack().properties("ReconcileExportsRole")["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


def test_the_oldest_unarchived_job_rings() -> None:
    """After what the parameter says, and not before a lost message has had its second chance."""
    alarm = Stack().properties("OldestUnarchivedAlarm")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) == (
        "ApartmentIqArchiver",
        "OldestUnarchivedSeconds",
        STACK,
    )
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")
    assert int(alarm["Threshold"]) > LOST_AFTER.total_seconds() + 3_600
    changed = Stack(OldestUnarchivedAlarmSeconds="3600").properties("OldestUnarchivedAlarm")
    assert changed["Threshold"] == "3600"
    assert "longer than 3600 seconds" in changed["AlarmDescription"]


def test_sweeps_that_do_not_come_to_an_end_ring() -> None:
    """Over a day; silence tells something only where it cannot be that of a slow schedule."""
    alarm = Stack().properties("NoSweepFinishedAlarm")
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("SweepsHeldUp", STACK)
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 86_400
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]


@pytest.mark.parametrize(
    ("schedule", "watched"),
    [
        ("rate(1 minute)", True),
        ("rate(1440 minutes)", True),
        ("rate(1 hour)", True),
        ("rate(24 hours)", True),
        ("rate(1 day)", False),
        ("rate(365 days)", False),
        ("cron(0 6 1 * ? *)", False),
    ],
)
def test_silence_is_told_of_schedules_that_run_every_day(schedule: str, watched: bool) -> None:  # noqa: FBT001 - a case
    """Whoever sweeps once a month is not told each month that nobody sweeps."""
    alarm = Stack(ReconcileSchedule=schedule).properties("NoSweepFinishedAlarm")
    assert ("InsufficientDataActions" in alarm) == watched


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_to_do(name: str) -> None:
    """The person on call reads whole sentences, within CloudWatch's 1,024 characters."""
    description = Stack().properties(name)["AlarmDescription"]
    assert description.endswith(".")
    assert 100 < len(description) <= 1_024
    assert '"swept"' in description


def test_the_command_for_a_backfill_can_be_pasted_and_changes_nothing() -> None:
    """Its payload is one that the function takes, and a dry run."""
    words = shlex.split(Stack().outputs["ReconcileCommand"]["Value"])
    said, words = words[: words.index("|")], words[words.index("|") + 1 :]
    assert said[:2] == ["printf", "%s"]
    assert words[:3] == ["aws", "lambda", "invoke"]
    assert words[words.index("--function-name") + 1] == "<ReconcileExportsFunction>"
    assert words[words.index("--payload") + 1] == "fileb:///dev/stdin"
    payload = json.loads(said[2])
    now = datetime(2026, 11, 24, tzinfo=UTC)
    request = read_sweep_request(payload, now=now, look_back=timedelta(days=30))
    assert request.dry_run
    timeout = int(words[words.index("--cli-read-timeout") + 1])
    assert timeout > function()["Timeout"]
