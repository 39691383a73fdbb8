"""Without a schedule for orders nothing of them exists; with one, they may what they do."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.orders.ordering import RESERVE_SECONDS
from archiver.wiring.settings import OrderSettings
from tests.template.resolved import Stack, read_template

SCHEDULE = "rate(15 minutes)"
ALLOWED = {
    "<OrderExportsLogGroup.Arn>": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "*": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],  # X-Ray knows no resources
    "<CredentialsSecret>": ["secretsmanager:GetSecretValue"],
    "<CallbackTokenSecret>": ["secretsmanager:GetSecretValue"],
    "<ArchiveTable.Arn>": [
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ],
    "<ArchiveQueue.Arn>": ["sqs:SendMessage"],
    "<EventBus.Arn>": ["events:PutEvents"],
}


def stack(**parameters: str) -> Stack:
    """Return a stack that orders."""
    return Stack(OrderSchedule=SCHEDULE, **parameters)


def test_without_a_schedule_there_is_nothing_of_orders() -> None:
    """No function, no role, no log group, no rule, no alarm: nothing that could cost."""
    of_orders = {name for name in read_template()["Resources"] if name.startswith("Order")}
    assert len(of_orders) == 6
    assert not of_orders & Stack().resources.keys()
    assert of_orders <= stack().resources.keys()
    assert "OrderExportsFunctionName" not in Stack().outputs


def test_the_schedule_may_invoke_the_function() -> None:
    """One rule on the default bus, where schedules live, and leave for that rule alone."""
    rule = stack().properties("OrderRule")
    assert (rule["ScheduleExpression"], rule["State"]) == (SCHEDULE, "ENABLED")
    (target,) = rule["Targets"]
    assert target["Arn"] == "<OrderExportsFunction.Arn>"
    assert stack().properties("OrderPermission")["SourceArn"] == "<OrderRule.Arn>"


def test_the_environment_has_exactly_what_ordering_needs() -> None:
    """And OrderSettings reads it without complaint, with and without callbacks."""
    variables = stack().properties("OrderExportsFunction")["Environment"]["Variables"]
    assert variables.keys() == {
        "APARTMENTIQ_API_BASE_URL",
        "APARTMENTIQ_TOKEN_URL",
        "CREDENTIALS_SECRET_ARN",
        "TABLE_NAME",
        "QUEUE_URL",
        "EVENT_BUS_NAME",
        "CALLBACK_BASE_URL",
        "CALLBACK_TOKEN_SECRET_ARN",
        "STACK_NAME",
        "POWERTOOLS_LOG_LEVEL",
        "BOTO_DISABLE_CRT",
    }
    url = "https://abc.lambda-url.us-east-1.on.aws/"
    settings = OrderSettings.from_environ({**variables, "CALLBACK_BASE_URL": url})
    assert settings.callback_base_url == url.rstrip("/")
    silent = stack(ReceiveCallbacks="false").properties("OrderExportsFunction")
    without = OrderSettings.from_environ(silent["Environment"]["Variables"])
    assert (without.callback_base_url, without.callback_token_secret_arn) == (None, None)


def test_it_has_time_for_many_pages_and_is_not_run_again() -> None:
    """A run that failed is followed by the next; it keeps a reserve for ending in good order."""
    assert stack().properties("OrderExportsFunction")["Timeout"] >= 5 * RESERVE_SECONDS
    (config,) = [
        properties
        for properties in stack().of_type("AWS::Lambda::EventInvokeConfig").values()
        if properties["FunctionName"] == "<OrderExportsFunction>"
    ]
    assert config["MaximumRetryAttempts"] == 0


def allowed(role: dict[str, Any]) -> dict[str, list[str]]:
    """Return what a role allows: resource → actions, sorted."""
    result: dict[str, list[str]] = {}
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            many = [actions] if isinstance(actions, str) else actions
            assert not [action for action in many if "*" in action]
            result[statement["Resource"]] = sorted(many)
    return result


@pytest.mark.parametrize("calls_back", ["true", "false"])
def test_the_role_allows_exactly_what_ordering_calls(calls_back: str) -> None:
    """No object, no receiving, no deletion; the callback's token where there are callbacks."""
    role = stack(ReceiveCallbacks=calls_back).properties("OrderExportsRole")
    expected = {**ALLOWED}
    if calls_back == "false":
        del expected["<CallbackTokenSecret>"]
    assert allowed(role) == expected


def test_late_windows_ring_and_so_does_silence() -> None:
    """A run every quarter of an hour tells; one that runs once a week is no silence."""
    alarm = stack().properties("OrdersAlarm")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("OrdersHeldUp", "Maximum")
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]
    weekly = Stack(OrderSchedule="rate(7 days)").properties("OrdersAlarm")
    assert "InsufficientDataActions" not in weekly
