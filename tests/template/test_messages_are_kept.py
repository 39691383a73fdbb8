"""A message ends archived or as a dead letter: no setting of queues or rule loses one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.resolved import Stack, read_template

DAY_SECONDS = 24 * 60 * 60


@pytest.fixture(scope="module")
def stack() -> Stack:
    """Return the stack as it is deployed with nothing but defaults."""
    return Stack()


def test_a_message_stays_hidden_for_six_times_the_longest_timeout(stack: Stack) -> None:
    """No FunctionTimeout that the template takes lets a message reappear while it is worked on."""
    longest = read_template()["Parameters"]["FunctionTimeout"]["MaxValue"]
    assert stack.properties("ArchiveQueue")["VisibilityTimeout"] >= 6 * longest


def test_messages_live_seven_days_and_dead_letters_fourteen(stack: Stack) -> None:
    """A letter keeps the age it came with, so it must be allowed to grow older than a message."""
    assert stack.properties("ArchiveQueue")["MessageRetentionPeriod"] == 7 * DAY_SECONDS
    assert stack.properties("DeadLetterQueue")["MessageRetentionPeriod"] == 14 * DAY_SECONDS


def test_a_message_that_keeps_failing_becomes_a_dead_letter(stack: Stack) -> None:
    """SQS moves it after six receives, of which the function knows, too."""
    redrive = stack.properties("ArchiveQueue")["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": "<DeadLetterQueue.Arn>", "maxReceiveCount": 6}
    assert environment(stack)["MAX_RECEIVES"] == "6"


def test_only_the_archive_queue_may_use_the_dead_letter_queue(stack: Stack) -> None:
    """The queue that it names is the very name that the archive queue has."""
    allowed = stack.properties("DeadLetterQueue")["RedriveAllowPolicy"]
    name = stack.properties("ArchiveQueue")["QueueName"]
    assert allowed == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:us-east-1:123456789012:{name}"],
    }


@pytest.mark.parametrize("queue", ["ArchiveQueue", "DeadLetterQueue"])
def test_queues_are_encrypted(stack: Stack, queue: str) -> None:
    """Messages rest under SQS's own keys."""
    assert stack.properties(queue)["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize("queue", ["ArchiveQueue", "DeadLetterQueue"])
def test_only_the_rule_may_send_and_nobody_without_tls(stack: Stack, queue: str) -> None:
    """EventBridge cannot be borrowed by somebody else's rule to fill our queues."""
    policy = stack.properties(f"{queue}Policy")
    assert policy["Queues"] == [f"<{queue}>"]
    allow, deny = policy["PolicyDocument"]["Statement"]
    assert allow["Effect"] == "Allow"
    assert allow["Principal"] == {"Service": "events.amazonaws.com"}
    assert allow["Action"] == "sqs:SendMessage"
    assert allow["Resource"] == f"<{queue}.Arn>"
    assert allow["Condition"] == {"ArnEquals": {"aws:SourceArn": "<JobCompletedRule.Arn>"}}
    assert deny["Effect"] == "Deny"
    assert deny["Principal"] == "*"
    assert deny["Action"] == "sqs:*"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_completed_job_goes_to_the_queue_or_to_the_dead_letters(stack: Stack) -> None:
    """The rule takes the settled event, whole, and loses none that it cannot deliver."""
    rule = stack.properties("JobCompletedRule")
    assert rule["EventPattern"] == {"source": ["apartmentiq"], "detail-type": ["Job Completed"]}
    (target,) = rule["Targets"]
    assert target["Arn"] == "<ArchiveQueue.Arn>"
    assert target["DeadLetterConfig"] == {"Arn": "<DeadLetterQueue.Arn>"}
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


def test_the_mapping_takes_one_message_and_lets_it_fail_alone(stack: Stack) -> None:
    """A killed run uses up no neighbour's receive; a failed record is reported by itself."""
    ((_, mapping),) = stack.of_type("AWS::Lambda::EventSourceMapping").items()
    assert mapping["EventSourceArn"] == "<ArchiveQueue.Arn>"
    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": "5"}


def test_an_event_that_came_directly_and_failed_is_kept(stack: Stack) -> None:
    """After Lambda's tries it becomes a dead letter."""
    configs = stack.of_type("AWS::Lambda::EventInvokeConfig").values()
    (config,) = [c for c in configs if "<ArchiveExportFunction" in c["FunctionName"]]
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == "<DeadLetterQueue.Arn>"


def test_waiting_is_not_taken_for_a_loop(stack: Stack) -> None:
    """Lambda does not stop a job that sends itself back to the queue; MaxWaitHours does."""
    assert stack.properties("ArchiveExportFunction")["RecursiveLoop"] == "Allow"
    assert environment(stack)["MAX_WAIT_HOURS"] == "72"


def test_only_rules_of_this_account_may_invoke_the_function(stack: Stack) -> None:
    """The permission names the account and its rules, besides the service."""
    permissions = stack.of_type("AWS::Lambda::Permission").values()
    (permission,) = [p for p in permissions if "<ArchiveExportFunction" in p["FunctionName"]]
    assert permission["Principal"] == "events.amazonaws.com"
    assert permission["SourceAccount"] == "123456789012"
    assert permission["SourceArn"] == "arn:aws:events:us-east-1:123456789012:rule/*"


def environment(stack: Stack) -> dict[str, Any]:
    """Return the function's environment."""
    variables: dict[str, Any] = stack.properties("ArchiveExportFunction")["Environment"][
        "Variables"
    ]
    return variables
